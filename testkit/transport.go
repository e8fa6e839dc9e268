package testkit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/remote"
)

// The transport is what lies under the remote's session core: the core itself, with its Hello, lanes, watches and back-off, is the real
// one, and every message is encoded and decoded. Streams are reliable and ordered until their connection ends; datagrams are neither.

const (
	handshakeTimeout = 5 * time.Second
	idleTimeout      = 10 * time.Second // as QUIC's for connections with streams
	// window is how much of a lane may be under way; what is more stays in the core's own bounded queue.
	window = 256 << 10
)

// transport is one life of a node's endpoints.
type transport struct {
	node    *Node
	life    int
	handler remote.Handler
	conns   []*conn // in the order in which they came to be
	closed  bool
}

func (t *transport) Listen(h remote.Handler) (remote.Endpoints, error) {
	t.handler = h
	t.node.listening = t
	return remote.Endpoints{Main: t.node.address(), Gossip: t.node.gossipAddress()}, nil
}

func (t *transport) net() *Net { return t.node.world.net }

// alive runs f where this life of the node still goes on, and once it is awake.
func (t *transport) alive(f func()) {
	t.node.whenAwake(t.life, func() {
		if !t.closed {
			f()
		}
	})
}

// Find implements remote.Finder.
func (t *transport) Find(find uint64, address string) {
	w := t.node.world
	w.after(time.Millisecond, func() {
		t.alive(func() {
			addresses, err := t.net().addresses(address)
			t.handler.Found(find, addresses, err)
		})
	})
}

// addresses are those of the nodes that a name stands for.
func (n *Net) addresses(address string) ([]string, error) {
	if n.world.nodeAt(address) != nil {
		return []string{address}, nil
	}
	_, port, _ := strings.Cut(address, ":")
	var out []string
	for _, id := range n.names[address] {
		out = append(out, "n"+strconv.Itoa(id)+":"+port)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no such host: %s", address)
	}
	return out, nil
}

func (t *transport) Dial(dial uint64, kind remote.Kind, address string, expect uint64) {
	w, from := t.node.world, t.node
	to := w.nodeAt(address)
	if found, _ := t.net().addresses(address); to == nil {
		for _, a := range found { // each in turn, as QUIC does
			if to = w.nodeAt(a); to.up && t.net().connected(from.id, to.id) {
				break
			}
		}
	}
	fail := func(after time.Duration, err error) {
		w.after(after, func() { t.alive(func() { t.handler.DialFailed(dial, err) }) })
	}
	if to == nil {
		fail(time.Millisecond, fmt.Errorf("no such host: %s", address))
		return
	}
	w.after(t.net().latency(from, to), func() {
		target := to.listening
		switch {
		case !to.up || target == nil || target.closed || to.paused || from != to && !t.net().connected(from.id, to.id):
			fail(handshakeTimeout, errors.New("handshake did not complete in time"))
		case expect != 0 && uint64(to.certified) != expect:
			fail(time.Millisecond, &remote.CloseError{Code: remote.CodeCertificate, Reason: fmt.Sprintf("it names node %d, and node %d was expected", to.certified, expect)})
		default:
			t.connect(dial, kind, target)
		}
	})
}

// connect makes both ends of a connection. The acceptor knows first.
func (t *transport) connect(dial uint64, kind remote.Kind, target *transport) {
	w, n := t.node.world, t.net()
	if t.closed || t.life != t.node.life {
		return
	}
	n.ids += 2
	a := &conn{transport: t, id: n.ids, kind: kind}
	b := &conn{transport: target, id: n.ids + 1, kind: kind}
	a.peer, b.peer = b, a
	for _, c := range []*conn{a, b} {
		for class := range c.lanes {
			c.lanes[class].conn, c.lanes[class].class = c, actors.Class(class)
		}
	}
	t.conns, target.conns = append(t.conns, a), append(target.conns, b)
	target.alive(func() { b.open(func() { target.handler.Accepted(b) }) })
	w.after(n.latency(target.node, t.node), func() {
		t.alive(func() {
			if a.gone {
				t.handler.DialFailed(dial, errIdle)
				return
			}
			a.open(func() { t.handler.Dialed(dial, a) })
		})
	})
}

