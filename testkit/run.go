package testkit

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	rand2 "math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	seedFlag   = flag.Uint64("testkit.seed", 1, "first seed")
	seedsFlag  = flag.Int("testkit.seeds", 0, "number of seeds; 0 means the test's own number")
	budgetFlag = flag.Duration("testkit.budget", 0, "stop beginning new seeds after this much real time; 0 means never")
	planFlag   = flag.String("testkit.plan", "", "a saved plan to replay instead of seeds")
	shrinkFlag = flag.Bool("testkit.shrink", true, "cut a failing plan down")
	traceFlag  = flag.Bool("testkit.trace", false, "print every turn")
	twiceFlag  = flag.Bool("testkit.twice", false, "run each seed twice and compare the traces")
)

// defaultSeeds keeps plain go test quick.
const defaultSeeds = 3

// one process runs one world at a time: a world replaces crypto/rand.Reader, which etcd raft draws its election time-outs from.
var oneWorld sync.Mutex

// saved is a plan as a file.
type saved struct {
	Test      string  `json:"test"`
	Seed      uint64  `json:"seed"`
	Invariant string  `json:"invariant"`
	Message   string  `json:"message"`
	Faults    []Fault `json:"faults"`
}

// result is what is left of one run.
type result struct {
	seed      uint64
	hash      uint64
	steps     uint64
	simulated time.Duration
	faults    map[string]int
	sometimes map[string]bool
	ended     [3]int
	injected  []Fault
	failure   *Failure
	report    string
}

// Run runs the scenario once for each saved plan of the test and then for each seed. The first failure is cut down, saved under
// testdata/testkit and reported with the line that reproduces it.
func Run(t *testing.T, s Scenario) {
	t.Helper()
	s.setDefaults()
	if *planFlag != "" {
		replay(t, s, *planFlag)
		return
	}
	for _, file := range savedPlans(t) {
		replay(t, s, file)
	}
	count := *seedsFlag
	if count == 0 {
		count = defaultSeeds
	}
	total := result{faults: make(map[string]int), sometimes: make(map[string]bool)}
	began, seeds := time.Now(), 0
	for i := range count {
		if *budgetFlag > 0 && time.Since(began) > *budgetFlag {
			break
		}
		seed := *seedFlag + uint64(i)
		r := runSeed(t, seed, s, nil)
		if r.failure == nil && *twiceFlag {
			if again := runSeed(t, seed, s, nil); again.hash != r.hash {
				t.Fatalf("seed %d is not deterministic: traces %016x and %016x; %s", seed, r.hash, again.hash, divergence(t, seed, s))
			}
		}
		if r.failure != nil {
			giveUp(t, s, r)
			return
		}
		total.add(r)
		seeds++
	}
	total.print(t, seeds, time.Since(began), seeds == count && count >= 20)
}

func (total *result) add(r result) {
	total.hash = total.hash*1099511628211 ^ r.hash
	total.steps += r.steps
	total.simulated += r.simulated
	for k, v := range r.faults {
		total.faults[k] += v
	}
	for k, v := range r.sometimes {
		total.sometimes[k] = total.sometimes[k] || v
	}
	for i, v := range r.ended {
		total.ended[i] += v
	}
}

func (total *result) print(t *testing.T, seeds int, took time.Duration, demand bool) {
	t.Helper()
	t.Logf("seeds=%d simulated=%v turns=%d speed=%.0f simulated s/s", seeds, total.simulated.Round(time.Second), total.steps,
		total.simulated.Seconds()/took.Seconds())
	t.Logf("operations ok=%d failed=%d unknown=%d", total.ended[OK], total.ended[Failed], total.ended[Unknown])
	t.Logf("faults %s", counted(total.faults))
	var never []string
	for _, name := range sortedKeys(total.sometimes) {
		t.Logf("sometimes %-50s %v", name, total.sometimes[name])
		if !total.sometimes[name] {
			never = append(never, name)
		}
	}
	t.Logf("hash=%016x", total.hash)
	if demand && len(never) > 0 {
		t.Errorf("never happened in %d seeds: %s", seeds, strings.Join(never, ", "))
	}
}

