package live

import (
	"context"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// Ask sends msg to pid from outside an actor and waits for the first answer, until ctx ends. A target that does not exist
// is actors.ErrDeadLetter. After ctx ended the message may still take effect: the outcome is unknown.
func Ask(ctx context.Context, as *actor.ActorSystem, pid *actor.PID, msg any) (any, error) {
	q := &question{system: as, answer: make(chan any, 1)}
	self, _ := as.ProcessRegistry.Add(q, "ask"+as.ProcessRegistry.NextId())
	defer as.ProcessRegistry.Remove(self)
	actors.SendEnvelope(actors.Default, as.Root, pid, &actor.MessageEnvelope{Message: msg, Sender: self})
	select {
	case res := <-q.answer:
		if _, dead := res.(*actor.DeadLetterResponse); dead {
			return nil, actors.ErrDeadLetter
		}
		return res, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type question struct {
	system   *actor.ActorSystem
	answer   chan any
	answered atomic.Bool
}

func (q *question) SendUserMessage(_ *actor.PID, message any) {
	if q.answered.Swap(true) {
		return
	}
	_, msg, _ := actor.UnwrapEnvelope(message)
	q.answer <- msg
}

func (q *question) SendSystemMessage(pid *actor.PID, message any) { q.SendUserMessage(pid, message) }

func (q *question) Stop(*actor.PID) {}
