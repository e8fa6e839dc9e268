package swimsuite

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/swimactor"
	"github.com/hupe1980/rivven-cluster/swimactor/swim"
)

// core is one node of this project's protocol on the simulated network. Whoever it meets for the first time costs a handshake.
type core struct {
	lab  *lab
	port *port

	mu      sync.Mutex
	core    *swim.Core
	wake    time.Duration
	timer   *time.Timer
	met     []bool // by peer: there is a connection
	stopped bool
	// A core is one goroutine: once it stands still in a send, what comes waits in waiting.
	still   bool
	waiting []func(now time.Duration) swim.Output
}

// handshakes is the round trips that the first contact takes: QUIC and Hello.
const handshakes = 2

func selfOf(p *port) swim.Record {
	return swim.Record{
		ID: uint64(p.index) + 1, Directory: fmt.Sprintf("directory-%06d", p.index), Name: name(p.index),
		Generation: uint64(time.Now().UnixMilli()), Address: p.address,
	}
}

func startCore(l *lab, p *port) (member, error) {
	r := rand.New(rand.NewPCG(l.seed, uint64(p.index)+2))
	c, err := swim.New(swim.DefaultLAN(), selfOf(p), r)
	if err != nil {
		return nil, fmt.Errorf("rivven node %d: %w", p.index, err)
	}
	n := &core{lab: l, port: p, core: c, wake: -1, met: make([]bool, len(l.net.ports))}
	n.timer = time.AfterFunc(time.Hour, n.tick)
	n.input(func(now time.Duration) swim.Output { return c.Start(now) })
	return n, nil
}

// input does something as the node.
func (c *core) input(do func(now time.Duration) swim.Output) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopped:
	case c.still:
		c.waiting = append(c.waiting, do)
	default:
		c.perform(do(c.lab.now()))
	}
}

// standStill holds all input until the process is unblocked, and then takes it in its order.
func (c *core) standStill(end <-chan struct{}) {
	c.still = true
	go func() {
		<-end
		c.mu.Lock()
		defer c.mu.Unlock()
		c.still = false
		for len(c.waiting) > 0 && !c.still {
			do := c.waiting[0]
			c.waiting = c.waiting[1:]
			if !c.stopped {
				c.perform(do(c.lab.now()))
			}
		}
	}()
}

func (c *core) tick() {
	c.input(func(now time.Duration) swim.Output {
		if c.wake >= 0 && now >= c.wake {
			c.wake = -1
			return c.core.Tick(now)
		}
		return swim.Output{Wake: c.wake}
	})
}

func (c *core) perform(out swim.Output) {
	if still, end := c.port.standsStill(); still && len(out.Sends) > 0 {
		c.standStill(end)
	}
	for _, s := range out.Sends {
		c.send(s)
	}
	for _, e := range out.Events {
		c.report(e)
	}
	for _, seed := range out.Resolve {
		time.AfterFunc(2*handshakes*c.port.net.latency, func() {
			c.input(func(now time.Duration) swim.Output { return c.core.Resolved(now, seed, c.lookUp(seed)) })
		})
	}
	if out.Wake != c.wake {
		c.wake = out.Wake
		if c.wake >= 0 {
			c.timer.Reset(max(c.wake-c.lab.now(), 0))
		}
	}
}

func (c *core) lookUp(seed string) []swim.Peer {
	to := c.port.net.at(seed)
	if to == nil || !c.port.net.reaches(c.port, to) {
		return nil
	}
	return []swim.Peer{{ID: uint64(to.index) + 1, Address: seed}}
}

func (c *core) report(e swim.Event) {
	subject := int(e.Member.Record.ID) - 1
	switch e.Kind {
	case swim.Joined, swim.Recovered:
		c.lab.saw(c.port.index, subject, up)
	case swim.Failed, swim.Departed:
		c.lab.saw(c.port.index, subject, down)
	case swim.Updated:
		if subject != c.port.index {
			c.lab.saw(c.port.index, subject, updated)
		}
	}
}

// send takes a message to another node. It is encoded only to be weighed: it is immutable.
func (c *core) send(s swim.Send) {
	net := c.port.net
	to := net.at(s.To.Address)
	if to == nil {
		return
	}
	bytes := 0
	if c.lab.weighs() {
		bytes = proto.Size(swimactor.Encode(s.Message))
	}
	deliver := func() { to.member.(*core).receive(c.port, s.Message) }
	wait := c.contact(to)
	if s.Path == swim.Datagram {
		if wait == 0 {
			net.datagram(c.port, to, bytes, deliver)
		} else {
			time.AfterFunc(wait, func() { net.datagram(c.port, to, bytes, deliver) })
		}
		return
	}
	net.countStream(bytes)
	if ping, ok := s.Message.(*swim.Ping); ok && ping.Stream && !c.lab.streamPings {
		return
	}
	time.AfterFunc(wait, func() { net.travel(c.port, to, deliver) })
}

// contact is how long the connection to a peer takes: nothing once it stands.
func (c *core) contact(to *port) time.Duration {
	if c.met[to.index] {
		return 0
	}
	c.met[to.index] = true
	return 2 * handshakes * c.port.net.latency
}

func (c *core) receive(from *port, msg swim.Message) {
	peer := swim.Peer{ID: uint64(from.index) + 1, Address: from.address}
	c.input(func(now time.Duration) swim.Output {
		c.met[from.index] = true
		return c.core.Receive(now, peer, msg)
	})
}

func (c *core) join(seed string) {
	c.input(func(now time.Duration) swim.Output { return c.core.Join(now, []string{seed}) })
}

func (c *core) update() {
	c.input(func(now time.Duration) swim.Output {
		out, err := c.core.UpdateTags(now, map[string]string{"version": "2"})
		if err != nil {
			panic(err)
		}
		return out
	})
}

func (c *core) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.timer.Stop()
}
