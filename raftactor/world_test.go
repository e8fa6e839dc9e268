package raftactor

import (
	crand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// world runs the actors of several nodes on the test's own goroutine, in a seeded order and in virtual time.
type world struct {
	t         testing.TB
	now       time.Duration
	queue     []func()
	timers    []*worldTimer
	seq       int
	rng       *rand.Rand
	nodes     []*node
	cut       map[[2]int]bool
	lanes     map[string]time.Duration
	filter    func(from, to int, m proto.Message) bool // false: lost
	delay     func(from, to int, m proto.Message) time.Duration
	oversized int // messages that no frame of the remote holds, lost
	log       *zap.Logger

	entries map[uint64]string // what was applied at an index, on whichever node came first
	leaders map[uint64]uint64 // by term
}

const (
	netLatency  = 200 * time.Microsecond
	syncLatency = 300 * time.Microsecond
	frameMax    = 4 << 20 // of the remote's, but for bulk
)

type worldTimer struct {
	at   time.Duration
	seq  int
	fn   func()
	done bool
}

func (t *worldTimer) Stop() bool { was := !t.done; t.done = true; return was }

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), cut: map[[2]int]bool{}, lanes: map[string]time.Duration{},
		entries: map[uint64]string{}, leaders: map[uint64]uint64{}, log: zap.NewNop(),
	}
	if os.Getenv("RAFT_LOG") != "" {
		w.log, _ = zap.NewDevelopment(zap.AddStacktrace(zap.FatalLevel))
	}
	real := crand.Reader
	crand.Reader = rand.NewChaCha8([32]byte{byte(seed)})
	t.Cleanup(func() {
		crand.Reader = real
		for _, n := range w.nodes {
			n.crash()
		}
	})
	return w
}

func (w *world) at(d time.Duration, fn func()) *worldTimer {
	w.seq++
	t := &worldTimer{at: w.now + max(d, 0), seq: w.seq, fn: fn}
	w.timers = append(w.timers, t)
	return t
}

// until runs the world until ok or until max virtual time has passed.
func (w *world) until(what string, most time.Duration, ok func() bool) {
	w.t.Helper()
	if !w.runUntil(most, ok) {
		w.t.Fatalf("after %v: not within %v: %s\n%s", w.now, most, what, w.describe())
	}
}

func (w *world) run(d time.Duration) { w.runUntil(d, func() bool { return false }) }

func (w *world) runUntil(most time.Duration, ok func() bool) bool {
	end := w.now + most
	for {
		for turns := 0; len(w.queue) > 0; turns++ {
			if turns > 100_000 {
				w.t.Fatalf("at %v: the actors don't come to rest", w.now)
			}
			i := w.rng.IntN(len(w.queue))
			fn := w.queue[i]
			w.queue[i] = w.queue[len(w.queue)-1]
			w.queue = w.queue[:len(w.queue)-1]
			fn()
		}
		if ok() {
			return true
		}
		next := -1
		kept := w.timers[:0]
		for _, t := range w.timers {
			if t.done {
				continue
			}
			kept = append(kept, t)
			if n := len(kept) - 1; next < 0 || t.at < kept[next].at || t.at == kept[next].at && t.seq < kept[next].seq {
				next = n
			}
		}
		w.timers = kept
		if next < 0 || w.timers[next].at > end {
			w.now = end
			return ok()
		}
		t := w.timers[next]
		w.now, t.done = max(w.now, t.at), true
		t.fn()
	}
}

func (w *world) describe() string {
	var b strings.Builder
	for _, n := range w.nodes {
		if n.sys != nil {
			fmt.Fprintf(&b, "node %d: %v\n", n.id, n.status())
		}
	}
	return b.String()
}

// node is one process: its disk outlives it.
type node struct {
	w       *world
	id      int
	dir     actors.ID
	address string
	store   *slowStore
	files   logstore.SnapshotFiles

	gen     int // of the process
	sys     *actors.System
	env     *nodeEnv
	cfg     Config
	group   *actor.PID
	spawn   func(*actor.Props) *actor.PID // as a supervised child of the process
	machine *kv
	metrics *metrics
	clients int
	gaveUp  any
}

