package ring

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var rewrite = flag.Bool("rewrite", false, "write the golden vectors anew; only for a new file, never to make a change pass")

func build(t testing.TB, virtualNodes int, names ...string) *HashRing {
	t.Helper()
	r := New(virtualNodes)
	for _, name := range names {
		if err := r.AddNode(name); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func names(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("node%d", i+1)
	}
	return list
}

type golden struct {
	VirtualNodes int                 `json:"virtual_nodes"`
	Nodes        []Node              `json:"nodes"`
	Positions    map[string]string   `json:"positions"`
	Partitions   map[string][]string `json:"partitions"`
	Keys         map[string]string   `json:"keys"`
}

func computeGolden(t *testing.T) golden {
	g := golden{VirtualNodes: 128, Positions: map[string]string{}, Partitions: map[string][]string{}, Keys: map[string]string{}}
	r := build(t, 128, names(12)...)
	if err := r.AddWeighted("heavy", 3); err != nil {
		t.Fatal(err)
	}
	g.Nodes = r.Snapshot().Nodes()
	for _, name := range []string{"node1", "node11", "", strings.Repeat("x", 400)} {
		for _, index := range []uint32{0, 1, 11, 4294967295} {
			g.Positions[fmt.Sprintf("node %s %d", name, index)] = fmt.Sprintf("%016x", position(domainNode, name, index))
			g.Positions[fmt.Sprintf("partition %s %d", name, index)] = fmt.Sprintf("%016x", position(domainPartition, name, index))
		}
		g.Positions["key "+name] = fmt.Sprintf("%016x", position(domainKey, name, 0))
	}
	for _, topic := range []string{"my-topic", "orders", "a"} {
		for p := range uint32(32) {
			replicas, err := r.Replicas(topic, p, 3)
			if err != nil {
				t.Fatal(err)
			}
			g.Partitions[fmt.Sprintf("%s/%d", topic, p)] = replicas
		}
	}
	for i := range 64 {
		key := fmt.Sprintf("user-%d", i)
		owner, err := r.KeyOwner([]byte(key))
		if err != nil {
			t.Fatal(err)
		}
		g.Keys[key] = owner
	}
	return g
}

func TestGoldenVectorsNeverChange(t *testing.T) {
	const file = "testdata/golden.json"
	got, err := json.MarshalIndent(computeGolden(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Fatalf("positions or owners differ from %s: keys of running clusters would move", file)
	}
}

func TestRefusals(t *testing.T) {
	r := New(128)
	if _, err := r.PartitionOwner("t", 0); !errors.Is(err, ErrEmptyRing) {
		t.Errorf("lookup on an empty ring: %v", err)
	}
	if _, err := r.KeyOwner([]byte("k")); !errors.Is(err, ErrEmptyRing) {
		t.Errorf("key on an empty ring: %v", err)
	}
	if _, err := r.Replicas("t", 0, 1); !errors.Is(err, ErrEmptyRing) {
		t.Errorf("replicas on an empty ring: %v", err)
	}
	if err := r.AddNode(""); !errors.Is(err, ErrEmptyName) {
		t.Errorf("empty name: %v", err)
	}
	if err := r.AddNode("a"); err != nil {
		t.Fatal(err)
	}
	before := r.Snapshot()
	for _, weight := range []int{-1, 0, MaxWeight + 1} {
		if err := r.AddWeighted("w", weight); !errors.Is(err, ErrWeight) {
			t.Errorf("weight %d: %v", weight, err)
		}
	}
	if err := r.AddNode("a"); !errors.Is(err, ErrDuplicateNode) {
		t.Errorf("duplicate: %v", err)
	}
	if err := r.RemoveNode("b"); !errors.Is(err, ErrUnknownNode) {
		t.Errorf("unknown: %v", err)
	}
	if _, err := r.Replicas("t", 0, 0); !errors.Is(err, ErrReplicaCount) {
		t.Errorf("no replicas: %v", err)
	}
	if _, err := r.Replicas("t", 0, 2); !errors.Is(err, ErrTooFewNodes) {
		t.Errorf("two replicas on one node: %v", err)
	}
	if r.Snapshot() != before {
		t.Error("a refused change published a new ring")
	}
	full := New(128)
	full.current.Store(&Snapshot{points: make([]uint64, MaxPoints-127)})
	if err := full.AddNode("one-more"); !errors.Is(err, ErrRingFull) {
		t.Errorf("full ring: %v", err)
	}
}

func TestVirtualNodesAreClamped(t *testing.T) {
	for given, want := range map[int]int{-3: DefaultVirtualNodes, 0: DefaultVirtualNodes, 1: 1, 1 << 20: MaxVirtualNodes} {
		if got := New(given).VirtualNodes(); got != want {
			t.Errorf("New(%d) has %d virtual nodes, want %d", given, got, want)
		}
	}
}

func TestConcatenatedNamesDoNotCollide(t *testing.T) {
	if position(domainNode, "node1", 11) == position(domainNode, "node11", 1) {
		t.Fatal("node1 #11 and node11 #1 share a position")
	}
	if position(domainNode, "a", 0) == position(domainPartition, "a", 0) {
		t.Fatal("a node and a topic of the same name share a position")
	}
}

func TestStreamedHashEqualsInline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringN(0, 260, 260).Draw(t, "name")
		index := rapid.Uint32().Draw(t, "index")
		if position(domainNode, name, index) != streamed(domainNode, name, index) {
			t.Fatal("indexed positions differ")
		}
		if position(domainKey, []byte(name), 0) != streamed(domainKey, name, 0) {
			t.Fatal("key positions differ")
		}
	})
}

