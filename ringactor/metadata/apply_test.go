package metadata

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

type anyMessage = anypb.Any

func TestNodes(t *testing.T) {
	w := newWorld(t, 3)
	w.must(&UpdateNode{NodeId: 2, Generation: 1, Drain: proto.Bool(true), State: NodeState_NODE_STATE_FAILED.Enum()})
	again := node(2)
	again.Generation, again.Address = 5, "elsewhere:9093"
	w.must(&RegisterNode{Node: again})
	if n := w.state.Node(2); n.State != NodeState_NODE_STATE_ALIVE || !n.Drain || n.Address != "elsewhere:9093" || n.Revision != w.index {
		t.Errorf("registered anew, node 2 is %v", n)
	}
	w.refused(ReasonStaleGeneration, &RegisterNode{Node: node(2)})
	other := proto.CloneOf(again)
	other.Replica++
	w.refused(ReasonStaleGeneration, &RegisterNode{Node: other})
	w.refused(ReasonStaleGeneration, &UpdateNode{NodeId: 2, Generation: 4, Drain: proto.Bool(false)})
	w.refused(ReasonNotFound, &UpdateNode{NodeId: 9, Generation: 1})
	w.refused(ReasonInvalid, &UpdateNode{NodeId: 1, Generation: 1, State: NodeState(7).Enum()})
	w.refused(ReasonInvalid, &UpdateNode{NodeId: 1, Generation: 1, Weight: proto.Uint32(MaxNodeWeight + 1)})
	w.refused(ReasonInvalid, &RegisterNode{})
	for _, spoil := range []func(*Node){
		func(n *Node) { n.NodeId = 0 }, func(n *Node) { n.Replica = 0 }, func(n *Node) { n.Generation = 0 }, func(n *Node) { n.FeatureLevel = 0 },
		func(n *Node) { n.Address = "" }, func(n *Node) { n.Name = "line\nbreak" }, func(n *Node) { n.Zone = strings.Repeat("z", MaxText+1) },
	} {
		n := node(4)
		spoil(n)
		w.refused(ReasonInvalid, &RegisterNode{Node: n})
	}
	w.must(orders())
	w.refused(ReasonNodeInUse, &DeregisterNode{NodeId: 3, Generation: 1})
	w.must(&DeleteTopic{Name: "orders"})
	w.must(&DeregisterNode{NodeId: 3, Generation: 1})
	if w.state.NodeCount() != 2 || w.state.Node(3) != nil {
		t.Errorf("%d nodes are registered", w.state.NodeCount())
	}
}