// slowStore is a memory store whose writes take their time. What is under way when the process dies is lost.
type slowStore struct {
	logstore.Store
	n     *node
	fail  error         // the next Submits fail
	delay time.Duration // instead of syncLatency
	last  time.Duration
	note  func(logstore.Durable)
	syncs int
	hook  func([]logstore.GroupWrite)
}

func (s *slowStore) Attach(f func(logstore.Durable)) { s.note = f; s.Store.Attach(f) }

func (s *slowStore) Submit(batch []logstore.GroupWrite, seq uint64) {
	gen, n, d := s.n.gen, s.n, s.delay
	if d == 0 {
		d = syncLatency
	}
	s.last = max(s.last, n.w.now+d)
	s.syncs++
	n.w.at(s.last-n.w.now, func() {
		switch {
		case n.gen != gen:
		case s.fail != nil:
			s.note(logstore.Durable{Seq: seq, Err: s.fail})
		default:
			if s.hook != nil {
				s.hook(batch)
			}
			s.Store.Submit(batch, seq)
		}
	})
}

func (w *world) newNode() *node {
	id := len(w.nodes) + 1
	n := &node{w: w, id: id, address: fmt.Sprintf("node%d:9093", id)}
	w.nodes = append(w.nodes, n)
	n.wipe()
	return n
}

// wipe gives the node a new disk, which makes it another replica.
func (n *node) wipe() {
	for i := range n.dir {
		n.dir[i] = byte(n.w.rng.Uint32())
	}
	n.format()
}

// format loses the disk's content and keeps its identity, as no honest operator does.
func (n *node) format() {
	n.store = &slowStore{Store: logstore.NewMemory(logstore.Identity{DirectoryID: n.dir, NodeID: uint64(n.id)}), n: n}
	n.files = logstore.NewSnapshotMemory()
}

func (n *node) replica() uint64 { return actors.ReplicaID(n.dir) }
func (n *node) peer() Peer {
	return Peer{NodeID: uint64(n.id), Replica: n.replica(), Address: n.address}
}

func peersOf(nodes []*node) []Peer {
	var out []Peer
	for _, n := range nodes {
		out = append(out, n.peer())
	}
	return out
}

// start begins a process. change, where given, alters the group's configuration.
func (n *node) start(peers []Peer, change ...func(*Config)) {
	n.w.t.Helper()
	n.gen++
	n.boot()
	n.gaveUp = nil
	var root *actor.PID
	props := actor.PropsFromFunc(func(ctx actor.Context) {
		if p, ok := ctx.Message().(*actor.Props); ok {
			pid, err := ctx.SpawnNamed(p, "x")
			if err != nil {
				n.w.t.Fatal(err)
			}
			ctx.Respond(pid)
		}
	}, actor.WithSupervisor(actors.Supervise(actors.Supervision{
		GiveUp: func(_ actor.Supervisor, _ *actor.PID, reason, _ any) { n.gaveUp = reason },
	})))
	root = n.sys.Root.Spawn(props)
	spawn := func(p *actor.Props) *actor.PID {
		a := n.askPID(root, p)
		n.w.until("spawn", 0, func() bool { return a.got != nil })
		return a.got.(*actor.PID)
	}
	n.spawn = spawn
	handle := logstore.Handle{
		Writer: spawn(logstore.Props(n.store, logstore.WriterConfig{})), Reader: n.store,
		Snapshots: spawn(logstore.SnapshotsProps(n.files, logstore.SnapshotsConfig{})), Files: n.files,
	}
	spawn(TicksProps())
	n.cfg = Config{Group: "kv", Store: handle, Peers: peers, RequestTimeout: 2 * time.Second}
	n.cfg.Machine = func() consensus.Machine { n.machine = newKV(n); return n.machine }
	for _, f := range change {
		f(&n.cfg)
	}
	p, err := Props(n.cfg)
	if err != nil {
		n.w.t.Fatal(err)
	}
	n.group = spawn(p)
}

