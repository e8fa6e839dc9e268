package logstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore/storetest"
)

// taped is a bolt store whose file is recorded, from an opening on. states[i] is what the store held once acked[i] events had happened,
// and lives[i] the generation of the last opening that was complete by then.
type taped struct {
	logstore.Store
	t      testing.TB
	dir    string
	tape   *storetest.Tape
	syncs  bool
	done   chan logstore.Durable
	seq    uint64
	acked  []int
	states []string
	lives  []uint64
}

// crashOptions have small segments and a small tail, so that rolling, carrying and dropping all happen.
func crashOptions() logstore.BoltOptions {
	return logstore.BoltOptions{NodeID: 1, DirectoryID: actors.ID{1}, NowMs: 1000, SegmentBytes: 4000, TailBytes: 2000, PreallocateBytes: 8 << 10}
}

// tapeBolt begins to record with the second opening. Without syncs nothing that the store promises is on the tape as durable.
func tapeBolt(t testing.TB, syncs bool) *taped {
	t.Helper()
	s := &taped{t: t, dir: t.TempDir(), syncs: syncs, done: make(chan logstore.Durable, 1)}
	var err error
	if s.Store, err = logstore.OpenBolt(s.dir, crashOptions()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	file, err := os.ReadFile(filepath.Join(s.dir, logstore.DatabaseFile))
	if err != nil {
		t.Fatal(err)
	}
	s.tape = storetest.NewTape(file)
	s.mark()
	s.reopen()
	return s
}

// reopen begins another life, whose first writes are on the tape too.
func (s *taped) reopen() {
	s.t.Helper()
	if err := s.Close(); err != nil {
		s.t.Fatal(err)
	}
	var err error
	if s.Store, err = logstore.OpenBolt(s.dir, logstore.RecordBolt(crashOptions(), s.tape.Write, func() {
		if s.syncs {
			s.tape.Sync()
		}
	})); err != nil {
		s.t.Fatal(err)
	}
	s.Attach(func(d logstore.Durable) { s.done <- d })
	s.mark()
}

func (s *taped) write(batch ...logstore.GroupWrite) {
	s.t.Helper()
	s.seq++
	s.Submit(batch, s.seq)
	if d := <-s.done; d.Err != nil || len(d.Refused) > 0 {
		s.t.Fatalf("%+v", d)
	}
	s.mark()
}

func (s *taped) mark() {
	s.t.Helper()
	state, err := logstore.Digest(s)
	if err != nil {
		s.t.Fatal(err)
	}
	s.acked, s.states, s.lives = append(s.acked, s.tape.Len()), append(s.states, state), append(s.lives, s.Identity().Generation)
}

// crash opens an image of a power failure after n events, and requires what was acknowledged by then, or that and the whole
// of the transaction under way.
func (s *taped) crash(n int, keep func() bool) error {
	dir, err := os.MkdirTemp(s.dir, "image")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.WriteFile(filepath.Join(dir, logstore.DatabaseFile), s.tape.Image(n, keep), 0o600); err != nil {
		return err
	}
	image, err := logstore.OpenBolt(dir, crashOptions())
	if err != nil {
		return fmt.Errorf("power failed after event %d of %d: %w", n, s.tape.Len(), err)
	}
	life := image.Identity().Generation
	got, err := logstore.Digest(image)
	if err = errors.Join(err, image.Close()); err != nil {
		return fmt.Errorf("power failed after event %d of %d: %w", n, s.tape.Len(), err)
	}
	last := 0
	for last+1 < len(s.acked) && s.acked[last+1] <= n {
		last++
	}
	if life <= s.lives[last] {
		return fmt.Errorf("power failed after event %d of %d: the next life is %d, after life %d", n, s.tape.Len(), life, s.lives[last])
	}
	if got != s.states[last] && (last+1 == len(s.states) || got != s.states[last+1]) {
		return fmt.Errorf("power failed after event %d of %d, %d batches acknowledged; the store holds\n%s\ninstead of\n%s", n, s.tape.Len(), last, got, s.states[last])
	}
	return nil
}

// TestBoltSurvivesPowerFailure draws what several groups write, and lets power fail at drawn points, with any sectors of
// what was not synced on the disk.
func TestBoltSurvivesPowerFailure(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := tapeBolt(t, true)
		defer func() { _ = s.Close() }()
		history := storetest.NewHistory("a", "b", "c")
		for range rapid.IntRange(1, 10).Draw(rt, "batches") {
			if rapid.IntRange(0, 3).Draw(rt, "reopen") == 0 {
				s.reopen()
			}
			s.write(history.Batch(rt)...)
		}
		keep := rapid.Bool()
		for range 3 {
			if err := s.crash(rapid.IntRange(0, s.tape.Len()).Draw(rt, "crash"), func() bool { return keep.Draw(rt, "keep") }); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

// TestBoltSurvivesPowerFailureAtEveryPoint goes through every prefix of one history that rolls, carries on and drops
// segments: with nothing of what was not synced, with all of it, with only its first or only its last sector, and without one.
func TestBoltSurvivesPowerFailureAtEveryPoint(t *testing.T) {
	s := tapeBolt(t, true)
	for i := range uint64(24) {
		batch := []logstore.GroupWrite{
			{Group: "fast", Entries: storetest.Entries(1+4*i, 1+i/5, 4, 300), HardState: storetest.Hard(1+i/5, 1, 4*i)},
			{Group: "slow", Entries: storetest.Entries(1+i, 1, 1, int(i%8)*20+int(i/23)*3000)},
		}
		if i%3 == 2 {
			batch = append(batch, logstore.GroupWrite{Group: "fast", Snapshot: &logstore.SnapshotRef{Group: "fast", Index: 4 * i, Term: 1 + (i-1)/5}, Compact: 4*i - 2})
		}
		s.write(batch...)
		if i%10 == 9 {
			s.reopen()
		}
	}
	if logstore.FirstSegment(s.Store) == 1 {
		t.Fatal("no segment was dropped: the history does not go where it should")
	}
	images := 0
	step := 1
	if testing.Short() {
		step = 5
	}
	for n := 0; n <= s.tape.Len(); n += step {
		sectors := 0
		s.tape.Image(n, func() bool { sectors++; return false })
		kept := func(keep func(sector int) bool) func() bool {
			i := -1
			return func() bool { i++; return keep(i) }
		}
		for name, keep := range map[string]func(int) bool{
			"none": func(int) bool { return false }, "all": func(int) bool { return true },
			"first": func(i int) bool { return i == 0 }, "last": func(i int) bool { return i == sectors-1 },
			"hole": func(i int) bool { return i != sectors/2 },
		} {
			if err := s.crash(n, kept(keep)); err != nil {
				t.Fatalf("%s of %d sectors: %v", name, sectors, err)
			}
			images++
			if sectors == 0 {
				break
			}
		}
	}
	t.Logf("%d images of %d events", images, s.tape.Len())
}

// TestBoltSurvivesPowerFailureWhileItIsMade: a new file is made beside its place, so whatever of it is there when power fails is made anew, and
// once it is in its place it is whole, whether or not its last length is.
func TestBoltSurvivesPowerFailureWhileItIsMade(t *testing.T) {
	made := t.TempDir()
	s, err := logstore.OpenBolt(made, crashOptions())
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(made, logstore.DatabaseFile))
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	opens := func(what, name string, content []byte) {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := logstore.OpenBolt(dir, crashOptions())
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if err := s.SetIdentity(logstore.Identity{DirectoryID: actors.ID{1}, NodeID: 1, Generation: s.Identity().Generation, ClusterID: "c"}, nil); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		left, err := filepath.Glob(filepath.Join(dir, "*.tmp"))
		if err = errors.Join(err, s.Close()); err != nil || len(left) > 0 {
			t.Fatalf("%s: left %v, %v", what, left, err)
		}
	}
	const page = 4096
	for n := 0; n <= 6*page; n += page {
		opens(fmt.Sprintf("%d bytes of it beside its place", n), logstore.DatabaseFile+".tmp", whole[:n])
		hole := append([]byte(nil), whole...)
		clear(hole[n : n+page])
		opens(fmt.Sprintf("all but the page at %d beside its place", n), logstore.DatabaseFile+".tmp", hole)
	}
	opens("longer than it was made", logstore.DatabaseFile, append(append([]byte(nil), whole...), make([]byte, 10*page)...))
}

// TestBoltPowerFailureIsNoticedWithoutSyncs turns the test around: where nothing of what was acknowledged is synced, something is missing.
func TestBoltPowerFailureIsNoticedWithoutSyncs(t *testing.T) {
	s := tapeBolt(t, false)
	for i := range uint64(5) {
		s.write(logstore.GroupWrite{Group: "g", Entries: storetest.Entries(1+i, 1, 1, 100)})
	}
	if err := s.crash(s.tape.Len(), func() bool { return false }); err == nil {
		t.Fatal("the last acknowledged batch was never synced, and its loss went unnoticed")
	}
}
