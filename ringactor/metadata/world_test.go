package metadata

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

func node(id uint64) *Node {
	return &Node{NodeId: id, Replica: id * 1000, Name: fmt.Sprintf("node%d", id), Address: fmt.Sprintf("node%d:9093", id),
		Zone: "a", Weight: 1, Generation: 1, FeatureLevel: FeatureLevel}
}

func topicID(b byte) []byte { return slices.Repeat([]byte{b}, TopicIDSize) }

// world applies commands with rising indexes.
type world struct {
	t     testing.TB
	state State
	index uint64
}

func newWorld(t testing.TB, nodes int) *world {
	w := &world{t: t}
	for id := range nodes {
		w.must(&RegisterNode{Node: node(uint64(id + 1))})
	}
	return w
}

func (w *world) apply(c proto.Message) (proto.Message, error) {
	w.index++
	next, result, err := w.state.Apply(w.index, c)
	w.state = next
	return result, err
}

func (w *world) must(c proto.Message) proto.Message {
	w.t.Helper()
	result, err := w.apply(c)
	if err != nil {
		w.t.Fatalf("%T %v: %v", c, c, err)
	}
	return result
}

func (w *world) refused(reason string, c proto.Message) {
	w.t.Helper()
	before := w.state
	_, err := w.apply(c)
	var refusal *consensus.Refusal
	if !errors.As(err, &refusal) || refusal.Reason != reason {
		w.t.Errorf("%T %v: %v, want a refusal for %s", c, c, err, reason)
	}
	if !w.state.Equal(before) {
		w.t.Errorf("%T %v was refused and changed the state", c, c)
	}
}

func orders() *CreateTopic {
	return &CreateTopic{Name: "orders", Id: topicID(1), ReplicationFactor: 3, MinIsr: 2, Assignments: []*Assignment{
		{Partition: 0, Replicas: []uint64{1, 2, 3}, Leader: 1},
		{Partition: 1, Replicas: []uint64{2, 3, 1}, Leader: 2},
	}}
}

// check is what must hold of any state, whatever led to it.
func check(s State) error {
	var sum uint64
	for n := range s.Nodes() {
		sum += recordHash(kindNode, n)
	}
	for t := range s.Topics() {
		sum += recordHash(kindTopic, t)
		if n := len(slices.Collect(s.PartitionsOf(t.Name))); n != int(t.Partitions) {
			return fmt.Errorf("topic %s has %d of %d partitions", t.Name, n, t.Partitions)
		}
	}
	for p := range s.Partitions() {
		sum += recordHash(kindPartition, p)
		t := s.Topic(p.Topic)
		if t == nil {
			return fmt.Errorf("%v belongs to no topic", p)
		}
		if !slices.Contains(p.Isr, p.Leader) {
			return fmt.Errorf("%v: leader is not in sync", p)
		}
		for i, id := range p.Isr {
			if !slices.Contains(p.Replicas, id) || slices.Contains(p.Isr[:i], id) {
				return fmt.Errorf("%v: in-sync set is not of replicas", p)
			}
		}
		for i, id := range p.Replicas {
			if s.Node(id) == nil || slices.Contains(p.Replicas[:i], id) {
				return fmt.Errorf("%v: replicas are not distinct registered nodes", p)
			}
		}
	}
	for _, c := range s.config.all() {
		sum += recordHash(kindConfig, c)
	}
	sum += s.epochFloor * 0x9e3779b97f4a7c15
	for _, r := range records(s) {
		want, err := deterministic.Marshal(r)
		got := make([]byte, r.SizeVT())
		if _, err2 := r.MarshalToSizedBufferVT(got); err != nil || err2 != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("%v is hashed as %x, its encoding is %x: %w", r, got, want, errors.Join(err, err2))
		}
	}
	if sum != s.Digest() {
		return fmt.Errorf("digest is %x, the records give %x", s.Digest(), sum)
	}
	return nil
}

// records are all that the state holds.
func records(s State) (all []record) {
	for _, r := range s.nodes.all() {
		all = append(all, r)
	}
	for _, r := range s.topics.all() {
		all = append(all, r)
	}
	for _, r := range s.partitions.all() {
		all = append(all, r)
	}
	for _, r := range s.config.all() {
		all = append(all, r)
	}
	return all
}

