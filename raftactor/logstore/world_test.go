package logstore

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// clockwork runs the actors of all worlds that share it on the test's own goroutine: what is due runs when run says so, and
// time moves when advance says so.
type clockwork struct {
	now    time.Duration
	queue  []func()
	timers []*worldTimer
	rng    *rand.Rand
}

func newClockwork() *clockwork { return &clockwork{rng: rand.New(rand.NewPCG(1, 2))} }

func (c *clockwork) Schedule(fn func()) { c.queue = append(c.queue, fn) }
func (c *clockwork) Throughput() int    { return 1 }

func (c *clockwork) run() {
	for len(c.queue) > 0 {
		fn := c.queue[0]
		c.queue = c.queue[1:]
		fn()
	}
}

// advance runs everything, then moves time on, timer by timer.
func (c *clockwork) advance(d time.Duration) {
	until := c.now + d
	for {
		c.run()
		var next *worldTimer
		for _, t := range c.timers {
			if !t.done && t.at <= until && (next == nil || t.at < next.at) {
				next = t
			}
		}
		if next == nil {
			c.now = until
			return
		}
		c.now, next.done = next.at, true
		next.world.deliver(next.pid, next.msg)
	}
}

type worldTimer struct {
	at    time.Duration
	world *world
	pid   *actor.PID
	msg   any
	done  bool
}

func (t *worldTimer) Stop() bool { was := !t.done; t.done = true; return was }

// world is one node's actor system and its environment.
type world struct {
	*actors.System
	*clockwork
	ids byte
}

func newWorld(testing.TB) *world { return newClockwork().world() }

func (c *clockwork) world() *world {
	w := &world{clockwork: c}
	w.System = actors.NewSystem(w, actors.WithDispatcher(c))
	return w
}

func (w *world) Now() time.Time         { return time.Unix(0, 0).Add(w.now) }
func (w *world) Boot() time.Duration    { return w.now }
func (w *world) Rand(string) *rand.Rand { return rand.New(rand.NewPCG(w.rng.Uint64(), w.rng.Uint64())) }
func (w *world) NewID() (id actors.ID)  { w.ids++; id[0] = w.ids; return id }

func (w *world) After(d time.Duration, pid *actor.PID, msg any) actors.Timer {
	t := &worldTimer{at: w.now + d, world: w, pid: pid, msg: msg}
	w.timers = append(w.timers, t)
	return t
}

func (w *world) deliver(pid *actor.PID, msg any) {
	process, _ := w.ProcessRegistry.Get(pid)
	if system, ok := msg.(actor.SystemMessage); ok {
		process.SendSystemMessage(pid, system)
		return
	}
	process.SendUserMessage(pid, msg)
}

// probe is an actor that keeps what it gets.
type probe struct {
	pid *actor.PID
	got []any
}

func (w *world) probe() *probe {
	p := &probe{}
	p.pid = w.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch msg := ctx.Message().(type) {
		case *actor.Started, *actor.Stopping, *actor.Stopped:
		default:
			p.got = append(p.got, msg)
		}
	}))
	w.run()
	return p
}

func (p *probe) take() []any { got := p.got; p.got = nil; return got }

func (w *world) send(from *probe, to *actor.PID, msg any) {
	w.Root.RequestWithCustomSender(to, msg, from.pid)
}
