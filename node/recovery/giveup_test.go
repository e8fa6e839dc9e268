package recovery_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hupe1980/rivven-cluster/node/recovery"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// withApp adds a group to a survivor, whose log begins behind its one snapshot.
func withApp(t *testing.T, dir string) {
	t.Helper()
	d := openDisk(t, dir)
	d.write(logstore.GroupWrite{Group: "app", Snapshot: raftactor.InitialWrite("app", three).Snapshot, Entries: entries(2, 2, 9), HardState: hard(2, 0, 10)})
	d.write(logstore.GroupWrite{Group: "app", Snapshot: d.snapshot("app", 8, "state at 8"), Compact: 8})
	d.close()
}

func damageSnapshots(t *testing.T, dir, group string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, recovery.SnapshotsDirectory, group, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if err := os.Truncate(file, 40); err != nil {
			t.Fatal(err)
		}
	}
}

// One group's loss is no other's: what can be recovered is, once the operator named what can't.
func TestRecoveryGivesUpOnlyWhatIsNamed(t *testing.T) {
	dir := survivor(t)
	withApp(t, dir)
	whole, err := recovery.MakePlan(dir, 1, epoch)
	if err != nil {
		t.Fatal(err)
	}
	damageSnapshots(t, dir, "app")
	plan, err := recovery.MakePlan(dir, 1, epoch)
	if err != nil || len(plan.Groups) != 3 {
		t.Fatalf("%+v, %v", plan, err)
	}
	for _, g := range plan.Groups {
		if (g.Problem != "") != (g.Group == "app") {
			t.Fatalf("%+v", g)
		}
	}
	if g := plan.Groups[0]; g.Group != "app" || !strings.Contains(g.Problem, "snapshot can't be read") || g.LastIndex != 10 || g.Snapshot != 0 {
		t.Fatalf("%+v", g)
	}
	if err := plan.Behind(whole); !errors.Is(err, recovery.ErrBehind) || !strings.Contains(err.Error(), "app") {
		t.Fatalf("a survivor that has the group is not preferred: %v", err)
	}
	to := target(dir)
	if _, err := plan.Apply(to); !errors.Is(err, recovery.ErrUnusable) || !strings.Contains(err.Error(), `"app"`) || strings.Contains(err.Error(), `"meta"`) {
		t.Fatalf("applied without a word on the group: %v", err)
	}
	for _, names := range [][]string{{"app", "young"}, {"app", "nobody"}, {"young"}} {
		to.GiveUp = names
		if _, err := plan.Apply(to); err == nil {
			t.Fatalf("gave up %v", names)
		}
	}
	to.GiveUp = []string{"app"}
	founded, err := plan.Apply(to)
	if err != nil || !slices.Equal(founded.GivenUp, []string{"app"}) || !slices.Equal(founded.Groups, []string{"meta", "young"}) {
		t.Fatalf("%+v, %v", founded, err)
	}
	d := openDisk(t, dir)
	d.mustStand("meta", 12, "state at 12")
	d.mustStand("young", 1, "")
	if got := d.store.Groups(); !slices.Equal(got, []string{"meta", "young"}) {
		t.Fatalf("groups %v", got)
	}
	if got := d.store.State("meta").LastIndex; got != 20 {
		t.Fatalf("the log ends at %d", got)
	}
	d.close()
	old := openDisk(t, founded.Archive)
	if got := old.store.State("app").LastIndex; got != 10 {
		t.Fatalf("the archive's log ends at %d", got)
	}
}

func TestRecoveryNeedsTheMetadata(t *testing.T) {
	dir := survivor(t)
	damageSnapshots(t, dir, "meta")
	plan, err := recovery.MakePlan(dir, 1, epoch)
	if err != nil || plan.Groups[0].Problem == "" {
		t.Fatalf("%+v, %v", plan, err)
	}
	to := target(dir)
	to.GiveUp = []string{"meta"}
	if _, err := plan.Apply(to); !errors.Is(err, recovery.ErrUnusable) || !strings.Contains(err.Error(), "another survivor") {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 3 { // raft.db, snapshots, LOCK
		t.Fatalf("a refused plan left %v", left)
	}
}

// A log with an entry that can't be read is a problem of its group, and the plan says so before anything is made of it.
func TestPlanReadsTheWholeLog(t *testing.T) {
	dir := survivor(t)
	plan, err := recovery.PlanUnreadable(dir, epoch, "young", 0)
	if err != nil || plan.Groups[0].Problem != "" || plan.Groups[1].Problem != "" {
		t.Fatalf("%+v, %v", plan, err)
	}
	plan, err = recovery.PlanUnreadable(dir, epoch, "meta", 17)
	if err != nil || !strings.Contains(plan.Groups[0].Problem, "damage at index 17") || plan.Groups[1].Problem != "" {
		t.Fatalf("%+v, %v", plan, err)
	}
}
