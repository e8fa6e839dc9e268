package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/hupe1980/rivven-cluster/actors"
)

// greetingsMax is how many greetings wait at most: a session says Hello, GoAway and their answers.
const greetingsMax = 8

// greetingsPeerMax is how many greetings a peer may say on one connection: each waits in the mailbox of an actor.
const greetingsPeerMax = 16

// quicConn is one connection. Its goroutines: one waits for its end, two serve the first stream, one each lane.
type quicConn struct {
	t         *quicTransport
	conn      *quic.Conn
	id        uint64
	kind      Kind
	node      uint64
	dialed    bool
	greetings chan []byte
	finishing chan struct{}
	finish    func()
	release   func() // gives back what it was dialed from

	mu      sync.Mutex
	ended   bool
	readers sync.WaitGroup // nothing reaches the handler from these once they are done
	writers sync.WaitGroup
	open    int // lanes that were not read to their end
}

func newQUICConn(t *quicTransport, conn *quic.Conn, kind Kind, node uint64, dialed bool) *quicConn {
	c := &quicConn{
		release: func() {},
		t:       t, conn: conn, id: t.sequence.Add(1), kind: kind, node: node, dialed: dialed,
		greetings: make(chan []byte, greetingsMax), finishing: make(chan struct{}), open: len(kind.Lanes()),
	}
	c.finish = sync.OnceFunc(func() { close(c.finishing) })
	return c
}

func (c *quicConn) ID() uint64         { return c.id }
func (c *quicConn) Kind() Kind         { return c.kind }
func (c *quicConn) NodeID() uint64     { return c.node }
func (c *quicConn) RemoteAddr() string { return c.conn.RemoteAddr().String() }

// Path makes it Measured.
func (c *quicConn) Path() PathStats {
	s := c.conn.ConnectionStats()
	return PathStats{RTT: s.SmoothedRTT, PacketsSent: s.PacketsSent, PacketsLost: s.PacketsLost}
}

// run starts the first stream and the wait for the end.
func (c *quicConn) run() {
	c.spawn(&c.readers, c.greet)
	go func() {
		defer c.t.work.Done()
		<-c.conn.Context().Done()
		c.mu.Lock()
		c.ended = true
		c.mu.Unlock()
		c.readers.Wait()
		c.writers.Wait()
		c.t.mu.Lock()
		delete(c.t.conns, c)
		c.t.mu.Unlock()
		c.t.handler.Closed(c, closeReason(context.Cause(c.conn.Context())))
		c.release()
	}()
}

// spawn runs f unless the connection has ended.
func (c *quicConn) spawn(group *sync.WaitGroup, f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		group.Go(f)
	}
}

func (c *quicConn) Close(code Code, reason string) {
	_ = c.conn.CloseWithError(quic.ApplicationErrorCode(code), reason)
}

func (c *quicConn) fail(err error) {
	var stream *quic.StreamError
	if c.conn.Context().Err() != nil || errors.As(err, &stream) && stream.Remote {
		if c.conn.Context().Err() == nil {
			c.Close(CodeProtocol, "a stream was reset")
		}
		return
	}
	reason := closeErrorOf(err)
	c.Close(reason.Code, reason.Reason)
}

func (c *quicConn) Greet(frame []byte) {
	select {
	case c.greetings <- frame:
	default:
		c.Close(CodeProtocol, "too many greetings wait")
	}
}

// greet serves the connection's first stream, which the dialer opens.
func (c *quicConn) greet() {
	ctx := c.conn.Context()
	var stream *quic.Stream
	var err error
	if c.dialed {
		stream, err = c.conn.OpenStreamSync(ctx)
	} else {
		stream, err = c.conn.AcceptStream(ctx)
	}
	if err != nil {
		return
	}
	stream.SetPriority(0, false)
	c.spawn(&c.writers, func() { c.writeGreetings(stream) })
	c.read(stream, &Deframer{limit: greetingMax, in: &greetingInbox{c: c}})
}

type greetingInbox struct {
	c    *quicConn
	came int
}

func (g *greetingInbox) Receive(frame []byte) error {
	if g.came++; g.came > greetingsPeerMax {
		return protocolError("more than %d greetings on one connection", greetingsPeerMax)
	}
	g.c.t.handler.Greeting(g.c, slices.Clone(frame))
	return nil
}

func (c *quicConn) writeGreetings(stream *quic.Stream) {
	for {
		select {
		case frame := <-c.greetings:
			if _, err := stream.Write(appendLength(frame)); err != nil {
				return
			}
		case <-c.conn.Context().Done():
			return
		}
	}
}

func (c *quicConn) Finish() { c.finish() }

