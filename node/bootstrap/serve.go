package bootstrap

import (
	"fmt"
	"slices"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

// serve answers other nodes. What a message claims about its sender must be what the sender's connection proved.
func (b *bootstrap) serve(ctx actor.Context, in *actors.Inbound) {
	switch m := in.Message.(type) {
	case *Report:
		b.serveReport(ctx, in.Peer, m)
	case *Join:
		if b.isMember(ctx) && b.isSender(ctx, in.Peer, m.GetCandidate()) {
			b.serveJoin(ctx, m.GetCandidate())
		}
	}
}

func (b *bootstrap) serveReport(ctx actor.Context, peer *actors.PeerInfo, r *Report) {
	if b.ready {
		ctx.Respond(&Initialised{ClusterId: b.id.ClusterID, Configuration: b.configuration})
		return
	}
	now := actors.EnvOf(ctx).Boot()
	b.view.learn(peer.Address, now)
	b.hear(ctx, peer, r)
	ctx.Respond(b.ownReport(ctx))
	b.decide(ctx)
}

func (b *bootstrap) isMember(ctx actor.Context) bool {
	if !b.ready {
		ctx.Respond(&Refused{Message: "this node belongs to no cluster itself", Temporary: true})
	}
	return b.ready
}

func (b *bootstrap) isSender(ctx actor.Context, peer *actors.PeerInfo, c *Candidate) bool {
	err := c.check()
	if err == nil && (c.GetNodeId() != peer.NodeID || c.directory() != peer.DirectoryID || c.GetAddress() != peer.Address) {
		err = fmt.Errorf("candidate is node %d at %s, its connection is %s", c.GetNodeId(), c.GetAddress(), peer)
	}
	if err != nil {
		b.log.Warn("refused", zap.Error(err))
		ctx.Respond(&Refused{Message: err.Error()})
	}
	return err == nil
}

// serveJoin adds the candidate as a learner. A replica that is there already only needs to be told.
func (b *bootstrap) serveJoin(ctx actor.Context, c *Candidate) {
	b.withStatus(ctx, func(status *consensus.Status) {
		members := slices.Concat(status.GetVoters(), status.GetLearners())
		if hasReplica(members, c.peer().GetReplica()) {
			ctx.Respond(&Joined{ClusterId: b.id.ClusterID, Configuration: b.configuration})
			return
		}
		b.unlessAlive(ctx, predecessors(members, c), func() {
			b.change(ctx, []*consensus.Change{{Kind: consensus.ChangeKind_CHANGE_KIND_ADD_LEARNER, Peer: c.peer()}},
				&Joined{ClusterId: b.id.ClusterID, Configuration: b.configuration})
		})
	})
}

// predecessors are the members of the candidate's node id with another disk.
func predecessors(members []*consensus.Peer, c *Candidate) []*consensus.Peer {
	var out []*consensus.Peer
	for _, p := range members {
		if p.GetNodeId() == c.GetNodeId() && p.GetReplica() != c.peer().GetReplica() {
			out = append(out, p)
		}
	}
	return out
}

// unlessAlive goes on where none of the predecessors still answers: two disks of one node id at once are a mistake.
func (b *bootstrap) unlessAlive(ctx actor.Context, old []*consensus.Peer, then func()) {
	if len(old) == 0 {
		then()
		return
	}
	p := old[0]
	actors.Ask(ctx, b.cfg.Remote, &actors.Resolve{Address: p.GetAddress()}, askTimeout, func(res any, err error) {
		resolved, _ := res.(*actors.Resolved)
		if err == nil && resolved != nil && resolved.Peer != nil && resolved.Peer.Replica() == p.GetReplica() {
			ctx.Respond(&Refused{Message: fmt.Sprintf("node id %d is in use at %s by another data directory: stop that node, or choose another id", p.GetNodeId(), p.GetAddress()), Temporary: true})
			return
		}
		b.unlessAlive(ctx, old[1:], then)
	})
}

func (b *bootstrap) withStatus(ctx actor.Context, then func(*consensus.Status)) {
	actors.Ask(ctx, b.cfg.Meta, &consensus.GetStatus{}, askTimeout, func(res any, err error) {
		status, err := consensus.Reply[*consensus.Status](res, err)
		if err != nil {
			ctx.Respond(&Refused{Message: "the metadata group does not answer here: " + err.Error(), Temporary: true})
			return
		}
		then(status)
	})
}

func (b *bootstrap) change(ctx actor.Context, changes []*consensus.Change, done any) {
	actors.Ask(ctx, b.cfg.Meta, &consensus.ChangeMembership{Changes: changes}, joinTimeout-askTimeout, func(res any, err error) {
		if _, err := consensus.Reply[*consensus.MembershipChanged](res, err); err != nil {
			ctx.Respond(&Refused{Message: "membership change: " + err.Error(), Temporary: true})
			return
		}
		ctx.Respond(done)
	})
}