// checkStep is what must hold between a state and the next.
func checkStep(before, after State) error {
	for p := range before.Partitions() {
		now := after.Partition(p.Topic, p.Partition)
		if now != nil && now.LeaderEpoch <= p.LeaderEpoch && !proto.Equal(now, p) && now.PartitionEpoch <= p.PartitionEpoch {
			return fmt.Errorf("an epoch is used again: %v after %v", now, p)
		}
		if now == nil && after.epochFloor < p.LeaderEpoch {
			return fmt.Errorf("epochs may be used again: floor %d after %v", after.epochFloor, p)
		}
	}
	for p := range after.Partitions() {
		if old := before.Partition(p.Topic, p.Partition); old == nil && p.LeaderEpoch <= before.epochFloor {
			return fmt.Errorf("an epoch is used again: %v above floor %d", p, before.epochFloor)
		}
		old := before.Partition(p.Topic, p.Partition)
		if old == nil || string(before.Topic(p.Topic).Id) != string(after.Topic(p.Topic).Id) {
			continue
		}
		least := min(len(old.Isr), int(before.Topic(p.Topic).MinIsr))
		switch {
		case p.LeaderEpoch < old.LeaderEpoch || p.PartitionEpoch < old.PartitionEpoch:
			return fmt.Errorf("an epoch fell from %v to %v", old, p)
		case p.Leader != old.Leader && p.LeaderEpoch == old.LeaderEpoch:
			return fmt.Errorf("the leader changed within an epoch from %v to %v", old, p)
		case !proto.Equal(p, old) && p.PartitionEpoch == old.PartitionEpoch:
			return fmt.Errorf("the partition changed within an epoch from %v to %v", old, p)
		case p.Leader != old.Leader && !slices.Contains(old.Isr, p.Leader) && !before.Topic(p.Topic).UncleanElection:
			return fmt.Errorf("an unsynced replica became leader from %v to %v", old, p)
		case len(p.Isr) < least && !before.Topic(p.Topic).UncleanElection:
			return fmt.Errorf("the in-sync set shrank below min ISR from %v to %v", old, p)
		}
	}
	for n := range after.Nodes() {
		if old := before.Node(n.NodeId); old != nil && n.Generation < old.Generation {
			return fmt.Errorf("the generation fell from %v to %v", old, n)
		}
	}
	return nil
}

func drawIDs(t *rapid.T, label string) []uint64 {
	return rapid.SliceOfN(rapid.Uint64Range(0, 5), 0, 4).Draw(t, label)
}

func drawGeneration(t *rapid.T, s State) *NodeGeneration {
	id := rapid.Uint64Range(0, 5).Draw(t, "node")
	return generationOf(t, s, id)
}

func generationOf(t *rapid.T, s State, id uint64) *NodeGeneration {
	return &NodeGeneration{NodeId: id, Generation: s.Node(id).GetGeneration() + rapid.SampledFrom([]uint64{0, 0, 0, 1}).Draw(t, "off")}
}