// open makes an end known to its side, and hands it what came before.
func (c *conn) open(announce func()) {
	if c.gone {
		return
	}
	c.opened = true
	announce()
	c.flushBacklog()
}

// Close ends all connections at once; peers that can be reached are told.
func (t *transport) Close() {
	t.closed = true
	for _, c := range slices.Clone(t.conns) {
		c.shut(nil, &remote.CloseError{Code: remote.CodeShutdown, Reason: "shut down", Remote: true}, true)
	}
}

// vanish is what a crash leaves: the peers learn of it when they miss it, or when it is back and does not know them.
func (t *transport) vanish() {
	t.closed = true
	for _, c := range slices.Clone(t.conns) {
		c.gone = true
		peer := c.peer
		t.node.world.after(idleTimeout, func() { peer.shut(errIdle, nil, false) })
	}
	t.orphans()
}

var (
	errIdle  = errors.New("timeout: no recent network activity")
	errReset = errors.New("received a stateless reset")
)

// orphans are the peers' ends of connections that this node forgot; a later life resets them.
func (t *transport) orphans() {
	for _, c := range t.conns {
		if !c.peer.gone {
			t.node.orphaned = append(t.node.orphaned, c.peer)
		}
	}
	t.conns = nil
}

// resetOrphans happens when the node is back and the peers' next packets meet it.
func (n *Node) resetOrphans() {
	orphans := n.orphaned
	n.orphaned = nil
	for _, c := range orphans {
		n.world.after(n.world.net.latency(n, c.transport.node), func() {
			if n.world.net.connected(n.id, c.transport.node.id) {
				c.shut(errReset, nil, false)
			}
		})
	}
}

// endConns ends every connection between two nodes, on both sides, as an idle timeout does.
func (n *Net) endConns(a, b int) {
	for _, node := range n.world.nodes {
		if node.id != a && node.id != b || node.listening == nil {
			continue
		}
		for _, c := range slices.Clone(node.listening.conns) {
			if other := c.peer.transport.node.id; c.kind != remote.KindDatagram && (node.id == a && other == b || node.id == b && other == a) {
				c.shut(errIdle, nil, false)
			}
		}
	}
}

func (n *Net) latency(from, to *Node) time.Duration {
	if from == to {
		return 20 * time.Microsecond
	}
	return n.model.Latency.draw(n.link(from.id, to.id).rand)
}

// conn is one end of a connection.
type conn struct {
	transport *transport
	peer      *conn
	id        uint64
	kind      remote.Kind
	opened    bool // its own side knows of it
	gone      bool
	lanes     [actors.Classes]lane
	inboxes   [actors.Classes]remote.Inbox
	receiving func(actors.Class) remote.Inbox
	backlog   []func() // what came before its side was ready, in order
	lastAt    time.Duration
	finishing bool
	finished  bool
}

// lane is one direction of one class.
type lane struct {
	conn     *conn
	class    actors.Class
	out      remote.Outbox
	pending  bool
	underWay int
}

func (c *conn) ID() uint64         { return c.id }
func (c *conn) Kind() remote.Kind  { return c.kind }
func (c *conn) NodeID() uint64     { return uint64(c.peer.transport.node.certified) }
func (c *conn) RemoteAddr() string { return c.peer.transport.node.address() }

func (c *conn) node() *Node { return c.transport.node }

// Greet sends one frame of the greeting stream.
func (c *conn) Greet(frame []byte) {
	frame = slices.Clone(frame)
	c.carry(func(to *conn) {
		to.node().world.traceFrame(c, to, 0, frame)
		to.whenOpen(func() { to.transport.handler.Greeting(to, frame) })
	})
}

// packet is something on its way to the other end of a connection.
type packet struct {
	from    *conn
	link    *link
	deliver func(to *conn) // nil: frames of a lane
	lane    *lane
	frames  []byte
}

