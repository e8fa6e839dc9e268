package swimactor

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors/membership"
)

// subscribersMax bounds the subscriptions; further ones are refused, logged and counted.
const subscribersMax = 1024

// eventWindow is what EventsPerSecondMax is counted over.
const eventWindow = time.Second

// subscribers is who wants to know, in the order of their coming. It outlives a restart of the actor.
type subscribers struct{ all []*subscriber }

type subscriber struct {
	pid    *actor.PID
	window time.Duration // when the current count began
	count  int
	behind bool // gets a snapshot at the end of the window
}

func (s *subscribers) find(pid *actor.PID) int {
	for i, sub := range s.all {
		if sub.pid.Equal(pid) {
			return i
		}
	}
	return -1
}

func (s *subscribers) remove(pid *actor.PID) {
	if i := s.find(pid); i >= 0 {
		s.all = append(s.all[:i], s.all[i+1:]...)
	}
}

// subscribe answers with a snapshot, and again with one where the sender is subscribed already.
func (a *shell) subscribe(ctx actor.Context, pid *actor.PID) {
	if pid == nil {
		return
	}
	i := a.kept.subscribers.find(pid)
	if i < 0 {
		if len(a.kept.subscribers.all) >= subscribersMax {
			a.metrics.subscribersRefused.Add(1)
			a.log.Warn("subscription refused: too many subscribers; stop some", zapPID(pid))
			return
		}
		ctx.Watch(pid)
		i = len(a.kept.subscribers.all)
		a.kept.subscribers.all = append(a.kept.subscribers.all, &subscriber{pid: pid})
	}
	sub := a.kept.subscribers.all[i]
	sub.window, sub.count, sub.behind = a.env.Boot(), 0, false
	ctx.Send(pid, a.snapshot())
}

func (a *shell) unsubscribe(ctx actor.Context, pid *actor.PID) {
	if pid != nil && a.kept.subscribers.find(pid) >= 0 {
		ctx.Unwatch(pid)
		a.kept.subscribers.remove(pid)
	}
}

func (a *shell) snapshot() *membership.Snapshot {
	return &membership.Snapshot{Self: a.cfg.NodeID, Members: membersOf(a.core.Members())}
}

// publish sends an event to all, save to those that had their share of this second: these are owed a snapshot.
func (a *shell) publish(ctx actor.Context, event any) {
	now := a.env.Boot()
	for _, sub := range a.kept.subscribers.all {
		if sub.behind {
			continue
		}
		if now-sub.window >= eventWindow {
			sub.window, sub.count = now, 0
		}
		if sub.count >= a.cfg.EventsPerSecondMax {
			sub.behind = true
			a.metrics.subscribersBehind.Add(1)
			a.env.After(sub.window+eventWindow-now, ctx.Self(), &catchUp{pid: sub.pid})
			continue
		}
		sub.count++
		ctx.Send(sub.pid, event)
	}
}

// catchUp ends the second of a subscriber that fell behind.
type catchUp struct{ pid *actor.PID }

func (a *shell) catchUp(ctx actor.Context, msg *catchUp) {
	if i := a.kept.subscribers.find(msg.pid); i >= 0 && a.kept.subscribers.all[i].behind {
		sub := a.kept.subscribers.all[i]
		sub.window, sub.count, sub.behind = a.env.Boot(), 0, false
		ctx.Send(sub.pid, a.snapshot())
	}
}
