package testkit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore/storetest"
)

// TestDiskIsAStore runs the conformance suite of log stores on the simulated disk, with each kind of crash.
func TestDiskIsAStore(t *testing.T) {
	for _, kind := range []CrashKind{KeepPageCache, LoseUnsynced, TornTail} {
		t.Run(kind.String(), func(t *testing.T) {
			seed := uint64(0)
			storetest.Run(t, func(t *testing.T) *storetest.Target {
				seed++
				r := newDiskRig(t, seed, DiskModel{})
				return &storetest.Target{
					Store:  r.store,
					Reopen: func() logstore.Store { _ = r.store.Close(); r.again(KeepPageCache); return r.store },
					Crash:  func() logstore.Store { r.again(kind); return r.store },
					Wait: func(done <-chan logstore.Durable) logstore.Durable {
						r.world.failure = nil // the suite's histories are no Raft group's
						if !r.world.RunUntil(func() bool { return len(done) > 0 }, time.Minute) {
							t.Fatal("no completion within a minute of virtual time")
						}
						return <-done
					},
				}
			})
		})
	}
}

// diskRig is a node that is nothing but a disk.
type diskRig struct {
	t     *testing.T
	world *World
	node  *Node
	disk  *Disk
	store *store
	files files
	done  []logstore.Durable
	seq   uint64
}

func newDiskRig(t *testing.T, seed uint64, model DiskModel) *diskRig {
	w := newWorld(t, seed, Scenario{Nodes: 1, Disk: model}, nil)
	r := &diskRig{t: t, world: w, node: w.Node(1), disk: w.Node(1).Disk()}
	r.live()
	return r
}

// live begins a life.
func (r *diskRig) live() {
	r.t.Helper()
	r.node.up = true
	r.node.life++
	r.node.generation++
	store, err := r.disk.open(r.node.life)
	if err != nil {
		r.t.Fatal(err)
	}
	r.store, r.files = store, files{r.disk.files, r.disk}
	r.done = nil
	r.store.Attach(func(d logstore.Durable) { r.done = append(r.done, d) })
}

// again is a crash and the next life.
func (r *diskRig) again(kind CrashKind) {
	r.t.Helper()
	r.node.Crash(kind)
	r.live()
}

func (r *diskRig) submit(writes ...logstore.GroupWrite) {
	r.seq++
	r.store.Submit(writes, r.seq)
}

// write waits for its completion, and returns its error.
func (r *diskRig) write(writes ...logstore.GroupWrite) error {
	r.t.Helper()
	r.submit(writes...)
	seq := r.seq
	if !r.world.RunUntil(func() bool { return len(r.done) > 0 && r.done[len(r.done)-1].Seq == seq }, time.Second) {
		r.t.Fatalf("write %d does not end", seq)
	}
	return r.done[len(r.done)-1].Err
}

func (r *diskRig) last(group string) uint64 { return r.store.State(group).LastIndex }

func entry(group string, index uint64) logstore.GroupWrite {
	return logstore.GroupWrite{Group: group, Entries: storetest.Entries(index, 1, 1, 8)}
}

func TestDiskCrashLeavesWhatItsKindSays(t *testing.T) {
	for _, c := range []struct {
		kind        CrashKind
		least, most uint64
	}{{KeepPageCache, 4, 4}, {LoseUnsynced, 1, 1}, {TornTail, 1, 4}} {
		found := map[uint64]bool{}
		for seed := range uint64(30) {
			r := newDiskRig(t, seed, DiskModel{})
			if err := r.write(entry("g", 1)); err != nil {
				t.Fatal(err)
			}
			for i := range uint64(3) {
				r.submit(entry("g", 2+i))
			}
			r.again(c.kind)
			found[r.last("g")] = true
		}
		for last := range uint64(10) {
			if want := last >= c.least && last <= c.most; found[last] != want {
				t.Errorf("%v: a log that ends at %d was found: %v, want %v", c.kind, last, found[last], want)
			}
		}
	}
}

