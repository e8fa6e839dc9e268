package testkit

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/remote"
)

// endpoint is a transport's user that keeps what happens to it.
type endpoint struct {
	world     *World
	transport *transport
	conns     []remote.Conn
	log       []string
	got       []arrival
}

type arrival struct {
	class actors.Class
	text  string
	at    time.Duration
}

func (e *endpoint) note(format string, args ...any) {
	e.log = append(e.log, fmt.Sprintf(format, args...))
}

func (e *endpoint) Accepted(c remote.Conn) {
	e.note("accepted %d", c.NodeID())
	e.take(c)
}

func (e *endpoint) Dialed(_ uint64, c remote.Conn) {
	e.note("dialed %d", c.NodeID())
	e.take(c)
}

func (e *endpoint) take(c remote.Conn) {
	e.conns = append(e.conns, c)
	c.Receive(func(class actors.Class) remote.Inbox { return &inlet{e, class} })
}

func (e *endpoint) Found(uint64, []string, error)        {}
func (e *endpoint) DialFailed(_ uint64, err error)       { e.note("failed: %v", err) }
func (e *endpoint) Refused(remote string, err error)     { e.note("refused %s: %v", remote, err) }
func (e *endpoint) Greeting(_ remote.Conn, frame []byte) { e.note("greeting %s", frame) }
func (e *endpoint) Drained(remote.Conn)                  { e.note("drained") }
func (e *endpoint) Closed(_ remote.Conn, err error)      { e.note("closed: %v", err) }

type inlet struct {
	to    *endpoint
	class actors.Class
}

func (i *inlet) Receive(frame []byte) error {
	i.to.got = append(i.to.got, arrival{i.class, string(frame), i.to.world.Now()})
	return nil
}

// outlet is an outbox of texts.
type outlet struct {
	class actors.Class
	queue []string
	wake  func()
}

func (o *outlet) Bind(wake func()) { o.wake = wake }

func (o *outlet) Fill(dst []byte) []byte {
	if len(o.queue) == 0 {
		return dst
	}
	text := o.queue[0]
	o.queue = o.queue[1:]
	if o.class != actors.Datagram {
		dst = binary.AppendUvarint(dst, uint64(len(text)))
	}
	return append(dst, text...)
}

func (o *outlet) send(text string) {
	o.queue = append(o.queue, text)
	o.wake()
}

// wires are bare nodes with an endpoint each.
type wires struct {
	t     *testing.T
	world *World
	ends  []*endpoint
}

func newWires(t *testing.T, seed uint64, nodes int, model NetModel) *wires {
	r := &wires{t: t, world: bare(t, seed, Scenario{Nodes: nodes, Net: model})}
	for _, n := range r.world.nodes {
		r.ends = append(r.ends, r.listen(n))
	}
	return r
}

func (r *wires) listen(n *Node) *endpoint {
	e := &endpoint{world: r.world, transport: &transport{node: n, life: n.life}}
	if _, err := e.transport.Listen(e); err != nil {
		r.t.Fatal(err)
	}
	return e
}

func (r *wires) end(i int) *endpoint { return r.ends[i-1] }

// connect dials and returns the dialer's outlet of a class.
func (r *wires) connect(from, to int, class actors.Class) *outlet {
	r.t.Helper()
	kind := remote.KindMain
	switch class {
	case actors.Bulk:
		kind = remote.KindBulk
	case actors.Datagram:
		kind = remote.KindDatagram
	}
	e := r.end(from)
	before := len(e.conns)
	e.transport.Dial(1, kind, r.world.Node(to).Address(), 0)
	if !r.world.RunUntil(func() bool { return len(e.conns) > before }, time.Minute) {
		r.t.Fatalf("no connection from %d to %d: %v", from, to, e.log)
	}
	o := &outlet{class: class}
	e.conns[before].Send(class, o)
	return o
}

func (e *endpoint) texts(class actors.Class) (out []string) {
	for _, a := range e.got {
		if a.class == class {
			out = append(out, a.text)
		}
	}
	return out
}

func numbered(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("%03d", i))
	}
	return out
}

func (o *outlet) sendAll(texts []string) {
	for _, text := range texts {
		o.send(text)
	}
}

// TestLatencyKeepsStreamsInOrder: a frame may take any time of the distribution, none overtakes another on its stream.
func TestLatencyKeepsStreamsInOrder(t *testing.T) {
	model := NetModel{Latency: Dist{Min: time.Millisecond, Tail: 5 * time.Millisecond, Max: 40 * time.Millisecond}}
	r := newWires(t, 1, 2, model)
	out := r.connect(1, 2, actors.Default)
	var sent []time.Duration
	want := numbered(200)
	for _, text := range want {
		sent = append(sent, r.world.Now())
		out.send(text)
		r.world.RunFor(500 * time.Microsecond)
	}
	r.world.RunFor(time.Second)
	if got := r.end(2).texts(actors.Default); !slices.Equal(got, want) {
		t.Fatalf("got %v", got)
	}
	late := 0
	for i, a := range r.end(2).got {
		if took := a.at - sent[i]; took < time.Millisecond || took > 40*time.Millisecond {
			t.Errorf("frame %d took %v", i, took)
		} else if took > 4*time.Millisecond {
			late++
		}
	}
	if late == 0 {
		t.Error("no frame was ever late")
	}
}

