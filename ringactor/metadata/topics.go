package metadata

import (
	"bytes"
	"slices"

	"google.golang.org/protobuf/proto"
)

func (s *State) createTopic(index uint64, c *CreateTopic) (proto.Message, error) {
	if err := ValidTopicName(c.Name); err != nil {
		return nil, err
	}
	if s.Topic(c.Name) != nil {
		return nil, refuse(ReasonAlreadyExists, "topic %q already exists", c.Name)
	}
	if s.topics.len() >= MaxTopics {
		return nil, refuse(ReasonLimit, "there are %d topics already, delete one first", s.topics.len())
	}
	t := &Topic{
		Name: c.Name, Id: bytes.Clone(c.Id), Partitions: uint32(len(c.Assignments)), ReplicationFactor: c.ReplicationFactor,
		MinIsr: c.MinIsr, UncleanElection: c.UncleanElection, Kind: c.Kind, Revision: index,
	}
	if err := checkTopic(t); err != nil {
		return nil, err
	}
	if err := s.assign(t, 0, c.Assignments); err != nil {
		return nil, err
	}
	s.putTopic(t)
	return &TopicChanged{Topic: s.view(t)}, nil
}

func checkTopic(t *Topic) error {
	switch {
	case len(t.Id) != TopicIDSize:
		return refuse(ReasonInvalid, "topic %q has an id of %d bytes, want %d", t.Name, len(t.Id), TopicIDSize)
	case t.Partitions == 0 || t.Partitions > MaxPartitions:
		return refuse(ReasonInvalid, "topic %q has %d partitions, allowed are 1 to %d", t.Name, t.Partitions, MaxPartitions)
	case t.ReplicationFactor == 0 || t.ReplicationFactor > MaxReplicas:
		return refuse(ReasonInvalid, "topic %q has replication factor %d, allowed are 1 to %d", t.Name, t.ReplicationFactor, MaxReplicas)
	case t.MinIsr == 0 || t.MinIsr > t.ReplicationFactor:
		return refuse(ReasonInvalid, "topic %q has min ISR %d, allowed are 1 to its replication factor %d", t.Name, t.MinIsr, t.ReplicationFactor)
	}
	return validText("kind", t.Kind, false)
}

// assign adds partitions from number first on.
func (s *State) assign(t *Topic, first uint32, assignments []*Assignment) error {
	if s.partitions.len()+len(assignments) > MaxPartitionsTotal {
		return refuse(ReasonLimit, "%d partitions and %d more exceed %d", s.partitions.len(), len(assignments), MaxPartitionsTotal)
	}
	for i, a := range assignments {
		if a.GetPartition() != first+uint32(i) {
			return refuse(ReasonInvalid, "assignment %d of topic %q is for partition %d, want %d", i, t.Name, a.GetPartition(), first+uint32(i))
		}
		if len(a.GetReplicas()) != int(t.ReplicationFactor) {
			return refuse(ReasonInvalid, "partition %s/%d has %d replicas, the replication factor is %d", t.Name, a.GetPartition(), len(a.GetReplicas()), t.ReplicationFactor)
		}
		if err := s.checkReplicas(t.Name, a.Partition, a.Replicas); err != nil {
			return err
		}
		if !slices.Contains(a.Replicas, a.Leader) {
			return refuse(ReasonNotInSync, "partition %s/%d: leader %d is not one of the replicas %v", t.Name, a.Partition, a.Leader, a.Replicas)
		}
		s.putPartition(&Partition{
			Topic: t.Name, Partition: a.Partition, Leader: a.Leader, LeaderEpoch: s.epochFloor + 1, PartitionEpoch: s.epochFloor + 1,
			LeaderGeneration: s.Node(a.Leader).Generation, Replicas: slices.Clone(a.Replicas), Isr: slices.Clone(a.Replicas),
		})
	}
	return nil
}

func (s *State) checkReplicas(topic string, partition uint32, replicas []uint64) error {
	if len(replicas) == 0 || len(replicas) > MaxReplicas {
		return refuse(ReasonInvalid, "partition %s/%d has %d replicas, allowed are 1 to %d", topic, partition, len(replicas), MaxReplicas)
	}
	for i, id := range replicas {
		if slices.Contains(replicas[:i], id) {
			return refuse(ReasonInvalid, "partition %s/%d has node %d twice", topic, partition, id)
		}
		if s.Node(id) == nil {
			return refuse(ReasonNodeUnavailable, "partition %s/%d: node %d is not registered", topic, partition, id)
		}
	}
	return nil
}

// currentTopic returns the record if the id, where given, is its own.
func (s *State) currentTopic(topic string, id []byte) (*Topic, error) {
	t := s.Topic(topic)
	if t == nil || len(id) > 0 && !bytes.Equal(t.Id, id) {
		return nil, refuse(ReasonNotFound, "topic %q does not exist", topic)
	}
	return t, nil
}

func (s *State) deleteTopic(c *DeleteTopic) (proto.Message, error) {
	t, err := s.currentTopic(c.Name, c.Id)
	if err != nil {
		return nil, err
	}
	view := s.view(t)
	for _, p := range view.Partitions {
		s.epochFloor = max(s.epochFloor, p.LeaderEpoch)
		s.dropPartition(p.Topic, p.Partition)
	}
	s.dropTopic(t.Name)
	return &TopicChanged{Topic: view}, nil
}

func (s *State) updateTopicConfig(index uint64, c *UpdateTopicConfig) (proto.Message, error) {
	old, err := s.currentTopic(c.Name, c.Id)
	if err != nil {
		return nil, err
	}
	t := proto.CloneOf(old)
	t.Revision = index
	set(&t.MinIsr, c.MinIsr)
	set(&t.UncleanElection, c.UncleanElection)
	if err := checkTopic(t); err != nil {
		return nil, err
	}
	s.putTopic(t)
	return &TopicChanged{Topic: &TopicView{Topic: t}}, nil
}

func (s *State) addPartitions(index uint64, c *AddPartitions) (proto.Message, error) {
	old, err := s.currentTopic(c.Name, c.Id)
	if err != nil {
		return nil, err
	}
	if len(c.Assignments) == 0 || len(c.Assignments) > MaxPartitions {
		return nil, refuse(ReasonInvalid, "%d partitions to add, allowed are 1 to %d", len(c.Assignments), MaxPartitions)
	}
	t := proto.CloneOf(old)
	t.Revision = index
	t.Partitions += uint32(len(c.Assignments))
	if err := checkTopic(t); err != nil {
		return nil, err
	}
	if err := s.assign(t, old.Partitions, c.Assignments); err != nil {
		return nil, err
	}
	s.putTopic(t)
	return &TopicChanged{Topic: s.view(t)}, nil
}

func (s *State) view(t *Topic) *TopicView {
	return &TopicView{Topic: t, Partitions: slices.Collect(s.PartitionsOf(t.Name))}
}
