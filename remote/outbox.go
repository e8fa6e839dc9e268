package remote

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
)

// outbox is the queue of one class to one peer. It outlives connections: what no connection took yet goes with the
// next. Senders append from any goroutine; the connection that is bound drains it.
type outbox struct {
	peer  *peer
	class actors.Class
	limit int
	full  limitedLog

	mu       sync.Mutex
	queue    chunks
	bytes    int // of queue and of batch
	refusing bool
	asked    bool   // the session knows that a connection is wanted
	taken    uint64 // messages since the process began, without heartbeats
	wake     func()
	// Since the process began.
	sentMessages, sentBytes uint64
	drops                   [drops]atomic.Uint64

	// drainMu orders drains; it is taken before mu.
	drainMu sync.Mutex
	current *drain
	batch   chunks
}

// chunks is a queue in pieces, so that a burst neither copies what is there nor keeps its memory.
type chunks struct{ head, tail *chunk }

const chunkItems = 128

type chunk struct {
	items       [chunkItems]item
	first, last int // items[first:last] wait
	next        *chunk
}

var chunkPool = sync.Pool{New: func() any { return new(chunk) }}

func (c *chunks) empty() bool { return c.head == nil }

func (c *chunks) push(it item) {
	if c.tail == nil || c.tail.last == chunkItems {
		added := chunkPool.Get().(*chunk)
		if c.tail == nil {
			c.head = added
		} else {
			c.tail.next = added
		}
		c.tail = added
	}
	c.tail.items[c.tail.last] = it
	c.tail.last++
}

// pop takes the first of a queue that is not empty.
func (c *chunks) pop() item {
	h := c.head
	it := h.items[h.first]
	h.items[h.first] = item{}
	if h.first++; h.first == h.last {
		if c.head = h.next; c.head == nil {
			c.tail = nil
		}
		h.first, h.last, h.next = 0, 0, nil
		chunkPool.Put(h)
	}
	return it
}

type outcome uint8

const (
	queued outcome = iota
	refused
	overflown
)

// enqueue takes the news of an end even while it refuses: a peer that this side gave up, and that is back, asks once over its own
// connection, and may do so before this side's is up again.
func (o *outbox) enqueue(it item) outcome {
	cost := it.cost()
	o.mu.Lock()
	if o.refusing && Frame_Kind(it.kind) != Frame_TERMINATED {
		o.mu.Unlock()
		return refused
	}
	if o.bytes+cost > o.limit {
		o.mu.Unlock()
		return overflown
	}
	wake, first := o.wake, o.queue.empty()
	o.queue.push(it)
	o.bytes += cost
	if Frame_Kind(it.kind) != Frame_HEARTBEAT {
		o.taken++
	}
	ask := wake == nil && !o.asked
	if ask {
		o.asked = true
	}
	o.mu.Unlock()
	if first && wake != nil {
		wake()
	}
	if ask {
		o.peer.core.need(o.peer, kindOf(o.class))
	}
	return queued
}

// attach makes a drain for a connection; the one before it gets nothing more.
func (o *outbox) attach(encoder *encoder) *drain {
	o.drainMu.Lock()
	defer o.drainMu.Unlock()
	d := &drain{outbox: o, encoder: encoder}
	o.current = d
	o.mu.Lock()
	o.wake, o.asked = nil, true
	o.mu.Unlock()
	return d
}

// detach ends the current drain. Where again is set, the next message asks for a connection.
func (o *outbox) detach(again bool) {
	o.drainMu.Lock()
	defer o.drainMu.Unlock()
	o.current = nil
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wake, o.asked = nil, !again
}

// refuse sets whether messages are turned away, and returns what waited when they are from now on. With what waited goes what it had
// asked for: later ones, when messages are taken again, ask for a connection anew.
func (o *outbox) refuse(on bool) []item {
	o.drainMu.Lock()
	defer o.drainMu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refusing = on
	if !on {
		return nil
	}
	o.asked = o.current != nil
	return o.takeLocked()
}

// stop turns new messages away and keeps what waits.
func (o *outbox) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refusing = true
}

func (o *outbox) takeLocked() []item {
	var waiting []item
	for _, q := range []*chunks{&o.batch, &o.queue} {
		for !q.empty() {
			waiting = append(waiting, q.pop())
		}
	}
	o.bytes = 0
	return waiting
}

// takeAll returns what waits and leaves the queue open.
func (o *outbox) takeAll() []item {
	o.drainMu.Lock()
	defer o.drainMu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.takeLocked()
}

func (o *outbox) empty() bool {
	o.drainMu.Lock()
	defer o.drainMu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queue.empty() && o.batch.empty()
}

// drain is an outbox as one connection empties it.
type drain struct {
	outbox  *outbox
	encoder *encoder
}

