package remote

import "github.com/asynkron/protoactor-go/actor"

// batchMax is how many messages of a read are handed on at a time: decoded together and put into mailboxes together, a lane and the
// actors that it feeds wait less for each other's locks.
const batchMax = 64

// batcher is an Inbox that takes the frames of one read together.
type batcher interface {
	hold()
	release()
}

// batch is what an inbox has of the read that it is in.
type batch struct {
	open                    bool
	reads                   uint64
	frames, messages, bytes uint64 // not yet counted
	waiting                 []posting
	next                    int // of waiting
}

// posting is a message on its way to a mailbox.
type posting struct {
	to      *actor.PID
	seated  bool // to is an actor's
	message any
}

// seat is the actor that a name in a lane's table stands for.
type seat struct {
	read  uint64              // in which it was looked up
	actor *actor.ActorProcess // nil for nobody, and for processes of other kinds
	pid   *actor.PID          // reaches it, and notices its end
}

func (in *inbox) hold() {
	in.batch.open = true
	in.batch.reads++
}

func (in *inbox) release() {
	in.handOn()
	in.batch.open = false
}

// put adds a message for a target to the batch.
func (in *inbox) put(t *inTarget, message any) {
	d := posting{to: in.seated(t), message: message}
	if d.seated = d.to != nil; !d.seated {
		d.to = t.pid
	}
	b := &in.batch
	if b.waiting == nil {
		b.waiting = make([]posting, 0, batchMax)
	}
	if b.waiting = append(b.waiting, d); len(b.waiting) == batchMax {
		in.handOn()
	}
}

// seated looks a target up once a read, and returns what reaches its actor, nil where it is none. Such a PID tells an actor's end at once
// and then looks again, as every local one does; another kind of process would be held for good, so it is found for each message.
func (in *inbox) seated(t *inTarget) *actor.PID {
	if t.pid.RequestId != 0 {
		return nil
	}
	if s := &t.seat; s.read != in.batch.reads {
		process, _ := in.core.system.ProcessRegistry.GetLocal(t.pid.Id)
		found, _ := process.(*actor.ActorProcess)
		if found != s.actor {
			s.actor, s.pid = found, nil
			if found != nil {
				s.pid = in.core.system.NewLocalPID(t.pid.Id)
			}
		}
		s.read = in.batch.reads
	}
	return t.seat.pid
}

// handOn counts what came, and puts what waits into the mailboxes.
func (in *inbox) handOn() {
	b := &in.batch
	if b.frames > 0 {
		in.core.metrics.receivedBytes[in.class].Add(b.bytes)
		in.core.metrics.received[in.class].Add(b.messages)
		in.peer.in[in.class].add(b.frames, b.bytes)
		b.frames, b.messages, b.bytes = 0, 0, 0
	}
	for b.next < len(b.waiting) {
		in.handOver()
	}
	clear(b.waiting)
	b.waiting, b.next = b.waiting[:0], 0
}

// handOver goes through the batch until its end or a panic.
func (in *inbox) handOver() {
	b := &in.batch
	defer b.recovered(in.core)
	for b.next < len(b.waiting) {
		d := &b.waiting[b.next]
		b.next++
		if d.seated {
			in.core.local.Send(d.to, d.message)
			continue
		}
		process, _ := in.core.system.ProcessRegistry.GetLocal(d.to.Id)
		process.SendUserMessage(d.to, d.message)
	}
}

func (b *batch) recovered(c *core) {
	if reason := recover(); reason != nil {
		c.panicked(b.waiting[b.next-1].to.Id, reason)
	}
}