// TestLossDelaysStreams: what is lost of a stream is sent again; it comes late, whole and in order.
func TestLossDelaysStreams(t *testing.T) {
	r := newWires(t, 1, 2, NetModel{Loss: 0.2})
	out := r.connect(1, 2, actors.Control)
	want := numbered(200)
	out.sendAll(want)
	r.world.RunFor(10 * time.Second)
	if got := r.end(2).texts(actors.Control); !slices.Equal(got, want) {
		t.Fatalf("got %v", got)
	}
	if n := r.world.net.faults["retransmit"]; n < 10 || n > 80 {
		t.Fatalf("%d of 200 frames were sent again", n)
	}
}

func TestLossDropsDatagrams(t *testing.T) {
	for _, model := range []NetModel{{Loss: 0.2}, {Corrupt: 0.2}} {
		r := newWires(t, 1, 2, model)
		out := r.connect(1, 2, actors.Datagram)
		out.sendAll(numbered(500))
		r.world.RunFor(10 * time.Second)
		if got := len(r.end(2).got); got < 350 || got > 450 {
			t.Errorf("%+v: %d of 500 datagrams came", model, got)
		}
	}
}

func TestDatagramsComeTwice(t *testing.T) {
	r := newWires(t, 1, 2, NetModel{Dup: 0.2})
	r.connect(1, 2, actors.Datagram).sendAll(numbered(500))
	r.world.RunFor(10 * time.Second)
	got := r.end(2).texts(actors.Datagram)
	slices.Sort(got)
	if len(got) < 550 || len(got) > 650 || len(slices.Compact(got)) != 500 {
		t.Fatalf("%d datagrams came, of 500", len(got))
	}
}

func TestDatagramsOvertake(t *testing.T) {
	order := func(reorder float64) bool {
		r := newWires(t, 1, 2, NetModel{Reorder: reorder, Latency: Dist{Min: time.Millisecond}})
		r.connect(1, 2, actors.Datagram).sendAll(numbered(100))
		r.world.RunFor(10 * time.Second)
		got := r.end(2).texts(actors.Datagram)
		if len(got) != 100 {
			t.Fatalf("%d datagrams of 100 came", len(got))
		}
		return slices.IsSorted(got)
	}
	if !order(0) || order(0.2) {
		t.Fatal("datagrams overtake if and only if the model says so")
	}
}

// TestCutIsOneWay: streams wait for the link, datagrams vanish, and the other direction is as it was.
func TestCutIsOneWay(t *testing.T) {
	r := newWires(t, 1, 2, NetModel{})
	there, back := r.connect(1, 2, actors.Default), r.connect(2, 1, actors.Default)
	loose := r.connect(1, 2, actors.Datagram)
	r.world.Net().Cut(1, 2)
	there.sendAll(numbered(3))
	loose.sendAll(numbered(3))
	back.send("back")
	r.world.RunFor(time.Second)
	if len(r.end(2).got) != 0 || !slices.Equal(r.end(1).texts(actors.Default), []string{"back"}) {
		t.Fatalf("through the cut came %v, the other way %v", r.end(2).got, r.end(1).got)
	}
	r.world.Net().Mend(1, 2)
	r.world.RunFor(time.Second)
	if !slices.Equal(r.end(2).texts(actors.Default), numbered(3)) || len(r.end(2).texts(actors.Datagram)) != 0 {
		t.Fatalf("after the cut: %v", r.end(2).got)
	}
}

// TestIdleTimeoutEndsConnections: a cut that lasts ends the streams' connections on both sides; one that is mended in time
// ends none.
func TestIdleTimeoutEndsConnections(t *testing.T) {
	r := newWires(t, 1, 2, NetModel{})
	r.connect(1, 2, actors.Default)
	r.world.Net().Cut(1, 2)
	r.world.RunFor(idleTimeout - time.Second)
	r.world.Net().Mend(1, 2)
	r.world.RunFor(time.Minute)
	if len(r.end(1).log) != 1 || len(r.end(2).log) != 1 {
		t.Fatalf("after a short cut: %v, %v", r.end(1).log, r.end(2).log)
	}
	r.world.Net().Cut(1, 2)
	r.world.RunFor(idleTimeout + time.Second)
	want := fmt.Sprintf("closed: %v", errIdle)
	if r.end(1).log[1] != want || r.end(2).log[1] != want {
		t.Fatalf("after a long cut: %v, %v", r.end(1).log, r.end(2).log)
	}
}

