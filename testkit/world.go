package testkit

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	cmap "github.com/orcaman/concurrent-map"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/ringactor"
)

// A system costs 2.85 MiB with protoactor's 1024 maps of 32 shards, and a world makes one for every life of every node.
func init() { cmap.SHARD_COUNT = 1 }

// Scenario is what a test runs, once for each seed.
type Scenario struct {
	// Nodes start together with blank disks; default 3.
	Nodes int
	// For is how long a seed runs in virtual time before Heal and the last checks; default 30 s.
	For   time.Duration
	Kinds []ringactor.Kind
	// Configure changes the config of a node before each of its lives.
	Configure func(id int, cfg *node.Config)
	// OnReady is called in each life of each node, once it belongs to a cluster: the place for the app's own actors.
	OnReady func(*World, *Node)
	// Setup runs before the first turn: actors, faults, invariants.
	Setup func(*World)
	Net   NetModel
	Disk  DiskModel
	// Chaos adds random faults; the zero Plan adds none.
	Chaos Plan
	// Bubble is for actors that use goroutines, RequestFuture with a time-out or SetReceiveTimeout.
	Bubble bool
	// AllowPanics lets actors fail; otherwise a panic that is not fatal by intent fails the seed.
	AllowPanics bool
}

func (s *Scenario) setDefaults() {
	if s.Nodes == 0 {
		s.Nodes = 3
	}
	if s.For == 0 {
		s.For = 30 * time.Second
	}
}

// World is one run of one seed: nodes, network, disks and clock on one goroutine. Nothing in it may be used from another one.
type World struct {
	t          testing.TB
	seed       uint64
	scenario   Scenario
	now        time.Duration
	seq        uint64
	events     events
	ready      []*mailbox
	pick       *rand.Rand
	nodes      []*Node
	net        *Net
	trace      *trace
	bubble     *bubble // nil outside bubble mode
	log        *zap.Logger
	faults     map[string]int
	matches    []*matcher
	checks     []check
	observed   *observer
	sometimes  map[string]bool
	clients    map[int]*Client
	clientIDs  []int
	injected   []Fault
	byStep     []Fault // planned, of events
	eventually []eventual
	models     []porcupine.Model
	traffic    *traffic // nil where none was asked for
	faultsOver bool
	loadOver   bool
	failure    *Failure
	idle       int // turns since the clock moved
}

// Failure is why a seed failed.
type Failure struct {
	Invariant string
	Message   string
	Step      uint64
	At        time.Duration
	Last      []string
}

func (f *Failure) Error() string {
	return fmt.Sprintf("%s at step %d, t=%.3fs: %s", f.Invariant, f.Step, f.At.Seconds(), f.Message)
}

// livelock is how many turns may pass in one instant.
const livelock = 500_000

func newWorld(t testing.TB, seed uint64, s Scenario, print func(string)) *World {
	s.setDefaults()
	w := &World{
		t: t, seed: seed, scenario: s, trace: newTrace(print), log: zap.NewNop(), faults: make(map[string]int), sometimes: make(map[string]bool),
		clients: make(map[int]*Client),
	}
	w.pick = w.stream("schedule")
	w.net = newNet(w, s.Net)
	w.observed = newObserver(w)
	for i := range s.Nodes {
		w.add(i + 1)
	}
	return w
}

func (w *World) add(certified int) *Node {
	n := &Node{world: w, id: len(w.nodes) + 1, certified: certified}
	n.disk = newDisk(n, w.scenario.Disk)
	w.nodes = append(w.nodes, n)
	return n
}

// addresses are those of the nodes that the scenario began with.
func (w *World) addresses() []string {
	out := make([]string, w.scenario.Nodes)
	for i := range out {
		out[i] = w.nodes[i].address()
	}
	return out
}

// Node returns a node, counted from 1.
func (w *World) Node(i int) *Node { return w.nodes[i-1] }

// Nodes returns all of them.
func (w *World) Nodes() []*Node { return append([]*Node(nil), w.nodes...) }

// Net is the network.
func (w *World) Net() *Net { return w.net }

// Now is the virtual time since the world began.
func (w *World) Now() time.Duration { return w.now }

// Rand returns a generator of the test's own, by name.
func (w *World) Rand(name string) *rand.Rand { return w.stream("test/" + name) }

// step is one turn, or one event where no actor has anything to do.
func (w *World) step() bool {
	if w.failure != nil {
		return false
	}
	if w.bubble != nil {
		w.bubble.rest()
	}
	if n := len(w.ready); n > 0 {
		i := 0
		if n > 1 {
			i = w.pick.IntN(n)
		}
		m := w.ready[i]
		w.ready[i] = w.ready[n-1]
		w.ready[n-1] = nil
		w.ready = w.ready[:n-1]
		m.turn()
		if w.idle++; w.idle > livelock {
			w.fail("%d turns in one instant: %s is busy with itself", livelock, m)
		}
	} else {
		before := w.now
		if !w.next() {
			return false
		}
		if w.now != before {
			w.idle = 0
		}
	}
	w.check()
	return true
}

// RunFor lets d of virtual time pass.
func (w *World) RunFor(d time.Duration) {
	w.RunUntil(func() bool { return false }, d)
}

// RunUntil runs until f holds, for at most limit, and reports whether it did.
func (w *World) RunUntil(f func() bool, limit time.Duration) bool {
	over := false
	alarm := w.after(limit, func() { over = true })
	defer alarm.Stop()
	for !f() {
		if over || !w.step() {
			return f()
		}
	}
	return true
}

// At lets f happen at a time of the world.
func (w *World) At(d time.Duration, f func()) { w.after(d-w.now, f) }

func (w *World) count(fault string) { w.faults[fault]++ }

func (w *World) fail(format string, args ...any) { w.failed("testkit", fmt.Sprintf(format, args...)) }

func (w *World) failed(invariant, message string) {
	if w.failure == nil {
		w.failure = &Failure{Invariant: invariant, Message: message, Step: w.trace.steps, At: w.now, Last: w.trace.tail(60)}
	}
}

func (w *World) onPanic(m *mailbox, message, reason any) {
	w.event(Event{Kind: "panic", Node: m.node.id, Detail: fmt.Sprintf("%s on %T: %v", m.id, message, reason)})
	if !w.scenario.AllowPanics && !isFatal(reason) {
		w.failed("no actor panics", fmt.Sprintf("%s on %T: %v\n%s", m, message, reason, stack()))
	}
}

func (w *World) logger(n *Node) *zap.Logger { return w.log.Named(fmt.Sprintf("n%d", n.id)) }

// start begins the first life of every node that the scenario starts with.
func (w *World) start() {
	for _, n := range w.nodes {
		n.start()
	}
}

func (f *Failure) report(w *World) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v\nlast events:\n", f)
	for _, line := range f.Last {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	return b.String()
}
