package metadata

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"testing"

	"google.golang.org/protobuf/proto"
)

var rewrite = flag.Bool("rewrite", false, "write the golden snapshot anew; only together with a new format version")

func sample(t testing.TB) State {
	w := newWorld(t, 3)
	w.must(orders())
	w.must(&SetConfig{Key: "app/limit", Value: []byte("42")})
	w.must(&UpdatePartitionLeader{Topic: "orders", LeaderEpoch: 1, PartitionEpoch: 1, Leader: &NodeGeneration{NodeId: 3, Generation: 1}, Isr: []uint64{2, 3}})
	return w.state
}

func written(t testing.TB, s State) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := s.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("wrote %d bytes of %d: %v", n, b.Len(), err)
	}
	return b.Bytes()
}

func TestSnapshotFormatNeverChanges(t *testing.T) {
	const file = "testdata/snapshot-v1"
	got := written(t, sample(t))
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the snapshot differs from %s: nodes of two versions would disagree", file)
	}
	state, err := ReadState(bytes.NewReader(want))
	if err != nil || !state.Equal(sample(t)) {
		t.Fatalf("read back: %v", err)
	}
}

func TestEverySingleDamageIsFound(t *testing.T) {
	good := written(t, sample(t))
	for i := range good {
		for _, flip := range []byte{1, 0x80} {
			bad := bytes.Clone(good)
			bad[i] ^= flip
			if _, err := ReadState(bytes.NewReader(bad)); !errors.Is(err, ErrSnapshot) {
				t.Fatalf("byte %d flipped by %#x: %v", i, flip, err)
			}
		}
		if _, err := ReadState(bytes.NewReader(good[:i])); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("cut off at %d: %v", i, err)
		}
	}
	if _, err := ReadState(bytes.NewReader(append(bytes.Clone(good), 0))); !errors.Is(err, ErrSnapshot) {
		t.Errorf("bytes behind the end: %v", err)
	}
}

func TestRestoreKeepsTheStateOnFailure(t *testing.T) {
	m := &Machine{state: sample(t)}
	if err := m.Restore(bytes.NewReader([]byte("RVMD"))); !errors.Is(err, ErrSnapshot) {
		t.Errorf("restore of nothing: %v", err)
	}
	if !m.State().Equal(sample(t)) {
		t.Error("a failed restore changed the state")
	}
	broken := errors.New("disk fell off")
	if err := m.Restore(io.MultiReader(bytes.NewReader(written(t, sample(t))[:20]), failing{broken})); !errors.Is(err, broken) || errors.Is(err, ErrSnapshot) {
		t.Errorf("an I/O error reads as %v", err)
	}
	if _, err := m.State().WriteTo(failing{broken}); !errors.Is(err, broken) {
		t.Errorf("a write error reads as %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestSnapshotDoesNotSeeLaterCommands(t *testing.T) {
	w := newWorld(t, 3)
	m := &Machine{state: w.state}
	before := written(t, w.state)
	snapshot, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	w.must(orders())
	m.state = w.state
	var b bytes.Buffer
	if _, err := snapshot.WriteTo(&b); err != nil || !bytes.Equal(b.Bytes(), before) {
		t.Errorf("the snapshot changed under its writer: %v", err)
	}
}

func TestExportIsChecked(t *testing.T) {
	answer, err := sample(t).Query(&GetExport{})
	if err != nil {
		t.Fatal(err)
	}
	good := answer.(*Export)
	for name, spoil := range map[string]func(*Export){
		"digest":             func(e *Export) { e.Digest++ },
		"order":              func(e *Export) { e.Nodes[0], e.Nodes[1] = e.Nodes[1], e.Nodes[0] },
		"missing partition":  func(e *Export) { e.Partitions = e.Partitions[:1] },
		"leader not in sync": func(e *Export) { e.Partitions[0].Leader = 1 },
		"unknown replica":    func(e *Export) { e.Partitions[0].Replicas[0] = 9 },
		"stray partition":    func(e *Export) { e.Partitions[1].Partition = 7 },
		"epochs":             func(e *Export) { e.Partitions[0].LeaderEpoch = 9 },
		"topic name":         func(e *Export) { e.Topics[0].Name = "!" },
		"config revision":    func(e *Export) { e.Config[0].Revision = 0 },
		"nil record":         func(e *Export) { e.Nodes[0] = nil },
	} {
		bad := proto.CloneOf(good)
		spoil(bad)
		if _, err := StateFrom(bad); !errors.Is(err, ErrSnapshot) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadState(f *testing.F) {
	f.Add(written(f, State{}))
	f.Add(written(f, sample(f)))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ReadState(bytes.NewReader(data))
		if err != nil {
			return
		}
		if err := check(s); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(written(t, s), data) {
			t.Fatal("a snapshot that is read writes other bytes")
		}
	})
}

func BenchmarkApplySetConfig(b *testing.B) {
	w := newWorld(b, 3)
	value := make([]byte, 128)
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf("app/%03d", i)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		w.must(&SetConfig{Key: keys[i%len(keys)], Value: value})
		i++
	}
}