func counted(m map[string]int) string {
	var parts []string
	for _, k := range sortedKeys(m) {
		parts = append(parts, fmt.Sprintf("%s=%d", k, m[k]))
	}
	return strings.Join(parts, " ")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// seededReader stands for crypto/rand while a world runs.
type seededReader struct{ *rand2.ChaCha8 }

func (r seededReader) Read(b []byte) (int, error) { return r.ChaCha8.Read(b) }

func withRandomness(seed uint64, f func()) {
	oneWorld.Lock()
	defer oneWorld.Unlock()
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	if os.Getenv("GOGC") == "" { // a world allocates much and keeps little
		defer debug.SetGCPercent(debug.SetGCPercent(400))
	}
	before := rand.Reader
	rand.Reader = seededReader{rand2.NewChaCha8(key)}
	defer func() { rand.Reader = before }()
	f()
}

// runSeed runs one seed from its beginning to its last check.
func runSeed(t testing.TB, seed uint64, s Scenario, marks *[]mark64) (r result) {
	withRandomness(seed, func() {
		var print func(string)
		if *traceFlag {
			print = func(line string) { _, _ = fmt.Fprintln(os.Stdout, line) }
		}
		w := newWorld(t, seed, s, print)
		w.trace.marks = marks
		if s.Bubble {
			inBubble(t, w, w.run)
		} else {
			w.run()
		}
		r = w.result()
	})
	return r
}

// divergence runs a seed twice more and names the first actor that did something else: what it depends on is not the world's.
func divergence(t testing.TB, seed uint64, s Scenario) string {
	var a, b []mark64
	runSeed(t, seed, s, &a)
	runSeed(t, seed, s, &b)
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("the first difference is at step %d, where node %d's actor %s had its turn in one run and node %d's %s in the other",
				i, a[i].node, a[i].who, b[i].node, b[i].who)
		}
	}
	return "two more runs were the same"
}

// run is the life of a world.
func (w *World) run() {
	w.start()
	w.observed.watch()
	for _, f := range w.scenario.Chaos.draw(w) {
		w.plan(f)
	}
	w.onEvents(w.scenario.Chaos, w.stream("events"))
	if w.scenario.Setup != nil {
		w.scenario.Setup(w)
	}
	w.RunFor(w.scenario.For)
	if w.failure == nil && !w.faultsOver {
		w.Heal()
	}
	for _, e := range w.eventually {
		w.await(e)
	}
	w.loadOver = true
	if w.failure == nil && len(w.models) > 0 {
		w.RunFor(clientTimeout + time.Second)
		for _, model := range w.models {
			w.judge(model)
		}
	}
}

// plan arms one fault, by time or by step.
func (w *World) plan(f Fault) {
	if f.Event > 0 {
		w.byStep = append(w.byStep, f)
		return
	}
	w.after(f.At, func() {
		if !w.faultsOver {
			w.injected = append(w.injected, f)
			w.inject(f)
		}
	})
}

// injectPlanned makes the faults that an event triggered in an earlier run, at the point of the same turn. In a world that has taken another
// course since, as one of fewer faults does, that turn may come much later or never: then when its time has passed.
func (w *World) injectPlanned() {
	due := func(f Fault) bool { return f.Event <= w.trace.steps || f.At < w.now }
	if !slices.ContainsFunc(w.byStep, due) {
		return
	}
	planned := w.byStep
	w.byStep = nil
	for _, f := range planned {
		switch {
		case !due(f):
			w.byStep = append(w.byStep, f)
		case !w.faultsOver:
			w.injected = append(w.injected, f)
			w.inject(f)
		}
	}
}

