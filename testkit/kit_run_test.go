package testkit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/raftactor"
)

func TestOnMatches(t *testing.T) {
	var turns, steps, crashes, both int
	r := runSeed(t, 1, Scenario{Nodes: 3, For: 5 * time.Second, Setup: func(w *World) {
		w.On(Match{Kind: "crash"}, func(e Event) {
			crashes++
			if e.Node != 2 || e.Detail != "TornTail" {
				t.Errorf("crash of %+v", e)
			}
		})
		w.On(Match{Message: (*raftactor.Step)(nil), Node: 1}, func(e Event) {
			steps++
			if e.Node != 1 || e.Actor != "raft/meta" || e.From != 2 && e.From != 3 {
				t.Errorf("step %+v", e)
			}
		})
		w.On(Match{Kind: "turn", Actor: "swim"}, func(e Event) {
			turns++
			if e.Actor != "swim" {
				t.Errorf("turn %+v", e)
			}
		})
		w.On(Match{Where: func(e Event) bool { return e.Kind == "restart" || e.Kind == "crash" }}, func(Event) { both++ })
		w.At(2*time.Second, func() { w.Node(2).Crash(TornTail) })
		w.At(3*time.Second, func() { w.Node(2).Restart() })
	}}, nil)
	if r.failure != nil || turns == 0 || steps == 0 || crashes != 1 || both != 2 {
		t.Fatalf("%v; turns %d, steps %d, crashes %d, both %d", r.failure, turns, steps, crashes, both)
	}
}

// TestOnComesBeforeTheMessage: a crash there keeps it from being handled.
func TestOnComesBeforeTheMessage(t *testing.T) {
	w := bare(t, 1, Scenario{Nodes: 1})
	n, handled := w.Node(1), 0
	pid := n.spawnFunc(t, "a", func(c actor.Context) {
		if _, ok := c.Message().(string); ok {
			handled++
		}
	})
	w.drain()
	w.On(Match{Kind: "turn", Where: func(e Event) bool { return e.Message == "second" }}, func(Event) { n.Crash(LoseUnsynced) })
	n.System().Root.Send(pid, "first")
	n.System().Root.Send(pid, "second")
	w.RunFor(time.Second)
	if handled != 1 {
		t.Fatalf("%d messages were handled", handled)
	}
}

func TestInvariantIsJudgedAtEveryStep(t *testing.T) {
	var steps uint64
	r := runSeed(t, 1, Scenario{Nodes: 1, For: 5 * time.Second, Setup: func(w *World) {
		w.Invariant("young", func(v View) error {
			steps = w.trace.steps
			if v.Now() > 2*time.Second {
				return errors.New("too old")
			}
			return nil
		})
	}}, nil)
	f := r.failure
	if f == nil || f.Invariant != "young" || f.Message != "too old" || f.At < 2*time.Second || f.At > 2200*time.Millisecond || f.Step != steps || len(f.Last) == 0 {
		t.Fatalf("failure %+v at step %d", f, steps)
	}
	if r.simulated != f.At {
		t.Fatalf("the seed went on until %v", r.simulated)
	}
}

func TestEventuallyIsJudgedAfterTheFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		holds time.Duration
		fails bool
	}{{"at once", 0, false}, {"in time", 12 * time.Second, false}, {"late", 20 * time.Second, true}} {
		asked := time.Duration(-1)
		r := runSeed(t, 1, Scenario{Nodes: 1, For: 10 * time.Second, Setup: func(w *World) {
			w.Eventually("grown up", 5*time.Second, func(v View) error {
				if asked < 0 {
					asked = v.Now()
				}
				if v.Now() < c.holds {
					return errors.New("still young")
				}
				return nil
			})
		}}, nil)
		if (r.failure != nil) != c.fails || asked != 10*time.Second {
			t.Errorf("%s: %v, first asked at %v", c.name, r.failure, asked)
		}
		if c.fails && (r.failure.Invariant != "grown up" || !strings.Contains(r.failure.Message, "still young")) {
			t.Errorf("%s: %v", c.name, r.failure)
		}
	}
}

func TestHealEndsEveryFault(t *testing.T) {
	r := runSeed(t, 1, Scenario{Nodes: 3, For: 6 * time.Second, Disk: DiskModel{SyncErr: 0.001}, Net: NetModel{Loss: 0.1}, Setup: func(w *World) {
		w.At(3*time.Second, func() {
			w.Node(1).Crash(LoseUnsynced)
			w.Node(2).Pause(time.Hour)
			w.Node(3).Disk().Stall(true)
			w.Net().Isolate(3)
			w.Net().Hold(1, 2)
		})
		w.Eventually("all is well", 30*time.Second, func(v View) error {
			if err := errors.Join(Seen(v), Agreed(v)); err != nil {
				return err
			}
			for _, n := range w.Nodes() {
				if !n.Up() || n.Paused() || n.disk.stalled || n.disk.model.SyncErr > 0 {
					return fmt.Errorf("node %d is not well", n.ID())
				}
			}
			return nil
		})
	}}, nil)
	if r.failure != nil {
		t.Fatal(r.report)
	}
}