func TestTopics(t *testing.T) {
	w := newWorld(t, 3)
	created := w.must(orders()).(*TopicChanged)
	if got := created.Topic; len(got.Partitions) != 2 || got.Partitions[1].Leader != 2 || got.Partitions[1].LeaderEpoch != 1 || got.Partitions[1].LeaderGeneration != 1 {
		t.Errorf("created %v", got)
	}
	w.refused(ReasonAlreadyExists, orders())
	spoil := func(reason string, f func(*CreateTopic)) {
		t.Helper()
		c := orders()
		c.Name = "other"
		f(c)
		w.refused(reason, c)
	}
	for _, name := range []string{"", ".", "..", "a/b", "ä", "a b", strings.Repeat("x", MaxTopicName+1)} {
		spoil(ReasonInvalid, func(c *CreateTopic) { c.Name = name })
	}
	spoil(ReasonInvalid, func(c *CreateTopic) { c.Id = nil })
	spoil(ReasonInvalid, func(c *CreateTopic) { c.Assignments = nil })
	spoil(ReasonInvalid, func(c *CreateTopic) { c.Assignments[1].Partition = 0 })
	spoil(ReasonInvalid, func(c *CreateTopic) { c.ReplicationFactor = 2 })
	spoil(ReasonInvalid, func(c *CreateTopic) { c.ReplicationFactor = MaxReplicas + 1 })
	spoil(ReasonInvalid, func(c *CreateTopic) { c.MinIsr = 4 })
	spoil(ReasonInvalid, func(c *CreateTopic) { c.MinIsr = 0 })
	spoil(ReasonInvalid, func(c *CreateTopic) { c.Assignments[0].Replicas = []uint64{1, 1, 2} })
	spoil(ReasonNodeUnavailable, func(c *CreateTopic) { c.Assignments[0].Replicas = []uint64{1, 2, 9} })
	spoil(ReasonNotInSync, func(c *CreateTopic) { c.Assignments[0].Leader = 9 })
	spoil(ReasonInvalid, func(c *CreateTopic) { c.Assignments[0] = nil })

	w.must(&UpdateTopicConfig{Name: "orders", Id: topicID(1), MinIsr: proto.Uint32(1)})
	w.refused(ReasonNotFound, &UpdateTopicConfig{Name: "orders", Id: topicID(2)})
	w.refused(ReasonInvalid, &UpdateTopicConfig{Name: "orders", MinIsr: proto.Uint32(9)})
	w.must(&AddPartitions{Name: "orders", Assignments: []*Assignment{{Partition: 2, Replicas: []uint64{3, 1, 2}, Leader: 3}}})
	w.refused(ReasonInvalid, &AddPartitions{Name: "orders", Assignments: []*Assignment{{Partition: 2, Replicas: []uint64{3, 1, 2}, Leader: 3}}})
	w.refused(ReasonInvalid, &AddPartitions{Name: "orders"})
	if w.state.PartitionCount() != 3 {
		t.Errorf("%d partitions", w.state.PartitionCount())
	}
	w.refused(ReasonNotFound, &DeleteTopic{Name: "orders", Id: topicID(2)})
	w.must(&DeleteTopic{Name: "orders", Id: topicID(1)})
	w.refused(ReasonNotFound, &DeleteTopic{Name: "orders"})
	if w.state.PartitionCount() != 0 || w.state.TopicCount() != 0 {
		t.Error("a deleted topic left partitions behind")
	}
}

func TestElections(t *testing.T) {
	w := newWorld(t, 3)
	w.must(orders())
	elect := func(leader, leaderEpoch, partitionEpoch uint64, isr ...uint64) *UpdatePartitionLeader {
		return &UpdatePartitionLeader{Topic: "orders", LeaderEpoch: leaderEpoch, PartitionEpoch: partitionEpoch, Leader: &NodeGeneration{NodeId: leader, Generation: 1}, Isr: isr}
	}
	w.must(elect(2, 1, 1, 2, 3))
	if p := w.state.Partition("orders", 0); p.Leader != 2 || p.LeaderEpoch != 2 || p.PartitionEpoch != 2 || !slices.Equal(p.Isr, []uint64{2, 3}) {
		t.Errorf("after the election %v", p)
	}
	w.refused(ReasonStaleEpoch, elect(3, 1, 2, 3, 2))
	w.refused(ReasonFutureEpoch, elect(3, 3, 2, 3, 2))
	w.refused(ReasonStaleEpoch, elect(3, 2, 1, 3, 2))
	w.refused(ReasonFutureEpoch, elect(3, 2, 3, 3, 2))
	w.refused(ReasonNotInSync, elect(1, 2, 2, 1, 2))
	w.refused(ReasonNotInSync, elect(3, 2, 2, 2))
	w.refused(ReasonISRTooSmall, elect(3, 2, 2, 3))
	w.refused(ReasonInvalid, elect(3, 2, 2, 3, 3))
	w.refused(ReasonInvalid, elect(3, 2, 2, 3, 9))
	w.refused(ReasonNodeUnavailable, elect(9, 2, 2, 3, 2))
	stale := elect(3, 2, 2, 3, 2)
	stale.Leader.Generation = 7
	w.refused(ReasonStaleGeneration, stale)
	w.must(elect(2, 2, 2, 2, 3))
	if p := w.state.Partition("orders", 0); p.LeaderEpoch != 3 {
		t.Errorf("electing the leader anew did not raise the epoch: %v", p)
	}
	w.must(&UpdateNode{NodeId: 3, Generation: 1, State: NodeState_NODE_STATE_FAILED.Enum()})
	w.refused(ReasonNodeUnavailable, elect(3, 3, 3, 3, 2))

	unclean := elect(1, 3, 3, 1)
	unclean.Unclean = true
	w.refused(ReasonNotInSync, unclean)
	w.must(&UpdateTopicConfig{Name: "orders", UncleanElection: proto.Bool(true)})
	both := proto.CloneOf(unclean)
	both.Isr = []uint64{1, 2}
	w.refused(ReasonInvalid, both)
	w.must(unclean)
	missing := elect(1, 1, 1, 1)
	missing.Partition = 7
	w.refused(ReasonNotFound, missing)
}

