package logstore

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// tally is the metrics of a test: all that was added to a name, and what it was set to.
type tally map[string]float64

type tallied struct {
	of   tally
	name string
}

func (t tally) Counter(name, _ string, _ ...string) actors.Counter { return tallied{t, name} }
func (t tally) Gauge(name, _ string, _ ...string) actors.Gauge     { return tallied{t, name} }
func (t tally) Histogram(name, help string, buckets []float64, labels ...string) actors.Histogram {
	return actors.NoMetrics.Histogram(name, help, buckets, labels...)
}
func (t tallied) Add(n uint64)  { t.of[t.name] += float64(n) }
func (t tallied) Set(v float64) { t.of[t.name] = v }

// pruner is a snapshot actor over real files.
type pruner struct {
	*world
	t     *testing.T
	dir   string
	files *snapshotDir
	pid   *actor.PID
	meter tally
}

func newPruner(t *testing.T) *pruner {
	t.Helper()
	p := &pruner{t: t, dir: t.TempDir(), meter: tally{}}
	p.start()
	return p
}

// start begins a life of the process.
func (p *pruner) start() {
	p.t.Helper()
	files, err := NewSnapshotDir(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	p.world = newClockwork().world()
	p.System = actors.NewSystem(p.world, actors.WithDispatcher(p.clockwork), actors.WithMetrics(p.meter))
	p.files = files.(*snapshotDir)
	p.pid = p.Root.Spawn(SnapshotsProps(files, SnapshotsConfig{}))
	p.run()
}

// damage changes a byte of a file's data.
func (p *pruner) damage(ref SnapshotRef) {
	p.t.Helper()
	path := p.files.path(&ref)
	b, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pruner) prune(ref SnapshotRef) {
	p.Root.Send(p.pid, &PruneSnapshots{Ref: ref})
	p.run()
}

// left are the indexes of the files, whole or not.
func (p *pruner) left(group string) (out []uint64) {
	p.t.Helper()
	files, err := filepath.Glob(filepath.Join(p.files.groupDir(group), "*"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, path := range files {
		ref, ok := p.files.named(group, path)
		if !ok {
			p.t.Fatalf("there is a %s", path)
		}
		out = append(out, ref.Index)
	}
	return out
}

func (p *pruner) mustHave(what string, damaged, removed float64, indexes ...uint64) {
	p.t.Helper()
	if got := p.left("meta"); !equal(got, indexes) || p.meter["rivven_snapshot_damaged"] != damaged || p.meter["rivven_snapshot_damaged_removed_total"] != removed {
		p.t.Fatalf("%s: left %v, want %v; %v", what, got, indexes, p.meter)
	}
}

// Whatever is damaged and when it is found, a group keeps three whole snapshots and the newest damaged one among them.
func TestPruneKeepsTheNewestDamagedSnapshotAndNoOther(t *testing.T) {
	p := newPruner(t)
	var refs []SnapshotRef
	add := func() SnapshotRef {
		refs = append(refs, putSnapshot(t, p.files, testRef("meta", 10+uint64(len(refs))), testData(100)))
		return refs[len(refs)-1]
	}
	for range 5 {
		add()
	}
	for _, i := range []int{0, 2, 3} {
		p.damage(refs[i])
	}
	p.start()
	p.prune(refs[4])
	p.mustHave("three damaged", 1, 2, 11, 13, 14)
	p.prune(add())
	p.mustHave("the evidence stays", 1, 2, 11, 13, 14, 15)
	p.damage(refs[5])
	p.start()
	p.prune(add())
	p.mustHave("younger evidence", 1, 3, 11, 14, 15, 16)
	p.prune(add())
	p.mustHave("while a whole one would be kept", 1, 3, 14, 15, 16, 17)
	p.prune(add())
	p.mustHave("and no longer", 0, 4, 16, 17, 18)
}

func TestPruneLeavesWhatIsNotKnownToBeDamaged(t *testing.T) {
	p := newPruner(t)
	other := putSnapshot(t, p.files, testRef("meta", 9), testData(100))
	newer := putSnapshot(t, p.files, testRef("meta", 10), testData(100))
	path := p.files.path(&newer)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[7]++ // the format's number
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	misplaced := other
	misplaced.Index = 11
	if err := os.Rename(p.files.path(&other), p.files.path(&misplaced)); err != nil {
		t.Fatal(err)
	}
	ahead := putSnapshot(t, p.files, testRef("meta", 30), testData(100))
	p.damage(ahead)
	if err := os.WriteFile(filepath.Join(p.files.groupDir("meta"), "notes"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.start()
	if damaged, err := p.files.Damaged("meta"); err != nil || len(damaged) != 2 || damaged[0].Ref.Index != 30 || damaged[1].Ref.Index != 11 {
		t.Fatalf("%+v, %v", damaged, err)
	}
	for i := range uint64(4) {
		p.prune(putSnapshot(t, p.files, testRef("meta", 20+i), testData(100)))
	}
	if err := os.Remove(filepath.Join(p.files.groupDir("meta"), "notes")); err != nil {
		t.Fatal(err)
	}
	p.mustHave("a newer format, and what may be written anew", 1, 1, 10, 21, 22, 23, 30)
}

func TestRemovedGroupLeavesNoDamagedSnapshot(t *testing.T) {
	p := newPruner(t)
	for i := range uint64(3) {
		p.damage(putSnapshot(t, p.files, testRef("meta", 10+i), testData(100)))
	}
	p.start()
	asker := p.probe()
	p.send(asker, p.pid, &RemoveSnapshots{Group: "meta"})
	p.run()
	if got := asker.take(); len(got) != 1 || got[0].(*SnapshotsRemoved).Err != nil {
		t.Fatalf("%v", got)
	}
	p.mustHave("removed", 0, 3)
}

// A save whose machine panics leaves no half a file until the next start.
func TestSaveThatPanicsLeavesNoFile(t *testing.T) {
	p := newPruner(t)
	asker := p.probe()
	p.send(asker, p.pid, &SaveSnapshot{Ref: testRef("meta", 10), Data: failingData{panics: true}})
	p.run()
	if got := asker.take(); len(got) != 1 || got[0].(*SnapshotSaved).Err == nil {
		t.Fatalf("%v", got)
	}
	p.mustHave("after a panic", 0, 0)
}