func (c *quicConn) Send(class actors.Class, out Outbox) {
	wake := make(chan struct{}, 1)
	out.Bind(func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	if class == actors.Datagram {
		c.spawn(&c.writers, func() { c.writeDatagrams(out, wake) })
		return
	}
	c.spawn(&c.writers, func() { c.writeLane(class, out, wake) })
}

// urgency orders the lanes of a connection; the greeting stream comes before all.
func urgency(class actors.Class) int8 {
	switch class {
	case actors.Control:
		return 1
	case actors.Append:
		return 2
	}
	return 3
}

func (c *quicConn) writeLane(class actors.Class, out Outbox, wake <-chan struct{}) {
	stream, err := c.conn.OpenUniStreamSync(c.conn.Context())
	if err != nil {
		return
	}
	stream.SetPriority(urgency(class), false)
	pace := pacer{rate: c.t.bulkRate}
	buf := []byte{byte(class)} // says which lane this is
	finishing := c.finishing
	for {
		if buf == nil && class == actors.Bulk {
			buf = takeLarge(bulkFrameMax + lengthBytes)[:0]
		}
		if len(buf) == 0 {
			buf = out.Fill(buf)
		}
		if len(buf) > 0 {
			if class == actors.Bulk && !pace.wait(c.conn.Context(), len(buf)) {
				return
			}
			if _, err := stream.Write(buf); err != nil {
				return
			}
			buf = buf[:0]
			continue
		}
		if cap(buf) > readBufferMax { // what carried large frames goes when the lane rests
			giveLarge(buf)
			buf = nil
		}
		if finishing == nil {
			_ = stream.Close()
			return
		}
		select {
		case <-wake:
		case <-finishing:
			finishing = nil
		case <-c.conn.Context().Done():
			return
		}
	}
}

func (c *quicConn) writeDatagrams(out Outbox, wake <-chan struct{}) {
	var buf []byte
	for {
		if buf = out.Fill(buf[:0]); len(buf) > 0 {
			if err := c.conn.SendDatagram(buf); err != nil {
				var tooLarge *quic.DatagramTooLargeError
				if !errors.As(err, &tooLarge) {
					return
				}
			}
			continue
		}
		select {
		case <-wake:
		case <-c.conn.Context().Done():
			return
		}
	}
}

func (c *quicConn) Receive(lane func(actors.Class) Inbox) {
	if c.kind == KindDatagram {
		c.spawn(&c.readers, func() { c.readDatagrams(lane(actors.Datagram)) })
		return
	}
	c.spawn(&c.readers, func() { c.acceptLanes(lane) })
}

func (c *quicConn) readDatagrams(in Inbox) {
	allowed := bucket{tokens: datagramBurst, filled: time.Now()}
	for {
		b, err := c.conn.ReceiveDatagram(c.conn.Context())
		if err != nil {
			return
		}
		if !allowed.take(time.Now()) {
			c.t.metrics.droppedDatagrams.Add(1)
			continue
		}
		if len(b) > datagramMax {
			err = &CloseError{Code: CodeFrameTooLarge, Reason: fmt.Sprintf("a datagram of %d bytes: at most %d", len(b), datagramMax)}
		} else {
			err = in.Receive(b)
		}
		if err != nil {
			c.fail(err)
			return
		}
	}
}

func (c *quicConn) acceptLanes(lane func(actors.Class) Inbox) {
	seen := make(map[actors.Class]bool)
	for range c.kind.Lanes() {
		stream, err := c.conn.AcceptUniStream(c.conn.Context())
		if err != nil {
			return
		}
		var first [1]byte
		_ = stream.SetReadDeadline(time.Now().Add(partialDeadline))
		if _, err := io.ReadFull(stream, first[:]); err != nil {
			c.fail(protocolError("a lane does not say which it is: %v", err))
			return
		}
		class := actors.Class(first[0])
		if seen[class] || !slices.Contains(c.kind.Lanes(), class) {
			c.fail(protocolError("lane %s does not belong here", class))
			return
		}
		seen[class] = true
		_ = stream.SetReadDeadline(time.Time{})
		c.spawn(&c.readers, func() { c.readLane(stream, NewDeframer(class, lane(class))) })
	}
}

func (c *quicConn) readLane(stream *quic.ReceiveStream, d *Deframer) {
	if c.read(stream, d) {
		c.laneEnded()
	}
}

type deadlineReader interface {
	io.Reader
	SetReadDeadline(t time.Time) error
}

// read feeds d until the stream ends, and reports whether it did so in good order.
func (c *quicConn) read(stream deadlineReader, d *Deframer) bool {
	defer d.close()
	var guarded bool
	var guardedFrame uint64
	for {
		n, err := stream.Read(d.space())
		if n > 0 {
			if err := d.advance(n); err != nil {
				c.fail(err)
				return false
			}
		}
		partial, frames := d.partial()
		switch {
		case errors.Is(err, io.EOF) && !partial:
			return true
		case err != nil && partial:
			c.fail(&CloseError{Code: CodeTimeout, Reason: fmt.Sprintf("a frame did not end: %v", err)})
			return false
		case err != nil:
			c.fail(err)
			return false
		case partial && (!guarded || guardedFrame != frames):
			_ = stream.SetReadDeadline(time.Now().Add(partialDeadline))
			guarded, guardedFrame = true, frames
		case !partial && guarded:
			_ = stream.SetReadDeadline(time.Time{})
			guarded = false
		}
	}
}

func (c *quicConn) laneEnded() {
	c.mu.Lock()
	c.open--
	last := c.open == 0
	c.mu.Unlock()
	if last {
		c.t.handler.Drained(c)
	}
}

// pacer spreads writes so that they keep to a rate in bytes per second; 0 is none.
type pacer struct {
	rate int
	next time.Time
}

func (p *pacer) wait(ctx context.Context, n int) bool {
	if p.rate <= 0 {
		return true
	}
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	delay := p.next.Sub(now)
	p.next = p.next.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	if delay <= 0 {
		return true
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// A peer's datagrams beyond this rate are dropped, so that a flood does not pile up in the mailbox of who they are for.
const (
	datagramRate  = 10000 // each second
	datagramBurst = 2000
)

type bucket struct {
	tokens float64
	filled time.Time
}

func (b *bucket) take(now time.Time) bool {
	b.tokens = min(datagramBurst, b.tokens+now.Sub(b.filled).Seconds()*datagramRate)
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
