package swimsuite

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// network joins the nodes of one lab in the bubble's virtual time: a fixed latency, seeded loss of datagrams, streams that
// lose nothing, cuts, and nodes that are blocked or gone. Both systems run on it.
type network struct {
	latency time.Duration

	mu    sync.Mutex
	rng   *rand.Rand
	loss  float64 // share of datagrams
	split int     // nodes below it reach only each other, and so do the others; 0: everybody reaches everybody
	ports []*port
	load  load
}

// load is what was sent.
type load struct {
	packets, packetBytes int
	streamBytes          int
}

// port is one node's place in the network.
type port struct {
	net     *network
	index   int
	address string
	member  member

	mu      sync.Mutex
	down    bool
	blocked bool
	process bool          // what the node sends blocks whoever sends it
	opened  chan struct{} // closed at the end of a block of the process
	held    []func()
}

func newNetwork(nodes int, seed uint64) *network {
	n := &network{latency: latency, rng: rand.New(rand.NewPCG(seed, 1))}
	for i := range nodes {
		n.ports = append(n.ports, &port{net: n, index: i, address: fmt.Sprintf("10.0.%d.%d:7946", i/250, i%250+1)})
	}
	return n
}

func name(i int) string { return fmt.Sprintf("node%d", i) }

// at finds the port of an address.
func (n *network) at(address string) *port {
	var high, low int
	if _, err := fmt.Sscanf(address, "10.0.%d.%d:7946", &high, &low); err != nil {
		return nil
	}
	if i := high*250 + low - 1; i >= 0 && i < len(n.ports) {
		return n.ports[i]
	}
	return nil
}

// reaches says whether anything passes from one port to another now.
func (n *network) reaches(from, to *port) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !from.gone() && !to.gone() && (n.split == 0 || (from.index < n.split) == (to.index < n.split))
}

// datagram counts one and delivers it unless it is lost.
func (n *network) datagram(from, to *port, bytes int, deliver func()) {
	n.mu.Lock()
	n.load.packets++
	n.load.packetBytes += bytes
	lost := n.rng.Float64() < n.loss
	n.mu.Unlock()
	if !lost {
		n.travel(from, to, deliver)
	}
}

// travel takes something from port to port, unless they are cut off from each other when it leaves or when it arrives.
func (n *network) travel(from, to *port, arrived func()) {
	from.through(func() {
		if !n.reaches(from, to) {
			return
		}
		time.AfterFunc(n.latency, func() {
			if n.reaches(from, to) {
				to.through(arrived)
			}
		})
	})
}

// countStream notes bytes that travel on a stream.
func (n *network) countStream(bytes int) {
	n.mu.Lock()
	n.load.streamBytes += bytes
	n.mu.Unlock()
}

func (n *network) set(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

func (n *network) sent() load {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.load
}

func (p *port) gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.down
}

func (p *port) kill() {
	p.mu.Lock()
	p.down = true
	p.mu.Unlock()
}

// block holds everything that the node sends and receives until unblock. With process, whoever in the node sends something
// stands still until then as well; otherwise the node itself runs on.
func (p *port) block(process bool) {
	p.mu.Lock()
	p.blocked, p.process, p.opened = true, process, make(chan struct{})
	p.mu.Unlock()
}

func (p *port) unblock() {
	p.mu.Lock()
	held := p.held
	if p.blocked {
		close(p.opened)
	}
	p.blocked, p.held = false, nil
	p.mu.Unlock()
	for _, do := range held {
		do()
	}
}

// standsStill reports whether whoever sends from here now stands still, and what ends that.
func (p *port) standsStill() (bool, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.blocked && p.process, p.opened
}

// send is the place of a goroutine that sends: it stands still while the process is blocked.
func (p *port) send() {
	for {
		still, end := p.standsStill()
		if !still {
			return
		}
		<-end
	}
}

// through does something at the port, after what it holds.
func (p *port) through(do func()) {
	p.mu.Lock()
	if p.blocked {
		p.held = append(p.held, do)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	do()
}