// crash ends the process as kill -9 does.
func (n *node) crash() {
	if n.sys != nil {
		idle = append(idle, n.env)
	}
	n.gen++
	n.sys, n.env, n.store.last = nil, nil, 0
}

// idle are actor systems of processes that are gone. Making one costs more than a whole election.
var idle []*nodeEnv

// boot takes an actor system for a new process.
func (n *node) boot() {
	n.metrics = newMetrics()
	if k := len(idle) - 1; k >= 0 {
		n.env, idle = idle[k], idle[:k]
		for _, m := range n.env.sys.ProcessRegistry.LocalPIDs.LocalPIDs {
			if !m.IsEmpty() {
				m.Clear()
			}
		}
	} else {
		e := &nodeEnv{Core: zapcore.NewNopCore()}
		e.sys = actors.NewSystem(e, actors.WithDispatcher(e), actors.WithLogger(zap.New(e)), actors.WithMetrics(e))
		e.sys.ProcessRegistry.RegisterAddressResolver(func(*actor.PID) (actor.Process, bool) { return &link{n: e.n, gen: e.gen}, true })
		n.env = e
	}
	n.env.n, n.env.gen, n.env.ids, n.env.Core = n, n.gen, 0, n.w.log.With(zap.Int("node", n.id)).Core()
	n.sys = n.env.sys
	n.sys.ProcessRegistry.Address = n.address
}

// nodeEnv is a process's environment and its dispatcher; both fall silent with it.
type nodeEnv struct {
	zapcore.Core
	sys *actors.System
	n   *node
	gen int
	ids byte
}

func (e *nodeEnv) Counter(name, help string, labels ...string) actors.Counter {
	return e.n.metrics.Counter(name, help, labels...)
}

func (e *nodeEnv) Gauge(name, help string, labels ...string) actors.Gauge {
	return e.n.metrics.Gauge(name, help, labels...)
}

func (e *nodeEnv) Histogram(name, help string, buckets []float64, labels ...string) actors.Histogram {
	return e.n.metrics.Histogram(name, help, buckets, labels...)
}

func (e *nodeEnv) Now() time.Time      { return time.Unix(0, 0).Add(e.n.w.now) }
func (e *nodeEnv) Boot() time.Duration { return e.n.w.now }
func (e *nodeEnv) Rand(string) *rand.Rand {
	return rand.New(rand.NewPCG(e.n.w.rng.Uint64(), e.n.w.rng.Uint64()))
}
func (e *nodeEnv) NewID() (id actors.ID) { e.ids++; id[0], id[1] = byte(e.n.id), e.ids; return id }
func (e *nodeEnv) Throughput() int       { return 1 }

func (e *nodeEnv) Schedule(fn func()) {
	if n, gen := e.n, e.gen; n != nil {
		n.w.queue = append(n.w.queue, func() {
			if n.gen == gen {
				fn()
			}
		})
	}
}

func (e *nodeEnv) After(d time.Duration, pid *actor.PID, msg any) actors.Timer {
	n, gen := e.n, e.gen
	return n.w.at(d, func() {
		if n.gen == gen {
			n.deliver(pid, msg)
		}
	})
}

func (n *node) deliver(pid *actor.PID, msg any) {
	process, _ := n.sys.ProcessRegistry.Get(pid)
	if system, ok := msg.(actor.SystemMessage); ok {
		process.SendSystemMessage(pid, system)
		return
	}
	process.SendUserMessage(pid, msg)
}

// link is the network as seen from one process: every message is marshalled, lanes keep their order.
type link struct {
	n   *node
	gen int
}

func (l *link) Stop(*actor.PID)                   {}
func (l *link) SendSystemMessage(*actor.PID, any) {}
func (l *link) SendUserMessage(pid *actor.PID, m any) {
	h, msg, sender := actor.UnwrapEnvelope(m)
	_ = h
	l.SendClass(actors.Default, pid, &actor.MessageEnvelope{Message: msg, Sender: sender})
}

