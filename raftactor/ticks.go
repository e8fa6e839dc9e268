package raftactor

import (
	"sort"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// TicksProps makes the timer of all Raft groups of a node, known as "ticks". One timer runs, at the finest interval
// asked for; a group has at most one tick under way, so a busy one gets fewer and makes up for it from the time in the next.
// Groups that rest are not ticked; for them the timers of the nodes show each other that they are there, see [pulses]. The
// Props are for one actor: it keeps its groups when it is restarted.
func TicksProps() *actor.Props {
	t := &ticks{}
	return actor.PropsFromProducer(func() actor.Actor { return t }, actors.Named(actors.NameTicks))
}

// registerTicks asks for ticks until the sender stops or rests. Asking again starts anew.
type registerTicks struct{ Interval time.Duration }

// sleepTicks ends the ticks until the sender registers again. It then hears of a peer whose node falls silent for longer than
// its patience.
type sleepTicks struct {
	Every, Patience time.Duration
	Peers           []sleepPeer
}

type sleepPeer struct {
	replica uint64
	address string
}

// tick carries the boot clock. It is answered with tickDone; the next one comes only then.
type tick struct {
	At time.Duration
	// Coalesce: other groups are ticked too, so heartbeats had better go together.
	Coalesce bool
}

type tickDone struct{}

type ticksDue struct{}

// recount ends a burst of groups that fall asleep or wake.
type recount struct{}

// Of each stretchEach groups that are awake the ticks get longer by an interval, up to half a heartbeat interval.
const (
	stretchEach = 200
	stretchMax  = 5
)

// flushTicks is how many ticks heartbeats are gathered for.
const flushTicks = 2

type ticks struct {
	groups  []*ticked // by PID, sorted
	every   time.Duration
	awake   int
	armed   actors.Timer
	armedAt time.Duration // when it is due
	stale   bool          // a recount is in the mailbox
	pulses  pulses
}

type ticked struct {
	pid         *actor.PID
	interval    time.Duration
	due         time.Duration
	outstanding bool
	rests       *sleepTicks // nil: awake
}

func (t *ticks) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		t.pulses.start(ctx)
		t.recount(ctx)
	case *registerTicks:
		t.register(ctx, ctx.Sender(), m.Interval)
	case *sleepTicks:
		t.sleep(ctx, ctx.Sender(), m)
	case *tickDone:
		if g := t.find(ctx.Sender()); g != nil {
			g.outstanding = false
		}
	case *doubts:
		t.pulses.settle(ctx, t.groups)
	case *recount:
		t.recount(ctx)
	case *ticksDue:
		t.fire(ctx)
	case *beat:
		t.pulses.gather(ctx, m)
		if t.awake == 0 {
			t.pulses.flush(ctx)
		}
	case *actors.Inbound:
		t.inbound(ctx, m)
	case *actor.Terminated:
		t.remove(ctx, m.Who)
	}
}

func (t *ticks) register(ctx actor.Context, pid *actor.PID, interval time.Duration) {
	if pid == nil || interval <= 0 {
		return
	}
	g := t.find(pid)
	if g == nil {
		g = &ticked{pid: pid}
		t.groups = append(t.groups, g)
		sort.Slice(t.groups, func(i, j int) bool { return t.groups[i].pid.Id < t.groups[j].pid.Id })
		ctx.Watch(pid)
	}
	g.interval, g.outstanding, g.rests = interval, false, nil
	g.due = actors.EnvOf(ctx).Boot() + interval
	t.changed(ctx)
}

func (t *ticks) sleep(ctx actor.Context, pid *actor.PID, m *sleepTicks) {
	if g := t.find(pid); g != nil {
		g.rests = m
		t.changed(ctx)
	}
}

func (t *ticks) changed(ctx actor.Context) {
	if !t.stale {
		t.stale = true
		ctx.Send(ctx.Self(), &recount{})
	}
}

// recount looks again at who wants what.
func (t *ticks) recount(ctx actor.Context) {
	t.stale, t.every, t.awake = false, 0, 0
	t.pulses.changed(ctx, t.groups) // which may refuse to let a group rest
	for _, g := range t.groups {
		if g.rests != nil {
			continue
		}
		t.awake++
		if t.every == 0 || g.interval < t.every {
			t.every = g.interval
		}
	}
	if t.awake == 0 {
		t.pulses.flush(ctx)
	}
	t.arm(ctx)
}

func (t *ticks) fire(ctx actor.Context) {
	t.armed = nil
	now := actors.EnvOf(ctx).Boot()
	if now >= t.pulses.flushed+flushTicks*t.every {
		t.pulses.flush(ctx)
	}
	if t.awake > 0 {
		next := &tick{At: now, Coalesce: t.awake > 1}
		for _, g := range t.groups {
			if g.rests != nil || now < g.due {
				continue
			}
			g.due = now + time.Duration(t.stretch())*g.interval
			if !g.outstanding {
				g.outstanding = true
				ctx.Request(g.pid, next)
			}
		}
	}
	t.pulses.fire(ctx, now, t.groups)
	t.arm(ctx)
}

// stretch is how many intervals a tick covers. Where many groups are awake they get fewer ticks that carry more time each: a tick costs
// more than what it does, and a node that is busy with them hears its leaders late.
func (t *ticks) stretch() int { return min(1+t.awake/stretchEach, stretchMax) }

// arm sets the timer to what is due first: the next tick, or the next pulse where all groups rest.
func (t *ticks) arm(ctx actor.Context) {
	var due time.Duration
	now := actors.EnvOf(ctx).Boot()
	switch {
	case t.awake > 0:
		due = now + t.every
	case t.pulses.every > 0:
		due = max(now, t.pulses.last+t.pulses.every)
	default:
		return
	}
	if t.armed != nil && t.armedAt <= due {
		return
	}
	if t.armed != nil {
		t.armed.Stop()
	}
	t.armed, t.armedAt = actors.EnvOf(ctx).After(due-now, ctx.Self(), &ticksDue{}), due
}

func (t *ticks) find(pid *actor.PID) *ticked {
	i := sort.Search(len(t.groups), func(i int) bool { return pid != nil && t.groups[i].pid.Id >= pid.Id })
	if pid != nil && i < len(t.groups) && t.groups[i].pid.Id == pid.Id {
		return t.groups[i]
	}
	return nil
}

func (t *ticks) remove(ctx actor.Context, pid *actor.PID) {
	for i, g := range t.groups {
		if g.pid.Id == pid.Id {
			t.groups = append(t.groups[:i], t.groups[i+1:]...)
			t.changed(ctx)
			return
		}
	}
}
