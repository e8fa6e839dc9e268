package placement

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// ErrInput is wrapped by every error of Solve: the table or the registry is inconsistent.
var ErrInput = errors.New("placement input is inconsistent")

// Solve plans the moves that the table needs. It changes none of its arguments.
// The only errors wrap ErrInput; what can't be placed is in Plan.Stuck and the rest is still placed.
func Solve(partitions []Partition, nodes []Node, cfg Config) (Plan, error) {
	s, err := newSolver(partitions, nodes)
	if err != nil {
		return Plan{}, err
	}
	for i := range s.parts {
		s.repair(i)
	}
	s.assignNew()
	s.balance(cfg)
	slices.SortStableFunc(s.moves, func(a, b Move) int { return cmp.Compare(a.Reason.urgency(), b.Reason.urgency()) })
	table := make([]Partition, len(s.parts))
	for i, p := range s.parts {
		table[i] = p.Partition
	}
	return Plan{Moves: s.moves, Stuck: s.stuck, Digest: Digest(table)}, nil
}

// Digest of the assignments in a table, whatever its order. Partitions of one
// topic and index twice give no meaningful digest.
func Digest(partitions []Partition) uint64 {
	sorted := slices.Clone(partitions)
	slices.SortFunc(sorted, comparePartitions)
	var d xxhash.Digest
	d.Reset()
	var buf []byte
	for i := range sorted {
		p := &sorted[i]
		buf = binary.LittleEndian.AppendUint32(buf[:0], uint32(len(p.Topic)))
		buf = append(buf, p.Topic...)
		buf = binary.LittleEndian.AppendUint32(buf, p.Index)
		buf = binary.LittleEndian.AppendUint64(buf, p.Leader)
		for _, list := range [2][]uint64{p.Replicas, p.ISR} {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(len(list)))
			for _, id := range list {
				buf = binary.LittleEndian.AppendUint64(buf, id)
			}
		}
		d.Write(buf)
	}
	return d.Sum64()
}

func comparePartitions(a, b Partition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Index, b.Index))
}

type part struct {
	Partition
	placed bool // was in the table before this run
	topic  int  // equal for partitions of one topic
}

// solver works on indices into nodes, which are sorted by id.
type solver struct {
	nodes    []Node
	parts    []part
	replicas []uint64 // replicas per node
	leaders  []uint64 // leaders per node
	// topicLeaders has the leaders of one topic on one node.
	topicLeaders map[topicNode]int
	moves        []Move
	stuck        []Stuck
}

type topicNode struct{ topic, node int }

func newSolver(partitions []Partition, nodes []Node) (*solver, error) {
	s := &solver{
		nodes:    slices.Clone(nodes),
		parts:    make([]part, len(partitions)),
		replicas: make([]uint64, len(nodes)),
		leaders:  make([]uint64, len(nodes)),

		topicLeaders: make(map[topicNode]int),
	}
	slices.SortFunc(s.nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	for i, n := range s.nodes {
		switch {
		case n.ID == 0:
			return nil, fmt.Errorf("%w: a node has id 0", ErrInput)
		case i > 0 && s.nodes[i-1].ID == n.ID:
			return nil, fmt.Errorf("%w: node %d appears twice", ErrInput, n.ID)
		case n.Weight > MaxWeight:
			return nil, fmt.Errorf("%w: node %d has weight %d above %d", ErrInput, n.ID, n.Weight, MaxWeight)
		}
	}
	for i := range partitions {
		s.parts[i] = part{Partition: partitions[i], placed: len(partitions[i].Replicas) > 0}
	}
	slices.SortFunc(s.parts, func(a, b part) int { return comparePartitions(a.Partition, b.Partition) })
	for i := range s.parts {
		p := &s.parts[i]
		if i > 0 && comparePartitions(s.parts[i-1].Partition, p.Partition) == 0 {
			return nil, fmt.Errorf("%w: partition %s/%d appears twice", ErrInput, p.Topic, p.Index)
		}
		if err := checkPartition(p); err != nil {
			return nil, err
		}
		if i > 0 {
			p.topic = s.parts[i-1].topic
			if s.parts[i-1].Topic != p.Topic {
				p.topic++
			}
		}
		for _, id := range p.Replicas {
			if n, ok := s.find(id); ok {
				s.replicas[n]++
			}
		}
		if n, ok := s.find(p.Leader); ok {
			s.count(p, n, 1)
		}
	}
	return s, nil
}

func checkPartition(p *part) error {
	fault := func(format string, args ...any) error {
		return fmt.Errorf("%w: partition %s/%d %s", ErrInput, p.Topic, p.Index, fmt.Sprintf(format, args...))
	}
	if !p.placed {
		switch {
		case p.ReplicationFactor < 1 || p.ReplicationFactor > MaxReplicationFactor:
			return fault("has replication factor %d, allowed is 1 to %d", p.ReplicationFactor, MaxReplicationFactor)
		case p.Leader != 0 || len(p.ISR) > 0:
			return fault("has a leader or an in-sync set but no replicas")
		}
		return nil
	}
	for i, id := range p.Replicas {
		if id == 0 || slices.Contains(p.Replicas[:i], id) {
			return fault("has replica %d twice or replica 0", id)
		}
	}
	for i, id := range p.ISR {
		if !slices.Contains(p.Replicas, id) || slices.Contains(p.ISR[:i], id) {
			return fault("has %d in its in-sync set twice or without being a replica", id)
		}
	}
	if !slices.Contains(p.ISR, p.Leader) {
		return fault("is led by %d, which is not in its in-sync set", p.Leader)
	}
	return nil
}

func (s *solver) find(id uint64) (int, bool) {
	return slices.BinarySearchFunc(s.nodes, id, func(n Node, id uint64) int { return cmp.Compare(n.ID, id) })
}

// gone is also true of a node that the registry does not know.
func (s *solver) gone(id uint64) bool {
	n, ok := s.find(id)
	return !ok || s.nodes[n].gone()
}

// lead makes a node the leader of a partition, wherever that was before.
func (s *solver) lead(p *part, to int) {
	if from, ok := s.find(p.Leader); ok {
		s.count(p, from, -1)
	}
	s.count(p, to, 1)
	p.Leader = s.nodes[to].ID
}

func (s *solver) count(p *part, n, by int) {
	s.leaders[n] += uint64(by)
	s.topicLeaders[topicNode{p.topic, n}] += by
}

func (s *solver) record(p *part, reason Reason) {
	s.moves = append(s.moves, Move{
		Topic: p.Topic, Index: p.Index, Reason: reason,
		Replicas: slices.Clone(p.Replicas), ISR: slices.Clone(p.ISR), Leader: p.Leader,
	})
}

func (s *solver) giveUp(p *part, format string, args ...any) {
	s.stuck = append(s.stuck, Stuck{Topic: p.Topic, Index: p.Index, Cause: fmt.Sprintf(format, args...)})
}

// rank orders equally loaded nodes for one partition, differently for each partition.
func rank(p *part, node uint64) uint64 {
	var inline [280]byte
	buf := append(inline[:0], p.Topic...)
	buf = binary.LittleEndian.AppendUint32(buf, p.Index)
	buf = binary.LittleEndian.AppendUint64(buf, node)
	return xxhash.Sum64(buf)
}

// lighter says that after one more, a would carry less per weight than b.
func lighter(loadA uint64, weightA uint32, loadB uint64, weightB uint32) int {
	return cmp.Compare((loadA+1)*uint64(weightB), (loadB+1)*uint64(weightA))
}