// reference is the ring by definition: all points in one sorted list, searched from the start.
func reference(s *Snapshot, virtualNodes int, at uint64, count int) []string {
	type entry struct {
		position uint64
		name     string
	}
	var all []entry
	for _, n := range s.Nodes() {
		for i := range n.Weight * virtualNodes {
			all = append(all, entry{position(domainNode, n.Name, uint32(i)), n.Name})
		}
	}
	slices.SortFunc(all, func(a, b entry) int {
		if a.position != b.position {
			if a.position < b.position {
				return -1
			}
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	first, _ := slices.BinarySearchFunc(all, at, func(e entry, p uint64) int {
		if e.position < p {
			return -1
		}
		return 1
	})
	var list []string
	for i := 0; len(list) < count && i < len(all); i++ {
		if name := all[(first+i)%len(all)].name; !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

func TestAgreesWithDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		virtualNodes := rapid.IntRange(1, 16).Draw(t, "virtualNodes")
		weights := rapid.MapOfN(rapid.StringMatching(`[a-z]{1,3}`), rapid.IntRange(1, 3), 1, 24).Draw(t, "nodes")
		r := New(virtualNodes)
		for name, weight := range weights {
			if err := r.AddWeighted(name, weight); err != nil {
				t.Fatal(err)
			}
		}
		s := r.Snapshot()
		topic := rapid.StringMatching(`[a-z.]{0,8}`).Draw(t, "topic")
		partition := rapid.Uint32().Draw(t, "partition")
		want := reference(s, virtualNodes, position(domainPartition, topic, partition), s.Len())
		for count := 1; count <= s.Len(); count++ {
			got, err := s.Replicas(topic, partition, count)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want[:count]) {
				t.Fatalf("replicas %v, by definition %v", got, want[:count])
			}
		}
		if owner, _ := s.PartitionOwner(topic, partition); owner != want[0] {
			t.Fatalf("owner %s, by definition %s", owner, want[0])
		}
		key := rapid.SliceOf(rapid.Byte()).Draw(t, "key")
		if owner, _ := s.KeyOwner(key); owner != reference(s, virtualNodes, position(domainKey, key, 0), 1)[0] {
			t.Fatalf("owner of key is %s, by definition another", owner)
		}
	})
}

func TestEveryPositionIsFound(t *testing.T) {
	s := build(t, 4, names(5)...).Snapshot()
	for i, p := range s.points {
		if got := s.successor(p); got != i {
			t.Errorf("point %d itself is found at %d", i, got)
		}
		if got, want := s.successor(p+1), (i+1)%len(s.points); got != want {
			t.Errorf("after point %d comes %d, want %d", i, got, want)
		}
	}
	for _, edge := range []uint64{0, ^uint64(0)} {
		if got := s.successor(edge); got != 0 {
			t.Errorf("edge %x is found at %d, want 0", edge, got)
		}
	}
}

func TestOrderOfChangesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := names(8)
		direct, detour := New(8), New(8)
		for _, name := range all[:5] {
			if err := direct.AddNode(name); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range rapid.Permutation(all).Draw(t, "added") {
			if err := detour.AddNode(name); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range rapid.Permutation(all[5:]).Draw(t, "removed") {
			if err := detour.RemoveNode(name); err != nil {
				t.Fatal(err)
			}
		}
		a, b := direct.Snapshot(), detour.Snapshot()
		if !slices.Equal(a.points, b.points) || !slices.Equal(a.owners, b.owners) || !slices.Equal(a.nodes, b.nodes) || !slices.Equal(a.starts, b.starts) {
			t.Fatal("the same nodes gave two different rings")
		}
	})
}