// carry brings something to the other end in the order of the connection's streams.
func (c *conn) carry(deliver func(to *conn)) { c.send(&packet{from: c, deliver: deliver}) }

func (c *conn) send(p *packet) {
	if c.gone {
		return
	}
	n := c.transport.net()
	from, to := c.node(), c.peer.node()
	p.link = n.link(from.id, to.id)
	d := n.latency(from, to)
	if from != to && n.model.Loss > 0 && p.link.rand.Float64() < n.model.Loss {
		d += 25*time.Millisecond + 2*n.latency(from, to) // sent again after a probe timeout
		n.count("retransmit")
	}
	at := max(n.world.now+d, c.lastAt)
	c.lastAt = at
	n.world.post(at-n.world.now, p)
}

// happen waits for the link and for the receiver, in order.
func (p *packet) happen() {
	l, to := p.link, p.from.peer
	if p.from.node() != to.node() && (!l.open() || len(l.stalled) > 0 && l.cut) {
		l.stalled = append(l.stalled, p.happen)
		return
	}
	if to.transport.node.awake(to.transport.life) {
		p.arrive()
		return
	}
	to.transport.node.whenAwake(to.transport.life, p.arrive)
}

func (p *packet) arrive() {
	to := p.from.peer
	switch {
	case to.transport.closed || to.gone:
	case p.deliver != nil:
		p.deliver(to)
	default:
		p.lane.arrived(len(p.frames))
		if to.receiving != nil {
			to.frames(p.lane.class, p.frames)
			return
		}
		to.whenReceiving(func() { to.frames(p.lane.class, p.frames) })
	}
}

func (c *conn) whenOpen(f func()) {
	if c.opened {
		f()
		return
	}
	c.backlog = append(c.backlog, f)
}

func (c *conn) flushBacklog() {
	waiting := c.backlog
	c.backlog = nil
	for _, f := range waiting {
		if !c.gone {
			f()
		}
	}
}

// Send drains an outbox into the lane of class.
func (c *conn) Send(class actors.Class, out remote.Outbox) {
	c.lanes[class].out = out
	out.Bind(func() { c.wake(class) })
}

func (c *conn) wake(class actors.Class) {
	if b := c.node().world.bubble; b != nil && b.takes("lane", fmt.Sprint(c.id, class), func() { c.wake(class) }) {
		return
	}
	l := &c.lanes[class]
	if l.pending || c.gone {
		return
	}
	l.pending = true
	c.node().world.post(0, l)
}

// happen is the turn of a lane in which something waits.
func (l *lane) happen() {
	if t := l.conn.transport; t.node.awake(t.life) {
		l.pump()
	} else {
		t.node.whenAwake(t.life, l.pump)
	}
}

// pump encodes what waits, as long as the window is open.
func (l *lane) pump() {
	c := l.conn
	if c.transport.closed {
		return
	}
	l.pending = false
	for !c.gone && l.out != nil && l.underWay < window {
		b := l.out.Fill(nil)
		if len(b) == 0 {
			break
		}
		if l.class == actors.Datagram {
			c.datagram(b)
			continue
		}
		l.underWay += len(b)
		c.send(&packet{from: c, lane: l, frames: b}) // a run of frames, each behind its length
	}
	c.tryFinish()
}

// arrived gives the window back.
func (l *lane) arrived(size int) {
	full := l.underWay >= window
	l.underWay -= size
	if full {
		l.conn.wake(l.class)
	}
	l.conn.tryFinish()
}

func (c *conn) frames(class actors.Class, b []byte) {
	for len(b) > 0 && !c.gone {
		size, width := binary.Uvarint(b)
		if width <= 0 || size > uint64(len(b)-width) {
			c.Close(remote.CodeProtocol, "frame without its length")
			return
		}
		c.frame(class, b[width:width+int(size)])
		b = b[width+int(size):]
	}
}