func TestDialThroughACutFails(t *testing.T) {
	for _, cut := range [][2]int{{1, 2}, {2, 1}} {
		r := newWires(t, 1, 2, NetModel{})
		r.world.Net().Cut(cut[0], cut[1])
		r.end(1).transport.Dial(1, remote.KindMain, r.world.Node(2).Address(), 0)
		r.world.RunFor(handshakeTimeout + time.Second)
		if len(r.end(1).log) != 1 || r.end(1).log[0] != "failed: handshake did not complete in time" {
			t.Errorf("%v: %v", cut, r.end(1).log)
		}
	}
}

func TestDialExpectsACertificate(t *testing.T) {
	r := newWires(t, 1, 2, NetModel{})
	r.end(1).transport.Dial(1, remote.KindMain, r.world.Node(2).Address(), 7)
	r.end(1).transport.Dial(2, remote.KindMain, "n9:9093", 0)
	r.world.RunFor(time.Second)
	if len(r.end(1).log) != 2 || len(r.end(2).log) != 0 {
		t.Fatalf("dialer %v, dialed %v", r.end(1).log, r.end(2).log)
	}
}

// reach says which nodes a datagram of each node gets to.
func (r *wires) reach(outs map[[2]int]*outlet) string {
	for _, e := range r.ends {
		e.got = nil
	}
	for pair, o := range outs {
		o.send(fmt.Sprint(pair[0]))
	}
	r.world.RunFor(time.Second)
	var out []string
	for i, e := range r.ends {
		from := e.texts(actors.Datagram)
		slices.Sort(from)
		out = append(out, fmt.Sprint(i+1, from))
	}
	return fmt.Sprint(out)
}

func (r *wires) mesh() map[[2]int]*outlet {
	outs := make(map[[2]int]*outlet)
	for a := range r.ends {
		for b := range r.ends {
			if a != b {
				outs[[2]int{a + 1, b + 1}] = r.connect(a+1, b+1, actors.Datagram)
			}
		}
	}
	return outs
}

func TestPartitionsAndIsolation(t *testing.T) {
	r := newWires(t, 1, 4, NetModel{})
	outs := r.mesh()
	const whole = "[1 [2 3 4] 2 [1 3 4] 3 [1 2 4] 4 [1 2 3]]"
	for _, c := range []struct {
		name string
		do   func(*Net)
		want string
	}{
		{"nothing", func(*Net) {}, whole},
		{"two halves", func(n *Net) { n.Partition([]int{1, 2}, []int{3, 4}) }, "[1 [2] 2 [1] 3 [4] 4 [3]]"},
		{"one in no group", func(n *Net) { n.Partition([]int{1, 2, 3}) }, "[1 [2 3] 2 [1 3] 3 [1 2] 4 []]"},
		{"isolated", func(n *Net) { n.Isolate(2) }, "[1 [3 4] 2 [] 3 [1 4] 4 [1 3]]"},
		{"one way", func(n *Net) { n.Cut(1, 3) }, "[1 [2 3 4] 2 [1 3 4] 3 [2 4] 4 [1 2 3]]"},
	} {
		c.do(r.world.Net())
		if got := r.reach(outs); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		r.world.Net().MendAll()
		if got := r.reach(outs); got != whole {
			t.Errorf("%s, mended: %s", c.name, got)
		}
	}
}

func TestFlapEndsMended(t *testing.T) {
	r := newWires(t, 1, 2, NetModel{})
	l := r.world.net.link(1, 2)
	r.world.Net().Flap(1, 2, 100*time.Millisecond, time.Second)
	changes, was := 0, l.cut
	for r.world.Now() < 2*time.Second {
		if r.world.RunFor(10 * time.Millisecond); l.cut != was {
			changes, was = changes+1, l.cut
		}
	}
	if changes < 15 || l.cut || r.world.net.link(2, 1).cut {
		t.Fatalf("%d changes, at the end cut: %v", changes, l.cut)
	}
}

// TestHoldKeepsEverything: datagrams too, and for as long as it takes.
func TestHoldKeepsEverything(t *testing.T) {
	r := newWires(t, 1, 2, NetModel{})
	stream, loose := r.connect(1, 2, actors.Append), r.connect(1, 2, actors.Datagram)
	release, other := r.world.Net().Hold(1, 2), r.world.Net().Hold(1, 2)
	stream.sendAll(numbered(5))
	loose.send("datagram")
	r.world.RunFor(time.Minute)
	release()
	release()
	r.world.RunFor(time.Minute)
	if len(r.end(2).got) > 0 {
		t.Fatalf("%v came through a hold", r.end(2).got)
	}
	other()
	r.world.RunFor(time.Second)
	if !slices.Equal(r.end(2).texts(actors.Append), numbered(5)) || !slices.Equal(r.end(2).texts(actors.Datagram), []string{"datagram"}) {
		t.Fatalf("after the hold: %v", r.end(2).got)
	}
	if len(r.end(1).log) != 2 {
		t.Fatalf("a connection ended: %v", r.end(1).log)
	}
}

