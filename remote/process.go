package remote

import (
	"fmt"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
)

// process stands for the actors at one address. PIDs keep it for good, so it finds its peer at every send.
type process struct {
	core    *core
	address string
	cached  atomic.Pointer[peer]
}

var (
	_ actor.Process      = (*process)(nil)
	_ actors.ClassSender = (*process)(nil)
)

func (c *core) resolveProcess(pid *actor.PID) (actor.Process, bool) {
	if p := c.peers.find(pid.Address); p != nil {
		return &p.process, true
	}
	if checkAddress(pid.Address) != nil {
		return nil, false
	}
	return &process{core: c, address: pid.Address}, true
}

func (p *process) peer() *peer {
	found := p.cached.Load()
	if found == nil || found.gone.Load() || found.alias.Load() != nil {
		if found = p.core.peers.get(p.address); found == nil {
			return nil
		}
		found = found.final()
		p.cached.Store(found)
	}
	return found
}

func (p *process) SendUserMessage(pid *actor.PID, message any) {
	it := item{target: pid, msg: message}
	if envelope, ok := message.(*actor.MessageEnvelope); ok {
		it.msg, it.sender, it.headers = envelope.Message, envelope.Sender, envelope.Header
	}
	p.send(p.core.classes.of(it.msg), it)
}

func (p *process) SendClass(class actors.Class, pid *actor.PID, envelope *actor.MessageEnvelope) {
	if class >= actors.Classes {
		class = actors.Default
	}
	p.send(class, item{target: pid, msg: envelope.Message, sender: envelope.Sender, headers: envelope.Header})
}

func (p *process) send(class actors.Class, it item) {
	peer := p.peer()
	if peer == nil {
		p.core.peers.full.warn(p.core, "message not sent", zap.String("address", p.address), zap.Error(errPeerLimit))
		p.core.metrics.deadLetters.Add(1)
		p.core.system.DeadLetter.SendUserMessage(it.target, &actor.MessageEnvelope{Header: it.headers, Message: it.msg, Sender: it.sender})
		return
	}
	if peer.self.Load() {
		p.core.deliverLocal(it)
		return
	}
	msg, size, err := p.core.codec.prepare(it.msg)
	if most := messageLimit(class); err == nil && size > most {
		err = fmt.Errorf("it has %d bytes, and a message of class %s at most %d", size, class, most)
	}
	if err != nil {
		p.core.notSent.warn(p.core, "message not sent", zap.String("peer", p.address), zap.String("type", typeText(it.msg)), zap.Error(err))
		p.core.dead(peer, class, &it, dropUnencodable)
		return
	}
	it.msg, it.size = msg, uint32(size)
	if it.sender != nil && transient(it.sender.Id) {
		peer.requests.add(it.sender.Id)
	}
	p.core.enqueue(peer, class, it)
}

// deliverLocal hands over what was sent to this node under one of its other addresses.
func (c *core) deliverLocal(it item) {
	target, _ := c.system.ProcessRegistry.GetLocal(it.target.Id)
	message := it.message()
	if it.sender != nil || it.headers != nil {
		message = &actor.MessageEnvelope{Header: it.headers, Message: message, Sender: it.sender}
	}
	target.SendUserMessage(it.target, message)
}

// enqueue puts an item into a queue, or ends it.
func (c *core) enqueue(p *peer, class actors.Class, it item) {
	o := p.out[class]
	switch o.enqueue(it) {
	case refused:
		p.used.Store(true)
		why := dropUnreachable
		if p.blocked.Load() {
			why = dropBlocked
		}
		c.dead(p, class, &it, why)
	case overflown:
		c.metrics.overflows[class].Add(1)
		o.full.warn(c, "queue full", zap.String("peer", p.address), zap.Stringer("class", class), zap.Int("limit_bytes", o.limit))
		c.dead(p, class, &it, dropFull)
	}
}

func (p *process) SendSystemMessage(pid *actor.PID, message any) {
	peer := p.peer()
	if peer == nil {
		if watch, ok := message.(*actor.Watch); ok {
			p.core.deliverSystem(watch.Watcher.Id, &actor.Terminated{Who: actor.NewPID(pid.Address, pid.Id), Why: actor.TerminatedReason_AddressTerminated})
		}
		return
	}
	if peer.self.Load() {
		target, _ := p.core.system.ProcessRegistry.GetLocal(pid.Id)
		target.SendSystemMessage(pid, message)
		return
	}
	switch msg := message.(type) {
	case *actor.Watch:
		p.core.watch(peer, pid, msg.Watcher)
	case *actor.Unwatch:
		peer.watches.takeOut(msg.Watcher.Id, pid.Id)
		p.core.enqueue(peer, actors.Default, item{kind: uint8(Frame_UNWATCH), target: pid, sender: msg.Watcher})
	case *actor.Terminated:
		peer.watches.removeIn(pid.Id, msg.Who.Id)
		p.core.enqueue(peer, actors.Default, item{kind: uint8(Frame_TERMINATED), target: pid, sender: msg.Who, reason: uint8(msg.Why)})
	case *actor.Stop:
		p.core.enqueue(peer, actors.Default, item{kind: uint8(Frame_STOP), target: pid})
	default:
		p.core.log.Debug("system message does not leave the node", zap.String("type", typeText(message)), zap.String("target", pid.Id))
	}
}

func (p *process) Stop(pid *actor.PID) { p.SendSystemMessage(pid, &actor.Stop{}) }

func (c *core) watch(p *peer, who, watcher *actor.PID) {
	if !p.watches.addOut(watcher.Id, who, c.limits.Watches) {
		c.metrics.watchOverflows.Add(1)
		c.deliverSystem(watcher.Id, &actor.Terminated{Who: actor.NewPID(who.Address, who.Id), Why: actor.TerminatedReason_AddressTerminated})
		return
	}
	c.enqueue(p, actors.Default, item{kind: uint8(Frame_WATCH), target: who, sender: watcher})
}
