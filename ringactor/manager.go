package ringactor

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/actors/partition"
)

// Intervals of what is not urgent.
const (
	tickInterval = time.Second
	// Every so many ticks the subscriptions are renewed, which mends what a restarted publisher forgot.
	metaRenewal       = 5
	membershipRenewal = 30
)

// manager is the actor. Its parts are in files of their own: follow.go keeps the
// state current, members.go watches nodes, control.go plans on the leader,
// topics.go answers requests, owned.go runs partition actors.
type manager struct {
	cfg     Config
	log     *zap.Logger
	env     actors.Env
	metrics instruments
	tick    *tick
	ticks   int

	follower
	members
	controller
	ownership
}

// tick is the manager's own timer; one of an earlier incarnation is another pointer.
type tick struct{ _ byte }

// graceOver wakes the manager when a node's grace period may have ended.
type graceOver struct{}

func newManager(cfg Config) *manager { return &manager{cfg: cfg, tick: &tick{}} }

// Receive handles one message.
func (m *manager) Receive(ctx actor.Context) {
	switch msg := ctx.Message().(type) {
	case *actor.Started:
		m.start(ctx)
	case *tick:
		if msg == m.tick {
			m.onTick(ctx)
		}
	case *graceOver:
		m.dirty = true
		m.advance(ctx)
	case *retry:
		m.onRetry(ctx, msg)
	case *actor.Terminated:
		m.onTerminated(ctx, msg.Who)
	case *actors.Inbound:
		m.onRequest(ctx, msg.Message, msg.Peer)
	case *consensus.Subscribed, *consensus.LeaderChanged, *consensus.Applied, *consensus.Restored:
		m.onConsensus(ctx, msg)
	case *membership.Snapshot, *membership.Joined, *membership.Updated, *membership.Suspected,
		*membership.Failed, *membership.Left, *membership.Recovered:
		m.onMembership(ctx, msg)
	case *partition.CreateTopic, *partition.DeleteTopic, *partition.ListTopics, *partition.DescribeTopic:
		m.onRequest(ctx, msg, nil)
	}
}

func (m *manager) start(ctx actor.Context) {
	sys := actors.Of(ctx)
	m.log, m.env, m.metrics = sys.Log().Named("ring"), sys.Env(), newInstruments(sys.Metrics())
	if m.cfg.Meta == nil {
		m.cfg.Meta = sys.NewLocalPID(actors.RaftName(actors.GroupMeta))
	}
	if m.cfg.Membership == nil {
		m.cfg.Membership = sys.NewLocalPID(actors.NameSwim)
	}
	m.members.init()
	m.ownership.init()
	m.controller.init()
	m.onTick(ctx)
}

func (m *manager) onTick(ctx actor.Context) {
	if m.ticks%metaRenewal == 0 || !m.subscribed {
		ctx.Request(m.cfg.Meta, &consensus.Subscribe{})
	}
	if m.ticks%membershipRenewal == 0 || m.view == nil {
		ctx.Request(m.cfg.Membership, &membership.Subscribe{})
	}
	m.ticks++
	m.createKinds(ctx)
	m.syncOwned(ctx)
	m.advance(ctx)
	m.metrics.observe(m)
	m.env.After(tickInterval, ctx.Self(), m.tick)
}

// tableChanged is called whenever nodes, topics or partitions differ from before.
func (m *manager) tableChanged(ctx actor.Context) {
	m.dirty = true
	m.watchNodes(ctx)
	m.syncOwned(ctx)
}
