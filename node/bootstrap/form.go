package bootstrap

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
)

// askTimeout bounds one question to a peer. It is shorter than what a view counts as fresh.
const askTimeout = 2 * time.Second

// look asks who lives at every address, tells each what this node sees, and acts on what it knows.
func (b *bootstrap) look(ctx actor.Context) {
	b.lookUpNames(ctx)
	for _, address := range b.view.targets() {
		b.resolve(ctx, address)
	}
	for _, peer := range b.view.others(actors.EnvOf(ctx).Boot()) {
		b.report(ctx, peer)
	}
	b.decide(ctx)
}

func (b *bootstrap) resolve(ctx actor.Context, address string) {
	actors.Ask(ctx, b.cfg.Remote, &actors.Resolve{Address: address}, askTimeout, func(res any, err error) {
		b.onResolved(ctx, address, res, err)
	})
}

func (b *bootstrap) onResolved(ctx actor.Context, address string, res any, err error) {
	if b.ready {
		return
	}
	resolved, _ := res.(*actors.Resolved)
	now := actors.EnvOf(ctx).Boot()
	switch {
	case err != nil:
		b.view.saw(address, nil, err.Error(), now)
	case resolved == nil:
		b.view.saw(address, nil, "the remote gave no answer", now)
	case resolved.Err != nil:
		b.view.saw(address, nil, resolved.Err.Error(), now)
	default:
		b.view.saw(address, resolved.Peer, "", now)
		b.decide(ctx)
	}
}

func bootstrapOf(address string) *actor.PID { return actor.NewPID(address, actors.NameBootstrap) }

// report tells a peer what this node sees and takes its own view in return.
func (b *bootstrap) report(ctx actor.Context, peer *actors.PeerInfo) {
	actors.AskClass(actors.Control, ctx, bootstrapOf(peer.Address), b.ownReport(ctx), askTimeout, func(res any, err error) {
		if b.ready || err != nil {
			return
		}
		switch m := res.(type) {
		case *Report:
			b.hear(ctx, peer, m)
			b.decide(ctx)
		case *Initialised:
			b.onInitialised(ctx, peer, m)
		}
	})
}

func (b *bootstrap) ownReport(ctx actor.Context) *Report {
	now := actors.EnvOf(ctx).Boot()
	candidates := b.view.candidates(now)
	r := &Report{Candidates: candidates}
	if configuration, err := configurationOf(b.cfg.ClusterName, candidates); err == nil {
		r.Complete, r.Digest = len(b.view.missing(now)) == 0, configuration.digest()
	}
	return r
}

// hear takes a peer's view: its digest, and addresses that this node did not know of.
func (b *bootstrap) hear(ctx actor.Context, peer *actors.PeerInfo, r *Report) {
	now := actors.EnvOf(ctx).Boot()
	b.view.heard(peer, r, now)
	for i, c := range r.GetCandidates() {
		if i < MaxVoters && c.check() == nil {
			b.view.learn(c.GetAddress(), now)
		}
	}
}

// decide ends the waiting where it can: an initialised peer comes before everything, then agreement of all.
func (b *bootstrap) decide(ctx actor.Context) {
	now := actors.EnvOf(ctx).Boot()
	if b.ready {
		return
	}
	if b.view.initialised(now) != nil {
		return // its answer to the report says more
	}
	if missing := b.view.missing(now); len(missing) > 0 {
		b.waiting(ctx, missing)
		return
	}
	candidates := b.view.candidates(now)
	configuration, err := configurationOf(b.cfg.ClusterName, candidates)
	if err != nil {
		b.waiting(ctx, []string{err.Error()})
		return
	}
	if others := b.view.disagreeing(configuration.digest(), now); len(others) > 0 {
		b.waiting(ctx, others)
		return
	}
	b.adopt(ctx, configuration)
}

// onInitialised adopts a configuration that names this disk, and asks to join one that does not.
func (b *bootstrap) onInitialised(ctx actor.Context, peer *actors.PeerInfo, m *Initialised) {
	configuration := m.GetConfiguration()
	if err := configuration.check(); err != nil {
		b.log.Warn("peer's initial configuration refused", zap.Stringer("peer", peer), zap.Error(err))
		return
	}
	if configuration.names(b.id.NodeID, b.id.DirectoryID) && configuration.clusterID() == m.GetClusterId() {
		b.adopt(ctx, configuration)
		return
	}
	b.join(ctx, peer)
}