// stormy is a short cluster run with every kind of fault.
func stormy() Scenario {
	chaos := Mixed
	chaos.OnEvent = 0.02
	return Scenario{
		Nodes: 3, For: 20 * time.Second, Chaos: chaos, Net: NetModel{Loss: 0.02, Dup: 0.02, Reorder: 0.02},
		Setup: func(w *World) { w.Load(2, 3, 10) },
	}
}

// TestSameSeedSameTrace, in each run and whatever GOMAXPROCS is; another seed has another.
func TestSameSeedSameTrace(t *testing.T) {
	first := runSeed(t, 1, stormy(), nil)
	if first.failure != nil {
		t.Fatal(first.report)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, procs := range []int{1, 2, 4} {
		runtime.GOMAXPROCS(procs)
		if r := runSeed(t, 1, stormy(), nil); r.hash != first.hash || r.steps != first.steps {
			t.Fatalf("GOMAXPROCS %d: hash %x after %d turns, want %x after %d", procs, r.hash, r.steps, first.hash, first.steps)
		}
	}
	if r := runSeed(t, 2, stormy(), nil); r.hash == first.hash {
		t.Fatal("two seeds have one trace")
	}
}

// TestFaultsReplay: the faults that a run wrote down, those of events too, make the same run again.
func TestFaultsReplay(t *testing.T) {
	byEvent := 0
	for seed := uint64(1); seed <= 5; seed++ {
		s := stormy()
		first := runSeed(t, seed, s, nil)
		if first.failure != nil {
			t.Fatal(first.report)
		}
		for _, f := range first.injected {
			if f.Event > 0 {
				byEvent++
			}
		}
		b, err := json.Marshal(first.injected)
		if err != nil {
			t.Fatal(err)
		}
		s.Chaos = Plan{}
		if err := json.Unmarshal(b, &s.Chaos.Fixed); err != nil {
			t.Fatal(err)
		}
		if again := runSeed(t, seed, s, nil); again.hash != first.hash {
			t.Errorf("seed %d: its %d faults replayed give another trace", seed, len(first.injected))
		}
	}
	if byEvent < 5 {
		t.Fatalf("only %d faults were triggered by events", byEvent)
	}
}

const plantedEnv = "TESTKIT_PLANTED"

// TestPlanted is what the tests below run in a process of its own: an actor that keeps a number in memory alone, on a node that
// must not crash. Of all the faults only those that end node 2's life matter.
func TestPlanted(t *testing.T) {
	mode := os.Getenv(plantedEnv)
	if mode == "" {
		t.Skip("a helper of other tests")
	}
	chaos := Mixed
	if mode == "events" {
		chaos = Plan{OnEvent: 0.005, Pause: time.Second, Cut: time.Second}
	}
	runs := 0
	high, now := 0, 0
	Run(t, Scenario{
		Nodes: 3, For: 20 * time.Second, Chaos: chaos,
		OnReady: func(w *World, n *Node) {
			if n.ID() == 2 && mode != "mended" {
				_, err := n.Spawn(actor.PropsFromProducer(func() actor.Actor { return &forgetful{now: &now} }), "forgetful")
				w.Require("it starts", err == nil, "%v", err)
			}
		},
		Setup: func(w *World) {
			high, now = 0, 0
			runs++
			if mode == "moody" && runs%2 == 0 {
				w.At(time.Second, func() { w.event(Event{Kind: "mood"}) })
			}
			w.Sometimes("never hit", mode == "")
			w.Invariant("the number never goes back", func(View) error {
				if now < high && mode != "moody" && mode != "sometimes" {
					return fmt.Errorf("%d after %d", now, high)
				}
				high = now
				return nil
			})
		},
	})
}

type forgetful struct {
	count int
	now   *int
}

type more struct{}

func (f *forgetful) Receive(c actor.Context) {
	switch c.Message().(type) {
	case *actor.Started, *more:
		f.count++
		*f.now = f.count
		actors.EnvOf(c).After(20*time.Millisecond, c.Self(), &more{})
	}
}

// planted runs TestPlanted in a directory, and returns what it printed and whether it passed.
func planted(t *testing.T, dir, mode string, flags ...string) (string, bool) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"-test.run=^TestPlanted$", "-test.v", "-test.timeout=2m"}, flags...)...) //nolint:gosec // this test itself
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), plantedEnv+"="+mode)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), err == nil
}

