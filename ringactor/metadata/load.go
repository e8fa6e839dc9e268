package metadata

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
)

// loader builds a state from records of doubtful origin, which must come in the order of a snapshot.
type loader struct {
	state State
	kind  byte
	last  [2]string
}

func (l *loader) decode(kind byte, payload []byte) error {
	var err error
	switch kind {
	case kindNode:
		err = decodeInto(payload, &Node{}, l.node)
	case kindTopic:
		err = decodeInto(payload, &Topic{}, l.topic)
	case kindPartition:
		err = decodeInto(payload, &Partition{}, l.partition)
	case kindConfig:
		err = decodeInto(payload, &ConfigEntry{}, l.config)
	default:
		err = fmt.Errorf("its kind is unknown")
	}
	if err != nil {
		return fmt.Errorf("%w: record of kind %d: %w", ErrSnapshot, kind, err)
	}
	return nil
}

func decodeInto[T proto.Message](payload []byte, m T, add func(T) error) error {
	if err := proto.Unmarshal(payload, m); err != nil {
		return err
	}
	return add(m)
}

// begin checks that a record is of this version and comes behind the one before it.
func (l *loader) begin(kind byte, m proto.Message, major, minor string) error {
	switch {
	case !m.ProtoReflect().IsValid():
		return fmt.Errorf("it is missing")
	case hasUnknownFields(m.ProtoReflect()):
		return fmt.Errorf("%s has fields of a newer version", major)
	case kind < l.kind, kind == l.kind && (major < l.last[0] || major == l.last[0] && minor <= l.last[1]):
		return fmt.Errorf("%s is out of order", major)
	}
	l.kind, l.last = kind, [2]string{major, minor}
	return nil
}

func (l *loader) node(n *Node) error {
	if err := l.begin(kindNode, n, fmt.Sprintf("%020d", n.GetNodeId()), ""); err != nil {
		return err
	}
	if err := checkNode(n); err != nil {
		return err
	}
	if l.state.nodes.len() >= MaxNodes {
		return refuse(ReasonLimit, "more than %d nodes", MaxNodes)
	}
	l.state.putNode(n)
	return nil
}

func (l *loader) topic(t *Topic) error {
	if err := l.begin(kindTopic, t, t.GetName(), ""); err != nil {
		return err
	}
	if err := ValidTopicName(t.Name); err != nil {
		return err
	}
	if err := checkTopic(t); err != nil {
		return err
	}
	if l.state.topics.len() >= MaxTopics {
		return refuse(ReasonLimit, "more than %d topics", MaxTopics)
	}
	l.state.putTopic(t)
	return nil
}

func (l *loader) partition(p *Partition) error {
	if err := l.begin(kindPartition, p, p.GetTopic(), fmt.Sprintf("%010d", p.GetPartition())); err != nil {
		return err
	}
	t := l.state.Topic(p.Topic)
	if t == nil || p.Partition >= t.Partitions {
		return refuse(ReasonInvalid, "partition %s/%d is none of its topic", p.Topic, p.Partition)
	}
	if p.LeaderEpoch == 0 || p.PartitionEpoch < p.LeaderEpoch {
		return refuse(ReasonInvalid, "partition %s/%d has leader epoch %d and partition epoch %d", p.Topic, p.Partition, p.LeaderEpoch, p.PartitionEpoch)
	}
	if err := l.state.checkReplicas(p.Topic, p.Partition, p.Replicas); err != nil {
		return err
	}
	if err := checkISR(p, p.Isr, p.Leader); err != nil {
		return err
	}
	if l.state.partitions.len() >= MaxPartitionsTotal {
		return refuse(ReasonLimit, "more than %d partitions", MaxPartitionsTotal)
	}
	l.state.putPartition(p)
	return nil
}

func (l *loader) config(e *ConfigEntry) error {
	if err := l.begin(kindConfig, e, e.GetKey(), ""); err != nil {
		return err
	}
	if err := ValidConfigKey(e.Key); err != nil {
		return err
	}
	if len(e.Value) > MaxConfigValue || e.Revision == 0 || l.state.config.len() >= MaxConfigKeys {
		return refuse(ReasonLimit, "config key %q has %d bytes at revision %d, or there are more than %d keys", e.Key, len(e.Value), e.Revision, MaxConfigKeys)
	}
	l.state.putConfig(e)
	return nil
}

// verify checks what single records can't show.
func (l *loader) verify(want *SnapshotEnd) error {
	if hasUnknownFields(want.ProtoReflect()) {
		return fmt.Errorf("%w: its end has fields of a newer version", ErrSnapshot)
	}
	l.state.epochFloor = want.GetEpochFloor()
	if got := l.state.end(); !proto.Equal(got, want) {
		return fmt.Errorf("%w: it holds %v, its end says %v", ErrSnapshot, got, want)
	}
	for t := range l.state.Topics() {
		if n := len(slices.Collect(l.state.PartitionsOf(t.Name))); n != int(t.Partitions) {
			return fmt.Errorf("%w: topic %q has %d of its %d partitions", ErrSnapshot, t.Name, n, t.Partitions)
		}
	}
	return nil
}
