package actors

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
)

// Class says how a message travels to another node. Order is kept for each pair of actors within a class, and a
// message arrives at most once; Datagram keeps neither order nor promise. A local target ignores the class.
type Class uint8

// The delivery classes.
const (
	// Default carries actor messages, and watch, terminate, stop and poison, so that these never overtake.
	Default Class = iota
	// Control is the most urgent: votes, heartbeats, responses, membership. Nothing large.
	Control
	// Append carries Raft appends with entries.
	Append
	// Bulk carries snapshots and other large state in chunks, on a connection of its own.
	Bulk
	// Datagram carries at most 1200 bytes that may be lost or reordered: probes and gossip.
	Datagram
)

// Classes is the number of delivery classes.
const Classes = 5

func (c Class) String() string {
	switch c {
	case Default:
		return "default"
	case Control:
		return "control"
	case Append:
		return "append"
	case Bulk:
		return "bulk"
	case Datagram:
		return "datagram"
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// ClassSender is what a process of another node implements, so that a sender can choose the class. The class in
// SendUserMessage of such a process is the default one of the message's type.
type ClassSender interface {
	SendClass(class Class, pid *actor.PID, envelope *actor.MessageEnvelope)
}

// Sender is what Send and Request need of a context; actor.Context and *actor.RootContext both are one.
type Sender interface {
	ActorSystem() *actor.ActorSystem
	Self() *actor.PID
}

// Send sends msg to pid in the given class, without a sender.
func Send(class Class, ctx Sender, pid *actor.PID, msg any) {
	SendEnvelope(class, ctx, pid, &actor.MessageEnvelope{Message: msg})
}

// Request sends msg to pid in the given class; answers go to the context's own actor.
func Request(class Class, ctx Sender, pid *actor.PID, msg any) {
	SendEnvelope(class, ctx, pid, &actor.MessageEnvelope{Message: msg, Sender: ctx.Self()})
}

// SendEnvelope sends an envelope whose sender and headers the caller chose.
func SendEnvelope(class Class, ctx Sender, pid *actor.PID, envelope *actor.MessageEnvelope) {
	process, _ := ctx.ActorSystem().ProcessRegistry.Get(pid)
	if remote, ok := process.(ClassSender); ok {
		remote.SendClass(class, pid, envelope)
		return
	}
	process.SendUserMessage(pid, envelope)
}
