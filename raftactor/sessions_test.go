package raftactor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

func id(session, sequence uint64) *consensus.ProposalID {
	return &consensus.ProposalID{Session: session, Sequence: sequence}
}

func TestSessionTableIsBounded(t *testing.T) {
	table := newSessions()
	for i := range uint64(sessionsMax) {
		if table.open(i + 1) {
			t.Fatalf("session %d took another one's place", i+1)
		}
	}
	table.find(id(1, 1), sessionsMax+1) // the oldest is used again
	if !table.open(sessionsMax + 2) {
		t.Fatal("nobody says that a session was evicted")
	}
	if s, _ := table.find(id(1, 1), sessionsMax+3); s == nil {
		t.Fatal("a session in use was evicted")
	}
	if s, _ := table.find(id(2, 1), sessionsMax+3); s != nil || len(table.byID) != sessionsMax {
		t.Fatalf("%d sessions, the one unused longest is there: %v", len(table.byID), s != nil)
	}
	if s, _ := table.find(id(3, 1), 3+sessionLife+1); s != nil {
		t.Fatal("an expired session was found")
	}
	if table.open(10 * sessionLife) {
		t.Fatal("expired sessions are no evicted ones")
	}
	if len(table.byID) != 1 {
		t.Fatalf("%d sessions after all but one expired", len(table.byID))
	}
}

func TestSessionForgetsTheLowestNumbersAndSaysSo(t *testing.T) {
	table := newSessions()
	table.open(1)
	for n := uint64(1); n <= sessionResults+10; n++ {
		s, stored := table.find(id(1, n), n+1)
		if s == nil || stored != nil {
			t.Fatalf("number %d: %v %v", n, s, stored)
		}
		s.remember(n, n+1, nil, nil)
	}
	if s, _ := table.find(id(1, 10), 1000); s != nil {
		t.Fatal("a forgotten number would be applied again")
	}
	if _, stored := table.find(id(1, 11), 1000); stored.GetIndex() != 12 {
		t.Fatalf("number 11: %v", stored)
	}
	s := table.byID[1]
	s.remember(1000, 1000, consensus.Pack(text("%s", strings.Repeat("x", 2*sessionResultSize))), nil)
	if len(s.results) != 1 || s.results[0].GetSequence() != 1000 {
		t.Fatalf("%d results beside a large one", len(s.results))
	}
	if again := decodeSessions(table.encode()); !proto.Equal(again.encode(), table.encode()) || again.byID[1].size != s.size {
		t.Fatal("the table doesn't survive its encoding")
	}
}

// stored gives every reference the same bytes.
type stored []byte

func (s stored) Open(logstore.SnapshotRef) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(s)), nil
}

func TestDamagedSnapshotFilesAreRefused(t *testing.T) {
	m := newKV(nil)
	m.values["a"] = "1"
	var good bytes.Buffer
	if _, err := (&snapshotData{sessions: newSessions().encode(), machine: dump(m.dump())}).WriteTo(&good); err != nil {
		t.Fatal(err)
	}
	table := func(size uint32, rest ...byte) []byte {
		return append(binary.BigEndian.AppendUint32([]byte(snapshotMagic), size), rest...)
	}
	for name, file := range map[string][]byte{
		"empty": {}, "short head": []byte(snapshotMagic), "newer format": append([]byte("rvsnap02"), good.Bytes()[8:]...),
		"table beyond the file": table(1 << 31), "short table": table(4, 1), "garbage table": table(2, 255, 255),
		"no machine": good.Bytes()[:12], "garbage machine": append(good.Bytes()[:12:12], "{{{"...),
	} {
		a := &applier{files: stored(file), machine: newKV(nil), sessions: newSessions()}
		if err := a.read(&logstore.SnapshotRef{Size: uint64(len(file))}); err == nil {
			t.Errorf("%s: restored", name)
		}
	}
	a := &applier{files: stored(good.Bytes()), machine: newKV(nil), sessions: newSessions()}
	if err := a.read(&logstore.SnapshotRef{Size: uint64(good.Len())}); err != nil || a.machine.(*kv).dump() != m.dump() {
		t.Fatal(err)
	}
	a.machine = &bomb{}
	if err := a.read(&logstore.SnapshotRef{Size: uint64(good.Len())}); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Fatal(err)
	}
	if _, err := a.machine.Snapshot(); !errors.Is(err, errBomb) {
		t.Fatal(err)
	}
}

var errBomb = fmt.Errorf("no snapshot today")

// bomb is a machine that fails where it can.
type bomb struct{ kv }

func (*bomb) Restore(io.Reader) error        { panic("bomb") }
func (*bomb) Snapshot() (io.WriterTo, error) { return nil, errBomb }

func TestFailedSnapshotIsReportedAndTheGroupGoesOn(t *testing.T) {
	w := cluster(t, 61, 1, func(c *Config) { c.Machine = func() consensus.Machine { return &bomb{kv: *newKV(nil)} } })
	w.nodes[0].set("a", "1")
	f := code(t, w.nodes[0].await(&consensus.TakeSnapshot{}), consensus.ErrDropped)
	if !strings.Contains(f.GetMessage(), errBomb.Error()) {
		t.Fatal(f)
	}
	w.nodes[0].set("a", "2")
}
