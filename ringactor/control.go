package ringactor

import (
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
	"github.com/hupe1980/rivven-cluster/ringactor/placement"
)

const (
	// maxBatch bounds the commands of one proposal; what is left is planned anew behind it.
	maxBatch = 256

	retryMin = 250 * time.Millisecond
	retryMax = 5 * time.Second
)

// controller is what the node does whose replica leads the metadata group: one
// proposal at a time, planned on the state that contains the one before.
type controller struct {
	// dirty: something changed that a plan may have to follow.
	dirty bool
	busy  bool
	// awaited is the index of the last proposal; the state must contain it before the next.
	awaited uint64
	delay   time.Duration // of the next retry of a plan
	waiting *retry        // plans rest until it arrives
	jobs    []*job
	// planned: the last proposal was a plan, so a waiting request goes first.
	planned   bool
	stuck     int
	forwarded int // requests that wait for the leader's answer
	creating  map[string]bool
}

type retryKind uint8

const (
	retryPlan retryKind = iota
	retrySync
)

// retry is the manager's own timer; one that nobody waits for any more is ignored.
type retry struct {
	what  retryKind
	token *byte
}

func (c *controller) init() { c.delay, c.creating = retryMin, map[string]bool{} }

func (m *manager) onRetry(ctx actor.Context, r *retry) {
	switch {
	case r.what == retrySync && r.token == m.syncToken && m.syncing:
		m.syncing = false
		m.resync(ctx, 0)
	case r == m.waiting:
		m.waiting = nil
		m.advance(ctx)
	}
}

// takeOver makes a new controller look at everything: what was reported while nobody led is in members.
func (m *manager) takeOver() {
	m.dirty, m.waiting, m.delay, m.awaited = true, nil, retryMin, 0
}

func (m *manager) stepDown(ctx actor.Context) {
	jobs := m.jobs
	m.jobs = nil
	for _, j := range jobs {
		j.done(ctx, m.noLeader())
	}
}

// advance starts the next proposal if there is something to do and nothing under way.
func (m *manager) advance(ctx actor.Context) {
	if !m.controls() || !m.synced || m.syncing || m.index < m.awaited {
		return
	}
	for !m.busy {
		requestsFirst := m.planned && len(m.jobs) > 0
		if m.dirty && m.view != nil && m.waiting == nil && !requestsFirst {
			m.dirty = false
			m.planned = m.plan(ctx)
			if m.planned {
				return
			}
		}
		if len(m.jobs) == 0 {
			return
		}
		j := m.jobs[0]
		m.jobs = m.jobs[1:]
		m.planned = false
		m.run(ctx, j.request, j.done)
	}
}

// plan proposes what the cluster needs now and reports whether that is anything.
// Every command was tried on a copy of the state first: the group will take it
// unless the state moves on in between, and then the plan is made anew.
func (m *manager) plan(ctx actor.Context) bool {
	t := &trial{state: m.state, index: m.index + 1}
	for _, c := range m.nodeCommands() {
		m.try(t, c)
	}
	plan, err := placement.Solve(m.partitions(t.state), m.nodes(t.state), placement.Config{BalanceLeaders: len(m.downSince) == 0})
	if err != nil {
		m.log.Error("can't plan: the partition table is inconsistent", zap.Error(err))
		return false
	}
	m.reportStuck(plan.Stuck)
	for i := range plan.Moves {
		move := &plan.Moves[i]
		if !m.try(t, moveCommand(t.state, move)) {
			continue
		}
		m.metrics.move(move.Reason)
		m.log.Debug("moves a partition", zap.String("topic", move.Topic), zap.Uint32("partition", move.Index), zap.Stringer("reason", move.Reason),
			zap.Uint64("leader", move.Leader), zap.Uint64s("isr", move.ISR))
	}
	if len(t.commands) == 0 {
		return false
	}
	m.log.Info("proposes a plan", zap.Int("commands", len(t.commands)), zap.Int("moves", len(plan.Moves)), zap.Int("nodes", t.state.NodeCount()))
	m.propose(ctx, &metadata.Batch{Commands: t.commands}, func(ctx actor.Context, _ any, err error) {
		m.dirty = true
		if err == nil {
			m.delay = retryMin
			return
		}
		m.log.Warn("a plan was not taken, planning anew", zap.Error(err), zap.Duration("in", m.delay))
		m.waiting = &retry{what: retryPlan}
		m.env.After(m.delay, ctx.Self(), m.waiting)
		m.delay = min(2*m.delay, retryMax)
	})
	return true
}

// trial collects the commands that a copy of the state takes.
type trial struct {
	state    metadata.State
	index    uint64
	commands []*anypb.Any
}