// TestDiskTearsWithinABatch: of a batch of several groups a crash may leave the first writes, never a later one without
// those before it, and never a part of one write.
func TestDiskTearsWithinABatch(t *testing.T) {
	found := map[string]bool{}
	for seed := range uint64(40) {
		r := newDiskRig(t, seed, DiskModel{})
		r.submit(
			logstore.GroupWrite{Group: "a", Entries: storetest.Entries(1, 1, 2, 8), HardState: storetest.Hard(1, 1, 2)},
			logstore.GroupWrite{Group: "b", Entries: storetest.Entries(1, 1, 2, 8), HardState: storetest.Hard(1, 1, 2)},
		)
		r.again(TornTail)
		found[fmt.Sprint(r.store.Groups())] = true
		for _, g := range r.store.Groups() {
			if s := r.store.State(g); s.LastIndex != 2 || s.HardState.GetCommit() != 2 {
				t.Fatalf("group %s is there in part: %+v", g, s)
			}
		}
	}
	if len(found) != 3 || !found["[]"] || !found["[a]"] || !found["[a b]"] {
		t.Fatalf("crashes left %v", found)
	}
}

func TestDiskModelTearsWhatACrashWouldLose(t *testing.T) {
	torn := 0
	for seed := range uint64(40) {
		r := newDiskRig(t, seed, DiskModel{Torn: 0.5})
		r.submit(entry("g", 1))
		r.again(LoseUnsynced)
		if r.last("g") == 1 {
			torn++
		}
	}
	if torn == 0 || torn > 20 {
		t.Fatalf("%d crashes of 40 left the unsynced write, want about 10", torn)
	}
}

// TestDiskCrashPoints crashes at each point that a write passes, and looks at what each kind of crash leaves there.
func TestDiskCrashPoints(t *testing.T) {
	for _, c := range []struct {
		point string
		kind  CrashKind
		there bool
	}{
		{"write", KeepPageCache, false}, {"write", LoseUnsynced, false},
		{"sync", KeepPageCache, true}, {"sync", LoseUnsynced, false},
		{"durable", KeepPageCache, true}, {"durable", LoseUnsynced, true},
	} {
		r := newDiskRig(t, 1, DiskModel{})
		r.world.On(Match{Kind: c.point, Node: 1}, func(Event) { r.node.Crash(c.kind) })
		r.submit(entry("g", 1))
		r.world.RunFor(time.Second)
		if r.node.up || len(r.done) > 0 {
			t.Fatalf("crash before %q: the node learned of %v", c.point, r.done)
		}
		r.world.matches = nil
		r.live()
		if there := r.last("g") == 1; there != c.there {
			t.Errorf("crash at %q, %v: the write is there: %v, want %v", c.point, c.kind, there, c.there)
		}
		if err := r.write(entry("g", r.last("g")+1)); err != nil {
			t.Errorf("the next life can't write: %v", err)
		}
	}
}

func TestDiskFailedSyncIsFinalForTheLife(t *testing.T) {
	r := newDiskRig(t, 1, DiskModel{})
	r.disk.FailSync()
	for i := range uint64(3) {
		if err := r.write(entry("g", 1+i)); !errors.Is(err, errSync) {
			t.Fatalf("write %d after the sync failed: %v", i, err)
		}
	}
	if r.last("g") != 0 {
		t.Fatal("a write that failed can be read")
	}
	r.again(LoseUnsynced)
	if err := r.write(entry("g", 1)); err != nil {
		t.Fatalf("the next life: %v", err)
	}
}

// TestDiskFailedSyncLeavesDoubt: whether a process that is started again finds the write whose sync had failed is open.
func TestDiskFailedSyncLeavesDoubt(t *testing.T) {
	found := map[uint64]bool{}
	for seed := range uint64(20) {
		r := newDiskRig(t, seed, DiskModel{})
		r.disk.FailSync()
		_ = r.write(entry("g", 1))
		r.again(KeepPageCache)
		found[r.last("g")] = true
	}
	if !found[0] || !found[1] {
		t.Fatalf("logs that end at %v were found, want 0 and 1", found)
	}
}

func TestDiskModelFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		model DiskModel
		want  error
		count string
	}{
		{"sync", DiskModel{SyncErr: 0.1}, errSync, "sync failed"},
		{"write", DiskModel{WriteErr: 0.1}, errWrite, "write failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newDiskRig(t, 3, c.model)
			failed := uint64(0)
			for i := uint64(1); i <= 100; i++ {
				switch err := r.write(entry("g", r.last("g")+1)); {
				case err == nil && failed > 0:
					t.Fatalf("write %d succeeds after write %d had failed", i, failed)
				case err != nil && !errors.Is(err, c.want):
					t.Fatal(err)
				case err != nil && failed == 0:
					failed = i
				}
			}
			if failed < 2 || r.world.faults[c.count] == 0 {
				t.Fatalf("failed at write %d, counted %v", failed, r.world.faults)
			}
			if r.last("g") != failed-1 {
				t.Fatalf("the log ends at %d, write %d failed", r.last("g"), failed)
			}
			r.disk.SetModel(DiskModel{})
			r.again(LoseUnsynced)
			if err := r.write(entry("g", r.last("g")+1)); err != nil {
				t.Fatalf("the next life: %v", err)
			}
		})
	}
}

// TestDiskFailedWriteLeavesNothing: unlike a failed sync, a failed write never reached the page cache.
func TestDiskFailedWriteLeavesNothing(t *testing.T) {
	r := newDiskRig(t, 1, DiskModel{WriteErr: 1})
	r.submit(entry("g", 1))
	r.disk.SetModel(DiskModel{})
	r.submit(entry("g", 1))
	r.again(KeepPageCache)
	if r.last("g") != 0 {
		t.Fatalf("the log ends at %d behind a write that failed", r.last("g"))
	}
}

func TestDiskQuota(t *testing.T) {
	r := newDiskRig(t, 1, DiskModel{Quota: 200})
	var err error
	for i := uint64(1); err == nil; i++ {
		if err = r.write(entry("g", i)); i > 50 {
			t.Fatal("the disk is never full")
		}
	}
	last := r.last("g")
	if !errors.Is(err, logstore.ErrNoSpace) || last < 5 || r.disk.measure() > 200 {
		t.Fatalf("%v after %d entries", err, last)
	}
	if err := r.write(logstore.GroupWrite{Group: "g", HardState: storetest.Hard(1, 1, last)}); err != nil {
		t.Fatalf("a full disk refuses a write without entries: %v", err)
	}
	if err := r.write(logstore.GroupWrite{Group: "g", Snapshot: storetest.Snapshot("g", last, 1), Compact: last}); err != nil {
		t.Fatalf("a full disk refuses to be compacted: %v", err)
	}
	if err := r.write(entry("g", last+1)); err != nil {
		t.Fatalf("there is room again after the compaction: %v", err)
	}
	r.disk.SetModel(DiskModel{Quota: 1})
	if err := r.write(entry("g", last+2)); !errors.Is(err, logstore.ErrNoSpace) {
		t.Fatalf("a smaller quota: %v", err)
	}
	r.disk.SetModel(DiskModel{})
	if err := r.write(entry("g", last+2)); err != nil {
		t.Fatalf("no quota: %v", err)
	}
}

func TestDiskRefusalsReachTheWriter(t *testing.T) {
	r := newDiskRig(t, 1, DiskModel{})
	var invalid *logstore.InvalidWriteError
	if err := r.write(entry("g", 7)); err != nil || len(r.done[0].Refused) != 1 || !errors.As(r.done[0].Refused[0].Err, &invalid) {
		t.Fatalf("a hole in the log: %+v", r.done)
	}
}

func TestDiskStallHoldsEveryCompletion(t *testing.T) {
	r := newDiskRig(t, 1, DiskModel{})
	r.submit(entry("g", 1))
	r.submit(entry("g", 2))
	r.disk.Stall(true)
	r.world.RunFor(time.Minute)
	if len(r.done) > 0 || r.last("g") != 0 {
		t.Fatalf("%v during a stall", r.done)
	}
	r.disk.Stall(false)
	r.world.RunFor(time.Second)
	if len(r.done) != 2 || r.done[0].Seq != 1 || r.last("g") != 2 {
		t.Fatalf("after the stall: %v", r.done)
	}
}

// TestDiskGoesOnWhileTheNodeIsPaused: the write is on disk, and the process learns of it when it goes on.
func TestDiskGoesOnWhileTheNodeIsPaused(t *testing.T) {
	r := newDiskRig(t, 1, DiskModel{})
	r.submit(entry("g", 1))
	r.node.Pause(time.Second)
	r.world.RunFor(500 * time.Millisecond)
	if r.last("g") != 1 || len(r.done) != 0 {
		t.Fatalf("the log ends at %d and the process knows %v, want 1 and nothing", r.last("g"), r.done)
	}
	r.world.RunFor(time.Second)
	if len(r.done) != 1 {
		t.Fatalf("the process knows %v", r.done)
	}
}

