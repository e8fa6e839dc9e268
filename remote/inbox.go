package remote

import (
	"fmt"
	"strings"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/hupe1980/rivven-cluster/actors"
)

// inbox routes the frames of one lane of one connection to their targets. One goroutine at a time uses it.
type inbox struct {
	core    *core
	peer    *peer
	from    *actors.PeerInfo
	class   actors.Class
	address string // this node's own, in the PIDs of targets
	frame   frame
	targets []*inTarget
	senders []*actor.PID
	types   []wireType
	scratch wireType
	spelled inTarget  // of a frame whose target is in no slot
	part    *assembly // the message that comes in chunks now
	batch   batch
}

// inTarget is a name as a lane's table holds it.
type inTarget struct {
	pid      *actor.PID
	reserved typeSet // nil for names that take everything
	seat     seat
}

func newInbox(c *core, p *peer, from *actors.PeerInfo, class actors.Class) *inbox {
	return &inbox{core: c, peer: p, from: from, class: class, address: c.self.Load().Address}
}

// UnknownMessage is what dead letters carry for a message whose type is unknown here or whose bytes are no such type.
type UnknownMessage struct {
	TypeName string
	Bytes    int
	Err      error
}

func (in *inbox) Receive(b []byte) error {
	if in.batch.open {
		return in.receive(b)
	}
	in.hold()
	defer in.release()
	return in.receive(b)
}

func (in *inbox) receive(b []byte) error {
	in.batch.frames++
	in.batch.bytes += uint64(len(b))
	f := &in.frame
	if err := f.parse(b); err != nil {
		return err
	}
	if f.kind == Frame_CHUNK || in.part != nil {
		return in.chunk(f)
	}
	in.batch.messages++
	if f.kind == Frame_HEARTBEAT {
		in.peer.in[in.class].heartbeats.Add(1)
		return nil
	}
	target, err := in.target(f)
	if err != nil {
		return err
	}
	sender, err := in.sender(f)
	if err != nil {
		return err
	}
	if f.kind == Frame_MESSAGE {
		kind, err := in.messageType(f)
		if err != nil {
			return err
		}
		if f.total != 0 {
			return in.begin(f, target, sender, kind)
		}
		in.deliver(target, sender, kind)
		return nil
	}
	if sender == nil && f.kind != Frame_STOP {
		return protocolError("a frame of kind %d names no sender", f.kind)
	}
	in.handOn() // what was sent before it comes before it
	in.deliverSystem(target, sender)
	return nil
}

func tableError(what string, slot uint32) *CloseError {
	return &CloseError{Code: CodeTable, Reason: fmt.Sprintf("%s in slot %d was never defined", what, slot)}
}

func (in *inbox) target(f *frame) (*inTarget, error) {
	if f.target > nameSlots {
		return nil, tableError("a target", f.target)
	}
	t := &in.spelled
	switch {
	case f.targetID != nil:
		if len(f.targetID) > internMax && f.target != 0 {
			return nil, protocolError("a name of %d bytes is too long for a table", len(f.targetID))
		}
		if f.target != 0 {
			if in.targets == nil {
				in.targets = make([]*inTarget, nameSlots)
			}
			t = new(inTarget)
			in.targets[f.target-1] = t
		}
		id := string(f.targetID)
		*t = inTarget{pid: actor.NewPID(in.address, id), reserved: in.core.reserved.of(id)}
	case f.target == 0 || in.targets == nil || in.targets[f.target-1] == nil:
		return nil, tableError("a target", f.target)
	default:
		t = in.targets[f.target-1]
	}
	if f.targetRequest != 0 {
		in.spelled = inTarget{pid: &actor.PID{Address: t.pid.Address, Id: t.pid.Id, RequestId: f.targetRequest}, reserved: t.reserved}
		return &in.spelled, nil
	}
	return t, nil
}

func (in *inbox) sender(f *frame) (*actor.PID, error) {
	if f.sender > nameSlots {
		return nil, tableError("a sender", f.sender)
	}
	var pid *actor.PID
	switch {
	case f.senderID != nil:
		if len(f.senderID)+len(f.senderAddress) > internMax && f.sender != 0 {
			return nil, protocolError("a name of %d bytes is too long for a table", len(f.senderID)+len(f.senderAddress))
		}
		address := string(f.senderAddress)
		if address == "" {
			address = in.from.Address
		} else if err := checkAddress(address); err != nil {
			return nil, protocolError("%v", err)
		}
		pid = actor.NewPID(address, string(f.senderID))
		if f.sender != 0 {
			if in.senders == nil {
				in.senders = make([]*actor.PID, nameSlots)
			}
			in.senders[f.sender-1] = pid
		}
	case f.sender == 0:
		return nil, nil
	case in.senders == nil || in.senders[f.sender-1] == nil:
		return nil, tableError("a sender", f.sender)
	default:
		pid = in.senders[f.sender-1]
	}
	if f.senderRequest != 0 {
		pid = &actor.PID{Address: pid.Address, Id: pid.Id, RequestId: f.senderRequest}
	}
	return pid, nil
}

func (in *inbox) messageType(f *frame) (*wireType, error) {
	if f.typeName == nil {
		if f.typ == 0 || int(f.typ) > len(in.types) {
			return nil, tableError("a type", f.typ)
		}
		return &in.types[f.typ-1], nil
	}
	kind := in.core.codec.typeOf(string(f.typeName), string(f.serializer))
	switch {
	case f.typ == 0:
		in.scratch = kind
		return &in.scratch, nil
	case f.typ > typeSlots || int(f.typ) > len(in.types)+1 || len(f.typeName) > internMax:
		return nil, tableError("a type", f.typ)
	case int(f.typ) == len(in.types)+1:
		in.types = append(in.types, kind)
	default:
		in.types[f.typ-1] = kind
	}
	return &in.types[f.typ-1], nil
}

