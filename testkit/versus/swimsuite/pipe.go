package swimsuite

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipe is one end of a stream over the network: in order, a latency late, without loss; silent when the other end is cut off.
type pipe struct {
	port *port
	peer *pipe

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at every change
	inFlight [][]byte      // towards this end; nil is the end of the stream
	buffer   []byte
	ended    bool
	closed   bool
	deadline time.Time
}

func newPipe(a, b *port) (*pipe, *pipe) {
	x, y := &pipe{port: a, changed: make(chan struct{})}, &pipe{port: b, changed: make(chan struct{})}
	x.peer, y.peer = y, x
	return x, y
}

func (p *pipe) change(do func()) {
	p.mu.Lock()
	do()
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
}

// carry takes a chunk towards this end.
func (p *pipe) carry(chunk []byte) {
	p.mu.Lock()
	p.inFlight = append(p.inFlight, chunk)
	p.mu.Unlock()
	p.port.net.travel(p.peer.port, p.port, func() {
		p.change(func() {
			// Timers of one instant fire in any order; the chunks arrive in theirs.
			first := p.inFlight[0]
			p.inFlight = p.inFlight[1:]
			p.ended = p.ended || first == nil
			p.buffer = append(p.buffer, first...)
		})
	})
}

func (p *pipe) Read(b []byte) (int, error) {
	for {
		p.mu.Lock()
		switch {
		case p.closed:
			p.mu.Unlock()
			return 0, net.ErrClosed
		case len(p.buffer) > 0:
			n := copy(b, p.buffer)
			p.buffer = p.buffer[n:]
			p.mu.Unlock()
			return n, nil
		case p.ended:
			p.mu.Unlock()
			return 0, io.EOF
		}
		changed, deadline := p.changed, p.deadline
		p.mu.Unlock()
		if deadline.IsZero() {
			<-changed
			continue
		}
		left := time.NewTimer(time.Until(deadline))
		select {
		case <-changed:
			left.Stop()
		case <-left.C:
			return 0, os.ErrDeadlineExceeded
		}
	}
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return 0, net.ErrClosed
	}
	p.port.send()
	p.port.net.countStream(len(b))
	p.peer.carry(append([]byte{}, b...))
	return len(b), nil
}

func (p *pipe) Close() error {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if !closed {
		p.change(func() { p.closed = true })
		p.peer.carry(nil)
	}
	return nil
}

func (p *pipe) SetDeadline(t time.Time) error {
	p.change(func() { p.deadline = t })
	return nil
}

func (p *pipe) SetReadDeadline(t time.Time) error { return p.SetDeadline(t) }
func (p *pipe) SetWriteDeadline(time.Time) error  { return nil }
func (p *pipe) LocalAddr() net.Addr               { return addr(p.port.address) }
func (p *pipe) RemoteAddr() net.Addr              { return addr(p.peer.port.address) }

// addr is an address of the simulated network.
type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }
