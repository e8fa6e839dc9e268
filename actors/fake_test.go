package actors_test

import (
	"math/rand/v2"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// fakeEnv is a clock that a test moves by hand.
type fakeEnv struct {
	mu     sync.Mutex
	system *actor.ActorSystem
	boot   time.Duration
	seq    int
	timers []*fakeTimer
}

type fakeTimer struct {
	env *fakeEnv
	at  time.Duration
	seq int
	pid *actor.PID
	msg any
}

func newSystem(t *testing.T, opts ...actors.Option) *actors.System {
	t.Helper()
	return simulated(opts...)
}

func simulated(opts ...actors.Option) *actors.System {
	env := &fakeEnv{}
	s := actors.NewSystem(env, opts...)
	env.system = s.ActorSystem
	return s
}

func envOf(s *actors.System) *fakeEnv { return s.Env().(*fakeEnv) }

func (e *fakeEnv) Now() time.Time { return time.Unix(0, int64(e.Boot())) }

func (e *fakeEnv) Boot() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.boot
}

func (e *fakeEnv) Rand(string) *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }
func (e *fakeEnv) NewID() actors.ID       { return actors.ID{1} }

func (e *fakeEnv) After(d time.Duration, pid *actor.PID, msg any) actors.Timer {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seq++
	t := &fakeTimer{env: e, at: e.boot + d, seq: e.seq, pid: pid, msg: msg}
	e.timers = append(e.timers, t)
	return t
}

func (t *fakeTimer) Stop() bool {
	t.env.mu.Lock()
	defer t.env.mu.Unlock()
	for i, other := range t.env.timers {
		if other == t {
			t.env.timers = append(t.env.timers[:i], t.env.timers[i+1:]...)
			return true
		}
	}
	return false
}

// advance moves the clock and delivers what is due, in order.
func (e *fakeEnv) advance(d time.Duration) {
	e.mu.Lock()
	e.boot += d
	sort.Slice(e.timers, func(i, j int) bool {
		a, b := e.timers[i], e.timers[j]
		return a.at < b.at || a.at == b.at && a.seq < b.seq
	})
	var due []*fakeTimer
	for len(e.timers) > 0 && e.timers[0].at <= e.boot {
		due = append(due, e.timers[0])
		e.timers = e.timers[1:]
	}
	e.mu.Unlock()
	for _, t := range due {
		process, _ := e.system.ProcessRegistry.Get(t.pid)
		if m, ok := t.msg.(actor.SystemMessage); ok {
			process.SendSystemMessage(t.pid, m)
		} else {
			process.SendUserMessage(t.pid, t.msg)
		}
	}
}

func (e *fakeEnv) next() (time.Duration, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	least := time.Duration(-1)
	for _, t := range e.timers {
		if least < 0 || t.at-e.boot < least {
			least = t.at - e.boot
		}
	}
	return least, least >= 0
}
