package remote

import (
	"log/slog"
	"strconv"

	"github.com/asynkron/protoactor-go/actor"
)

// What stands here are names of protoactor's own remote, so that programs written for it compile and behave.

// SendMessage sends like Send of a context, with the given headers and sender. serializerID is not looked at: the message's type picks the
// serializer, protobuf or one of [WithSerializer].
func (r *Remote) SendMessage(pid *actor.PID, header actor.ReadonlyMessageHeader, message any, sender *actor.PID, _ int32) {
	envelope := &actor.MessageEnvelope{Message: message, Sender: sender}
	if header != nil {
		for _, key := range header.Keys() {
			envelope.SetHeader(key, header.Get(key))
		}
	}
	r.system.Root.Send(pid, envelope)
}

// BlockList returns the nodes that this remote has nothing to do with; add to it before Start or after.
func (r *Remote) BlockList() *BlockList { return r.blockList }

// Logger returns the actor system's.
func (r *Remote) Logger() *slog.Logger { return r.system.Logger() }

// EndpointConnectedEvent is published on the system's event stream when a peer is connected; subsystems get actors.PeerUp, which says more.
type EndpointConnectedEvent struct{ Address string }

// EndpointTerminatedEvent is published on the system's event stream when a session with a peer is lost.
type EndpointTerminatedEvent struct{ Address string }

// PeerRefusedEvent is published on the system's event stream when this node refuses a peer for good or is refused by one: once for each
// peer and code, until the two were connected again.
type PeerRefusedEvent struct {
	NodeID        uint64 // by its certificate; 0 where it showed none
	RemoteAddress string
	Code          Code
	Reason        string
	ByPeer        bool // the peer refused this node
}

// Ping asks the activator of one's own system for a *Pong. Local message.
type Ping struct{}

// Pong answers Ping.
type Pong struct{}

// ActivatorError is what a spawn function may return so that the asking node gets Code. With DoNotPanic unset the failure is logged.
type ActivatorError struct {
	Code       int32
	DoNotPanic bool
}

func (e *ActivatorError) Error() string { return strconv.Itoa(int(e.Code)) }

// ErrActivatorUnavailable lets a spawn function say that this node spawns none of the kind at present.
var ErrActivatorUnavailable = &ActivatorError{Code: ResponseStatusCodeUNAVAILABLE.ToInt32(), DoNotPanic: true}

// ResponseError is a status as an error. Compare it with the variables below.
type ResponseError struct{ Code ResponseStatusCode }

func (e *ResponseError) Error() string {
	if e == nil {
		return "nil"
	}
	return e.Code.String()
}

// The statuses of a remote spawn as errors.
var (
	ErrUnAvailable             = &ResponseError{ResponseStatusCodeUNAVAILABLE}
	ErrTimeout                 = &ResponseError{ResponseStatusCodeTIMEOUT}
	ErrProcessNameAlreadyExist = &ResponseError{ResponseStatusCodePROCESSNAMEALREADYEXIST}
	ErrDeadLetter              = &ResponseError{ResponseStatusCodeDeadLetter}
	ErrUnknownError            = &ResponseError{ResponseStatusCodeERROR}
)

// AsError returns the status as one of the errors above, nil for OK.
func (c ResponseStatusCode) AsError() *ResponseError {
	switch c {
	case ResponseStatusCodeOK:
		return nil
	case ResponseStatusCodeUNAVAILABLE:
		return ErrUnAvailable
	case ResponseStatusCodeTIMEOUT:
		return ErrTimeout
	case ResponseStatusCodePROCESSNAMEALREADYEXIST:
		return ErrProcessNameAlreadyExist
	case ResponseStatusCodeERROR:
		return ErrUnknownError
	case ResponseStatusCodeDeadLetter:
		return ErrDeadLetter
	}
	return &ResponseError{c}
}
