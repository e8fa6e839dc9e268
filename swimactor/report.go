package swimactor

import (
	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/swimactor/swim"
)

// report tells subscribers and the log what the core found out.
func (a *shell) report(ctx actor.Context, e swim.Event) {
	a.logEvent(e)
	if e.Kind == swim.LeaveDone {
		a.answerLeave(ctx)
	}
	if event := eventOf(e); event != nil {
		a.publish(ctx, event)
	}
}

func (a *shell) logEvent(e swim.Event) {
	r := e.Member.Record
	fields := []zap.Field{zap.Uint64("node", r.ID), zap.String("address", r.Address), zap.Uint64("generation", r.Generation), zap.Uint64("incarnation", r.Incarnation)}
	switch e.Kind {
	case swim.Suspected, swim.Updated:
		a.log.Debug("member "+e.Kind.String(), fields...)
	case swim.Failed:
		a.log.Warn("member failed", fields...)
	case swim.Conflict:
		a.log.Error("two data directories claim one node id; stop one of them or give it an id of its own",
			zap.Uint64("node", r.ID), zap.String("kept", r.Address), zap.String("refused", e.Other.Address))
	case swim.Isolated:
		a.log.Error("this node hears nobody; check its network", zap.Int("live", a.core.Stats().Live))
	case swim.Reconnected:
		a.log.Info("this node hears others again")
	case swim.LeaveDone:
		a.log.Info("left the membership", zap.Int("confirmed", e.Confirmed))
	default:
		a.log.Info("member "+e.Kind.String(), fields...)
	}
}

func zapPID(pid *actor.PID) zap.Field { return zap.String("pid", pid.String()) }