func TestDiskSyncsOneAfterTheOther(t *testing.T) {
	r := newDiskRig(t, 1, DiskModel{SyncLatency: Dist{Min: 10 * time.Millisecond}})
	for i := range uint64(3) {
		r.submit(entry("g", 1+i))
	}
	for want := range uint64(4) {
		if r.last("g") != want {
			t.Fatalf("after %v the log ends at %d, want %d", r.world.Now(), r.last("g"), want)
		}
		r.world.RunFor(10*time.Millisecond + 1)
	}
}

// TestDiskRotIsARecords: one record stays damaged, the others never are, until it is written again; opening the disk finds it.
func TestDiskRotIsARecords(t *testing.T) {
	r := newDiskRig(t, 1, DiskModel{})
	if err := r.write(logstore.GroupWrite{Group: "g", Entries: storetest.Entries(1, 1, 5, 8), HardState: storetest.Hard(1, 1, 0)}); err != nil {
		t.Fatal(err)
	}
	r.disk.RotEntry("g", 3)
	for range 3 {
		var damage *logstore.DamageError
		if _, err := r.store.Entries("g", 2, 6, 1<<20); !errors.As(err, &damage) || damage.Index != 3 || damage.Group != "g" {
			t.Fatalf("reading over the damage: %v", err)
		}
		if _, err := r.store.Entries("g", 3, 4, 1<<20); !errors.As(err, &damage) {
			t.Fatalf("reading the damage: %v", err)
		}
		for _, span := range [][2]uint64{{1, 3}, {4, 6}} {
			if _, err := r.store.Entries("g", span[0], span[1], 1<<20); err != nil {
				t.Fatalf("reading beside the damage: %v", err)
			}
		}
	}
	r.node.Crash(KeepPageCache)
	var damage *logstore.DamageError
	if _, err := r.disk.open(r.node.life + 1); !errors.As(err, &damage) || damage.Index != 3 {
		t.Fatalf("opening a damaged disk: %v", err)
	}
	r.node.Wipe()
	r.live()
}

