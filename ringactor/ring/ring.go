package ring

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// Errors of the ring, matched with errors.Is. A refused change leaves the ring as it was.
var (
	// ErrEmptyRing answers a lookup while no node was added.
	ErrEmptyRing = errors.New("ring has no nodes: add a node first")
	// ErrEmptyName refuses a node without a name.
	ErrEmptyName = errors.New("node name is empty: give every node a name")
	// ErrDuplicateNode refuses to add a name twice; remove it first to change its weight.
	ErrDuplicateNode = errors.New("node is already on the ring")
	// ErrUnknownNode refuses to remove a name that was never added.
	ErrUnknownNode = errors.New("node is not on the ring")
	// ErrWeight refuses a weight outside 1…MaxWeight.
	ErrWeight = errors.New("node weight is out of range")
	// ErrRingFull refuses a node that would take the ring over MaxPoints.
	ErrRingFull = errors.New("ring is full: use fewer virtual nodes or smaller weights")
	// ErrReplicaCount refuses a preference list shorter than one.
	ErrReplicaCount = errors.New("replica count must be at least 1")
	// ErrTooFewNodes answers a request for more distinct nodes than there are.
	ErrTooFewNodes = errors.New("ring has too few nodes for that many replicas")
)

const (
	// DefaultVirtualNodes per unit of weight, as in the partitioning.virtual_nodes config key.
	DefaultVirtualNodes = 128
	// MaxVirtualNodes per unit of weight.
	MaxVirtualNodes = 4096
	// MaxWeight of one node.
	MaxWeight = 1024
	// MaxPoints on one ring: 12 bytes each, plus 4 to 8 for the index.
	MaxPoints = 1 << 22
)

// HashRing maps partitions and keys to nodes. The zero value is not usable; call
// New. All methods may be called from any goroutine.
type HashRing struct {
	virtualNodes int
	current      atomic.Pointer[Snapshot]
}

// New returns an empty ring that gives each node virtualNodes positions per unit
// of weight. A number below 1 means DefaultVirtualNodes, one above
// MaxVirtualNodes means MaxVirtualNodes.
func New(virtualNodes int) *HashRing {
	if virtualNodes < 1 {
		virtualNodes = DefaultVirtualNodes
	}
	r := &HashRing{virtualNodes: min(virtualNodes, MaxVirtualNodes)}
	r.current.Store(&Snapshot{})
	return r
}

// VirtualNodes per unit of weight.
func (r *HashRing) VirtualNodes() int { return r.virtualNodes }

// AddNode adds a node of weight 1. Errors: ErrEmptyName, ErrDuplicateNode, ErrRingFull.
func (r *HashRing) AddNode(name string) error { return r.AddWeighted(name, 1) }

// AddWeighted adds a node that takes weight shares of the keys, 1…MaxWeight.
// Errors: those of AddNode, and ErrWeight.
func (r *HashRing) AddWeighted(name string, weight int) error {
	if weight < 1 || weight > MaxWeight {
		return fmt.Errorf("%w: node %q has weight %d, allowed is 1 to %d", ErrWeight, name, weight, MaxWeight)
	}
	return r.change(func(s *Snapshot) (*Snapshot, error) { return s.with(name, weight, r.virtualNodes) })
}

// RemoveNode takes a node off the ring. Errors: ErrUnknownNode.
func (r *HashRing) RemoveNode(name string) error {
	return r.change(func(s *Snapshot) (*Snapshot, error) { return s.without(name) })
}

// change retries when another goroutine published a change in between, so that none is lost.
func (r *HashRing) change(next func(*Snapshot) (*Snapshot, error)) error {
	for {
		old := r.current.Load()
		changed, err := next(old)
		if err != nil {
			return err
		}
		if r.current.CompareAndSwap(old, changed) {
			return nil
		}
	}
}

// Snapshot returns the ring as it is now; later changes don't affect it.
func (r *HashRing) Snapshot() *Snapshot { return r.current.Load() }

// PartitionOwner is Snapshot().PartitionOwner.
func (r *HashRing) PartitionOwner(topic string, partition uint32) (string, error) {
	return r.current.Load().PartitionOwner(topic, partition)
}

// KeyOwner is Snapshot().KeyOwner.
func (r *HashRing) KeyOwner(key []byte) (string, error) {
	return r.current.Load().KeyOwner(key)
}

// Replicas is Snapshot().Replicas.
func (r *HashRing) Replicas(topic string, partition uint32, count int) ([]string, error) {
	return r.current.Load().Replicas(topic, partition, count)
}
