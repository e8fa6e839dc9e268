package raftactor

import (
	"sort"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// TicksProps makes the timer of all Raft groups of a node, known as "ticks". One timer runs, at the finest interval
// asked for; a group has at most one tick under way, so a busy one gets fewer and makes up for it from the time in the next.
// The Props are for one actor: it keeps its groups when it is restarted.
func TicksProps() *actor.Props {
	t := &ticks{}
	return actor.PropsFromProducer(func() actor.Actor { return t }, actors.Named(actors.NameTicks))
}

// registerTicks asks for ticks until the sender stops. Asking again starts anew.
type registerTicks struct{ Interval time.Duration }

// tick carries the boot clock. It is answered with tickDone; the next one comes only then.
type tick struct{ At time.Duration }

type tickDone struct{}

type ticksDue struct{}

type ticks struct {
	groups []*ticked // by PID, sorted
	every  time.Duration
	armed  bool
}

type ticked struct {
	pid         *actor.PID
	interval    time.Duration
	due         time.Duration
	outstanding bool
}

func (t *ticks) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		t.arm(ctx)
	case *registerTicks:
		t.register(ctx, ctx.Sender(), m.Interval)
	case *tickDone:
		if g := t.find(ctx.Sender()); g != nil {
			g.outstanding = false
		}
	case *ticksDue:
		t.fire(ctx)
	case *actor.Terminated:
		t.remove(m.Who)
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
	g.interval, g.outstanding = interval, false
	g.due = actors.EnvOf(ctx).Boot() + interval
	t.pace()
	t.arm(ctx)
}

func (t *ticks) fire(ctx actor.Context) {
	t.armed = false
	now := actors.EnvOf(ctx).Boot()
	for _, g := range t.groups {
		if now < g.due {
			continue
		}
		g.due = now + g.interval
		if !g.outstanding {
			g.outstanding = true
			ctx.Request(g.pid, &tick{At: now})
		}
	}
	t.arm(ctx)
}

func (t *ticks) arm(ctx actor.Context) {
	if t.armed || len(t.groups) == 0 {
		return
	}
	t.armed = true
	actors.EnvOf(ctx).After(t.every, ctx.Self(), &ticksDue{})
}

func (t *ticks) pace() {
	t.every = 0
	for _, g := range t.groups {
		if t.every == 0 || g.interval < t.every {
			t.every = g.interval
		}
	}
}

func (t *ticks) find(pid *actor.PID) *ticked {
	i := sort.Search(len(t.groups), func(i int) bool { return pid != nil && t.groups[i].pid.Id >= pid.Id })
	if pid != nil && i < len(t.groups) && t.groups[i].pid.Id == pid.Id {
		return t.groups[i]
	}
	return nil
}

func (t *ticks) remove(pid *actor.PID) {
	for i, g := range t.groups {
		if g.pid.Id == pid.Id {
			t.groups = append(t.groups[:i], t.groups[i+1:]...)
			t.pace()
			return
		}
	}
}