func (w *World) await(e eventual) {
	if w.failure != nil {
		return
	}
	var last error
	held := w.RunUntil(func() bool {
		last = e.f(View{w})
		return last == nil
	}, e.within)
	if !held && w.failure == nil {
		w.failed(e.name, fmt.Sprintf("not within %v after the faults ended: %v", e.within, last))
	}
}

func (w *World) result() result {
	r := result{
		seed: w.seed, hash: w.Hash(), steps: w.trace.steps, simulated: w.now, faults: w.faults, sometimes: w.sometimes,
		injected: w.injected, failure: w.failure,
	}
	for k, v := range w.net.faults {
		r.faults[k] += v
	}
	for _, id := range w.clientIDs {
		for i, v := range w.clients[id].ended {
			r.ended[i] += v
		}
	}
	if w.failure != nil {
		r.report = w.failure.report(w)
	}
	return r
}

// giveUp cuts the plan down, saves it and fails the test.
func giveUp(t *testing.T, s Scenario, r result) {
	t.Helper()
	faults := r.injected
	if *shrinkFlag && len(faults) > 0 {
		faults = shrink(t, s, r)
	}
	path := save(t, saved{Test: t.Name(), Seed: r.seed, Invariant: r.failure.Invariant, Message: r.failure.Message, Faults: faults})
	t.Fatalf("seed %d: %s\nfaults: %d, cut down to %d, saved as %s\nreproduce: go test -run '^%s$' -testkit.seed=%d -testkit.seeds=1 -testkit.trace",
		r.seed, r.report, len(r.injected), len(faults), path, t.Name(), r.seed)
}

// shrink is delta debugging over the faults: only the same invariant counts.
func shrink(t *testing.T, s Scenario, r result) []Fault {
	const attempts = 64
	tries := 0
	fails := func(faults []Fault) bool {
		tries++
		s.Chaos = Plan{Fixed: faults}
		if len(faults) == 0 {
			s.Chaos.Fixed = []Fault{}
		}
		again := runSeed(t, r.seed, s, nil)
		return again.failure != nil && again.failure.Invariant == r.failure.Invariant
	}
	faults := slices.Clone(r.injected)
	if !fails(faults) {
		return faults // it hangs on more than the plan
	}
	for size := (len(faults) + 1) / 2; size >= 1 && tries < attempts; {
		cut := false
		for at := 0; at < len(faults) && tries < attempts; {
			rest := slices.Delete(slices.Clone(faults), at, min(at+size, len(faults)))
			if fails(rest) {
				faults, cut = rest, true
			} else {
				at += size
			}
		}
		if !cut || size > len(faults) {
			size /= 2
		}
	}
	return faults
}

const planDir = "testdata/testkit"

func save(t *testing.T, s saved) string {
	b, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = os.MkdirAll(planDir, 0o750)
	}
	path := filepath.Join(planDir, fmt.Sprintf("%s-%d.json", strings.ReplaceAll(t.Name(), "/", "_"), s.Seed))
	if err == nil {
		err = os.WriteFile(path, append(b, '\n'), 0o600)
	}
	if err != nil {
		return "nothing: " + err.Error()
	}
	return path
}

func savedPlans(t *testing.T) []string {
	files, err := filepath.Glob(filepath.Join(planDir, strings.ReplaceAll(t.Name(), "/", "_")+"-*.json"))
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(files)
	return files
}

func replay(t *testing.T, s Scenario, file string) {
	t.Helper()
	f, err := os.Open(file) //nolint:gosec // a file of the test's own
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	var p saved
	if err = errors.Join(err, f.Close()); err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		t.Fatalf("plan %s: %v", file, err)
	}
	s.Chaos = Plan{Fixed: append([]Fault{}, p.Faults...)}
	if r := runSeed(t, p.Seed, s, nil); r.failure != nil {
		t.Fatalf("saved plan %s fails again: %s", file, r.report)
	}
}