func (in *inbox) deliver(target *inTarget, sender *actor.PID, kind *wireType) {
	id := target.pid.Id
	defer in.core.recovered(id)
	if why := in.forged(sender); why != "" {
		in.refuse(target, nil, kind.name, why)
		return
	}
	if in.core.blank(in.from) && !(id == actors.NameBootstrap || transient(id) && in.peer.requests.has(id)) {
		in.refuse(target, sender, kind.name, "one of the two nodes belongs to no cluster yet")
		return
	}
	if target.reserved != nil {
		if _, ok := target.reserved[protoreflect.FullName(kind.name)]; !ok || kind.serializer != nil {
			in.refuse(target, sender, kind.name, "the name is reserved and does not take this type from the wire")
			return
		}
	}
	if !kind.known {
		in.unreadable(target, sender, kind, fmt.Errorf("type %s is unknown here", quoteShort(kind.name)))
		return
	}
	message, err := kind.decode(in.frame.payload)
	if err != nil {
		in.unreadable(target, sender, kind, err)
		return
	}
	if _, system := message.(actor.SystemMessage); system {
		in.refuse(target, sender, kind.name, "system messages do not come as messages")
		return
	}
	if target.reserved != nil {
		message = &actors.Inbound{Peer: in.from, Class: in.class, Message: message}
	}
	if sender != nil || in.frame.headers != nil {
		message = &actor.MessageEnvelope{Header: in.frame.headers, Message: message, Sender: sender}
	}
	in.put(target, message)
}

// refuse drops a message that its target may not get, and answers a request so that it fails at once.
func (in *inbox) refuse(target *inTarget, sender *actor.PID, what, why string) {
	in.core.metrics.refusedFrames.Add(1)
	in.core.refusedIn.warn(in.core, "message refused", zap.Stringer("peer", in.from), zap.String("target", quoteShort(target.pid.Id)),
		zap.String("type", quoteShort(what)), zap.Stringer("class", in.class), zap.String("reason", why))
	in.answerDead(target, sender)
}

func (in *inbox) answerDead(target *inTarget, sender *actor.PID) {
	if sender == nil {
		return
	}
	process, _ := in.core.system.ProcessRegistry.Get(sender)
	process.SendUserMessage(sender, &actor.DeadLetterResponse{Target: actor.NewPID(in.address, target.pid.Id)})
}

func (in *inbox) unreadable(target *inTarget, sender *actor.PID, kind *wireType, err error) {
	in.core.metrics.unknownTypes.Add(1)
	in.core.system.EventStream.Publish(&actor.DeadLetterEvent{
		PID: target.pid, Sender: sender, Message: &UnknownMessage{TypeName: kind.name, Bytes: len(in.frame.payload), Err: err},
	})
}

// deliverSystem hands on watch, unwatch, terminated and stop.
func (in *inbox) deliverSystem(target *inTarget, sender *actor.PID) {
	c, id := in.core, target.pid.Id
	defer c.recovered(id)
	if c.blank(in.from) {
		in.refuse(target, nil, in.frame.kind.String(), "one of the two nodes belongs to no cluster yet")
		return
	}
	switch in.frame.kind {
	case Frame_WATCH:
		in.watched(target, sender)
	case Frame_UNWATCH:
		in.peer.watches.removeIn(sender.Id, id)
		c.deliverSystem(id, &actor.Unwatch{Watcher: in.watcher(sender)})
	case Frame_TERMINATED:
		c.terminate(in.peer, id, sender.Id, terminatedReason(in.frame.reason))
	case Frame_STOP:
		if target.reserved != nil || !addressable(id) {
			in.refuse(target, nil, "stop", "the name is reserved")
			return
		}
		c.deliverSystem(id, &actor.Stop{})
	default:
		in.refuse(target, nil, in.frame.kind.String(), "this kind of frame is unknown here")
	}
}

// addressable reports whether an id may get system messages from the wire: processes that wait for an answer, and
// those that protoactor made for itself, may not.
func addressable(id string) bool {
	return !transient(id) && id != "deadletter" && id != "eventstream" && !strings.HasPrefix(id, "guardian")
}

// watcher is the PID under which a watcher there is known here: always at the peer that holds the watch.
func (in *inbox) watcher(sender *actor.PID) *actor.PID {
	return actor.NewPID(in.from.Address, sender.Id)
}

func (in *inbox) watched(target *inTarget, sender *actor.PID) {
	c, id := in.core, target.pid.Id
	watcher := in.watcher(sender)
	_, found := c.system.ProcessRegistry.GetLocal(id)
	why := actor.TerminatedReason_NotFound
	if found && addressable(id) {
		if in.peer.watches.addIn(watcher.Id, id, c.limits.Watches) {
			c.deliverSystem(id, &actor.Watch{Watcher: watcher})
			return
		}
		c.metrics.watchOverflows.Add(1)
		why = actor.TerminatedReason_AddressTerminated
	}
	c.enqueue(in.peer, actors.Default, item{kind: uint8(Frame_TERMINATED), target: watcher, sender: target.pid, reason: uint8(why)})
}

func terminatedReason(v uint32) actor.TerminatedReason {
	switch why := actor.TerminatedReason(v); why {
	case actor.TerminatedReason_Stopped, actor.TerminatedReason_AddressTerminated, actor.TerminatedReason_NotFound:
		return why
	}
	return actor.TerminatedReason_Stopped
}

func typeText(v any) string { return fmt.Sprintf("%T", v) }
