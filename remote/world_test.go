package remote

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/hupe1980/rivven-cluster/actors"
)

// world runs the session core of several nodes on one goroutine, in virtual time, over connections in memory.
type world struct {
	t       testing.TB
	now     time.Duration
	turns   []func()
	events  eventQueue
	seq     uint64
	nodes   map[string]*worldNode // by address
	cut     map[[2]string]bool
	latency time.Duration
}

type worldEvent struct {
	at   time.Duration
	seq  uint64
	run  func()
	dead bool
}

type eventQueue []*worldEvent

func (q eventQueue) Len() int      { return len(q) }
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(*worldEvent)) }
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}

func newWorld(t testing.TB) *world {
	return &world{t: t, nodes: make(map[string]*worldNode), cut: make(map[[2]string]bool), latency: time.Millisecond}
}

// Schedule and Throughput make the world the dispatcher of every actor.
func (w *world) Schedule(f func()) { w.turns = append(w.turns, f) }
func (w *world) Throughput() int   { return 1 }

func (w *world) after(d time.Duration, run func()) *worldEvent {
	w.seq++
	e := &worldEvent{at: w.now + max(d, 0), seq: w.seq, run: run}
	heap.Push(&w.events, e)
	return e
}

func (w *world) settle() {
	for len(w.turns) > 0 {
		turn := w.turns[0]
		w.turns = w.turns[1:]
		turn()
	}
}

func (w *world) runFor(d time.Duration) {
	end := w.now + d
	w.settle()
	for len(w.events) > 0 && w.events[0].at <= end {
		e := heap.Pop(&w.events).(*worldEvent)
		w.now = e.at
		if !e.dead {
			e.run()
		}
		w.settle()
	}
	w.now = end
}

type worldEnv struct {
	w    *world
	node *worldNode
}

func (e *worldEnv) Now() time.Time      { return time.Unix(1e9, 0).Add(e.w.now) }
func (e *worldEnv) Boot() time.Duration { return e.w.now }
func (e *worldEnv) NewID() actors.ID    { return actors.ID{1} }

func (e *worldEnv) Rand(stream string) *rand.Rand {
	return rand.New(rand.NewPCG(7, uint64(len(stream))))
}

type worldTimer struct{ e *worldEvent }

func (t worldTimer) Stop() bool { was := !t.e.dead; t.e.dead = true; return was }

func (e *worldEnv) After(d time.Duration, pid *actor.PID, msg any) actors.Timer {
	id := pid.Id
	return worldTimer{e.w.after(d, func() {
		if process, ok := e.node.ProcessRegistry.GetLocal(id); ok {
			process.SendUserMessage(pid, msg)
		}
	})}
}

type worldNode struct {
	*actor.ActorSystem
	w         *world
	remote    *Remote
	transport *memTransport
	logs      *observer.ObservedLogs
}

func (w *world) start(address string, id Identity, opts ...ConfigOption) *worldNode {
	w.t.Helper()
	return w.startWith(address, id, nil, opts...)
}

func (w *world) startWith(address string, id Identity, onListen func(), opts ...ConfigOption) *worldNode {
	w.t.Helper()
	return w.startOn(address, id, onListen, nil, opts...)
}

// startSystem starts a node on a system with options of its own.
func (w *world) startSystem(address string, id Identity, system []actors.Option, opts ...ConfigOption) *worldNode {
	w.t.Helper()
	return w.startOn(address, id, nil, system, opts...)
}

func (w *world) startOn(address string, id Identity, onListen func(), system []actors.Option, opts ...ConfigOption) *worldNode {
	w.t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	env := &worldEnv{w: w}
	sys := actors.NewSystem(env, append([]actors.Option{actors.WithDispatcher(w), actors.WithLogger(zap.New(core))}, system...)...)
	n := &worldNode{ActorSystem: sys.ActorSystem, w: w, logs: logs, transport: &memTransport{w: w, address: address, node: id.NodeID, onListen: onListen}}
	env.node = n
	w.nodes[address] = n
	opts = append([]ConfigOption{WithTransport(n.transport), WithIdentity(id), WithConnectionAge(0)}, opts...)
	n.remote = NewRemote(n.ActorSystem, Configure("sim", 0, opts...))
	if err := n.remote.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	return n
}

