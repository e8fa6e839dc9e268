package recovery_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/node/recovery"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

var (
	epoch = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	three = []raftactor.Peer{{NodeID: 1, Replica: 11, Address: "a:1"}, {NodeID: 2, Replica: 22, Address: "b:1"}, {NodeID: 3, Replica: 33, Address: "c:1"}}
)

func target(dir string) recovery.Target {
	return recovery.Target{DataDir: dir, ClusterName: "rivven", NodeID: 1, Address: "a:1", DirectoryID: actors.ID{9, 9}, Now: epoch}
}

// disk is the data directory of a node that doesn't run, open.
type disk struct {
	t     *testing.T
	store logstore.Store
	files logstore.SnapshotFiles
	done  chan logstore.Durable
}

func openDisk(t *testing.T, dir string) *disk {
	t.Helper()
	store, err := logstore.OpenBolt(dir, logstore.BoltOptions{NodeID: 1, DirectoryID: actors.ID{1}, NowMs: 1, PreallocateBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	files, err := logstore.NewSnapshotDir(filepath.Join(dir, recovery.SnapshotsDirectory))
	if err != nil {
		t.Fatal(err)
	}
	d := &disk{t, store, files, make(chan logstore.Durable, 1)}
	store.Attach(func(done logstore.Durable) { d.done <- done })
	t.Cleanup(func() { _ = store.Close() })
	return d
}

func (d *disk) write(w logstore.GroupWrite) {
	d.t.Helper()
	d.store.Submit([]logstore.GroupWrite{w}, 1)
	if done := <-d.done; done.Err != nil || len(done.Refused) > 0 {
		d.t.Fatalf("%+v", done)
	}
}

func (d *disk) close() {
	d.t.Helper()
	if err := d.store.Close(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) snapshot(group string, index uint64, data string) *logstore.SnapshotRef {
	d.t.Helper()
	ref := *raftactor.InitialWrite(group, three).Snapshot
	ref.Index, ref.Term = index, 2
	w, err := d.files.Create(ref)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := io.WriteString(w, data); err != nil {
		d.t.Fatal(err)
	}
	if ref, err = w.Commit(); err != nil {
		d.t.Fatal(err)
	}
	return &ref
}

func entries(first, term uint64, n int) []*raftpb.Entry {
	out := make([]*raftpb.Entry, n)
	for i := range out {
		index := first + uint64(i)
		out[i] = &raftpb.Entry{Index: proto.Uint64(index), Term: proto.Uint64(term), Type: raftpb.EntryNormal.Enum(), Data: fmt.Appendf(nil, "e%d", index)}
	}
	return out
}

func hard(term, vote, commit uint64) *raftpb.HardState {
	return &raftpb.HardState{Term: proto.Uint64(term), Vote: proto.Uint64(vote), Commit: proto.Uint64(commit)}
}

// survivor is one node of three whose log goes on from snapshots, with entries that nobody knows to be committed, and a membership change.
func survivor(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	d := openDisk(t, dir)
	id := d.store.Identity()
	id.ClusterID, id.InitialConfig = "0123", []byte{}
	if err := d.store.SetIdentity(id, []logstore.GroupWrite{raftactor.InitialWrite("meta", three), raftactor.InitialWrite("young", three)}); err != nil {
		t.Fatal(err)
	}
	log := entries(2, 2, 19)
	log[16].Type, log[16].Data = raftpb.EntryConfChangeV2.Enum(), []byte("add node 4")
	d.write(logstore.GroupWrite{Group: "meta", Entries: log, HardState: hard(3, 22, 15)})
	d.write(logstore.GroupWrite{Group: "meta", Snapshot: d.snapshot("meta", 5, "state at 5")})
	d.write(logstore.GroupWrite{Group: "meta", Snapshot: d.snapshot("meta", 12, "state at 12"), Compact: 3})
	d.close()
	return dir
}

func backupOf(t *testing.T, dir string) []byte {
	t.Helper()
	d := openDisk(t, dir)
	defer d.close()
	var b bytes.Buffer
	w, err := recovery.NewWriter(&b, recovery.Head{ClusterID: "0123", NodeID: 1, Created: epoch})
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range d.store.Groups() {
		ref := d.store.State(group).Snapshot
		var data io.Reader = strings.NewReader("")
		if ref.Size > 0 {
			f, err := d.files.Open(*ref)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			data = f
		}
		if err := w.Add(ref, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// mustStand checks what a new cluster of one node stands on.
func (d *disk) mustStand(group string, index uint64, data string) {
	d.t.Helper()
	ref := d.store.State(group).Snapshot
	if ref == nil || ref.Index != index {
		d.t.Fatalf("group %s stands on %+v, want index %d", group, ref, index)
	}
	own := actors.ReplicaID(actors.ID{9, 9})
	voters, learners, err := raftactor.Members(ref)
	if err != nil || len(voters) != 1 || voters[0] != (raftactor.Peer{NodeID: 1, Replica: own, Address: "a:1"}) || len(learners) != 0 {
		d.t.Fatalf("group %s has voters %v, learners %v, %v", group, voters, learners, err)
	}
	if data == "" {
		return
	}
	f, err := d.files.Open(*ref)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if got, err := io.ReadAll(f); err != nil || string(got) != data {
		d.t.Fatalf("group %s: %q, %v", group, got, err)
	}
}

func TestRestoreMakesANewCluster(t *testing.T) {
	backup := backupOf(t, survivor(t))
	summary, err := recovery.Inspect(bytes.NewReader(backup))
	if err != nil || len(summary.Groups) != 2 || summary.ClusterID != "0123" || summary.Groups[0].Index != 12 || len(summary.Groups[0].Voters) != 3 || summary.Bytes != 11 {
		t.Fatalf("%+v, %v", summary, err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "keep"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	founded, err := recovery.Restore(bytes.NewReader(backup), target(dir))
	if err != nil || founded.ClusterID == "" || founded.ClusterID == "0123" || founded.Archive != "" {
		t.Fatalf("%+v, %v", founded, err)
	}
	d := openDisk(t, dir)
	if id := d.store.Identity(); id.ClusterID != founded.ClusterID || id.DirectoryID != (actors.ID{9, 9}) {
		t.Fatalf("%+v", id)
	}
	d.mustStand("meta", 12, "state at 12")
	d.mustStand("young", 1, "")
	if s := d.store.State("meta"); s.FirstIndex != 13 || s.LastIndex != 12 || s.HardState.GetCommit() != 12 || s.HardState.GetTerm() != 2 {
		t.Fatalf("%+v", s)
	}
	d.close()
	if _, err := recovery.Restore(bytes.NewReader(backup), target(dir)); !errors.Is(err, recovery.ErrNotEmpty) {
		t.Fatalf("restored over a node's state: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 4 { // raft.db, snapshots, LOCK, keep
		t.Fatalf("left %v", left)
	}
}

// TestDamagedBackupsAreRefused cuts a backup anywhere and flips bits everywhere: nothing of it is used.
func TestDamagedBackupsAreRefused(t *testing.T) {
	backup := backupOf(t, survivor(t))
	refused := func(what string, b []byte) {
		t.Helper()
		if _, err := recovery.Inspect(bytes.NewReader(b)); !errors.Is(err, recovery.ErrDamaged) && !errors.Is(err, recovery.ErrNewerFormat) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for n := range backup {
		refused(fmt.Sprintf("cut at %d", n), backup[:n])
	}
	for bit := range 8 * len(backup) {
		flipped := bytes.Clone(backup)
		flipped[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprintf("bit %d of byte %d", bit%8, bit/8), flipped)
	}
	refused("more", append(bytes.Clone(backup), 0))
	dir := t.TempDir()
	if _, err := recovery.Restore(bytes.NewReader(backup[:len(backup)-1]), target(dir)); !errors.Is(err, recovery.ErrDamaged) {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Fatalf("half a restore left %v", left)
	}
}

func TestWriterRefusesOtherDataThanItsReference(t *testing.T) {
	d := openDisk(t, t.TempDir())
	ref := d.snapshot("g", 5, "four")
	for _, data := range []string{"fou", "fours", "five"} {
		w, err := recovery.NewWriter(io.Discard, recovery.Head{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add(ref, strings.NewReader(data)); err == nil {
			t.Fatalf("%q was taken", data)
		}
	}
}

func TestRecoveryKeepsEveryEntryAndNoMember(t *testing.T) {
	dir := survivor(t)
	plan, err := recovery.MakePlan(dir, 1, epoch)
	if err != nil {
		t.Fatal(err)
	}
	var written bytes.Buffer
	if err := plan.Write(&written); err != nil {
		t.Fatal(err)
	}
	if plan, err = recovery.ReadPlan(&written); err != nil {
		t.Fatal(err)
	}
	if g := plan.Groups[0]; g.Group != "meta" || g.LastTerm != 2 || g.LastIndex != 20 || g.Commit != 15 || g.Snapshot != 12 || g.Entries != 8 || len(g.Voters) != 3 || g.Problem != "" {
		t.Fatalf("%+v", g)
	}
	founded, err := plan.Apply(target(dir))
	if err != nil || founded.ClusterID == "0123" || founded.Archive == "" {
		t.Fatalf("%+v, %v", founded, err)
	}
	d := openDisk(t, dir)
	d.mustStand("meta", 12, "state at 12")
	d.mustStand("young", 1, "")
	s := d.store.State("meta")
	if s.LastIndex != 20 || s.HardState.GetTerm() != 3 || s.HardState.GetVote() != 0 || s.HardState.GetCommit() != 15 {
		t.Fatalf("%+v", s)
	}
	log, err := d.store.Entries("meta", 13, 21, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range log {
		want := fmt.Sprintf("e%d", e.GetIndex())
		if e.GetIndex() == 18 {
			want = "" // the membership change
		}
		if e.GetType() != raftpb.EntryNormal || string(e.GetData()) != want {
			t.Fatalf("entry %v, want %q", e, want)
		}
	}
	d.close()
	old := openDisk(t, founded.Archive)
	if id := old.store.Identity(); id.ClusterID != "0123" {
		t.Fatalf("the archive holds %+v", id)
	}
	if _, err := old.files.Open(*old.store.State("meta").Snapshot); err != nil {
		t.Fatal(err)
	}
}

func TestRecoveryFallsBackToTheSnapshotBefore(t *testing.T) {
	dir := survivor(t)
	files, err := filepath.Glob(filepath.Join(dir, recovery.SnapshotsDirectory, "meta", "000000000000000c*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Truncate(files[0], 40); err != nil {
		t.Fatal(err)
	}
	plan, err := recovery.MakePlan(dir, 1, epoch)
	if err != nil || plan.Groups[0].Snapshot != 5 || plan.Groups[0].Entries != 15 {
		t.Fatalf("%+v, %v", plan, err)
	}
	if _, err := plan.Apply(target(dir)); err != nil {
		t.Fatal(err)
	}
	d := openDisk(t, dir)
	d.mustStand("meta", 5, "state at 5")
	if s := d.store.State("meta"); s.FirstIndex != 6 || s.LastIndex != 20 {
		t.Fatalf("%+v", s)
	}
}

func TestRecoveryRefuses(t *testing.T) {
	dir := survivor(t)
	plan, err := recovery.MakePlan(dir, 1, epoch)
	if err != nil {
		t.Fatal(err)
	}
	other := *plan
	other.NodeID, other.Groups = 2, []recovery.GroupPlan{{Group: "meta", LastTerm: 2, LastIndex: 21}}
	if err := plan.Behind(&other); !errors.Is(err, recovery.ErrBehind) {
		t.Fatal(err)
	}
	if err := other.Behind(plan); !errors.Is(err, recovery.ErrBehind) || !strings.Contains(err.Error(), "young") {
		t.Fatal(err)
	}
	other.Groups = plan.Groups
	if err := plan.Behind(&other); err != nil {
		t.Fatal(err)
	}
	d := openDisk(t, dir)
	if _, err := plan.Apply(target(dir)); !errors.Is(err, logstore.ErrLocked) {
		t.Fatalf("applied to a node that runs: %v", err)
	}
	d.write(logstore.GroupWrite{Group: "meta", Entries: entries(21, 3, 1)})
	d.close()
	if _, err := plan.Apply(target(dir)); !errors.Is(err, recovery.ErrChanged) {
		t.Fatalf("applied an old plan: %v", err)
	}
	if _, err := recovery.MakePlan(t.TempDir(), 1, epoch); !errors.Is(err, recovery.ErrUnusable) {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "recovery.tmp")); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("a refused plan left something")
	}
}

// TestInterruptedExchangeIsFinished stops between any two renames: a node must not start there, and the next call finishes.
func TestInterruptedExchangeIsFinished(t *testing.T) {
	for steps := range 4 {
		dir := survivor(t)
		plan, err := recovery.MakePlan(dir, 1, epoch)
		if err != nil {
			t.Fatal(err)
		}
		want, err := recovery.ApplySteps(plan, target(dir), steps)
		if err != nil {
			t.Fatal(err)
		}
		if err := recovery.Pending(dir); !errors.Is(err, recovery.ErrPending) {
			t.Fatalf("after %d steps a node may start: %v", steps, err)
		}
		if _, err := recovery.MakePlan(dir, 1, epoch); !errors.Is(err, recovery.ErrPending) {
			t.Fatalf("after %d steps: %v", steps, err)
		}
		founded, err := plan.Apply(target(dir))
		if err != nil || founded.ClusterID != want.ClusterID || recovery.Pending(dir) != nil {
			t.Fatalf("after %d steps: %+v, %v", steps, founded, err)
		}
		d := openDisk(t, dir)
		d.mustStand("meta", 12, "state at 12")
		d.close()
		old := openDisk(t, founded.Archive)
		if old.store.State("meta").LastIndex != 20 {
			t.Fatalf("after %d steps the archive holds %+v", steps, old.store.State("meta"))
		}
		old.close()
	}
}

func FuzzInspect(f *testing.F) {
	var b bytes.Buffer
	w, err := recovery.NewWriter(&b, recovery.Head{ClusterID: "c"})
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(w.Add(raftactor.InitialWrite("meta", three).Snapshot, strings.NewReader("")), w.Close()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, stream []byte) {
		s, err := recovery.Inspect(bytes.NewReader(stream))
		if err == nil && s.Bytes > uint64(len(stream)) {
			t.Fatalf("%d bytes of data in %d", s.Bytes, len(stream))
		}
	})
}
