package testkit

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

// tableView is one copy of the metadata, that of the commands as they were applied first.
type tableView struct {
	state metadata.State
	lost  bool // no node was watched when some command was applied
}

// advance applies a command to the copy and judges both the command and what it did.
func (o *observer) advance(g *groupView, m *consensus.Applied) {
	if m.Err != nil || g.lost {
		return
	}
	before := g.state
	o.judgeCommand(before, m.Entry.Index, m.Entry.Command)
	next, _, err := before.Apply(m.Entry.Index, m.Entry.Command)
	if err != nil {
		g.lost = true
		return
	}
	g.state = next
	if err := tableError(before, next); err != nil {
		o.world.failed("ring: table", fmt.Sprintf("at index %d: %v", m.Entry.Index, err))
	}
}

// judgeCommand: a command that changes a partition is for the epochs that the partition has, or it is refused.
func (o *observer) judgeCommand(before metadata.State, index uint64, command proto.Message) {
	switch c := command.(type) {
	case *metadata.Batch:
		for _, packed := range c.GetCommands() {
			one, err := packed.UnmarshalNew()
			if err != nil {
				return
			}
			o.judgeCommand(before, index, one)
			if before, _, err = before.Apply(index, one); err != nil {
				return
			}
		}
	case interface {
		GetTopic() string
		GetPartition() uint32
		GetLeaderEpoch() uint64
		GetPartitionEpoch() uint64
	}:
		p := before.Partition(c.GetTopic(), c.GetPartition())
		if p.GetLeaderEpoch() != c.GetLeaderEpoch() || p.GetPartitionEpoch() != c.GetPartitionEpoch() {
			o.world.failed("ring: fencing", fmt.Sprintf("at index %d: %s was applied to %s/%d of epochs %d, %d", index, describe(command), c.GetTopic(), c.GetPartition(), p.GetLeaderEpoch(), p.GetPartitionEpoch()))
		}
	}
}

// tableError: a leader is in sync, those in sync are replicas, epochs only rise, and a leader epoch has one leader.
func tableError(before, after metadata.State) error {
	if before.SameTable(after) {
		return nil
	}
	for p := range after.Partitions() {
		if p.GetLeader() != 0 && !slices.Contains(p.GetIsr(), p.GetLeader()) {
			return fmt.Errorf("%s/%d: leader %d is not in sync %v", p.GetTopic(), p.GetPartition(), p.GetLeader(), p.GetIsr())
		}
		for _, id := range p.GetIsr() {
			if !slices.Contains(p.GetReplicas(), id) {
				return fmt.Errorf("%s/%d: %d is in sync and no replica %v", p.GetTopic(), p.GetPartition(), id, p.GetReplicas())
			}
		}
		old, topic := before.Partition(p.GetTopic(), p.GetPartition()), before.Topic(p.GetTopic())
		if old == nil || topic == nil || string(topic.GetId()) != string(after.Topic(p.GetTopic()).GetId()) {
			continue
		}
		if p.GetLeaderEpoch() < old.GetLeaderEpoch() || p.GetPartitionEpoch() < old.GetPartitionEpoch() {
			return fmt.Errorf("%s/%d: epochs %d, %d after %d, %d", p.GetTopic(), p.GetPartition(), p.GetLeaderEpoch(), p.GetPartitionEpoch(), old.GetLeaderEpoch(), old.GetPartitionEpoch())
		}
		if p.GetLeaderEpoch() == old.GetLeaderEpoch() && (p.GetLeader() != old.GetLeader() || p.GetLeaderGeneration() != old.GetLeaderGeneration()) {
			return fmt.Errorf("%s/%d: led by %d (generation %d) and by %d (generation %d) in epoch %d", p.GetTopic(), p.GetPartition(),
				old.GetLeader(), old.GetLeaderGeneration(), p.GetLeader(), p.GetLeaderGeneration(), p.GetLeaderEpoch())
		}
	}
	return nil
}
