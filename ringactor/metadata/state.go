package metadata

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"strings"

	"google.golang.org/protobuf/proto"
)

// State is the metadata of a cluster at one log index. It is an immutable value:
// a copy costs nothing and may be read from any goroutine, as long as nobody
// changes the records that it hands out. The zero value is the state before the first command.
type State struct {
	nodes      tree[nodeKey, *Node]
	topics     tree[name, *Topic]
	partitions tree[partitionKey, *Partition]
	config     tree[name, *ConfigEntry]
	digest     uint64
	epochFloor uint64 // the highest leader epoch of any topic that was deleted
}

type nodeKey uint64

// Compare orders by id.
func (k nodeKey) Compare(o nodeKey) int { return cmp.Compare(k, o) }

type name string

// Compare orders by bytes.
func (k name) Compare(o name) int { return strings.Compare(string(k), string(o)) }

type partitionKey struct {
	topic string
	index uint32
}

// Compare orders by topic, then number.
func (k partitionKey) Compare(o partitionKey) int {
	return cmp.Or(strings.Compare(k.topic, o.topic), cmp.Compare(k.index, o.index))
}

// Node returns a registered node, nil where there is none.
func (s State) Node(id uint64) *Node {
	n, _ := s.nodes.get(nodeKey(id))
	return n
}

// Nodes iterates by node id.
func (s State) Nodes() iter.Seq[*Node] { return values(s.nodes.all()) }

// NodeCount is the number of registered nodes.
func (s State) NodeCount() int { return s.nodes.len() }

// Topic returns a topic, nil where there is none.
func (s State) Topic(topic string) *Topic {
	t, _ := s.topics.get(name(topic))
	return t
}

// Topics iterates by name.
func (s State) Topics() iter.Seq[*Topic] { return values(s.topics.all()) }

// TopicCount is the number of topics.
func (s State) TopicCount() int { return s.topics.len() }

// Partition returns a partition, nil where there is none.
func (s State) Partition(topic string, partition uint32) *Partition {
	p, _ := s.partitions.get(partitionKey{topic, partition})
	return p
}

// Partitions iterates over all partitions by topic and number.
func (s State) Partitions() iter.Seq[*Partition] { return values(s.partitions.all()) }

// PartitionsOf iterates over a topic's partitions by number.
func (s State) PartitionsOf(topic string) iter.Seq[*Partition] {
	return func(yield func(*Partition) bool) {
		for k, p := range s.partitions.from(partitionKey{topic, 0}) {
			if k.topic != topic || !yield(p) {
				return
			}
		}
	}
}

// PartitionCount is the number of partitions of all topics.
func (s State) PartitionCount() int { return s.partitions.len() }

// Config returns the entry of a key, nil where there is none.
func (s State) Config(key string) *ConfigEntry {
	e, _ := s.config.get(name(key))
	return e
}

// ConfigCount is the number of keys.
func (s State) ConfigCount() int { return s.config.len() }

// SameTable reports whether no command changed a node, a topic or a partition between the two states, of which one came
// from the other by Apply.
func (s State) SameTable(o State) bool {
	return s.nodes.root == o.nodes.root && s.topics.root == o.topics.root && s.partitions.root == o.partitions.root
}

// Digest is the sum of the hashes of all records: two replicas at one log index
// that differ in any record differ in it, but for chance of 2⁻⁶⁴.
func (s State) Digest() uint64 {
	const odd = 0x9e3779b97f4a7c15
	return s.digest + s.epochFloor*odd
}

// MinFeatureLevel is the highest command level that every node that has not left can apply, and 0 before the first registers.
func (s State) MinFeatureLevel() uint32 {
	var least uint32
	for n := range s.Nodes() {
		if n.State != NodeState_NODE_STATE_LEFT && (least == 0 || n.FeatureLevel < least) {
			least = n.FeatureLevel
		}
	}
	return least
}

func values[K, V any](seq iter.Seq2[K, V]) iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, v := range seq {
			if !yield(v) {
				return
			}
		}
	}
}

// Kinds of records, in snapshots and under the digest. Numbers are final.
const (
	kindEnd       = 0
	kindNode      = 1
	kindTopic     = 2
	kindPartition = 3
	kindConfig    = 4
)

func recordHash(kind byte, r record) uint64 {
	buf := make([]byte, 1+r.SizeVT())
	buf[0] = kind
	if n, err := r.MarshalToSizedBufferVT(buf[1:]); err != nil || n != len(buf)-1 {
		panic(fmt.Sprintf("metadata: a record of %d bytes can't be marshalled: %d bytes, %v", len(buf)-1, n, err))
	}
	sum := sha256.Sum256(buf)
	return binary.LittleEndian.Uint64(sum[:])
}

// record is what the state holds. None has a map, so that its generated encoding is one and the same for equal records.
type record interface {
	proto.Message
	SizeVT() int
	MarshalToSizedBufferVT(b []byte) (int, error)
}

// put returns the tree with a record and corrects the digest.
func put[K key[K], V record](s *State, t *tree[K, V], kind byte, k K, v V) {
	if old, ok := t.get(k); ok {
		s.digest -= recordHash(kind, old)
	}
	s.digest += recordHash(kind, v)
	*t = t.with(k, v)
}

func drop[K key[K], V record](s *State, t *tree[K, V], kind byte, k K) {
	if old, ok := t.get(k); ok {
		s.digest -= recordHash(kind, old)
		*t = t.without(k)
	}
}

func (s *State) putNode(n *Node) { put(s, &s.nodes, kindNode, nodeKey(n.NodeId), n) }

func (s *State) dropNode(id uint64) { drop(s, &s.nodes, kindNode, nodeKey(id)) }

func (s *State) putTopic(t *Topic) { put(s, &s.topics, kindTopic, name(t.Name), t) }

func (s *State) dropTopic(topic string) { drop(s, &s.topics, kindTopic, name(topic)) }

func (s *State) putPartition(p *Partition) {
	put(s, &s.partitions, kindPartition, partitionKey{p.Topic, p.Partition}, p)
}

func (s *State) dropPartition(topic string, index uint32) {
	drop(s, &s.partitions, kindPartition, partitionKey{topic, index})
}

func (s *State) putConfig(e *ConfigEntry) { put(s, &s.config, kindConfig, name(e.Key), e) }

func (s *State) dropConfig(key string) { drop(s, &s.config, kindConfig, name(key)) }
