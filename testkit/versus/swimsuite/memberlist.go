package swimsuite

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// peer is one memberlist node.
type peer struct {
	list *memberlist.Memberlist
	*delegate
}

// delegate serves metadata and notes events.
type delegate struct {
	index int
	saw   func(observer, subject int, what sight)

	mu      sync.Mutex
	meta    []byte
	stopped bool
}

func (d *delegate) NodeMeta(int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.meta
}
func (*delegate) NotifyMsg([]byte)                {}
func (*delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (*delegate) LocalState(bool) []byte          { return nil }
func (*delegate) MergeRemoteState([]byte, bool)   {}

func (d *delegate) note(n *memberlist.Node, what sight) {
	if subject, err := strconv.Atoi(n.Name[len("node"):]); err == nil && subject != d.index {
		d.saw(d.index, subject, what)
	}
}

func (d *delegate) NotifyJoin(n *memberlist.Node)   { d.note(n, up) }
func (d *delegate) NotifyLeave(n *memberlist.Node)  { d.note(n, down) }
func (d *delegate) NotifyUpdate(n *memberlist.Node) { d.note(n, updated) }

// newPeer starts a node with the LAN defaults; only what the place needs is set.
func newPeer(index int, t memberlist.Transport, streamPings bool, saw func(observer, subject int, what sight)) (*peer, error) {
	d := &delegate{index: index, saw: saw}
	cfg := memberlist.DefaultLANConfig()
	cfg.Name = name(index)
	cfg.Transport = t
	cfg.LogOutput = io.Discard
	cfg.Delegate, cfg.Events = d, d
	cfg.DisableTcpPings = !streamPings
	list, err := memberlist.Create(cfg)
	if err != nil {
		return nil, fmt.Errorf("memberlist node %d: %w", index, err)
	}
	return &peer{list: list, delegate: d}, nil
}

// join tries the seed until it answers.
func (p *peer) join(seed string) {
	go func() {
		for {
			if _, err := p.list.Join([]string{seed}); err == nil || p.gone() {
				return
			}
			time.Sleep(time.Second)
		}
	}()
}

func (p *peer) gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped
}

func (p *peer) update() {
	p.mu.Lock()
	p.meta = []byte("version=2")
	p.mu.Unlock()
	go func() { _ = p.list.UpdateNode(10 * time.Second) }()
}

func (p *peer) stop() {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	_ = p.list.Shutdown()
}

// transport is memberlist.Transport over the simulated network.
type transport struct {
	port    *port
	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{}
	once    sync.Once
}

func newTransport(p *port) *transport {
	return &transport{port: p, packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), done: make(chan struct{})}
}

func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	host, port, err := net.SplitHostPort(t.port.address)
	if err != nil {
		return nil, 0, err
	}
	n, err := strconv.Atoi(port)
	return net.ParseIP(host), n, err
}

func (t *transport) WriteTo(b []byte, address string) (time.Time, error) {
	to := t.port.net.at(address)
	if to == nil {
		return time.Time{}, fmt.Errorf("no node at %s", address)
	}
	sent := append([]byte(nil), b...)
	t.port.send()
	t.port.net.datagram(t.port, to, len(b), func() {
		there := to.member.(*listed).transport
		select {
		case there.packets <- &memberlist.Packet{Buf: sent, From: addr(t.port.address), Timestamp: time.Now()}:
		case <-there.done:
		}
	})
	return time.Now(), nil
}

func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// DialTimeout takes a round trip.
func (t *transport) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	here, to := t.port, t.port.net.at(address)
	if to == nil {
		return nil, fmt.Errorf("no node at %s", address)
	}
	here.send()
	connected := make(chan struct{})
	here.net.travel(here, to, func() { here.net.travel(to, here, func() { close(connected) }) })
	late := time.NewTimer(timeout)
	select {
	case <-connected:
		late.Stop()
	case <-late.C:
		return nil, fmt.Errorf("dial %s: no answer within %v", address, timeout)
	}
	near, far := newPipe(here, to)
	there := to.member.(*listed).transport
	go func() {
		select {
		case there.streams <- far:
		case <-there.done:
		}
	}()
	return near, nil
}

func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

func (t *transport) Shutdown() error {
	t.once.Do(func() { close(t.done) })
	return nil
}

// listed is a memberlist node in the lab.
type listed struct {
	*peer
	transport *transport
}

func startListed(l *lab, p *port) (member, error) {
	t := newTransport(p)
	joined, err := newPeer(p.index, t, l.streamPings, l.saw)
	if err != nil {
		return nil, err
	}
	return &listed{peer: joined, transport: t}, nil
}