// drawCommand draws commands that often fit the state and often don't quite.
func drawCommand(t *rapid.T, s State) proto.Message {
	topic := rapid.SampledFrom([]string{"a", "a", "a", "a", "b", "b", "c", ".."}).Draw(t, "topic")
	p := s.Partition(topic, rapid.Uint32Range(0, 2).Draw(t, "partition"))
	if p == nil {
		p = &Partition{Topic: topic}
	}
	off := rapid.SampledFrom([]uint64{0, 0, 0, 0, 1, ^uint64(0)}).Draw(t, "epoch off")
	isr := rapid.SampledFrom([][]uint64{p.Isr, p.Replicas, p.Isr[:len(p.Isr)/2], drawIDs(t, "isr")}).Draw(t, "isr choice")
	leader := drawGeneration(t, s)
	if len(isr) > 0 && rapid.Bool().Draw(t, "leader in sync") {
		leader = generationOf(t, s, rapid.SampledFrom(isr).Draw(t, "leader"))
	}
	switch rapid.IntRange(0, 12).Draw(t, "command") {
	case 11: // as a controller asks for it: everything else rarely draws a leader that is accepted
		if len(p.Isr) > 0 {
			leader = generationOf(t, s, rapid.SampledFrom(p.Isr).Draw(t, "next leader"))
			if rapid.Bool().Draw(t, "reassign") {
				return &ReassignPartition{Topic: topic, Partition: p.Partition, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, Replicas: p.Replicas, Leader: leader}
			}
			return &UpdatePartitionLeader{Topic: topic, Partition: p.Partition, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, Leader: leader, Isr: p.Isr}
		}
	case 0:
		n := node(rapid.Uint64Range(0, 5).Draw(t, "id"))
		n.Generation = rapid.Uint64Range(0, 4).Draw(t, "generation")
		return &RegisterNode{Node: n}
	case 1:
		g := drawGeneration(t, s)
		return &UpdateNode{NodeId: g.NodeId, Generation: g.Generation, State: NodeState(rapid.Int32Range(0, 4).Draw(t, "state")).Enum(), Drain: proto.Bool(rapid.Bool().Draw(t, "drain"))}
	case 2:
		g := drawGeneration(t, s)
		return &DeregisterNode{NodeId: g.NodeId, Generation: g.Generation}
	case 3:
		c := &CreateTopic{Name: rapid.SampledFrom([]string{topic, "c", "d"}).Draw(t, "name"), Id: topicID(rapid.Byte().Draw(t, "id")),
			ReplicationFactor: rapid.SampledFrom([]uint32{1, 2, 3, 0}).Draw(t, "factor"), UncleanElection: rapid.Bool().Draw(t, "unclean")}
		c.MinIsr = rapid.SampledFrom([]uint32{1, c.ReplicationFactor, 3, 0}).Draw(t, "min")
		for i := range rapid.Uint32Range(0, 3).Draw(t, "partitions") {
			replicas := rapid.Permutation([]uint64{1, 2, 3, 4}).Draw(t, "replicas")[:min(c.ReplicationFactor, 4)]
			c.Assignments = append(c.Assignments, &Assignment{Partition: i, Replicas: replicas, Leader: rapid.SampledFrom(append(slices.Clone(replicas), 1)).Draw(t, "leader")})
		}
		return c
	case 4:
		return &DeleteTopic{Name: topic}
	case 5:
		return &UpdateTopicConfig{Name: topic, MinIsr: proto.Uint32(rapid.Uint32Range(0, 4).Draw(t, "min"))}
	case 6:
		return &AddPartitions{Name: topic, Assignments: []*Assignment{{Partition: s.Topic(topic).GetPartitions(), Replicas: rapid.SampledFrom([][]uint64{{1}, {1, 2, 3}, drawIDs(t, "replicas")}).Draw(t, "added"), Leader: 1}}}
	case 7:
		return &UpdatePartitionLeader{Topic: topic, Partition: p.Partition, LeaderEpoch: p.LeaderEpoch + off, PartitionEpoch: p.PartitionEpoch,
			Leader: leader, Isr: isr, Unclean: rapid.IntRange(0, 3).Draw(t, "unclean") == 0}
	case 8:
		return &UpdatePartitionISR{Topic: topic, Partition: p.Partition, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch + off,
			Isr: isr, Gained: []*NodeGeneration{leader, generationOf(t, s, 1), generationOf(t, s, 2), generationOf(t, s, 3)}}
	case 9:
		return &ReassignPartition{Topic: topic, Partition: p.Partition, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch + off,
			Replicas: rapid.SampledFrom([][]uint64{p.Replicas, drawIDs(t, "replicas"), append(slices.Clone(isr), 4), isr}).Draw(t, "reassigned"), Leader: leader}
	case 10:
		c := &SetConfig{Key: rapid.SampledFrom([]string{"k", "l", ""}).Draw(t, "key"), Value: rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "value"), Delete: rapid.Bool().Draw(t, "delete")}
		if rapid.Bool().Draw(t, "cas") {
			c.ExpectedRevision = proto.Uint64(s.Config(c.Key).GetRevision())
		}
		return c
	}
	return &Noop{}
}