func TestOnlyKeysOfTheChangedNodeMove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 20).Draw(t, "nodes")
		r := New(32)
		for _, name := range names(n) {
			if err := r.AddNode(name); err != nil {
				t.Fatal(err)
			}
		}
		before := r.Snapshot()
		if err := r.AddNode("new"); err != nil {
			t.Fatal(err)
		}
		after := r.Snapshot()
		for p := range uint32(500) {
			was, _ := before.PartitionOwner("t", p)
			is, _ := after.PartitionOwner("t", p)
			if was != is && is != "new" {
				t.Fatalf("partition %d moved from %s to %s when another node joined", p, was, is)
			}
		}
	})
}

func TestBalance(t *testing.T) {
	r := build(t, 128, names(20)...)
	if err := r.AddWeighted("heavy", 2); err != nil {
		t.Fatal(err)
	}
	const partitions = 220_000
	load := map[string]int{}
	for p := range uint32(partitions) {
		owner, err := r.PartitionOwner("t", p)
		if err != nil {
			t.Fatal(err)
		}
		load[owner]++
	}
	const share = partitions / 22
	for name, got := range load {
		want := share
		if name == "heavy" {
			want = 2 * share
		}
		if got < want*65/100 || got > want*135/100 {
			t.Errorf("%s owns %d partitions, expected about %d", name, got, want)
		}
	}
}

func TestConcurrentChangesAreNotLost(t *testing.T) {
	r := New(16)
	done := make(chan error)
	for _, name := range names(16) {
		go func() { done <- r.AddNode(name) }()
	}
	for range 16 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if got := r.Snapshot().Len(); got != 16 {
		t.Fatalf("%d nodes on the ring, want 16", got)
	}
}

func TestLookupsDoNotAllocate(t *testing.T) {
	r := build(t, 128, names(100)...)
	s := r.Snapshot()
	key, long := []byte("user-42"), []byte(strings.Repeat("k", 1000))
	buf := make([]string, 0, 16)
	for name, f := range map[string]func(){
		"partition": func() { _, _ = r.PartitionOwner("my-topic", 7) },
		"key":       func() { _, _ = r.KeyOwner(key) },
		"long key":  func() { _, _ = r.KeyOwner(long) },
		"replicas":  func() { _, _ = s.AppendReplicas(buf, "my-topic", 7, 3) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
