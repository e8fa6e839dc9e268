package metadata

import (
	"slices"

	"google.golang.org/protobuf/proto"
)

// currentPartition returns the record and its topic if both epochs are the partition's own.
func (s *State) currentPartition(topic string, partition uint32, leaderEpoch, partitionEpoch uint64) (*Partition, *Topic, error) {
	p := s.Partition(topic, partition)
	if p == nil {
		return nil, nil, refuse(ReasonNotFound, "partition %s/%d does not exist", topic, partition)
	}
	for _, e := range []struct {
		what       string
		has, given uint64
	}{{"leader", p.LeaderEpoch, leaderEpoch}, {"partition", p.PartitionEpoch, partitionEpoch}} {
		var reason string
		switch {
		case e.given < e.has:
			reason = ReasonStaleEpoch
		case e.given > e.has:
			reason = ReasonFutureEpoch
		default:
			continue
		}
		return nil, nil, refuse(reason, "%s/%d has %s epoch %d, the command is for %d", topic, partition, e.what, e.has, e.given)
	}
	return p, s.Topic(topic), nil
}

func checkISR(p *Partition, isr []uint64, leader uint64) error {
	for i, id := range isr {
		if slices.Contains(isr[:i], id) || !slices.Contains(p.Replicas, id) {
			return refuse(ReasonInvalid, "%s/%d: in-sync set %v has %d twice, or it is none of the replicas %v", p.Topic, p.Partition, isr, id, p.Replicas)
		}
	}
	if !slices.Contains(isr, leader) {
		return refuse(ReasonNotInSync, "%s/%d: leader %d is not in the in-sync set %v", p.Topic, p.Partition, leader, isr)
	}
	return nil
}

// checkShrink lets a set that is below the minimum already stay as large as it is.
func checkShrink(p *Partition, t *Topic, isr []uint64) error {
	if least := min(len(p.Isr), int(t.MinIsr)); len(isr) < least {
		return refuse(ReasonISRTooSmall, "%s/%d: in-sync set %v is smaller than %d", p.Topic, p.Partition, isr, least)
	}
	return nil
}

func (s *State) updatePartitionLeader(c *UpdatePartitionLeader) (proto.Message, error) {
	old, t, err := s.currentPartition(c.Topic, c.Partition, c.LeaderEpoch, c.PartitionEpoch)
	if err != nil {
		return nil, err
	}
	if err := s.liveNode(c.Leader); err != nil {
		return nil, err
	}
	leader := c.Leader.NodeId
	if err := checkISR(old, c.Isr, leader); err != nil {
		return nil, err
	}
	if c.Unclean {
		if !t.UncleanElection {
			return nil, refuse(ReasonNotInSync, "topic %q does not allow unclean election", t.Name)
		}
		if len(c.Isr) != 1 {
			return nil, refuse(ReasonInvalid, "%s/%d: after an unclean election only the leader is in sync, not %v", c.Topic, c.Partition, c.Isr)
		}
	} else {
		for _, id := range c.Isr {
			if !slices.Contains(old.Isr, id) {
				return nil, refuse(ReasonNotInSync, "%s/%d: %d is not in the in-sync set %v, an election can't add it", c.Topic, c.Partition, id, old.Isr)
			}
		}
		if err := checkShrink(old, t, c.Isr); err != nil {
			return nil, err
		}
	}
	p := proto.CloneOf(old)
	p.Leader, p.LeaderGeneration, p.Isr = leader, c.Leader.Generation, slices.Clone(c.Isr)
	p.LeaderEpoch++
	p.PartitionEpoch++
	s.putPartition(p)
	return &PartitionChanged{Partition: p}, nil
}

func (s *State) updatePartitionISR(c *UpdatePartitionISR) (proto.Message, error) {
	old, t, err := s.currentPartition(c.Topic, c.Partition, c.LeaderEpoch, c.PartitionEpoch)
	if err != nil {
		return nil, err
	}
	if err := checkISR(old, c.Isr, old.Leader); err != nil {
		return nil, err
	}
	if err := checkShrink(old, t, c.Isr); err != nil {
		return nil, err
	}
	for _, id := range c.Isr {
		if slices.Contains(old.Isr, id) {
			continue
		}
		i := slices.IndexFunc(c.Gained, func(g *NodeGeneration) bool { return g.GetNodeId() == id })
		if i < 0 {
			return nil, refuse(ReasonStaleGeneration, "%s/%d: %d enters the in-sync set without its generation", c.Topic, c.Partition, id)
		}
		if err := s.liveNode(c.Gained[i]); err != nil {
			return nil, err
		}
	}
	p := proto.CloneOf(old)
	p.Isr = slices.Clone(c.Isr)
	p.PartitionEpoch++
	s.putPartition(p)
	return &PartitionChanged{Partition: p}, nil
}

func (s *State) reassignPartition(c *ReassignPartition) (proto.Message, error) {
	old, t, err := s.currentPartition(c.Topic, c.Partition, c.LeaderEpoch, c.PartitionEpoch)
	if err != nil {
		return nil, err
	}
	if err := s.checkReplicas(c.Topic, c.Partition, c.Replicas); err != nil {
		return nil, err
	}
	p := proto.CloneOf(old)
	p.Replicas = slices.Clone(c.Replicas)
	p.Isr = slices.DeleteFunc(p.Isr, func(id uint64) bool { return !slices.Contains(c.Replicas, id) })
	p.PartitionEpoch++
	if leader := c.Leader.GetNodeId(); leader != old.Leader {
		if err := s.liveNode(c.Leader); err != nil {
			return nil, err
		}
		p.Leader, p.LeaderGeneration = leader, c.Leader.Generation
		p.LeaderEpoch++
	}
	if err := checkISR(p, p.Isr, p.Leader); err != nil {
		return nil, err
	}
	if err := checkShrink(old, t, p.Isr); err != nil {
		return nil, err
	}
	s.putPartition(p)
	return &PartitionChanged{Partition: p}, nil
}