func TestInSyncSet(t *testing.T) {
	w := newWorld(t, 3)
	w.must(orders())
	update := func(epoch uint64, isr ...uint64) *UpdatePartitionISR {
		return &UpdatePartitionISR{Topic: "orders", LeaderEpoch: 1, PartitionEpoch: epoch, Isr: isr}
	}
	w.must(update(1, 1, 2))
	w.refused(ReasonISRTooSmall, update(2, 1))
	w.refused(ReasonNotInSync, update(2, 2, 3))
	w.refused(ReasonStaleGeneration, update(2, 1, 2, 3))
	gain := update(2, 1, 2, 3)
	gain.Gained = []*NodeGeneration{{NodeId: 3, Generation: 2}}
	w.refused(ReasonStaleGeneration, gain)
	gain.Gained[0].Generation = 1
	w.must(gain)
	if p := w.state.Partition("orders", 0); len(p.Isr) != 3 || p.LeaderEpoch != 1 || p.PartitionEpoch != 3 {
		t.Errorf("after the gain %v", p)
	}
}

func TestReassignment(t *testing.T) {
	w := newWorld(t, 4)
	w.must(orders())
	c := &ReassignPartition{Topic: "orders", LeaderEpoch: 1, PartitionEpoch: 1, Replicas: []uint64{4, 2, 3}, Leader: &NodeGeneration{NodeId: 4, Generation: 1}}
	w.refused(ReasonNotInSync, c)
	c.Leader.NodeId = 3
	w.must(c)
	if p := w.state.Partition("orders", 0); p.Leader != 3 || p.LeaderEpoch != 2 || !slices.Equal(p.Isr, []uint64{2, 3}) || !slices.Equal(p.Replicas, []uint64{4, 2, 3}) {
		t.Errorf("reassigned %v", p)
	}
	w.refused(ReasonISRTooSmall, &ReassignPartition{Topic: "orders", LeaderEpoch: 2, PartitionEpoch: 2, Replicas: []uint64{4, 3}, Leader: &NodeGeneration{NodeId: 3, Generation: 1}})
	w.refused(ReasonNodeUnavailable, &ReassignPartition{Topic: "orders", LeaderEpoch: 2, PartitionEpoch: 2, Replicas: []uint64{2, 3, 9}, Leader: &NodeGeneration{NodeId: 3, Generation: 1}})
}