// crash ends a node without a word to anybody.
func (n *worldNode) crash() {
	for _, c := range n.transport.conns {
		c.other.lost("timeout: no recent network activity")
	}
	n.transport.down = true
	delete(n.w.nodes, n.transport.address)
}

// collect spawns an actor that keeps what it gets.
func (n *worldNode) collect(name string, also ...func(actor.Context)) *collected {
	c := &collected{}
	pid, err := n.Root.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
		switch msg := ctx.Message().(type) {
		case *actor.Started, *actor.Stopping, *actor.Stopped:
		case func(actor.Context):
			msg(ctx)
		default:
			c.got = append(c.got, msg)
			c.senders = append(c.senders, ctx.Sender())
			for _, f := range also {
				f(ctx)
			}
		}
	}), name)
	if err != nil {
		n.w.t.Fatal(err)
	}
	c.pid = pid
	n.w.settle()
	return c
}

type collected struct {
	pid     *actor.PID
	got     []any
	senders []*actor.PID
}

func (c *collected) take() []any {
	got := c.got
	c.got, c.senders = nil, nil
	return got
}

// do runs f in a collecting actor's turn.
func (n *worldNode) do(c *collected, f func(actor.Context)) {
	n.Root.Send(c.pid, f)
	n.w.settle()
}

// memTransport is a Transport in the world's memory: lanes are reliable until a connection is lost.
type memTransport struct {
	w       *world
	address string
	node    uint64
	handler Handler
	conns   []*memConn
	down    bool
	dials   int
	// onListen runs while the endpoints are open and their addresses not yet known.
	onListen func()
}

func (t *memTransport) Listen(h Handler) (Endpoints, error) {
	t.handler = h
	if t.onListen != nil {
		t.onListen()
	}
	return Endpoints{Main: t.address, Gossip: t.address}, nil
}

func (t *memTransport) Dial(dial uint64, kind Kind, address string, expect uint64) {
	t.dials++
	t.w.after(2*t.w.latency, func() {
		peer := t.w.nodes[address]
		switch {
		case t.down:
		case peer == nil || t.w.cut[[2]string{t.address, address}]:
			t.w.after(dialDeadline, func() {
				if !t.down {
					t.handler.DialFailed(dial, errors.New("timeout"))
				}
			})
		case expect != 0 && peer.transport.node != expect:
			t.handler.DialFailed(dial, &CloseError{Code: CodeCertificate, Reason: "another node"})
		default:
			here, there := t.conn(kind, peer.transport.node), peer.transport.conn(kind, t.node)
			here.other, there.other, here.dialed = there, here, true
			peer.transport.handler.Accepted(there)
			t.handler.Dialed(dial, here)
		}
	})
}

func (t *memTransport) conn(kind Kind, node uint64) *memConn {
	t.w.seq++
	c := &memConn{t: t, id: t.w.seq, kind: kind, node: node, outs: make(map[actors.Class]*memLane), early: make(map[actors.Class][][]byte)}
	t.conns = append(t.conns, c)
	return c
}

func (t *memTransport) Close() { t.down = true }

type memConn struct {
	t         *memTransport
	id        uint64
	kind      Kind
	node      uint64
	other     *memConn
	dialed    bool
	ended     bool
	finishing bool
	lane      func(actors.Class) Inbox
	ins       map[actors.Class]Inbox
	outs      map[actors.Class]*memLane
	early     map[actors.Class][][]byte
	finished  int
	forgotten bool
	delay     time.Duration // of what it sends in its lanes, besides the latency
	lingers   time.Duration // from its end until its last frame was read
}

type memLane struct {
	out   Outbox
	ended bool
}

func (c *memConn) ID() uint64         { return c.id }
func (c *memConn) Kind() Kind         { return c.kind }
func (c *memConn) NodeID() uint64     { return c.node }
func (c *memConn) RemoteAddr() string { return c.other.t.address }

func (c *memConn) Greet(frame []byte) {
	c.t.w.after(c.t.w.latency, func() {
		switch {
		case c.other.forgotten:
			c.other.reset()
		case !c.ended && !c.other.ended:
			c.other.t.handler.Greeting(c.other, frame)
		}
	})
}