func (l *link) SendClass(class actors.Class, pid *actor.PID, e *actor.MessageEnvelope) {
	w := l.n.w
	m, ok := e.Message.(proto.Message)
	if !ok {
		w.t.Fatalf("%T goes over the wire to %v", e.Message, pid)
	}
	data, err := proto.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(data) > frameMax {
		w.oversized++
		return
	}
	var to *node
	for _, n := range w.nodes {
		if n.address == pid.Address {
			to = n
		}
	}
	if to == nil || l.gen != l.n.gen || w.filter != nil && !w.filter(l.n.id, to.id, m) {
		return
	}
	from, gen, id := l.n, l.gen, pid.Id
	sender := e.Sender
	lane := fmt.Sprint(from.id, to.id, class)
	w.lanes[lane] = max(w.lanes[lane], w.now+netLatency+time.Duration(w.rng.Int64N(int64(netLatency))))
	if w.delay != nil {
		w.lanes[lane] += w.delay(from.id, to.id, m)
	}
	fresh := m.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(data, fresh); err != nil {
		w.t.Fatal(err)
	}
	w.at(w.lanes[lane]-w.now, func() {
		if gen == from.gen && to.sys != nil && !w.cut[[2]int{from.id, to.id}] {
			to.arrive(from, class, id, fresh, sender)
		}
	})
}

func (n *node) arrive(from *node, class actors.Class, id string, m proto.Message, sender *actor.PID) {
	process, ok := n.sys.ProcessRegistry.GetLocal(id)
	if !ok {
		if sender != nil {
			from.deliver(actor.NewPID(sender.Address, sender.Id), &actor.DeadLetterResponse{Target: actor.NewPID(n.address, id)})
		}
		return
	}
	var msg any = m
	if actors.Reserved(id) {
		msg = &actors.Inbound{Class: class, Message: m, Peer: &actors.PeerInfo{
			NodeID: uint64(from.id), DirectoryID: from.dir, Generation: uint64(from.gen), Address: from.address}}
	}
	e := &actor.MessageEnvelope{Message: msg}
	if sender != nil {
		e.Sender = actor.NewPID(sender.Address, sender.Id)
	}
	process.SendUserMessage(n.sys.NewLocalPID(id), e)
}

// isolate cuts a node off, both ways; heal mends everything.
func (w *world) isolate(n *node) {
	for _, m := range w.nodes {
		if m != n {
			w.cut[[2]int{n.id, m.id}], w.cut[[2]int{m.id, n.id}] = true, true
		}
	}
}

func (w *world) heal() { clear(w.cut) }

// answer is what a client of a node gets.
type answer struct {
	got any
	all []any
}

func (a *answer) SendUserMessage(_ *actor.PID, m any) {
	_, msg, _ := actor.UnwrapEnvelope(m)
	if a.got == nil {
		a.got = msg
	}
	a.all = append(a.all, msg)
}
func (a *answer) SendSystemMessage(*actor.PID, any) {}
func (a *answer) Stop(*actor.PID)                   {}

func (n *node) askPID(to *actor.PID, m any) *answer {
	a := &answer{}
	n.clients++
	pid, _ := n.sys.ProcessRegistry.Add(a, fmt.Sprintf("client%d", n.clients))
	n.sys.Root.RequestWithCustomSender(to, m, pid)
	return a
}

func (n *node) ask(m any) *answer { return n.askPID(n.group, m) }

// await asks and runs the world until the answer is there.
func (n *node) await(m any) any {
	n.w.t.Helper()
	a := n.ask(m)
	n.w.until(fmt.Sprintf("answer of node %d to %T", n.id, m), 10*time.Second, func() bool { return a.got != nil })
	return a.got
}

func (n *node) status() *consensus.Status {
	a := n.ask(&consensus.GetStatus{})
	n.w.runUntil(0, func() bool { return a.got != nil })
	s, _ := a.got.(*consensus.Status)
	return s
}