func (c *conn) frame(class actors.Class, frame []byte) {
	w := c.node().world
	w.traceFrame(c.peer, c, class, frame)
	if c.inboxes[class] == nil {
		c.inboxes[class] = c.receiving(class)
	}
	if err := c.inboxes[class].Receive(frame); err != nil {
		closeError := &remote.CloseError{Code: remote.CodeProtocol, Reason: err.Error()}
		errors.As(err, &closeError)
		c.Close(closeError.Code, closeError.Reason)
	}
}

func (c *conn) whenReceiving(f func()) {
	if c.receiving != nil {
		f()
		return
	}
	c.backlog = append(c.backlog, func() {
		if c.receiving != nil {
			f()
		}
	})
}

// Receive starts to read.
func (c *conn) Receive(of func(actors.Class) remote.Inbox) {
	c.receiving = of
	c.flushBacklog()
}

// datagram may vanish, come twice, or come late.
func (c *conn) datagram(b []byte) {
	n := c.transport.net()
	from, to := c.node(), c.peer.node()
	l := n.link(from.id, to.id)
	copies := 1
	if from != to {
		m := n.model
		switch {
		case l.cut, n.mute[from.id], n.mute[to.id], m.Loss > 0 && l.rand.Float64() < m.Loss, m.Corrupt > 0 && l.rand.Float64() < m.Corrupt:
			n.count("datagram lost")
			return
		case m.Dup > 0 && l.rand.Float64() < m.Dup:
			n.count("datagram doubled")
			copies = 2
		}
	}
	for range copies {
		d := n.latency(from, to)
		if n.model.Reorder > 0 && l.rand.Float64() < n.model.Reorder {
			n.count("datagram overtaken")
			d += n.latency(from, to) * 4
		}
		n.world.after(d, func() { c.datagramArrives(l, b) })
	}
}

func (c *conn) datagramArrives(l *link, b []byte) {
	to := c.peer
	if c.node() != to.node() && l.held > 0 {
		l.stalled = append(l.stalled, func() { c.datagramArrives(l, b) })
		return
	}
	if l.cut || to.gone || to.receiving == nil {
		return
	}
	to.transport.alive(func() {
		if !to.gone {
			to.frame(actors.Datagram, b)
		}
	})
}

// Finish ends the lanes in good order once they are empty.
func (c *conn) Finish() {
	c.finishing = true
	for class := range c.lanes {
		if c.lanes[class].out != nil {
			c.wake(actors.Class(class))
		}
	}
	c.tryFinish()
}

func (c *conn) tryFinish() {
	if !c.finishing || c.finished || c.gone {
		return
	}
	for class := range c.lanes {
		if l := &c.lanes[class]; l.pending || l.underWay > 0 {
			return
		}
	}
	c.finished = true
	c.carry(func(to *conn) { to.whenReceiving(func() { to.transport.handler.Drained(to) }) })
}

// Close ends the connection here at once, and there when the news arrives.
func (c *conn) Close(code remote.Code, reason string) {
	c.shut(&remote.CloseError{Code: code, Reason: reason}, &remote.CloseError{Code: code, Reason: reason, Remote: true}, true)
}

// shut ends this end with one error and tells the other end another.
func (c *conn) shut(here error, there error, tell bool) {
	if c.gone {
		return
	}
	c.gone = true
	t := c.transport
	t.conns = slices.DeleteFunc(t.conns, func(other *conn) bool { return other == c })
	if tell {
		c.tellPeer(there)
	}
	if !t.closed && c.opened {
		t.node.world.after(0, func() { t.alive(func() { t.handler.Closed(c, here) }) })
	}
}

func (c *conn) tellPeer(err error) {
	n := c.transport.net()
	l := n.link(c.node().id, c.peer.node().id)
	n.world.after(n.latency(c.node(), c.peer.node()), func() {
		if l.cut {
			n.world.after(idleTimeout, func() { c.peer.shut(errIdle, nil, false) })
			return
		}
		c.peer.transport.alive(func() { c.peer.shut(err, nil, false) })
	})
}
