package ringactor

import (
	"errors"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/partition"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
	"github.com/hupe1980/rivven-cluster/ringactor/placement"
)

// maxListed bounds the partitions in one answer that goes over the wire.
const maxListed = 20_000

// job is a request that waits for its turn on the leader. Exactly one answer goes to done.
type job struct {
	request proto.Message
	done    reply
}

type reply func(ctx actor.Context, answer proto.Message)

// onRequest serves a message of the partition vocabulary; peer is nil for a local sender.
func (m *manager) onRequest(ctx actor.Context, request any, peer *actors.PeerInfo) {
	sender := ctx.Sender()
	done := func(ctx actor.Context, answer proto.Message) {
		if r, refused := answer.(*partition.Refused); refused {
			m.metrics.refuse(r.GetCode())
		}
		if sender != nil {
			ctx.Send(sender, answer)
		}
	}
	if peer != nil && peer.ClusterID == "" {
		done(ctx, refused(partition.Code_CODE_INVALID, "node %d belongs to no cluster yet: join first", peer.NodeID))
		return
	}
	switch r := request.(type) {
	case *partition.CreateTopic:
		m.change(ctx, r, r.GetName(), r.GetForwarded(), done)
	case *partition.DeleteTopic:
		m.change(ctx, r, r.GetName(), r.GetForwarded(), done)
	case *partition.ListTopics:
		done(ctx, m.listTopics(peer != nil))
	case *partition.DescribeTopic:
		done(ctx, m.describeTopic(r.GetName()))
	}
}

