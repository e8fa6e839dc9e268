package storetest

import (
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// Target is a fresh store and what can be done to it. Reopen and Crash are nil where the store doesn't survive its process.
type Target struct {
	Store logstore.Store
	// Reopen closes the store in order and opens it again.
	Reopen func() logstore.Store
	// Crash ends the store as a kill does, and opens what is on its disk.
	Crash func() logstore.Store
	// Wait takes the next completion, where it needs to be driven. Nil just waits for it.
	Wait func(done <-chan logstore.Durable) logstore.Durable
}

// rig drives a target and keeps the completions.
type rig struct {
	t      *testing.T
	target *Target
	store  logstore.Store
	done   chan logstore.Durable
	seq    uint64
}

func newRig(t *testing.T, open func(t *testing.T) *Target) *rig {
	r := &rig{t: t, target: open(t)}
	r.use(r.target.Store)
	t.Cleanup(func() { _ = r.store.Close() })
	return r
}

func (r *rig) use(s logstore.Store) {
	r.store, r.done = s, make(chan logstore.Durable, 1024)
	done := r.done
	s.Attach(func(d logstore.Durable) { done <- d })
}

func (r *rig) wait() logstore.Durable {
	r.t.Helper()
	if r.target.Wait != nil {
		return r.target.Wait(r.done)
	}
	return <-r.done
}

func (r *rig) submit(batch ...logstore.GroupWrite) logstore.Durable {
	r.t.Helper()
	r.seq++
	r.store.Submit(batch, r.seq)
	d := r.wait()
	if d.Seq != r.seq {
		r.t.Fatalf("completion %d for submit %d", d.Seq, r.seq)
	}
	return d
}

func (r *rig) write(batch ...logstore.GroupWrite) {
	r.t.Helper()
	if d := r.submit(batch...); d.Err != nil || len(d.Refused) > 0 {
		r.t.Fatalf("write failed: %+v", d)
	}
}

// again runs check now, after a reopen and after a crash, as far as the store can.
func (r *rig) again(check func()) {
	r.t.Helper()
	check()
	if r.target.Reopen != nil {
		r.use(r.target.Reopen())
		check()
	}
	if r.target.Crash != nil {
		r.use(r.target.Crash())
		check()
	}
}

func (r *rig) wantState(group string, first, last uint64) logstore.GroupState {
	r.t.Helper()
	s := r.store.State(group)
	if s.FirstIndex != first || s.LastIndex != last {
		r.t.Fatalf("group %q: log [%d, %d], want [%d, %d]", group, s.FirstIndex, s.LastIndex, first, last)
	}
	return s
}

func (r *rig) wantEntries(group string, want []*raftpb.Entry) {
	r.t.Helper()
	if len(want) == 0 {
		return
	}
	got, err := r.store.Entries(group, want[0].GetIndex(), want[len(want)-1].GetIndex()+1, 1<<62)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := sameEntries(got, want); err != nil {
		r.t.Fatal(err)
	}
	for _, e := range want {
		if term, err := r.store.Term(group, e.GetIndex()); err != nil || term != e.GetTerm() {
			r.t.Fatalf("term of %d is %d, %v, want %d", e.GetIndex(), term, err, e.GetTerm())
		}
	}
}

func (r *rig) wantErr(err, want error) {
	r.t.Helper()
	if !errors.Is(err, want) {
		r.t.Fatalf("got error %v, want %v", err, want)
	}
}

func sameEntries(got, want []*raftpb.Entry) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d entries, want %d", len(got), len(want))
	}
	for i := range got {
		g, w := got[i], want[i]
		if g.GetIndex() != w.GetIndex() || g.GetTerm() != w.GetTerm() || g.GetType() != w.GetType() || string(g.GetData()) != string(w.GetData()) ||
			(g.GetData() == nil) != (w.GetData() == nil) {
			return fmt.Errorf("entry %v, want %v", g, w)
		}
	}
	return nil
}

// Entries makes consecutive entries of one term, with data of their index and the given size.
func Entries(first, term uint64, n, size int) []*raftpb.Entry {
	out := make([]*raftpb.Entry, n)
	for i := range out {
		data := make([]byte, size)
		copy(data, fmt.Sprintf("%d/%d", term, first+uint64(i)))
		out[i] = &raftpb.Entry{Index: proto.Uint64(first + uint64(i)), Term: proto.Uint64(term), Type: raftpb.EntryType_EntryNormal.Enum(), Data: data}
	}
	return out
}

