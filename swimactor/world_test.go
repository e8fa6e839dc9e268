package swimactor

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
)

// world runs real actors of several nodes on the test's goroutine in virtual time: one agenda of timers and
// deliveries, dispatchers that run inline.
type world struct {
	t      testing.TB
	now    time.Duration
	agenda agenda
	seq    uint64
	nodes  map[string]*worldNode // by address
	loss   float64
	rng    *rand.Rand
	cut    func(from, to *worldNode) bool
	sent   map[actors.Class]int
	bytes  int // the largest datagram
	trace  uint64
	names  map[string][]string // what names stand for
}

type worldNode struct {
	w      *world
	cfg    Config
	system *actors.System
	swim   *actor.PID
	down   bool
	heeds  []*actor.PID // who asked the remote for its peers
}

type entry struct {
	at      time.Duration
	seq     uint64
	do      func()
	stopped bool
}

func (e *entry) Stop() bool {
	was := e.stopped
	e.stopped = true
	return !was
}

type agenda []*entry

func (h agenda) Len() int { return len(h) }
func (h agenda) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h agenda) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *agenda) Push(x any)   { *h = append(*h, x.(*entry)) }
func (h *agenda) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

func newWorld(t testing.TB) *world {
	return &world{t: t, nodes: make(map[string]*worldNode), rng: rand.New(rand.NewPCG(1, 2)), sent: make(map[actors.Class]int)}
}

// note adds to the trace of the run.
func (w *world) note(what ...any) {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, w.trace, w.now, what)
	w.trace = h.Sum64()
}

func (w *world) after(d time.Duration, do func()) *entry {
	w.seq++
	e := &entry{at: w.now + max(d, 0), seq: w.seq, do: do}
	heap.Push(&w.agenda, e)
	return e
}

func (w *world) run(d time.Duration) {
	end := w.now + d
	for len(w.agenda) > 0 && w.agenda[0].at <= end {
		e := heap.Pop(&w.agenda).(*entry)
		w.now = e.at
		if !e.stopped {
			e.stopped = true
			e.do()
		}
	}
	w.now = end
}

func (w *world) until(limit time.Duration, what string, holds func() bool) {
	w.t.Helper()
	for start := w.now; !holds(); w.run(10 * time.Millisecond) {
		if w.now-start > limit {
			w.t.Fatalf("after %v still not: %s", limit, what)
		}
	}
}

// worldEnv is a node's environment in a world.
type worldEnv struct{ n *worldNode }

func (e worldEnv) Now() time.Time      { return time.Unix(1_700_000_000, 0).Add(e.n.w.now) }
func (e worldEnv) Boot() time.Duration { return e.n.w.now }
func (e worldEnv) NewID() actors.ID    { return actors.ID{byte(e.n.cfg.NodeID)} }
func (e worldEnv) Rand(string) *rand.Rand {
	return rand.New(rand.NewPCG(e.n.cfg.NodeID, uint64(e.n.w.now)))
}
func (e worldEnv) After(d time.Duration, pid *actor.PID, msg any) actors.Timer {
	target := actor.NewPID(pid.Address, pid.Id)
	return e.n.w.after(d, func() {
		if process, ok := e.n.system.ProcessRegistry.GetLocal(target.Id); ok && !e.n.down {
			process.SendUserMessage(target, msg)
		}
	})
}

func testConfig(id uint64, seeds ...string) Config {
	return Config{
		NodeID: id, DirectoryID: actors.ID{0xd0, byte(id)}, Generation: 1, Name: fmt.Sprintf("node%d", id),
		Address: fmt.Sprintf("node%d:9093", id), KnownPeers: seeds, ClusterID: "c",
	}
}

