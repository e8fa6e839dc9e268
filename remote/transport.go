package remote

import (
	"fmt"

	"github.com/hupe1980/rivven-cluster/actors"
)

// Kind is what a connection between two nodes is for.
type Kind uint8

// The kinds of connections. A node sends on a main or bulk connection only if it dialed it; a datagram connection
// is one per pair and carries both directions.
const (
	KindMain     Kind = iota // the lanes Default, Control and Append
	KindBulk                 // the lane Bulk, with flow control of its own
	KindDatagram             // datagrams
)

const kinds = 3

func (k Kind) String() string {
	switch k {
	case KindMain:
		return "main"
	case KindBulk:
		return "bulk"
	case KindDatagram:
		return "datagram"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Lanes returns the classes that a connection of this kind carries.
func (k Kind) Lanes() []actors.Class {
	switch k {
	case KindMain:
		return mainLanes
	case KindBulk:
		return bulkLanes
	case KindDatagram:
		return datagramLanes
	}
	return nil
}

var (
	mainLanes     = []actors.Class{actors.Control, actors.Append, actors.Default}
	bulkLanes     = []actors.Class{actors.Bulk}
	datagramLanes = []actors.Class{actors.Datagram}
)

func kindOf(class actors.Class) Kind {
	switch class {
	case actors.Bulk:
		return KindBulk
	case actors.Datagram:
		return KindDatagram
	}
	return KindMain
}

// Transport opens connections for the session core. The core calls it from actors' turns, so nothing here blocks:
// outcomes come through the [Handler]. The default is QUIC; a simulation brings its own.
type Transport interface {
	// Listen opens the node's endpoints and returns the addresses that they got.
	Listen(h Handler) (Endpoints, error)
	// Dial connects to address in the background and ends with exactly one Dialed or DialFailed of the same number.
	// An expect other than zero is the only node that may answer.
	Dial(dial uint64, kind Kind, address string, expect uint64)
	// Close ends all connections and waits until nothing calls the Handler any more.
	Close()
}

// FreshDialer is a Transport that can dial from a local socket of its own for one connection. The core asks for it after several failed
// attempts: what lies between two nodes may hold on to a path that no longer leads anywhere for as long as packets keep coming on it.
type FreshDialer interface {
	DialFresh(dial uint64, kind Kind, address string, expect uint64)
}

// Endpoints are the bound addresses, host:port. Gossip equals Main where the endpoint is shared.
type Endpoints struct{ Main, Gossip string }

// Finder is a Transport that can tell what addresses a name stands for. Without it a name stands for one.
type Finder interface {
	// Find looks host:port up in the background and ends with exactly one Found of the same number.
	Find(find uint64, address string)
}

// Handler is the session core as a transport sees it. Calls for one connection come one after the other; the first
// is Accepted or Dialed, the last is Closed, after every Inbox of the connection has returned for the last time.
// No call blocks.
type Handler interface {
	Accepted(c Conn)
	Dialed(dial uint64, c Conn)
	DialFailed(dial uint64, err error)
	// Found ends a Find: all addresses, host:port, or an error.
	Found(find uint64, addresses []string, err error)
	// Refused says that a connection did not survive its handshake here, before it was Accepted.
	Refused(remote string, err error)
	// Greeting is one frame of the connection's first stream; the slice is the handler's to keep.
	Greeting(c Conn, frame []byte)
	// Drained says that every lane of an accepted connection was read to its orderly end.
	Drained(c Conn)
	Closed(c Conn, err error)
}

// Conn is one authenticated connection.
type Conn interface {
	// ID is unique within its transport.
	ID() uint64
	Kind() Kind
	// NodeID is the node that the peer's certificate names.
	NodeID() uint64
	RemoteAddr() string
	// Greet queues one frame for the connection's first stream.
	Greet(frame []byte)
	// Send starts to drain an outbox into the lane of class.
	Send(class actors.Class, out Outbox)
	// Receive starts to read the lanes. Before it, what arrives waits in the transport's flow control.
	Receive(lane func(class actors.Class) Inbox)
	// Finish ends the lanes that are sent once their outboxes are empty.
	Finish()
	// Close ends the connection; both sides see code and reason.
	Close(code Code, reason string)
}

// Outbox holds what waits for one lane. Only one connection drains it at a time.
type Outbox interface {
	// Bind sets what to call when frames begin to wait, and calls it where some do already.
	Bind(wake func())
	// Fill appends frames to dst, whole and each behind its length, until about 32 KiB are there or none waits; on
	// the lane Datagram one frame without length. It returns dst unchanged when nothing waits.
	Fill(dst []byte) []byte
}

// Inbox takes the frames of one lane. Receive may not keep the slice; its error ends the connection, and a
// *[CloseError] says with which code.
type Inbox interface{ Receive(frame []byte) error }

// FrameLimit is the largest frame of a class, in bytes.
func FrameLimit(class actors.Class) int {
	switch class {
	case actors.Bulk:
		return bulkFrameMax
	case actors.Datagram:
		return datagramMax
	}
	return streamFrameMax
}

const (
	greetingMax    = 4 << 10
	streamFrameMax = 4 << 20
	// A chunk of 256 KiB and the envelope around it.
	bulkFrameMax = 256<<10 + envelopeMax
	envelopeMax  = 4 << 10
	datagramMax  = 1200
)
