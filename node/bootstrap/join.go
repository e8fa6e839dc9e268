package bootstrap

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

// joinTimeout leaves a member the time for a membership change.
const joinTimeout = 10 * time.Second

// join asks a member to add this replica; one question at a time.
func (b *bootstrap) join(ctx actor.Context, peer *actors.PeerInfo) {
	if b.joining {
		return
	}
	b.joining = true
	ask := &Join{Candidate: b.view.self}
	actors.AskClass(actors.Control, ctx, bootstrapOf(peer.Address), ask, joinTimeout, func(res any, err error) {
		b.joining = false
		if b.ready {
			return
		}
		switch m := res.(type) {
		case *Joined:
			b.onJoined(ctx, peer, m)
		case *Refused:
			b.waiting(ctx, []string{peer.Address + " refuses: " + m.GetMessage()})
		default:
			b.waiting(ctx, []string{peer.Address + ": join unanswered"})
			if err != nil {
				b.log.Debug("join failed", zap.Stringer("peer", peer), zap.Error(err))
			}
		}
	})
}

// onJoined writes the identity without any state of the group: that comes from its leader.
func (b *bootstrap) onJoined(ctx actor.Context, peer *actors.PeerInfo, m *Joined) {
	configuration := m.GetConfiguration()
	if err := configuration.check(); err != nil || configuration.clusterID() != m.GetClusterId() {
		b.log.Warn("peer's cluster refused", zap.Stringer("peer", peer), zap.String("cluster_id", m.GetClusterId()), zap.Error(err))
		return
	}
	b.write(m.GetClusterId(), configuration, nil)
	b.log.Info("joined a cluster", zap.String("cluster_id", m.GetClusterId()), zap.Stringer("through", peer))
	b.becomeMember(ctx, configuration)
}

func hasReplica(peers []*consensus.Peer, replica uint64) bool {
	for _, p := range peers {
		if p.GetReplica() == replica {
			return true
		}
	}
	return false
}
