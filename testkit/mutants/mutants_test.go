package mutants_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/testkit/mutants"
)

var (
	allFlag  = flag.Bool("mutants.all", false, "hunt every mutant instead of the quick ones")
	onlyFlag = flag.String("mutants.only", "", "hunt only mutants whose name contains this")
)

// controlSeeds is how far a hunt goes at least on the code as it is.
const controlSeeds = 3

// found is how a hunt ended.
type found struct {
	Invariant string `json:"invariant"`
	Message   string `json:"message"`
	Seed      uint64 `json:"seed"`
	took      time.Duration
	output    string
}

// table gathers results of hunts that run side by side.
type table struct {
	mu    sync.Mutex
	rows  []string
	found int
	far   map[string]int // seeds by hunt
}

// TestMutants hunts known bugs: each must be found, by an invariant that speaks of it, within its budget; the same hunts
// find nothing in the code as it is.
func TestMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the kit's tests several times")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	chosen := choose(t)
	results := &table{far: make(map[string]int)}
	t.Run("hunt", func(t *testing.T) {
		for _, m := range chosen {
			t.Run(m.Name, func(t *testing.T) {
				t.Parallel()
				results.hunt(t, root, m)
			})
		}
	})
	slices.Sort(results.rows)
	t.Logf("%-28s %-34s %6s %8s  %s\n%s", "mutant", "caught by", "seeds", "seconds", "what it breaks", strings.Join(results.rows, "\n"))
	if !t.Failed() {
		control(t, root, results.far)
	}
	t.Logf("found %d/%d", results.found, len(chosen))
}

func choose(t *testing.T) []*mutants.Mutant {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.mutant"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no mutants: %v", err)
	}
	var chosen []*mutants.Mutant
	for _, file := range files {
		m, err := mutants.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(m.Name, *onlyFlag) && (m.Quick || *allFlag || *onlyFlag != "") {
			chosen = append(chosen, m)
		}
	}
	return chosen
}

func (r *table) hunt(t *testing.T, root string, m *mutants.Mutant) {
	overlay, err := m.Apply(root, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := run(t, build(t, root, overlay), m.Hunt, m.Seeds, m.Budget)
	r.mu.Lock()
	defer r.mu.Unlock()
	caught, seeds := f.Invariant, strconv.FormatUint(f.Seed, 10)
	switch {
	case f.Invariant == "":
		caught, seeds = "NOT FOUND", ">"+strconv.Itoa(m.Seeds)
		t.Errorf("mutant %s was not found by hunt %s within %d seeds and %v (%s): %s\n%s", m.Name, m.Hunt, m.Seeds, m.Budget, f.took.Round(time.Second), m.Breaks, f.output)
	case !slices.Contains(m.CaughtBy, f.Invariant):
		t.Errorf("mutant %s was caught by %q, which says nothing of it (want one of %q): %s", m.Name, f.Invariant, m.CaughtBy, f.Message)
	default:
		r.found++
		r.far[m.Hunt] = max(r.far[m.Hunt], int(f.Seed)) //nolint:gosec // seeds are counted from 1
		t.Logf("seed %d: %s: %.300s", f.Seed, f.Invariant, f.Message)
	}
	r.rows = append(r.rows, fmt.Sprintf("%-28s %-34s %6s %8.1f  %s", m.Name, caught, seeds, f.took.Seconds(), m.Breaks))
}

// control runs the hunts as far as the mutants needed them, on the code as it is.
func control(t *testing.T, root string, far map[string]int) {
	t.Helper()
	binary := build(t, root, "")
	t.Run("control", func(t *testing.T) {
		for hunt, seeds := range far {
			t.Run(hunt, func(t *testing.T) {
				t.Parallel()
				seeds = max(seeds, controlSeeds)
				f := run(t, binary, hunt, seeds, time.Hour)
				if f.Invariant != "" {
					t.Fatalf("hunt %s finds %q in the code as it is, seed %d: %s", hunt, f.Invariant, f.Seed, f.Message)
				}
				t.Logf("%d seeds pass in %.1f s", seeds, f.took.Seconds())
			})
		}
	})
}

// build compiles the tests of the kit.
func build(t *testing.T, root, overlay string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "testkit.test")
	args := []string{"test", "-c", "-o", binary}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, "./testkit")...) //nolint:gosec // arguments of the test's own
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	return binary
}

// run runs one hunt in a folder of its own, where a failure leaves its plan.
func run(t *testing.T, binary, hunt string, seeds int, budget time.Duration) (f found) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), binary, "-test.run", "^"+strings.ReplaceAll(testOf(hunt), "/", "$/^")+"$", "-test.v", "-test.timeout", "55m", //nolint:gosec // a binary that was just built
		"-testkit.seed=1", "-testkit.seeds="+strconv.Itoa(seeds), "-testkit.budget="+budget.String(), "-testkit.shrink=false")
	cmd.Dir = dir
	began := time.Now()
	out, err := cmd.CombinedOutput()
	f.took = time.Since(began)
	if !bytes.Contains(out, []byte("=== RUN   "+testOf(hunt)+"\n")) {
		t.Fatalf("there is no hunt %q: %v\n%s", hunt, err, tail(out))
	}
	plans, globErr := filepath.Glob(filepath.Join(dir, "testdata", "testkit", "*.json"))
	if errors.Join(globErr, err) == nil {
		f.output = tail(out)
		return f
	}
	if len(plans) != 1 {
		t.Fatalf("hunt %s ended without a verdict: %v\n%s", hunt, err, tail(out))
	}
	b, err := os.ReadFile(plans[0])
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// testOf is the test that a hunt is.
func testOf(hunt string) string { return "TestHunt/" + hunt }

func tail(out []byte) string {
	const most = 4000
	return string(out[max(0, len(out)-most):])
}