func (c *memConn) Send(class actors.Class, out Outbox) {
	lane := &memLane{out: out}
	c.outs[class] = lane
	out.Bind(func() { c.t.w.after(0, func() { c.pump(class, lane) }) })
}

func (c *memConn) pump(class actors.Class, lane *memLane) {
	if c.ended || c.outs[class] != lane {
		return
	}
	for b := lane.out.Fill(nil); len(b) > 0; b = lane.out.Fill(nil) {
		c.t.w.after(c.t.w.latency+c.delay, func() { c.other.arrive(class, b) })
	}
	if c.finishing && !lane.ended {
		lane.ended = true
		c.t.w.after(c.t.w.latency, c.other.laneEnded)
	}
}

func (c *memConn) arrive(class actors.Class, b []byte) {
	if c.forgotten {
		c.reset()
		return
	}
	if c.ended {
		return
	}
	if c.lane == nil {
		c.early[class] = append(c.early[class], b)
		return
	}
	if c.ins[class] == nil {
		c.ins[class] = c.lane(class)
	}
	var err error
	if class == actors.Datagram {
		err = c.ins[class].Receive(b)
	} else {
		err = NewDeframer(class, c.ins[class]).Feed(b)
	}
	if err != nil {
		reason := closeErrorOf(err)
		c.Close(reason.Code, reason.Reason)
	}
}

func (c *memConn) laneEnded() {
	if c.forgotten {
		c.reset()
		return
	}
	if c.finished++; c.finished == len(c.kind.Lanes()) && !c.ended {
		c.t.handler.Drained(c)
	}
}

func (c *memConn) Receive(lane func(actors.Class) Inbox) {
	c.lane, c.ins = lane, make(map[actors.Class]Inbox)
	for class := actors.Class(0); class < actors.Classes; class++ {
		for _, b := range c.early[class] {
			c.arrive(class, b)
		}
	}
}

func (c *memConn) Finish() {
	c.finishing = true
	for _, class := range c.kind.Lanes() {
		if lane := c.outs[class]; lane != nil {
			c.t.w.after(0, func() { c.pump(class, lane) })
		}
	}
}

func (c *memConn) Close(code Code, reason string) {
	if c.ended {
		return
	}
	c.end(&CloseError{Code: code, Reason: reason})
	c.t.w.after(c.t.w.latency, func() { c.other.end(&CloseError{Code: code, Reason: reason, Remote: true}) })
}

// forget ends one end alone, as the idle time does where the other stood still: that one learns of it by what it sends.
func (c *memConn) forget() {
	c.lost("timeout: no recent network activity")
	c.forgotten = true
}

// reset answers what came to an end that is forgotten.
func (c *memConn) reset() {
	c.t.w.after(c.t.w.latency, func() { c.other.lost("received a stateless reset") })
}

func (c *memConn) lost(reason string) { c.end(errors.New(reason)) }

func (c *memConn) end(err error) {
	if c.ended || c.t.down {
		return
	}
	done := func() {
		c.ended = true
		if !c.t.down {
			c.t.handler.Closed(c, err)
		}
	}
	if c.lingers > 0 {
		c.t.w.after(c.lingers, sync.OnceFunc(done))
		c.lingers = 0
		return
	}
	c.ended = true
	c.t.w.after(0, done)
}

// breakConns loses every connection that from dialed to to.
func (w *world) breakConns(from, to *worldNode, kind Kind) {
	for _, c := range from.transport.conns {
		if !c.ended && c.kind == kind && c.other != nil && c.other.t == to.transport {
			c.lost("timeout: no recent network activity")
			c.other.lost("timeout: no recent network activity")
		}
	}
}

// forgetConns ends a node's ends of all connections with another one, which stands still meanwhile.
func (n *worldNode) forgetConns(other *worldNode) {
	for _, c := range n.transport.conns {
		if !c.ended && c.other != nil && c.other.t == other.transport {
			c.forget()
		}
	}
}

func worldIdentity(node, generation uint64) Identity {
	id := testIdentity(node)
	id.Generation = generation
	return id
}

func (n *worldNode) at(id string) *actor.PID { return actor.NewPID(n.transport.address, id) }

func texts(got []any) string { return fmt.Sprint(got) }