func refused(code partition.Code, format string, args ...any) *partition.Refused {
	return &partition.Refused{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (m *manager) noLeader() *partition.Refused {
	r := refused(partition.Code_CODE_NO_LEADER, "node %d does not lead the metadata, it had no effect: try again", m.cfg.NodeID)
	r.Leader = m.leader.GetNodeId()
	return r
}

// change queues a request on the leader, and forwards it once from any other node.
func (m *manager) change(ctx actor.Context, request proto.Message, topic string, forwarded bool, done reply) {
	if err := metadata.ValidTopicName(topic); err != nil {
		done(ctx, refused(partition.Code_CODE_INVALID, "%v", err))
		return
	}
	switch {
	case m.controls() && len(m.jobs) >= m.cfg.MaxPending, !m.controls() && m.forwarded >= m.cfg.MaxPending:
		done(ctx, refused(partition.Code_CODE_BUSY, "%d topic requests are waiting, it had no effect: try again", m.cfg.MaxPending))
	case m.controls():
		m.jobs = append(m.jobs, &job{request, done})
		m.advance(ctx)
	case m.leader == nil || forwarded:
		done(ctx, m.noLeader())
	default:
		m.forward(ctx, request, done)
	}
}

func (m *manager) forward(ctx actor.Context, request proto.Message, done reply) {
	address := m.leader.GetAddress()
	if member := m.view[m.leader.GetNodeId()]; member.GetAddress() != "" {
		address = member.GetAddress()
	}
	switch r := request.(type) {
	case *partition.CreateTopic:
		r = proto.CloneOf(r)
		r.Forwarded = true
		request = r
	case *partition.DeleteTopic:
		r = proto.CloneOf(r)
		r.Forwarded = true
		request = r
	}
	leader := m.leader.GetNodeId()
	m.forwarded++
	actors.Ask(ctx, actor.NewPID(address, actors.NameRing), request, m.cfg.RequestTimeout, func(res any, err error) {
		m.forwarded--
		if errors.Is(err, actors.ErrDeadLetter) {
			done(ctx, refused(partition.Code_CODE_NO_LEADER, "the leader, node %d, does not answer yet, it had no effect: try again", leader))
			return
		}
		switch answer := res.(type) {
		case *partition.TopicCreated:
			done(ctx, answer)
		case *partition.TopicDeleted:
			done(ctx, answer)
		case *partition.Refused:
			done(ctx, answer)
		default:
			done(ctx, refused(partition.Code_CODE_UNKNOWN_OUTCOME, "the leader, node %d, did not answer within %v: look before trying again", leader, m.cfg.RequestTimeout))
		}
	})
}

func (m *manager) run(ctx actor.Context, request proto.Message, done reply) {
	switch r := request.(type) {
	case *partition.CreateTopic:
		m.createTopic(ctx, r, done)
	case *partition.DeleteTopic:
		m.proposeTopic(ctx, &metadata.DeleteTopic{Name: r.GetName()}, done, func(*metadata.TopicChanged) proto.Message {
			return &partition.TopicDeleted{Name: r.GetName()}
		})
	}
}

func (m *manager) createTopic(ctx actor.Context, r *partition.CreateTopic, done reply) {
	factor := r.GetReplicationFactor()
	if factor == 0 {
		factor = uint32(m.cfg.ReplicationFactor)
	}
	switch {
	case m.state.Topic(r.GetName()) != nil:
		done(ctx, refused(partition.Code_CODE_ALREADY_EXISTS, "topic %q already exists", r.GetName()))
		return
	case r.GetPartitions() == 0 || r.GetPartitions() > metadata.MaxPartitions:
		done(ctx, refused(partition.Code_CODE_INVALID, "topic %q with %d partitions: want 1 to %d", r.GetName(), r.GetPartitions(), metadata.MaxPartitions))
		return
	case factor > metadata.MaxReplicas:
		done(ctx, refused(partition.Code_CODE_INVALID, "topic %q with replication factor %d: want 1 to %d", r.GetName(), factor, metadata.MaxReplicas))
		return
	}
	command := &metadata.CreateTopic{Name: r.GetName(), ReplicationFactor: factor, MinIsr: factor/2 + 1}
	if m.kind(r.GetName()) != nil {
		command.Kind = r.GetName()
	}
	table := m.partitions(m.state)
	for i := range r.GetPartitions() {
		table = append(table, placement.Partition{Topic: r.GetName(), Index: i, ReplicationFactor: int(factor), MinISR: int(command.MinIsr), ImmediateSync: true})
	}
	plan, err := placement.Solve(table, m.nodes(m.state), placement.Config{})
	if err != nil {
		done(ctx, refused(partition.Code_CODE_UNAVAILABLE, "%v", err))
		return
	}
	for _, s := range plan.Stuck {
		if s.Topic == r.GetName() {
			done(ctx, refused(partition.Code_CODE_NOT_ENOUGH_NODES, "topic %q: %s", r.GetName(), s.Cause))
			return
		}
	}
	for i := range plan.Moves {
		if move := &plan.Moves[i]; move.Reason == placement.Assign {
			command.Assignments = append(command.Assignments, &metadata.Assignment{Partition: move.Index, Replicas: move.Replicas, Leader: move.Leader})
		}
	}
	id := m.env.NewID()
	command.Id = id[:]
	m.proposeTopic(ctx, command, done, func(changed *metadata.TopicChanged) proto.Message {
		m.log.Info("created a topic", zap.String("topic", r.GetName()), zap.Uint32("partitions", r.GetPartitions()), zap.Uint32("replication_factor", factor))
		return &partition.TopicCreated{Topic: topicOf(changed.GetTopic().GetTopic(), changed.GetTopic().GetPartitions())}
	})
}

func (m *manager) proposeTopic(ctx actor.Context, command proto.Message, done reply, answer func(*metadata.TopicChanged) proto.Message) {
	m.propose(ctx, command, func(ctx actor.Context, res any, err error) {
		if err != nil {
			done(ctx, m.refusalOf(err))
			return
		}
		changed, err := consensus.Result[*metadata.TopicChanged](res, nil)
		if err != nil {
			done(ctx, m.refusalOf(err))
			return
		}
		done(ctx, answer(changed))
	})
}

// refusalOf says what the failure of a proposal means to whoever asked for it.
func (m *manager) refusalOf(err error) *partition.Refused {
	var failed *consensus.Error
	code := partition.Code_CODE_UNKNOWN_OUTCOME
	if errors.As(err, &failed) {
		switch failed.Code {
		case consensus.Code_CODE_NOT_LEADER, consensus.Code_CODE_DROPPED:
			return m.noLeader()
		case consensus.Code_CODE_BUSY:
			code = partition.Code_CODE_BUSY
		case consensus.Code_CODE_HALTED, consensus.Code_CODE_SHUTTING_DOWN:
			code = partition.Code_CODE_UNAVAILABLE
		case consensus.Code_CODE_TOO_LARGE, consensus.Code_CODE_INVALID:
			code = partition.Code_CODE_INVALID
		case consensus.Code_CODE_REFUSED:
			code = refusedCodes[failed.Reason]
		}
	}
	return refused(code, "%v", err)
}

var refusedCodes = map[string]partition.Code{
	metadata.ReasonInvalid:         partition.Code_CODE_INVALID,
	metadata.ReasonLimit:           partition.Code_CODE_INVALID,
	metadata.ReasonNotFound:        partition.Code_CODE_NOT_FOUND,
	metadata.ReasonAlreadyExists:   partition.Code_CODE_ALREADY_EXISTS,
	metadata.ReasonNodeUnavailable: partition.Code_CODE_NOT_ENOUGH_NODES,
	metadata.ReasonNotInSync:       partition.Code_CODE_INVALID,
}

func (m *manager) listTopics(wire bool) proto.Message {
	switch {
	case !m.synced:
		return m.unread()
	case wire && m.state.PartitionCount() > maxListed:
		return refused(partition.Code_CODE_INVALID, "%d partitions don't fit one answer: describe topics one by one", m.state.PartitionCount())
	}
	list := &partition.Topics{Index: m.index}
	for t := range m.state.Topics() {
		list.Topics = append(list.Topics, m.topic(t))
	}
	return list
}

func (m *manager) describeTopic(topic string) proto.Message {
	if err := metadata.ValidTopicName(topic); err != nil {
		return refused(partition.Code_CODE_INVALID, "%v", err)
	}
	if !m.synced {
		return m.unread()
	}
	t := m.state.Topic(topic)
	if t == nil {
		return refused(partition.Code_CODE_NOT_FOUND, "topic %q does not exist", topic)
	}
	return m.topic(t)
}

func (m *manager) unread() *partition.Refused {
	return refused(partition.Code_CODE_UNAVAILABLE, "node %d has not read the metadata yet: try again", m.cfg.NodeID)
}

func (m *manager) topic(t *metadata.Topic) *partition.Topic {
	var partitions []*metadata.Partition
	for p := range m.state.PartitionsOf(t.Name) {
		partitions = append(partitions, p)
	}
	return topicOf(t, partitions)
}

func topicOf(t *metadata.Topic, partitions []*metadata.Partition) *partition.Topic {
	out := &partition.Topic{Name: t.GetName(), Id: t.GetId(), ReplicationFactor: t.GetReplicationFactor()}
	for _, p := range partitions {
		out.Partitions = append(out.Partitions, &partition.Partition{
			Partition: p.GetPartition(), Leader: p.GetLeader(), LeaderEpoch: p.GetLeaderEpoch(), PartitionEpoch: p.GetPartitionEpoch(),
			Replicas: p.GetReplicas(), Isr: p.GetIsr(),
		})
	}
	return out
}