const fillBytes = 32 << 10

func (d *drain) Bind(wake func()) {
	o := d.outbox
	o.drainMu.Lock()
	current := o.current == d
	waiting := false
	if current {
		o.mu.Lock()
		o.wake = wake
		waiting = !o.queue.empty() || !o.batch.empty()
		o.mu.Unlock()
	}
	o.drainMu.Unlock()
	if waiting {
		wake()
	}
}

func (d *drain) Fill(dst []byte) []byte {
	o := d.outbox
	o.drainMu.Lock()
	defer o.drainMu.Unlock()
	if o.current != d {
		return dst
	}
	start, freed, sent := len(dst), 0, 0
	datagram := o.class == actors.Datagram
	for len(dst)-start < fillBytes {
		if len(d.encoder.rest) > 0 {
			dst = d.encoder.appendChunk(dst)
			continue
		}
		if o.batch.empty() && !o.swap() {
			break
		}
		it := o.batch.pop()
		freed += it.cost()
		before := len(dst)
		dst = d.encode(dst, &it)
		if len(dst) > before {
			sent++
			if datagram {
				break
			}
		}
	}
	if freed > 0 || len(dst) > start {
		o.mu.Lock()
		o.bytes -= freed
		o.sentMessages += uint64(sent)
		o.sentBytes += uint64(len(dst) - start)
		o.mu.Unlock()
		m := &o.peer.core.metrics
		m.sent[o.class].Add(uint64(sent))
		m.sentBytes[o.class].Add(uint64(len(dst) - start))
	}
	return dst
}

// swap takes what was queued for the batch that is empty.
func (o *outbox) swap() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.batch, o.queue = o.queue, chunks{}
	return !o.batch.empty()
}

func (d *drain) encode(dst []byte, it *item) []byte {
	p := d.outbox.peer
	if p.blank.Load() && !it.passesBlank() {
		p.core.dead(p, d.outbox.class, it, dropBlank)
		return dst
	}
	var err error
	before := len(dst)
	if d.encoder.splits(it) {
		dst, err = d.encoder.appendFirst(dst, it)
	} else if d.encoder.intern {
		dst, err = d.encoder.append(dst, it)
	} else {
		dst, err = d.encoder.appendBody(dst, it)
	}
	if err != nil {
		p.core.notSent.warn(p.core, "message not sent", zap.String("peer", p.address), zap.String("type", typeText(it.message())), zap.Error(err))
		p.core.dead(p, d.outbox.class, it, dropUnencodable)
		return dst[:before]
	}
	return dst
}

// passesBlank reports whether an item may go between nodes of which one belongs to no cluster: bootstrap, and answers.
func (it *item) passesBlank() bool {
	kind := Frame_Kind(it.kind)
	return kind == Frame_HEARTBEAT || kind == Frame_MESSAGE && passesBlank(it.target.Id)
}

func passesBlank(target string) bool { return target == actors.NameBootstrap || transient(target) }

// dead ends a message that is not sent: its sender is answered, and watchers learn that the address is gone.
func (c *core) dead(p *peer, class actors.Class, it *item, why drop) {
	c.dropped(p, class, why)
	switch Frame_Kind(it.kind) {
	case Frame_MESSAGE:
		message := it.message()
		if it.sender != nil {
			message = &actor.MessageEnvelope{Header: it.headers, Message: message, Sender: it.sender}
		}
		c.system.DeadLetter.SendUserMessage(it.target, message)
	case Frame_WATCH:
		c.terminate(p, it.sender.Id, it.target.Id, actor.TerminatedReason_AddressTerminated)
	case Frame_STOP:
		c.log.Debug("stop not sent", zap.String("peer", p.address), zap.String("target", it.target.Id), zap.Stringer("reason", why))
	}
}

// terminate tells a watcher here that who it watches at a peer has ended, unless it was told before.
func (c *core) terminate(p *peer, watcher, target string, why actor.TerminatedReason) {
	who := p.watches.takeOut(watcher, target)
	if who == nil {
		return
	}
	c.deliverSystem(watcher, &actor.Terminated{Who: who, Why: why})
}

func (c *core) deliverSystem(id string, message any) {
	defer c.recovered(id)
	process, ok := c.system.ProcessRegistry.GetLocal(id)
	if ok {
		process.SendSystemMessage(c.system.NewLocalPID(id), message)
	}
}

func (c *core) recovered(target string) {
	if reason := recover(); reason != nil {
		c.panicked(target, reason)
	}
}

func (c *core) panicked(target string, reason any) {
	c.metrics.deliveryPanics.Add(1)
	c.log.Error("delivery panicked", zap.String("target", target), zap.String("reason", fmt.Sprint(reason)))
}