func savedPlan(t *testing.T, dir string) saved {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, planDir, "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("saved plans: %v, %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var p saved
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestFailureIsCutDownSavedAndReplayed: of a plan of many faults the one that matters is left; it is saved, is replayed before any
// seed while the bug is there, and passes once it is mended.
func TestFailureIsCutDownSavedAndReplayed(t *testing.T) {
	dir := t.TempDir()
	out, ok := planted(t, dir, "bug", "-testkit.seeds=20")
	if ok || !strings.Contains(out, "the number never goes back") || !regexp.MustCompile(`reproduce: .*-testkit\.seed=\d+ `).MatchString(out) {
		t.Fatalf("the planted bug was not found or not reported:\n%s", out)
	}
	p := savedPlan(t, dir)
	counts := regexp.MustCompile(`faults: (\d+), cut down to 1,`).FindStringSubmatch(out)
	if len(p.Faults) != 1 || p.Faults[0].Node != 2 || counts == nil || counts[1] == "1" {
		t.Fatalf("cut down to %v\n%s", p.Faults, out)
	}
	if out, ok := planted(t, dir, "bug", "-testkit.seed=1000", "-testkit.seeds=1"); ok || !strings.Contains(out, "saved plan") || strings.Contains(out, "seeds=") {
		t.Fatalf("the saved plan was not replayed first:\n%s", out)
	}
	if out, ok := planted(t, dir, "mended", "-testkit.seeds=1"); !ok {
		t.Fatalf("the saved plan fails without the bug:\n%s", out)
	}
	plan := filepath.Join(dir, planDir, fmt.Sprintf("TestPlanted-%d.json", p.Seed))
	if out, ok := planted(t, t.TempDir(), "bug", "-testkit.plan="+plan); ok || !strings.Contains(out, "the number never goes back") {
		t.Fatalf("the plan by its name:\n%s", out)
	}
}

// TestFaultOfAnEventIsCutDown: a fault that an event triggered is written down by its step, and found by it again.
func TestFaultOfAnEventIsCutDown(t *testing.T) {
	dir := t.TempDir()
	out, ok := planted(t, dir, "events", "-testkit.seeds=20")
	p := savedPlan(t, dir)
	if ok || len(p.Faults) != 1 || p.Faults[0].Event == 0 || p.Faults[0].Node != 2 {
		t.Fatalf("cut down to %v\n%s", p.Faults, out)
	}
	if out, ok := planted(t, dir, "events", "-testkit.seeds=1"); ok || !strings.Contains(out, "saved plan") {
		t.Fatalf("the saved plan does not fail again:\n%s", out)
	}
}

// TestFaultOfAnEventThatNeverComes: a plan that was cut down takes another course, and the turn at which a fault was made may not come.
func TestFaultOfAnEventThatNeverComes(t *testing.T) {
	dir := t.TempDir()
	b, err := json.Marshal(saved{Seed: 1, Faults: []Fault{{At: 10 * time.Second, Kind: "crash", Node: 2, During: time.Second, Event: 1 << 40}}})
	if err != nil {
		t.Fatal(err)
	}
	plan := filepath.Join(dir, "plan.json")
	if err := os.WriteFile(plan, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, ok := planted(t, dir, "events", "-testkit.plan="+plan); ok || !strings.Contains(out, "the number never goes back at") {
		t.Fatalf("the fault was not made at its time:\n%s", out)
	}
}

func TestWhatSometimesHappensMustHappen(t *testing.T) {
	if out, ok := planted(t, t.TempDir(), "sometimes", "-testkit.seeds=20"); ok || !strings.Contains(out, "never happened in 20 seeds: never hit") {
		t.Fatalf("a Sometimes that never was true passes:\n%s", out)
	}
	if out, ok := planted(t, t.TempDir(), "sometimes", "-testkit.seeds=5"); !ok {
		t.Fatalf("five seeds are too few to ask for it:\n%s", out)
	}
}

func TestTwiceFindsWhatIsNotDeterministic(t *testing.T) {
	if out, ok := planted(t, t.TempDir(), "moody", "-testkit.seeds=1", "-testkit.twice"); ok || !strings.Contains(out, "not deterministic") {
		t.Fatalf("two different traces pass:\n%s", out)
	}
	if out, ok := planted(t, t.TempDir(), "mended", "-testkit.seeds=1", "-testkit.twice"); !ok {
		t.Fatalf("two equal traces fail:\n%s", out)
	}
}

func TestBudgetEndsSeeds(t *testing.T) {
	out, ok := planted(t, t.TempDir(), "mended", "-testkit.seeds=100000", "-testkit.budget=1ms")
	if !ok || !strings.Contains(out, "seeds=1 ") {
		t.Fatalf("a budget of 1 ms:\n%s", out)
	}
}