func TestConfigCompareAndSet(t *testing.T) {
	w := newWorld(t, 0)
	first := w.must(&SetConfig{Key: "a", Value: []byte("1"), ExpectedRevision: proto.Uint64(0)}).(*ConfigChanged).Revision
	w.refused(ReasonRevisionMismatch, &SetConfig{Key: "a", Value: []byte("2"), ExpectedRevision: proto.Uint64(0)})
	second := w.must(&SetConfig{Key: "a", Value: []byte("2"), ExpectedRevision: &first}).(*ConfigChanged).Revision
	if second <= first || string(w.state.Config("a").Value) != "2" {
		t.Errorf("revision %d after %d, entry %v", second, first, w.state.Config("a"))
	}
	w.must(&SetConfig{Key: "a", Value: []byte("3")})
	w.refused(ReasonRevisionMismatch, &SetConfig{Key: "a", Delete: true, ExpectedRevision: &second})
	w.must(&SetConfig{Key: "a", Delete: true})
	if gone := w.must(&SetConfig{Key: "a", Delete: true}).(*ConfigChanged); gone.Revision != 0 || w.state.ConfigCount() != 0 {
		t.Errorf("deleting nothing says %v", gone)
	}
	w.refused(ReasonInvalid, &SetConfig{Key: ""})
	w.refused(ReasonInvalid, &SetConfig{Key: "a\x00"})
	w.refused(ReasonInvalid, &SetConfig{Key: strings.Repeat("k", MaxConfigKey+1)})
	w.refused(ReasonInvalid, &SetConfig{Key: "a", Value: []byte("x"), Delete: true})
	w.refused(ReasonLimit, &SetConfig{Key: "a", Value: make([]byte, MaxConfigValue+1)})
}

func TestBatchIsAllOrNothing(t *testing.T) {
	w := newWorld(t, 3)
	set := consensus.Pack(&SetConfig{Key: "a", Value: []byte("1")})
	w.refused(ReasonNotFound, &Batch{Commands: []*anyMessage{set, consensus.Pack(&DeleteTopic{Name: "none"})}})
	applied := w.must(&Batch{Commands: []*anyMessage{set, consensus.Pack(orders())}}).(*BatchApplied)
	if len(applied.Results) != 2 || w.state.Topic("orders") == nil || w.state.Config("a") == nil {
		t.Errorf("batch gave %v", applied)
	}
	w.refused(ReasonInvalid, &Batch{})
	w.refused(ReasonInvalid, &Batch{Commands: []*anyMessage{consensus.Pack(&Batch{Commands: []*anyMessage{set}})}})
	w.refused(ReasonInvalid, &Batch{Commands: slices.Repeat([]*anyMessage{set}, MaxBatch+1)})
}

func TestWhatANewerVersionWroteHalts(t *testing.T) {
	w := newWorld(t, 1)
	newer := &SetConfig{Key: "a"}
	newer.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 100, protowire.VarintType), 1))
	nested := &RegisterNode{Node: node(2)}
	nested.Node.ProtoReflect().SetUnknown(newer.ProtoReflect().GetUnknown())
	for name, command := range map[string]proto.Message{
		"field of a command":         newer,
		"field of a record in it":    nested,
		"field in a batch":           &Batch{Commands: []*anyMessage{consensus.Pack(newer)}},
		"command in a batch":         &Batch{Commands: []*anyMessage{{TypeUrl: "type.googleapis.com/rivven.metadata.v1.FromTheFuture"}}},
		"undecodable bytes in batch": &Batch{Commands: []*anyMessage{{TypeUrl: "type.googleapis.com/rivven.metadata.v1.SetConfig", Value: []byte{0xff}}}},
	} {
		before := w.state
		if _, err := w.apply(command); !errors.Is(err, consensus.ErrHalt) || !w.state.Equal(before) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.refused(ReasonInvalid, &Node{})
	w.refused(ReasonInvalid, &consensus.Status{})
	if _, ok := CommandLevel(&Node{}); ok {
		t.Error("a record passes as a command")
	}
}

func TestMinFeatureLevel(t *testing.T) {
	w := newWorld(t, 0)
	if w.state.MinFeatureLevel() != 0 {
		t.Error("an empty registry announces a level")
	}
	for id, level := range []uint32{3, 2, 1} {
		n := node(uint64(id + 1))
		n.FeatureLevel = level
		w.must(&RegisterNode{Node: n})
		if got := w.state.MinFeatureLevel(); got != level {
			t.Errorf("level %d, want %d", got, level)
		}
	}
	w.must(&UpdateNode{NodeId: 3, Generation: 1, State: NodeState_NODE_STATE_LEFT.Enum()})
	if got := w.state.MinFeatureLevel(); got != 2 {
		t.Errorf("level %d after the oldest left, want 2", got)
	}
}