func (m *manager) try(t *trial, command proto.Message) bool {
	if len(t.commands) >= maxBatch {
		return false
	}
	if level, _ := metadata.CommandLevel(command); level > max(1, t.state.MinFeatureLevel()) {
		m.metrics.held.Add(1)
		return false
	}
	next, _, err := t.state.Apply(t.index, command)
	if err != nil {
		m.metrics.held.Add(1)
		m.log.Warn("a planned command would be refused, leaving it out", zap.String("command", string(command.ProtoReflect().Descriptor().Name())), zap.Error(err))
		return false
	}
	t.state = next
	t.commands = append(t.commands, consensus.Pack(command))
	return true
}

// propose sends one command to the group and keeps others back until the state contains it.
func (m *manager) propose(ctx actor.Context, command proto.Message, done func(ctx actor.Context, res any, err error)) {
	m.busy = true
	actors.Ask(ctx, m.cfg.Meta, consensus.NewPropose(command), m.cfg.RequestTimeout, func(res any, err error) {
		m.busy = false
		if err == nil {
			var proposed *consensus.Proposed
			if proposed, err = consensus.Reply[*consensus.Proposed](res, nil); err == nil {
				m.awaited = max(m.awaited, proposed.GetIndex())
			}
		} else {
			_, err = consensus.Reply[*consensus.Proposed](nil, err)
		}
		done(ctx, res, err)
		m.advance(ctx)
	})
}

func (m *manager) nodes(s metadata.State) []placement.Node {
	nodes := make([]placement.Node, 0, s.NodeCount())
	for n := range s.Nodes() {
		status := placement.Failed
		switch n.State {
		case metadata.NodeState_NODE_STATE_ALIVE:
			status = placement.Alive
			if _, down := m.downSince[n.NodeId]; down {
				status = placement.Unreachable
			}
		case metadata.NodeState_NODE_STATE_LEFT:
			status = placement.Left
		}
		nodes = append(nodes, placement.Node{ID: n.NodeId, Zone: n.Zone, Weight: n.Weight, Status: status, Drain: n.Drain})
	}
	return nodes
}

func (m *manager) partitions(s metadata.State) []placement.Partition {
	table := make([]placement.Partition, 0, s.PartitionCount())
	for p := range s.Partitions() {
		t := s.Topic(p.Topic)
		table = append(table, placement.Partition{
			Topic: p.Topic, Index: p.Partition, ReplicationFactor: int(t.ReplicationFactor), MinISR: int(t.MinIsr),
			Leader: p.Leader, Replicas: p.Replicas, ISR: p.Isr, UncleanElection: t.UncleanElection,
			// Partition actors keep no replicated data, so there is nothing to catch up with.
			ImmediateSync:   true,
			LeaderRestarted: s.Node(p.Leader).GetGeneration() != p.LeaderGeneration,
		})
	}
	return table
}

// moveCommand is one move as a compare-and-set on the partition as it is in the state.
func moveCommand(s metadata.State, move *placement.Move) proto.Message {
	p := s.Partition(move.Topic, move.Index)
	generation := func(id uint64) *metadata.NodeGeneration {
		return &metadata.NodeGeneration{NodeId: id, Generation: s.Node(id).GetGeneration()}
	}
	if move.Reason == placement.ReplicaFailed || move.Reason == placement.ReplicaSynced {
		c := &metadata.UpdatePartitionISR{
			Topic: move.Topic, Partition: move.Index, LeaderEpoch: p.GetLeaderEpoch(), PartitionEpoch: p.GetPartitionEpoch(), Isr: move.ISR,
		}
		for _, id := range move.ISR {
			if !slices.Contains(p.GetIsr(), id) {
				c.Gained = append(c.Gained, generation(id))
			}
		}
		return c
	}
	return &metadata.UpdatePartitionLeader{
		Topic: move.Topic, Partition: move.Index, LeaderEpoch: p.GetLeaderEpoch(), PartitionEpoch: p.GetPartitionEpoch(),
		Leader: generation(move.Leader), Isr: move.ISR, Unclean: move.Reason == placement.UncleanElection,
	}
}

func (m *manager) reportStuck(stuck []placement.Stuck) {
	m.metrics.stuck.Set(float64(len(stuck)))
	if len(stuck) != m.stuck && len(stuck) > 0 {
		first := stuck[0]
		m.log.Warn("partitions can't be helped", zap.Int("partitions", len(stuck)), zap.String("topic", first.Topic), zap.Uint32("partition", first.Index), zap.String("cause", first.Cause))
	}
	m.stuck = len(stuck)
}
