package actors

import (
	"reflect"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// ErrTimeout is what an ask ends with when no answer came in time. It is protoactor's own, so that code for
// RequestFuture keeps working.
var ErrTimeout = actor.ErrTimeout

// ErrDeadLetter is what an ask ends with when its target does not exist.
var ErrDeadLetter = actor.ErrDeadLetter

// Ask sends msg to pid and runs then with the answer, in this actor's own turn and with the message that is being
// handled now restored. It takes the first answer only, counts its time on the injected clock, and is dropped
// when the actor was restarted meanwhile. Nothing blocks.
func Ask(ctx actor.Context, pid *actor.PID, msg any, timeout time.Duration, then func(res any, err error)) {
	AskClass(Default, ctx, pid, msg, timeout, then)
}

// AskClass is Ask in a chosen delivery class.
func AskClass(class Class, ctx actor.Context, pid *actor.PID, msg any, timeout time.Duration, then func(res any, err error)) {
	as := ctx.ActorSystem()
	future := actor.NewFuture(as, -1)
	q := &question{system: as, future: future.PID()}
	self, _ := as.ProcessRegistry.Add(q, "ask"+as.ProcessRegistry.NextId())
	q.timer = EnvOf(ctx).After(timeout, self, &askTimeout{})

	asker := ctx.Actor()
	ctx.ReenterAfter(future, func(res any, err error) {
		if restarted(asker, ctx.Actor()) {
			return
		}
		if _, late := res.(*askTimeout); late {
			res, err = nil, ErrTimeout
		}
		then(res, err)
	})
	SendEnvelope(class, ctx, pid, &actor.MessageEnvelope{Message: msg, Sender: self})
}

// restarted compares incarnations. An actor that is a plain function has no state of its own to restart from, and can't be
// compared.
func restarted(before, now actor.Actor) bool {
	return reflect.TypeOf(before).Comparable() && before != now
}

type askTimeout struct{}

// question stands before a future and lets one answer through: protoactor's future lets a second answer overwrite the
// first while its continuation reads it.
type question struct {
	system   *actor.ActorSystem
	future   *actor.PID
	timer    Timer
	answered atomic.Bool
}

func (q *question) SendUserMessage(pid *actor.PID, message any) {
	if q.answered.Swap(true) {
		return
	}
	_, msg, _ := actor.UnwrapEnvelope(message)
	if _, late := msg.(*askTimeout); !late {
		q.timer.Stop()
	}
	q.system.ProcessRegistry.Remove(pid)
	if process, ok := q.system.ProcessRegistry.Get(q.future); ok {
		process.SendUserMessage(q.future, msg)
	}
}

func (q *question) SendSystemMessage(pid *actor.PID, message any) { q.SendUserMessage(pid, message) }

func (q *question) Stop(*actor.PID) {}
