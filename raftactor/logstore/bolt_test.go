package logstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testOptions() BoltOptions {
	return BoltOptions{NodeID: 1, DirectoryID: actors.ID{1}, NowMs: 1000, PreallocateBytes: 64 << 10}
}

type boltRig struct {
	*bolt
	t    testing.TB
	dir  string
	opts BoltOptions
	done chan Durable
	seq  uint64
}

func openRig(t testing.TB, opts BoltOptions) *boltRig {
	t.Helper()
	r := &boltRig{t: t, dir: t.TempDir(), opts: opts}
	r.open()
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func (r *boltRig) open() {
	r.t.Helper()
	s, err := OpenBolt(r.dir, r.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	r.bolt, r.done = s.(*bolt), make(chan Durable, 16)
	r.Attach(func(d Durable) { r.done <- d })
}

func (r *boltRig) reopen() {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

func (r *boltRig) submit(batch ...GroupWrite) Durable {
	r.seq++
	r.Submit(batch, r.seq)
	return <-r.done
}

func (r *boltRig) write(batch ...GroupWrite) {
	r.t.Helper()
	if d := r.submit(batch...); d.Err != nil || len(d.Refused) > 0 {
		r.t.Fatalf("%+v", d)
	}
}

func sizedEntries(first, term uint64, n, size int) []*raftpb.Entry {
	out := make([]*raftpb.Entry, n)
	for i := range out {
		out[i] = &raftpb.Entry{Index: proto.Uint64(first + uint64(i)), Term: proto.Uint64(term), Type: raftpb.EntryType_EntryNormal.Enum(), Data: make([]byte, size)}
		copy(out[i].Data, fmt.Sprint(first+uint64(i)))
	}
	return out
}

func testHard(term, vote, commit uint64) *raftpb.HardState {
	return &raftpb.HardState{Term: proto.Uint64(term), Vote: proto.Uint64(vote), Commit: proto.Uint64(commit)}
}

func TestBoltRefusesWhatIsNotItsOwn(t *testing.T) {
	r := openRig(t, testOptions())
	if _, err := OpenBolt(r.dir, r.opts); !errors.Is(err, ErrLocked) {
		t.Fatalf("opened twice: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	other := r.opts
	other.NodeID = 2
	if _, err := OpenBolt(r.dir, other); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "node 1's") || !strings.Contains(err.Error(), "node 2") {
		t.Fatalf("got %v", err)
	}
	r.open()
	if id := r.Identity(); id.DirectoryID != r.opts.DirectoryID || id.Generation != 1001 {
		t.Fatalf("identity %+v", id)
	}
	if err := r.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(metaBucket).Put(formatKey, sealMeta([]byte{0, 0, 0, boltFormat + 1}))
	}); err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	if _, err := OpenBolt(r.dir, r.opts); !errors.Is(err, ErrNewerFormat) || !strings.Contains(err.Error(), "format 2") {
		t.Fatalf("got %v", err)
	}
}

func TestBoltStartsOverAfterACrashAtItsFirstStart(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, DatabaseFile+".tmp"), []byte("half a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := OpenBolt(dir, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBolt(t.TempDir(), BoltOptions{NodeID: 1}); err == nil {
		t.Fatal("a new directory without an id was made")
	}
}

func TestBoltFailedCommitIsFinal(t *testing.T) {
	r := openRig(t, testOptions())
	r.write(GroupWrite{Group: "g", Entries: sizedEntries(1, 1, 3, 10)})
	broken := errors.New("fdatasync: input/output error")
	r.w.commit = func(tx *bbolt.Tx) error {
		// What bbolt does when the last sync fails: readers see the transaction all the same.
		return errors.Join(tx.Commit(), broken)
	}
	if d := r.submit(GroupWrite{Group: "g", Entries: sizedEntries(4, 1, 3, 10)}); !errors.Is(d.Err, broken) {
		t.Fatalf("%+v", d)
	}
	if s := r.State("g"); s.LastIndex != 3 {
		t.Fatalf("readers see what is not known to be durable: %+v", s)
	}
	for range 2 {
		if d := r.submit(GroupWrite{Group: "g", Entries: sizedEntries(4, 1, 3, 10)}); !errors.Is(d.Err, ErrStopped) {
			t.Fatalf("%+v", d)
		}
	}
	if err := r.SetIdentity(Identity{}, nil); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	r.reopen()
	if s := r.State("g"); s.LastIndex < 3 {
		t.Fatalf("lost what was acknowledged: %+v", s)
	}
}

func TestBoltPanicInAWriteIsFinal(t *testing.T) {
	r := openRig(t, testOptions())
	r.w.commit = func(*bbolt.Tx) error { panic("assertion failed: page 7 already freed") }
	var damage *DamageError
	if d := r.submit(GroupWrite{Group: "g", Entries: sizedEntries(1, 1, 1, 10)}); !errors.As(d.Err, &damage) {
		t.Fatalf("%+v", d)
	}
	r.reopen()
	r.write(GroupWrite{Group: "g", Entries: sizedEntries(1, 1, 1, 10)})
}

func TestBoltDiskFullAndBack(t *testing.T) {
	r := openRig(t, testOptions())
	r.write(GroupWrite{Group: "g", Entries: sizedEntries(1, 1, 10, 100), HardState: testHard(1, 1, 10)})
	r.write(GroupWrite{Group: "g", Snapshot: &SnapshotRef{Group: "g", Index: 8, Term: 1}})
	write := r.w.space.extend
	full := true
	r.w.space.extend = func(f *os.File, zeros []byte, at int64) error {
		if full {
			return &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
		}
		return write(f, zeros, at)
	}
	if runtime.GOOS == "windows" {
		t.Skip("another error number")
	}
	next := uint64(11)
	for {
		d := r.submit(GroupWrite{Group: "g", Entries: sizedEntries(next, 1, 20, 10_000)})
		if errors.Is(d.Err, ErrNoSpace) {
			break
		}
		if d.Err != nil || next > 10_000 {
			t.Fatalf("%+v at %d", d, next)
		}
		next += 20
	}
	if d := r.submit(GroupWrite{Group: "g", Entries: sizedEntries(next, 1, 20, 10_000)}); !errors.Is(d.Err, ErrNoSpace) {
		t.Fatalf("%+v", d)
	}
	r.write(GroupWrite{Group: "g", Compact: 5})
	r.write(GroupWrite{Group: "g", HardState: testHard(2, 0, 10)})
	full = false
	r.write(GroupWrite{Group: "g", Entries: sizedEntries(next, 2, 20, 10_000)})
	r.reopen()
	if s := r.State("g"); s.FirstIndex != 6 || s.LastIndex != next+19 {
		t.Fatalf("%+v", s)
	}
}

// fillFlips makes a store with many kinds of records and returns a digest of all it knows.
func fillFlips(r *boltRig) {
	for i := range uint64(12) {
		r.write(GroupWrite{Group: "small", Entries: sizedEntries(1+3*i, 1+i/4, 3, 40), HardState: testHard(1+i/4, 1, 3*i)},
			GroupWrite{Group: fmt.Sprintf("g%d", i%5), Entries: sizedEntries(1+i/5, 1, 1, int(400*i))})
	}
	r.write(GroupWrite{Group: "small", Snapshot: &SnapshotRef{Group: "small", Index: 20, Term: 2, Peers: []byte("peers"), Size: 5, Checksum: 6, ConfState: &raftpb.ConfState{Voters: []uint64{1, 2}}}, Compact: 10})
	r.write(GroupWrite{Group: "g4", Remove: true})
}

func digest(s Store) (string, error) {
	var b strings.Builder
	id := s.Identity()
	fmt.Fprintf(&b, "%s %d %s\n", id.DirectoryID, id.NodeID, id.ClusterID)
	for _, g := range s.Groups() {
		st := s.State(g)
		fmt.Fprintf(&b, "%s %d %d %d %d %d", g, st.HardState.GetTerm(), st.HardState.GetVote(), st.HardState.GetCommit(), st.FirstIndex, st.LastIndex)
		if st.Snapshot != nil {
			fmt.Fprintf(&b, " %d %d %v %s", st.Snapshot.Index, st.Snapshot.Term, st.Snapshot.ConfState.GetVoters(), st.Snapshot.Peers)
		}
		if st.LastIndex >= st.FirstIndex {
			entries, err := s.Entries(g, st.FirstIndex, st.LastIndex+1, 1<<62)
			if err != nil {
				return "", err
			}
			for _, e := range entries {
				fmt.Fprintf(&b, "\n%d %d %d %x", e.GetIndex(), e.GetTerm(), e.GetType(), e.GetData())
			}
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// TestBoltFindsFlippedBits flips single bits anywhere in the file, at rest and while the store is open: what was written
// comes back the same, or as damage; never different, and never as a crash.
func TestBoltFindsFlippedBits(t *testing.T) {
	opts := testOptions()
	opts.SegmentBytes, opts.PreallocateBytes = 4000, 4096
	r := openRig(t, opts)
	fillFlips(r)
	r.reopen()
	want, err := digest(r)
	if err != nil {
		t.Fatal(err)
	}
	var used int64
	_ = r.db.View(func(tx *bbolt.Tx) error { used = tx.Size(); return nil })
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(filepath.Join(r.dir, DatabaseFile))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	flips := 500
	if testing.Short() {
		flips = 100
	}
	found, same := 0, 0
	dir := t.TempDir()
	path := filepath.Join(dir, DatabaseFile)
	check := func(bit int64) {
		flipped := append([]byte(nil), sound...)
		flipped[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(path, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := OpenBolt(dir, opts)
		var damage *DamageError
		if err != nil {
			if !errors.As(err, &damage) {
				t.Fatalf("bit %d of page %d: not damage: %v", bit%(8*boltPageSize), bit/8/boltPageSize, err)
			}
			found++
			return
		}
		got, err := digest(s)
		_ = s.Close()
		if err != nil || got != want {
			t.Fatalf("bit %d of page %d: read silently wrong (%v)", bit%(8*boltPageSize), bit/8/boltPageSize, err)
		}
		same++
	}
	for range flips {
		check(rng.Int64N(used * 8))
	}
	for bit := int64(0); bit < 2*(pageHead+metaBytes)*8; bit += 3 {
		page := bit % 2
		check(page*boltPageSize*8 + bit/2)
	}
	if found < flips/20 || same == 0 {
		t.Fatalf("%d found, %d harmless: the test flips nothing", found, same)
	}
	t.Logf("%d found, %d harmless", found, same)
}

// TestBoltFindsDamageWhileItIsOpen flips bits under a store that has read the file at open.
func TestBoltFindsDamageWhileItIsOpen(t *testing.T) {
	opts := testOptions()
	opts.TailBytes = 1
	r := openRig(t, opts)
	for i := range uint64(20) {
		r.write(GroupWrite{Group: "g", Entries: sizedEntries(1+10*i, 1, 10, 500)})
	}
	f, err := os.OpenFile(filepath.Join(r.dir, DatabaseFile), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	content, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	at := int64(strings.LastIndex(string(content), "105\x00"))
	if _, err := f.WriteAt([]byte("999"), at); err != nil {
		t.Fatal(err)
	}
	var damage *DamageError
	if _, err := r.Entries("g", 1, 201, 1<<62); !errors.As(err, &damage) || damage.Group != "g" || damage.Index != 101 {
		t.Fatalf("got %v", err)
	}
	if entries, err := r.Entries("g", 1, 101, 1<<62); err != nil || len(entries) != 100 {
		t.Fatalf("what is sound can't be read: %d, %v", len(entries), err)
	}
	_ = r.Close()
	if _, err := OpenBolt(r.dir, r.opts); !errors.As(err, &damage) {
		t.Fatalf("got %v", err)
	}
}

// TestBoltFileStaysBounded writes for long with compaction and one group that never moves on.
func TestBoltFileStaysBounded(t *testing.T) {
	opts := testOptions()
	opts.SegmentBytes = 64 << 10
	r := openRig(t, opts)
	r.write(GroupWrite{Group: "slow", Entries: sizedEntries(1, 1, 50, 100), HardState: testHard(1, 1, 50)}, GroupWrite{Group: "idle", HardState: testHard(7, 3, 0)})
	const rounds = 600
	for i := range uint64(rounds) {
		w := GroupWrite{Group: "fast", Entries: sizedEntries(1+10*i, 1, 10, 1000), HardState: testHard(1, 1, 10*i+10)}
		r.write(w)
		if i%10 == 9 {
			r.write(GroupWrite{Group: "fast", Snapshot: &SnapshotRef{Group: "fast", Index: 10 * i, Term: 1}, Compact: 10*i - 20})
		}
	}
	info, err := os.Stat(filepath.Join(r.dir, DatabaseFile))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 3<<20 {
		t.Fatalf("%d bytes in the file and %d segments after %d were written", info.Size(), len(r.index.segments), rounds*10_000)
	}
	r.reopen()
	if s := r.State("slow"); s.LastIndex != 50 || s.FirstIndex != 1 {
		t.Fatalf("%+v", s)
	}
	if s := r.State("idle"); s.HardState.GetTerm() != 7 || s.HardState.GetVote() != 3 {
		t.Fatalf("%+v", s)
	}
	entries, err := r.Entries("slow", 1, 51, 1<<62)
	if err != nil || len(entries) != 50 || string(entries[49].Data[:2]) != "50" {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
}

// TestBoltCarriesNothingOfALogInUse: what a busy group leaves behind dies by itself before it is worth writing again.
func TestBoltCarriesNothingOfALogInUse(t *testing.T) {
	opts := testOptions()
	opts.SegmentBytes = 64 << 10
	r := openRig(t, opts)
	most := 0
	for i := range uint64(300) {
		r.write(GroupWrite{Group: "fast", Entries: sizedEntries(1+10*i, 1, 10, 1000), HardState: testHard(1, 1, 10*i+10)})
		if i%5 == 4 {
			r.write(GroupWrite{Group: "fast", Snapshot: &SnapshotRef{Group: "fast", Index: 10 * i, Term: 1}, Compact: 10*i - 20})
		}
		if step := r.nextStep(batchPlan{}); len(step.runs) > 0 {
			t.Fatalf("after write %d: %d bytes would be written once more", i, step.carryBytes)
		}
		most = max(most, len(r.index.segments))
	}
	if most > fewSegments {
		t.Fatalf("%d segments", most)
	}
}

// TestBoltRestartsLeaveNoTrailOfSegments opens the store many times.
func TestBoltRestartsLeaveNoTrailOfSegments(t *testing.T) {
	r := openRig(t, testOptions())
	for i := range uint64(40) {
		r.write(GroupWrite{Group: "g", Entries: sizedEntries(1+i, 1, 1, 10)})
		r.reopen()
	}
	if n := len(r.index.segments); n > manySegments+2 {
		t.Fatalf("%d segments", n)
	}
	if entries, err := r.Entries("g", 1, 41, 1<<62); err != nil || len(entries) != 40 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
}

// TestBoltReservesEnough compares what transactions take with what was reserved for them.
func TestBoltReservesEnough(t *testing.T) {
	opts := testOptions()
	opts.SegmentBytes, opts.PreallocateBytes = 32<<10, 1
	r := openRig(t, opts)
	rng := rand.New(rand.NewPCG(3, 4))
	next := map[string]uint64{}
	for range 300 {
		var batch []GroupWrite
		for range 1 + rng.IntN(40) {
			g := fmt.Sprintf("g%d", rng.IntN(30))
			n := 1 + rng.IntN(5)
			batch = append(batch, GroupWrite{Group: g, Entries: sizedEntries(next[g]+1, 1, n, rng.IntN(1<<rng.IntN(15)))})
			next[g] += uint64(n)
		}
		r.write(batch...)
		var used int64
		_ = r.db.View(func(tx *bbolt.Tx) error { used = tx.Size(); return nil })
		info, _ := os.Stat(filepath.Join(r.dir, DatabaseFile))
		if used > r.w.space.size || info.Size() != r.w.space.size {
			t.Fatalf("%d bytes used, %d reserved, the file has %d", used, r.w.space.size, info.Size())
		}
	}
}

// TestBoltSyncs pins what the images above take for granted of the options: bbolt syncs pages, meta page and growth.
func TestBoltSyncs(t *testing.T) {
	r := openRig(t, testOptions())
	if r.db.NoSync || r.db.NoGrowSync {
		t.Fatal("bbolt does not sync")
	}
	broken := errors.New("input/output error")
	r.w.space.sync = func(*os.File) error { return broken }
	for next := uint64(1); ; next++ {
		d := r.submit(GroupWrite{Group: "g", Entries: sizedEntries(next, 1, 1, 20_000)})
		if d.Err == nil && next < 1000 {
			continue
		}
		if !errors.Is(d.Err, broken) || errors.Is(d.Err, ErrNoSpace) {
			t.Fatalf("the space ahead was not synced and the write ended with %v", d.Err)
		}
		break
	}
	if d := r.submit(GroupWrite{Group: "g", HardState: testHard(9, 1, 0)}); !errors.Is(d.Err, ErrStopped) {
		t.Fatalf("it goes on after a failed sync: %+v", d)
	}
}