func TestDiskRotEndsWithTheRecord(t *testing.T) {
	for name, w := range map[string]logstore.GroupWrite{
		"overwritten": {Group: "g", Entries: storetest.Entries(3, 2, 1, 8)},
		"truncated":   {Group: "g", Entries: storetest.Entries(2, 2, 1, 8)},
		"compacted":   {Group: "g", HardState: storetest.Hard(1, 1, 4), Snapshot: storetest.Snapshot("g", 4, 1), Compact: 3},
		"installed":   {Group: "g", Snapshot: storetest.Snapshot("g", 9, 2)},
		"removed":     {Group: "g", Remove: true},
	} {
		r := newDiskRig(t, 1, DiskModel{})
		if err := r.write(logstore.GroupWrite{Group: "g", Entries: storetest.Entries(1, 1, 5, 8)}); err != nil {
			t.Fatal(err)
		}
		r.disk.RotEntry("g", 3)
		if err := r.write(w); err != nil || len(r.done[len(r.done)-1].Refused) > 0 {
			t.Fatalf("%s: %+v", name, r.done)
		}
		if err := r.disk.rot.found(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDiskRotInHardState(t *testing.T) {
	r := newDiskRig(t, 1, DiskModel{})
	hard := logstore.GroupWrite{Group: "g", HardState: storetest.Hard(1, 1, 0)}
	if err := r.write(hard); err != nil {
		t.Fatal(err)
	}
	r.disk.RotHardState("g")
	if r.store.State("g").HardState.GetTerm() != 1 {
		t.Fatal("a running process has the hard state in memory")
	}
	var damage *logstore.DamageError
	if _, err := r.disk.open(r.node.life); !errors.As(err, &damage) || damage.Group != "g" {
		t.Fatalf("opening: %v", err)
	}
	if err := r.write(hard); err != nil {
		t.Fatal(err)
	}
	if _, err := r.disk.open(r.node.life); err != nil {
		t.Fatalf("written again: %v", err)
	}
}

func (r *diskRig) snapshot(index uint64, data string) (logstore.SnapshotRef, error) {
	w, err := r.files.Create(logstore.SnapshotRef{Group: "g", Index: index, Term: 1})
	if err != nil {
		return logstore.SnapshotRef{}, err
	}
	if _, err := w.Write([]byte(data)); err != nil {
		w.Abort()
		return logstore.SnapshotRef{}, err
	}
	return w.Commit()
}

func TestDiskRotInSnapshots(t *testing.T) {
	r := newDiskRig(t, 1, DiskModel{})
	first, err := r.snapshot(1, "one")
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.snapshot(2, "two")
	if err != nil {
		t.Fatal(err)
	}
	r.disk.RotSnapshot("g", 2)
	var damage *logstore.DamageError
	if _, err := r.files.Open(second); !errors.As(err, &damage) || damage.Index != 2 {
		t.Fatalf("opening a damaged snapshot: %v", err)
	}
	in, err := r.files.Open(first)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(in); err != nil || !bytes.Equal(b, []byte("one")) {
		t.Fatalf("the other snapshot: %q, %v", b, err)
	}
	if refs, err := r.files.List("g"); err != nil || len(refs) != 1 || refs[0].Index != 1 {
		t.Fatalf("list: %v, %v", refs, err)
	}
	if second, err = r.snapshot(2, "two"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.files.Open(second); err != nil {
		t.Fatalf("written again: %v", err)
	}
}

func TestDiskModelRots(t *testing.T) {
	damaged := func(seed uint64) (out []uint64) {
		r := newDiskRig(t, seed, DiskModel{Rot: 0.2})
		if err := r.write(logstore.GroupWrite{Group: "g", Entries: storetest.Entries(1, 1, 50, 8)}); err != nil {
			t.Fatal(err)
		}
		for i := uint64(1); i <= 50; i++ {
			if _, err := r.store.Entries("g", i, i+1, 1<<20); err != nil {
				out = append(out, i)
			}
		}
		return out
	}
	a, b := damaged(1), damaged(2)
	if len(a) < 3 || len(a) > 20 || slices.Equal(a, b) || !slices.Equal(a, damaged(1)) {
		t.Fatalf("damaged with seed 1: %v, then %v; with seed 2: %v", a, damaged(1), b)
	}
}

func TestDiskModelFailsSnapshots(t *testing.T) {
	for _, c := range []struct {
		model DiskModel
		want  error
	}{{DiskModel{WriteErr: 1}, errWrite}, {DiskModel{SyncErr: 1}, errSync}} {
		r := newDiskRig(t, 1, c.model)
		if _, err := r.snapshot(1, "one"); !errors.Is(err, c.want) {
			t.Fatalf("got %v, want %v", err, c.want)
		}
		r.disk.SetModel(DiskModel{})
		if refs, err := r.files.List("g"); err != nil || len(refs) > 0 {
			t.Fatalf("left behind: %v, %v", refs, err)
		}
		if _, err := r.snapshot(1, "one"); err != nil {
			t.Fatalf("the next snapshot: %v", err)
		}
	}
}

// TestDiskFaultsDrawFromTheirOwn: one kind of fault does not move another one's.
func TestDiskFaultsDrawFromTheirOwn(t *testing.T) {
	times := func(model DiskModel) (out []time.Duration) {
		r := newDiskRig(t, 5, model)
		for i := range uint64(20) {
			if err := r.write(entry("g", 1+i)); err != nil {
				t.Fatal(err)
			}
			out = append(out, r.world.Now())
		}
		return out
	}
	if a, b := times(DiskModel{}), times(DiskModel{Rot: 0.5, SyncErr: 1e-9, WriteErr: 1e-9, Torn: 0.5}); !slices.Equal(a, b) {
		t.Fatalf("sync times differ:\n%v\n%v", a, b)
	}
}

func TestWipeGivesAnotherDirectory(t *testing.T) {
	r := newDiskRig(t, 1, DiskModel{})
	if err := r.write(entry("g", 1)); err != nil {
		t.Fatal(err)
	}
	seen := map[actors.ID]bool{r.store.Identity().DirectoryID: true}
	for range 3 {
		r.node.Wipe()
		r.live()
		if id := r.store.Identity(); seen[id.DirectoryID] || id.DirectoryID.IsZero() || r.last("g") != 0 {
			t.Fatalf("a wiped disk: %+v, log up to %d", id, r.last("g"))
		}
		seen[r.store.Identity().DirectoryID] = true
	}
}
