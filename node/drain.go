package node

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/actors/partition"
	"github.com/hupe1980/rivven-cluster/remote"
)

// drain begins an orderly stop: unready, leadership of the metadata handed over, goodbye to the members, which moves the partitions
// off, and only then the end. Each step has a deadline and goes on without an answer.
type drain struct{}

// handOverCheck looks whether the node still leads a partition.
type handOverCheck struct{ until time.Duration }

func (r *root) drain(ctx actor.Context) {
	if r.draining {
		return
	}
	r.draining = true
	r.publish(func(f *facts) { f.draining = true })
	if !r.running() {
		r.closeRemote(ctx)
		return
	}
	r.log.Info("draining")
	if !r.node.opts.parts.raft {
		r.leave(ctx)
		return
	}
	actors.Ask(ctx, r.node.Group(), &consensus.GetStatus{}, transferTimeout, func(res any, err error) {
		status, err := consensus.Reply[*consensus.Status](res, err)
		if err != nil || status.GetRole() != consensus.Role_ROLE_LEADER || len(status.GetVoters()) < 2 {
			r.leave(ctx)
			return
		}
		actors.Ask(ctx, r.node.Group(), &consensus.TransferLeadership{}, transferTimeout, func(res any, err error) {
			if _, err := consensus.Reply[*consensus.LeadershipTransferred](res, err); err != nil {
				r.log.Warn("leadership not handed over", zap.Error(err))
			}
			r.leave(ctx)
		})
	})
}

func (r *root) running() bool {
	select {
	case <-r.node.ready:
		return true
	default:
		return false
	}
}

func (r *root) leave(ctx actor.Context) {
	if !r.node.opts.parts.swim {
		r.closeRemote(ctx)
		return
	}
	actors.Ask(ctx, r.node.Swim(), &membership.Leave{}, leaveTimeout, func(_ any, err error) {
		if err != nil {
			r.log.Warn("members did not confirm the departure", zap.Error(err))
		}
		ctx.Send(ctx.Self(), &handOverCheck{until: actors.EnvOf(ctx).Boot() + handOverTimeout})
	})
}

func (r *root) checkHandOver(ctx actor.Context, m *handOverCheck) {
	if !r.node.opts.parts.ring {
		r.closeRemote(ctx)
		return
	}
	actors.Ask(ctx, r.node.Ring(), &partition.ListTopics{}, time.Second, func(res any, err error) {
		topics, err := partition.Reply[*partition.Topics](res, err)
		env := actors.EnvOf(ctx)
		if err == nil && leads(topics, r.node.cfg.ID) && env.Boot() < m.until {
			env.After(50*time.Millisecond, ctx.Self(), m)
			return
		}
		r.log.Info("drained", zap.Bool("leads_partitions", err != nil || leads(topics, r.node.cfg.ID)))
		r.closeRemote(ctx)
	})
}

// closeRemote sends what is queued and says goodbye, then everything stops.
func (r *root) closeRemote(ctx actor.Context) {
	actors.Ask(ctx, r.pid(actors.NameRemote), &remote.Drain{Timeout: closeTimeout}, closeTimeout+time.Second, func(any, error) {
		r.stopUpper(ctx)
	})
}

// stopUpper stops what stands on the storage before the storage; the rest goes when the last of it is gone.
func (r *root) stopUpper(ctx actor.Context) {
	r.stopping = make(map[string]bool)
	for _, name := range []string{actors.NameRing, actors.RaftName(r.node.opts.group), actors.NameSwim, actors.NameBootstrap} {
		if _, runs := r.node.system.ProcessRegistry.GetLocal(name); runs {
			r.stopping[name] = true
			ctx.Stop(r.pid(name))
		}
	}
	r.stopLower(ctx)
}

func (r *root) stopLower(ctx actor.Context) {
	if r.stopping != nil && len(r.stopping) == 0 {
		ctx.Stop(ctx.Self())
	}
}

// leads reports whether a partition that others could lead is still led by the node.
func leads(topics *partition.Topics, id uint64) bool {
	for _, t := range topics.GetTopics() {
		for _, p := range t.GetPartitions() {
			if p.GetLeader() == id && len(p.GetIsr()) > 1 {
				return true
			}
		}
	}
	return false
}