func (w *world) start(cfg Config, opts ...actors.Option) *worldNode {
	w.t.Helper()
	n := &worldNode{w: w, cfg: cfg}
	if old := w.nodes[cfg.Address]; old != nil {
		old.down = true
	}
	opts = append(opts, actors.WithDispatcher(actor.NewSynchronizedDispatcher(300)))
	n.system = actors.NewSystem(worldEnv{n}, opts...)
	registry := n.system.ProcessRegistry
	registry.Address = cfg.Address
	registry.RegisterAddressResolver(func(pid *actor.PID) (actor.Process, bool) { return &wireProcess{n}, true })
	w.nodes[cfg.Address] = n
	n.spawn(actor.PropsFromFunc(n.remote, actors.Named(actors.NameRemote)))
	props, err := Props(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	n.swim = n.spawn(props)
	return n
}

func (n *worldNode) spawn(props *actor.Props) *actor.PID {
	pid, err := n.system.Root.SpawnNamed(props, fmt.Sprintf("test%d", n.w.seq))
	if err != nil {
		n.w.t.Fatal(err)
	}
	n.w.seq++
	return pid
}

func (n *worldNode) peer() *actors.PeerInfo {
	return &actors.PeerInfo{NodeID: n.cfg.NodeID, Name: n.cfg.Name, ClusterID: n.cfg.ClusterID, DirectoryID: n.cfg.DirectoryID,
		Generation: n.cfg.Generation, Address: n.cfg.Address}
}

// remote answers as the remote does.
func (n *worldNode) remote(ctx actor.Context) {
	if msg, ok := ctx.Message().(*actors.Lookup); ok {
		answer := &actors.LookedUp{Address: msg.Address, Addresses: []string{msg.Address}}
		if several := n.w.names[msg.Address]; several != nil {
			answer.Addresses = several
		}
		asker := ctx.Sender()
		n.w.after(0, func() { n.system.Root.Send(asker, answer) })
	}
	if _, ok := ctx.Message().(*actors.SubscribePeers); ok {
		n.heeds = append(n.heeds, ctx.Sender())
	}
	if msg, ok := ctx.Message().(*actors.Resolve); ok {
		answer := &actors.Resolved{Address: msg.Address}
		if there, ok := n.w.nodes[msg.Address]; ok && !there.down && (n.w.cut == nil || !n.w.cut(n, there)) {
			answer.Peer = there.peer()
		} else {
			answer.Err = fmt.Errorf("nobody at %s", msg.Address)
		}
		ctx.Respond(answer)
	}
}

// wireProcess stands for everybody on other nodes: it marshals, delays and delivers as Inbound.
type wireProcess struct{ from *worldNode }

func (p *wireProcess) SendClass(class actors.Class, pid *actor.PID, envelope *actor.MessageEnvelope) {
	w := p.from.w
	data, err := proto.Marshal(envelope.Message.(proto.Message))
	if err != nil {
		w.t.Error(err)
	}
	w.sent[class]++
	w.note(p.from.cfg.NodeID, pid.Address, class.String(), data)
	if class == actors.Datagram {
		w.bytes = max(w.bytes, len(data))
		if w.rng.Float64() < w.loss {
			return
		}
	}
	address := pid.Address
	w.after(time.Millisecond, func() {
		to, ok := w.nodes[address]
		if !ok || to.down || p.from.down || w.cut != nil && w.cut(p.from, to) {
			return
		}
		msg := &Message{}
		if err := proto.Unmarshal(data, msg); err != nil {
			w.t.Error(err)
		}
		to.deliver(&actors.Inbound{Peer: p.from.peer(), Class: class, Message: msg})
	})
}

func (p *wireProcess) SendUserMessage(pid *actor.PID, message any) {
	p.SendClass(actors.Default, pid, &actor.MessageEnvelope{Message: message})
}
func (p *wireProcess) SendSystemMessage(*actor.PID, any) {}
func (p *wireProcess) Stop(*actor.PID)                   {}

func (n *worldNode) deliver(msg any) {
	if process, ok := n.system.ProcessRegistry.GetLocal(actors.NameSwim); ok {
		process.SendUserMessage(n.swim, msg)
	}
}

// probe is an actor that keeps what it gets.
type probe struct {
	node *worldNode
	pid  *actor.PID
	got  []any
}

func (n *worldNode) probe() *probe {
	p := &probe{node: n}
	p.pid = n.spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch msg := ctx.Message().(type) {
		case *actor.Started, *actor.Stopping, *actor.Stopped:
		default:
			p.got = append(p.got, msg)
		}
	}))
	return p
}

func (p *probe) ask(msg any) {
	p.node.system.Root.RequestWithCustomSender(p.node.swim, msg, p.pid)
}

func (p *probe) last() any {
	if len(p.got) == 0 {
		return nil
	}
	return p.got[len(p.got)-1]
}

// got counts what a probe got of one type that passes a filter.
func got[T any](p *probe, keep func(T) bool) int {
	count := 0
	for _, msg := range p.got {
		if m, ok := msg.(T); ok && (keep == nil || keep(m)) {
			count++
		}
	}
	return count
}