// TestCrashIsNoticedWhenItIsMissed: peers of a crashed node learn of it by their idle time-out, or from its next life, which
// does not know their connections.
func TestCrashIsNoticedWhenItIsMissed(t *testing.T) {
	for _, c := range []struct {
		name    string
		restart bool
		after   time.Duration
		want    error
	}{{"silence", false, idleTimeout, errIdle}, {"reset", true, time.Second, errReset}} {
		r := newWires(t, 1, 2, NetModel{})
		r.connect(1, 2, actors.Default)
		n := r.world.Node(2)
		n.Crash(KeepPageCache)
		r.world.RunFor(500 * time.Millisecond)
		if len(r.end(1).log) != 1 {
			t.Fatalf("%s: noticed at once: %v", c.name, r.end(1).log)
		}
		if c.restart {
			n.bareLife()
			n.resetOrphans()
		}
		r.world.RunFor(c.after)
		if log := r.end(1).log; len(log) != 2 || log[1] != fmt.Sprintf("closed: %v", c.want) {
			t.Errorf("%s: %v", c.name, log)
		}
		if len(r.end(2).log) != 1 {
			t.Errorf("%s: the life that is over was told: %v", c.name, r.end(2).log)
		}
	}
}

func TestCloseTellsBothSides(t *testing.T) {
	r := newWires(t, 1, 2, NetModel{})
	r.connect(1, 2, actors.Default).send("last")
	r.world.RunFor(time.Second)
	r.end(1).conns[0].Close(remote.CodeProtocol, "enough")
	r.world.RunFor(time.Second)
	if a, b := r.end(1).log, r.end(2).log; len(a) != 2 || len(b) != 2 {
		t.Fatalf("%v, %v", a, b)
	}
}

func TestFinishDrainsFirst(t *testing.T) {
	r := newWires(t, 1, 2, NetModel{})
	out := r.connect(1, 2, actors.Default)
	out.sendAll(numbered(20))
	r.end(1).conns[0].Finish()
	r.world.RunFor(time.Second)
	if got := r.end(2); !slices.Equal(got.texts(actors.Default), numbered(20)) || got.log[len(got.log)-1] != "drained" {
		t.Fatalf("%v, %v", got.got, got.log)
	}
}

func TestGreetingsAreInOrder(t *testing.T) {
	r := newWires(t, 1, 2, NetModel{Loss: 0.3})
	r.connect(1, 2, actors.Default)
	for _, text := range numbered(5) {
		r.end(1).conns[0].Greet([]byte(text))
	}
	r.world.RunFor(5 * time.Second)
	want := []string{"accepted 1", "greeting 000", "greeting 001", "greeting 002", "greeting 003", "greeting 004"}
	if !slices.Equal(r.end(2).log, want) {
		t.Fatalf("%v", r.end(2).log)
	}
}

// TestPausedNodeReceivesLater: what arrives waits in its kernel.
func TestPausedNodeReceivesLater(t *testing.T) {
	r := newWires(t, 1, 2, NetModel{})
	out := r.connect(1, 2, actors.Default)
	r.world.Node(2).Pause(2 * time.Second)
	out.sendAll(numbered(3))
	r.world.RunFor(time.Second)
	if len(r.end(2).got) > 0 {
		t.Fatal("a paused node receives")
	}
	r.world.RunFor(2 * time.Second)
	if !slices.Equal(r.end(2).texts(actors.Default), numbered(3)) {
		t.Fatalf("%v", r.end(2).got)
	}
}

// TestLinksDrawFromTheirOwn: traffic between two nodes moves no other link's latencies.
func TestLinksDrawFromTheirOwn(t *testing.T) {
	arrivals := func(noise bool) (out []time.Duration) {
		r := newWires(t, 3, 3, NetModel{Loss: 0.1, Dup: 0.1})
		quiet := r.connect(1, 2, actors.Datagram)
		if noise {
			o := r.connect(1, 3, actors.Datagram)
			o.sendAll(numbered(50))
		}
		r.world.RunUntil(func() bool { return false }, time.Minute-r.world.Now())
		quiet.sendAll(numbered(50))
		r.world.RunFor(time.Second)
		for _, a := range r.end(2).got {
			out = append(out, a.at)
		}
		return out
	}
	if a, b := arrivals(false), arrivals(true); !slices.Equal(a, b) {
		t.Fatalf("without noise %v\nwith %v", a, b)
	}
}