// Hard makes a hard state.
func Hard(term, vote, commit uint64) *raftpb.HardState {
	return &raftpb.HardState{Term: proto.Uint64(term), Vote: proto.Uint64(vote), Commit: proto.Uint64(commit)}
}

// Snapshot makes a reference with all fields set.
func Snapshot(group string, index, term uint64) *logstore.SnapshotRef {
	return &logstore.SnapshotRef{Group: group, Index: index, Term: term, Peers: []byte("peers"), Size: 10, Checksum: 11,
		ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}, Learners: []uint64{4}, AutoLeave: proto.Bool(true)}}
}

// Run runs the suite. open makes a fresh, empty store of node 1 for one test.
func Run(t *testing.T, open func(t *testing.T) *Target) {
	for _, c := range []struct {
		name string
		test func(*rig)
	}{
		{"Append", testAppend},
		{"TruncateOnConflict", testTruncate},
		{"HardState", testHardState},
		{"SnapshotReplacesLog", testSnapshotReplaces},
		{"SnapshotKeepsMatchingLog", testSnapshotKeeps},
		{"Compact", testCompact},
		{"ManyGroups", testManyGroups},
		{"CompletionsInOrder", testOrder},
		{"Remove", testRemove},
		{"Limits", testLimits},
		{"Refusals", testRefusals},
		{"LargeEntries", testLargeEntries},
		{"Identity", testIdentity},
		{"Closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(newRig(t, open)) })
	}
	t.Run("Model", func(t *testing.T) { testModel(t, open) })
}

func testAppend(r *rig) {
	if got := r.store.State("g"); got != (logstore.GroupState{}) {
		r.t.Fatalf("unknown group has state %+v", got)
	}
	_, err := r.store.Entries("g", 1, 2, 100)
	r.wantErr(err, logstore.ErrUnavailable)
	all := append(Entries(1, 1, 3, 20), Entries(4, 2, 4, 0)...)
	all[1].Type, all[2].Data = raftpb.EntryType_EntryConfChangeV2.Enum(), nil
	r.write(logstore.GroupWrite{Group: "g", Entries: all[:3]})
	r.write(logstore.GroupWrite{Group: "g", Entries: all[3:5]}, logstore.GroupWrite{Group: "g", Entries: all[5:]})
	r.again(func() {
		r.wantState("g", 1, 7)
		r.wantEntries("g", all)
		r.wantEntries("g", all[2:5])
		if term, err := r.store.Term("g", 0); term != 0 || err != nil {
			r.t.Fatalf("term of 0: %d, %v", term, err)
		}
		_, err := r.store.Term("g", 8)
		r.wantErr(err, logstore.ErrUnavailable)
		_, err = r.store.Entries("g", 7, 9, 100)
		r.wantErr(err, logstore.ErrUnavailable)
	})
}

func testTruncate(r *rig) {
	r.write(logstore.GroupWrite{Group: "g", Entries: Entries(1, 1, 10, 20), HardState: Hard(1, 1, 3)})
	r.write(logstore.GroupWrite{Group: "g", Entries: Entries(5, 2, 2, 20), HardState: Hard(2, 0, 3)})
	want := append(Entries(1, 1, 4, 20), Entries(5, 2, 2, 20)...)
	r.again(func() {
		r.wantState("g", 1, 6)
		r.wantEntries("g", want)
	})
	r.write(logstore.GroupWrite{Group: "g", Entries: Entries(7, 3, 2, 20)})
	r.again(func() { r.wantEntries("g", append(want[:6:6], Entries(7, 3, 2, 20)...)) })
}

func testHardState(r *rig) {
	r.write(logstore.GroupWrite{Group: "g", HardState: Hard(3, 7, 0)})
	r.again(func() {
		if s := r.wantState("g", 1, 0); !proto.Equal(s.HardState, Hard(3, 7, 0)) || s.Snapshot != nil {
			r.t.Fatalf("state %+v", s)
		}
	})
}

func testSnapshotReplaces(r *rig) {
	r.write(logstore.GroupWrite{Group: "g", Entries: Entries(1, 1, 10, 20), HardState: Hard(1, 1, 5)})
	ref := Snapshot("g", 8, 2)
	r.write(logstore.GroupWrite{Group: "g", Snapshot: ref})
	check := func(last uint64) func() {
		return func() {
			s := r.wantState("g", 9, last)
			if !proto.Equal(s.HardState, Hard(2, 0, 8)) {
				r.t.Fatalf("hard state %v, want it raised to the snapshot", s.HardState)
			}
			sameRef(r, s.Snapshot, ref)
			if term, err := r.store.Term("g", 8); term != 2 || err != nil {
				r.t.Fatalf("term at the snapshot: %d, %v", term, err)
			}
			_, err := r.store.Term("g", 7)
			r.wantErr(err, logstore.ErrCompacted)
			_, err = r.store.Entries("g", 8, 9, 100)
			r.wantErr(err, logstore.ErrCompacted)
		}
	}
	r.again(check(8))
	r.write(logstore.GroupWrite{Group: "g", Entries: Entries(9, 2, 3, 20)})
	r.again(check(11))
	r.again(func() { r.wantEntries("g", Entries(9, 2, 3, 20)) })
}

func sameRef(r *rig, got, want *logstore.SnapshotRef) {
	r.t.Helper()
	if got == nil || got.Group != want.Group || got.Index != want.Index || got.Term != want.Term || string(got.Peers) != string(want.Peers) ||
		got.Size != want.Size || got.Checksum != want.Checksum || !proto.Equal(got.ConfState, want.ConfState) {
		r.t.Fatalf("snapshot %+v, want %+v", got, want)
	}
}

func testSnapshotKeeps(r *rig) {
	r.write(logstore.GroupWrite{Group: "g", Entries: Entries(1, 1, 10, 20), HardState: Hard(1, 1, 8)})
	r.write(logstore.GroupWrite{Group: "g", Snapshot: Snapshot("g", 6, 1)})
	r.again(func() {
		if s := r.wantState("g", 1, 10); !proto.Equal(s.HardState, Hard(1, 1, 8)) {
			r.t.Fatalf("hard state %v", s.HardState)
		}
		r.wantEntries("g", Entries(1, 1, 10, 20))
	})
	r.write(logstore.GroupWrite{Group: "g", Snapshot: Snapshot("g", 8, 1), Compact: 6})
	r.again(func() {
		r.wantState("g", 7, 10)
		r.wantEntries("g", Entries(7, 1, 4, 20))
	})
}

func testCompact(r *rig) {
	r.write(logstore.GroupWrite{Group: "g", Entries: append(Entries(1, 1, 10, 20), Entries(11, 2, 10, 20)...), HardState: Hard(2, 1, 18), Snapshot: nil})
	r.write(logstore.GroupWrite{Group: "g", Snapshot: Snapshot("g", 18, 2)})
	for _, at := range []uint64{4, 3, 10, 15, 18} {
		r.write(logstore.GroupWrite{Group: "g", Compact: at})
		at = max(at, 4)
		r.again(func() {
			r.wantState("g", at+1, 20)
			r.wantEntries("g", append(Entries(1, 1, 10, 20), Entries(11, 2, 10, 20)...)[at:])
			if _, err := r.store.Term("g", at); err != nil {
				r.t.Fatalf("term before the first index: %v", err)
			}
			_, err := r.store.Term("g", at-1)
			r.wantErr(err, logstore.ErrCompacted)
			_, err = r.store.Entries("g", at, at+1, 100)
			r.wantErr(err, logstore.ErrCompacted)
		})
	}
	r.write(logstore.GroupWrite{Group: "g", Entries: Entries(20, 3, 1, 20)})
	r.again(func() { r.wantEntries("g", append(Entries(19, 2, 1, 20), Entries(20, 3, 1, 20)...)) })
}

func testManyGroups(r *rig) {
	const groups = 50
	name := func(i int) string { return fmt.Sprintf("group-%02d", i) }
	var want []string
	for round := range uint64(5) {
		var batch []logstore.GroupWrite
		for i := range groups {
			batch = append(batch, logstore.GroupWrite{Group: name(i), Entries: Entries(1+2*round, 1, 2, 10+i), HardState: Hard(1, uint64(i+1), 2*round)})
		}
		r.write(batch...)
	}
	for i := range groups {
		want = append(want, name(i))
	}
	r.again(func() {
		if got := r.store.Groups(); fmt.Sprint(got) != fmt.Sprint(want) {
			r.t.Fatalf("groups %v", got)
		}
		for i := range groups {
			if s := r.wantState(name(i), 1, 10); !proto.Equal(s.HardState, Hard(1, uint64(i+1), 8)) {
				r.t.Fatalf("hard state %v", s.HardState)
			}
			r.wantEntries(name(i), Entries(1, 1, 10, 10+i))
		}
	})
}

func testOrder(r *rig) {
	const n = 100
	for i := range uint64(n) {
		r.store.Submit([]logstore.GroupWrite{{Group: "g", Entries: Entries(i+1, 1, 1, 10)}}, i+1)
	}
	for i := range uint64(n) {
		d := r.wait()
		if d.Seq != i+1 || d.Err != nil {
			r.t.Fatalf("completion %+v, want %d", d, i+1)
		}
		if s := r.store.State("g"); s.LastIndex < i+1 {
			r.t.Fatalf("after completion %d the log ends at %d", d.Seq, s.LastIndex)
		}
	}
	r.again(func() { r.wantEntries("g", Entries(1, 1, n, 10)) })
}

func testRemove(r *rig) {
	r.write(logstore.GroupWrite{Group: "a", Entries: Entries(1, 1, 3, 10), HardState: Hard(1, 1, 3)}, logstore.GroupWrite{Group: "b", HardState: Hard(1, 1, 0)})
	r.write(logstore.GroupWrite{Group: "a", Remove: true})
	r.again(func() {
		if got := r.store.Groups(); len(got) != 1 || got[0] != "b" {
			r.t.Fatalf("groups %v", got)
		}
	})
	r.write(logstore.GroupWrite{Group: "a", Entries: Entries(1, 5, 1, 10)})
	r.again(func() {
		if s := r.wantState("a", 1, 1); s.HardState != nil {
			r.t.Fatalf("the old hard state came back: %v", s.HardState)
		}
		r.wantEntries("a", Entries(1, 5, 1, 10))
	})
}

func testLimits(r *rig) {
	all := Entries(1, 1, 10, 100)
	r.write(logstore.GroupWrite{Group: "g", Entries: all})
	one := uint64(proto.Size(all[0]))
	r.again(func() {
		for _, c := range []struct {
			max  uint64
			want int
		}{{0, 1}, {one - 1, 1}, {one, 1}, {2*one - 1, 1}, {2 * one, 2}, {5*one + 1, 5}, {1 << 62, 8}} {
			got, err := r.store.Entries("g", 2, 10, c.max)
			if err != nil || len(got) != c.want {
				r.t.Fatalf("at most %d bytes: %d entries, %v, want %d", c.max, len(got), err, c.want)
			}
		}
		got, err := r.store.Entries("g", 2, 4, 1<<62)
		if err != nil {
			r.t.Fatal(err)
		}
		_ = append(got, Entries(99, 9, 1, 1)...)
		r.wantEntries("g", all)
	})
}

func testRefusals(r *rig) {
	r.write(logstore.GroupWrite{Group: "g", Entries: Entries(1, 2, 10, 10), HardState: Hard(2, 7, 8), Snapshot: nil})
	r.write(logstore.GroupWrite{Group: "g", Snapshot: Snapshot("g", 5, 2), Compact: 3})
	for name, w := range map[string]logstore.GroupWrite{
		"hole":                     {Group: "g", Entries: Entries(12, 2, 1, 10)},
		"below the log":            {Group: "g", Entries: Entries(3, 2, 1, 10)},
		"hole within":              {Group: "g", Entries: append(Entries(11, 2, 1, 10), Entries(13, 2, 1, 10)...)},
		"term back in the log":     {Group: "g", Entries: Entries(11, 1, 1, 10)},
		"committed entries":        {Group: "g", Entries: Entries(6, 3, 1, 10)},
		"term back":                {Group: "g", HardState: Hard(1, 0, 8)},
		"vote changed":             {Group: "g", HardState: Hard(2, 8, 8)},
		"vote taken back":          {Group: "g", HardState: Hard(2, 0, 8)},
		"commit beyond the log":    {Group: "g", HardState: Hard(2, 7, 11)},
		"snapshot goes back":       {Group: "g", Snapshot: Snapshot("g", 4, 2)},
		"snapshot against commit":  {Group: "g", Snapshot: Snapshot("g", 6, 9)},
		"another group's":          {Group: "g", Snapshot: Snapshot("h", 9, 2)},
		"compact without snapshot": {Group: "g", Compact: 6},
		"remove and write":         {Group: "g", Remove: true, Compact: 4},
		"no name":                  {HardState: Hard(1, 1, 0)},
	} {
		var invalid *logstore.InvalidWriteError
		d := r.submit(w, logstore.GroupWrite{Group: w.Group, HardState: Hard(2, 7, 9)}, logstore.GroupWrite{Group: "other-" + name, Entries: Entries(1, 1, 1, 10)})
		if d.Err != nil || len(d.Refused) != 2 || d.Refused[0].Write != 0 || d.Refused[1].Write != 1 || !errors.As(d.Refused[0].Err, &invalid) {
			r.t.Fatalf("%s: %+v", name, d)
		}
		r.wantState("other-"+name, 1, 1)
	}
	r.again(func() {
		if s := r.wantState("g", 4, 10); !proto.Equal(s.HardState, Hard(2, 7, 8)) {
			r.t.Fatalf("hard state %v", s.HardState)
		}
		r.wantEntries("g", Entries(4, 2, 7, 10))
	})
}

func testLargeEntries(r *rig) {
	all := append(Entries(1, 1, 3, 1000), Entries(4, 1, 3, 700_000)...)
	all = append(all, Entries(7, 1, 20, 3000)...)
	r.write(logstore.GroupWrite{Group: "g", Entries: all[:5]}, logstore.GroupWrite{Group: "h", Entries: Entries(1, 1, 1, 10)})
	r.write(logstore.GroupWrite{Group: "g", Entries: all[5:]})
	r.again(func() {
		r.wantEntries("g", all)
		r.wantEntries("g", all[4:8])
		r.wantEntries("h", Entries(1, 1, 1, 10))
	})
}

func testIdentity(r *rig) {
	id := r.store.Identity()
	if id.NodeID != 1 || id.DirectoryID.IsZero() || id.Generation == 0 || id.ClusterID != "" {
		r.t.Fatalf("identity %+v", id)
	}
	wrong := id
	wrong.NodeID, wrong.ClusterID = 2, "c"
	r.wantErr(r.store.SetIdentity(wrong, nil), logstore.ErrForeign)
	id.ClusterID, id.InitialConfig = "cluster", []byte("config")
	var invalid *logstore.InvalidWriteError
	if err := r.store.SetIdentity(id, []logstore.GroupWrite{{Group: "meta", Entries: Entries(5, 1, 1, 1)}}); !errors.As(err, &invalid) {
		r.t.Fatalf("got %v", err)
	}
	if err := r.store.SetIdentity(id, []logstore.GroupWrite{{Group: "meta", Snapshot: Snapshot("meta", 1, 1)}}); err != nil {
		r.t.Fatal(err)
	}
	r.wantErr(r.store.SetIdentity(id, nil), logstore.ErrForeign)
	generation := uint64(0)
	r.again(func() {
		got := r.store.Identity()
		if got.DirectoryID != id.DirectoryID || got.NodeID != 1 || got.ClusterID != "cluster" || string(got.InitialConfig) != "config" || got.Generation <= generation {
			r.t.Fatalf("identity %+v, the generation before was %d", got, generation)
		}
		generation = got.Generation
		r.wantState("meta", 2, 1)
	})
}

func testClosed(r *rig) {
	r.write(logstore.GroupWrite{Group: "g", Entries: Entries(1, 1, 1, 10)})
	if err := r.store.Close(); err != nil {
		r.t.Fatal(err)
	}
	d := r.submit(logstore.GroupWrite{Group: "g", Entries: Entries(2, 1, 1, 10)})
	r.wantErr(d.Err, logstore.ErrStopped)
	r.wantErr(r.store.SetIdentity(logstore.Identity{}, nil), logstore.ErrStopped)
}
