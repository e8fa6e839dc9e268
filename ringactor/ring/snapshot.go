package ring

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
)

// Node is a member of the ring.
type Node struct {
	Name   string
	Weight int
}

// Snapshot is an immutable ring. Its methods may be called from any goroutine
// and, but for Replicas and Nodes, allocate nothing.
type Snapshot struct {
	nodes []Node // sorted by name, so that equal positions are ordered by name
	// points are sorted; points[i] belongs to nodes[owners[i]].
	points []uint64
	owners []uint32
	// starts[b] is the first point whose top bits are at least b. There are as
	// many buckets as points or up to twice as many, so a lookup scans about one point.
	starts []uint32
	shift  uint
}

type point struct {
	position uint64
	owner    uint32
}

// Len is the number of nodes.
func (s *Snapshot) Len() int { return len(s.nodes) }

// Points is the number of virtual nodes.
func (s *Snapshot) Points() int { return len(s.points) }

// Nodes returns a copy of the members, sorted by name.
func (s *Snapshot) Nodes() []Node { return slices.Clone(s.nodes) }

// PartitionOwner returns the node that a partition of a topic belongs to.
// Errors: ErrEmptyRing.
func (s *Snapshot) PartitionOwner(topic string, partition uint32) (string, error) {
	return s.ownerAt(position(domainPartition, topic, partition))
}

// KeyOwner returns the node that a key belongs to. Errors: ErrEmptyRing.
func (s *Snapshot) KeyOwner(key []byte) (string, error) {
	return s.ownerAt(position(domainKey, key, 0))
}

func (s *Snapshot) ownerAt(at uint64) (string, error) {
	if len(s.points) == 0 {
		return "", ErrEmptyRing
	}
	return s.nodes[s.owners[s.successor(at)]].Name, nil
}

// Replicas returns count distinct nodes for a partition, the owner first.
// Errors: ErrEmptyRing, ErrReplicaCount, ErrTooFewNodes.
func (s *Snapshot) Replicas(topic string, partition uint32, count int) ([]string, error) {
	return s.AppendReplicas(nil, topic, partition, count)
}

// AppendReplicas is Replicas into a slice of the caller's; with room in dst and
// a count of at most 16 it allocates nothing.
func (s *Snapshot) AppendReplicas(dst []string, topic string, partition uint32, count int) ([]string, error) {
	switch {
	case len(s.points) == 0:
		return dst, ErrEmptyRing
	case count < 1:
		return dst, fmt.Errorf("%w: %d", ErrReplicaCount, count)
	case count > len(s.nodes):
		return dst, fmt.Errorf("%w: %d replicas on %d nodes", ErrTooFewNodes, count, len(s.nodes))
	}
	dst = slices.Grow(dst, count)
	at := s.successor(position(domainPartition, topic, partition))
	if count <= smallList {
		return s.walkSmall(dst, at, count), nil
	}
	return s.walkLarge(dst, at, count), nil
}

const smallList = 16

func (s *Snapshot) walkSmall(dst []string, at, count int) []string {
	var chosen [smallList]uint32
	for n := 0; n < count; {
		owner := s.owners[at]
		if !slices.Contains(chosen[:n], owner) {
			chosen[n] = owner
			n++
			dst = append(dst, s.nodes[owner].Name)
		}
		if at++; at == len(s.owners) {
			at = 0
		}
	}
	return dst
}

func (s *Snapshot) walkLarge(dst []string, at, count int) []string {
	chosen := make([]bool, len(s.nodes))
	for n := 0; n < count; {
		owner := s.owners[at]
		if !chosen[owner] {
			chosen[owner] = true
			n++
			dst = append(dst, s.nodes[owner].Name)
		}
		if at++; at == len(s.owners) {
			at = 0
		}
	}
	return dst
}

// successor is the index of the first point at or after a position, clockwise.
func (s *Snapshot) successor(at uint64) int {
	i := int(s.starts[at>>s.shift])
	for i < len(s.points) && s.points[i] < at {
		i++
	}
	if i == len(s.points) {
		return 0
	}
	return i
}

func (s *Snapshot) find(name string) (int, bool) {
	return slices.BinarySearchFunc(s.nodes, name, func(n Node, name string) int { return cmp.Compare(n.Name, name) })
}

func (s *Snapshot) with(name string, weight, virtualNodes int) (*Snapshot, error) {
	if name == "" {
		return nil, ErrEmptyName
	}
	index, exists := s.find(name)
	if exists {
		return nil, fmt.Errorf("%w: %q", ErrDuplicateNode, name)
	}
	count := weight * virtualNodes
	if len(s.points)+count > MaxPoints {
		return nil, fmt.Errorf("%w: %d points and %d of node %q exceed %d", ErrRingFull, len(s.points), count, name, MaxPoints)
	}
	added := make([]point, count)
	for i := range added {
		added[i] = point{position(domainNode, name, uint32(i)), uint32(index)}
	}
	slices.SortFunc(added, func(a, b point) int { return cmp.Compare(a.position, b.position) })

	next := &Snapshot{
		nodes:  slices.Insert(slices.Clone(s.nodes), index, Node{Name: name, Weight: weight}),
		points: make([]uint64, 0, len(s.points)+count),
		owners: make([]uint32, 0, len(s.points)+count),
	}
	for i, at := range s.points {
		owner := s.owners[i]
		if owner >= uint32(index) {
			owner++
		}
		for len(added) > 0 && (added[0].position < at || added[0].position == at && added[0].owner < owner) {
			next.push(added[0])
			added = added[1:]
		}
		next.push(point{at, owner})
	}
	for _, p := range added {
		next.push(p)
	}
	next.buildIndex()
	return next, nil
}

func (s *Snapshot) without(name string) (*Snapshot, error) {
	index, exists := s.find(name)
	if !exists {
		return nil, fmt.Errorf("%w: %q", ErrUnknownNode, name)
	}
	next := &Snapshot{
		nodes:  slices.Delete(slices.Clone(s.nodes), index, index+1),
		points: make([]uint64, 0, len(s.points)),
		owners: make([]uint32, 0, len(s.points)),
	}
	for i, at := range s.points {
		owner := s.owners[i]
		switch {
		case owner == uint32(index):
			continue
		case owner > uint32(index):
			owner--
		}
		next.push(point{at, owner})
	}
	next.buildIndex()
	return next, nil
}

func (s *Snapshot) push(p point) {
	s.points = append(s.points, p.position)
	s.owners = append(s.owners, p.owner)
}

func (s *Snapshot) buildIndex() {
	if len(s.points) == 0 {
		return
	}
	width := max(1, bits.Len(uint(len(s.points)-1)))
	s.shift = uint(64 - width)
	s.starts = make([]uint32, 1<<width)
	i := 0
	for bucket := range s.starts {
		for i < len(s.points) && s.points[i]>>s.shift < uint64(bucket) {
			i++
		}
		s.starts[bucket] = uint32(i)
	}
}
