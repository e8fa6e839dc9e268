package consensus

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/hupe1980/rivven-cluster/actors"
)

// Sentinels for control flow. An [*Error] Is the one of its code.
var (
	ErrNotLeader      = errors.New("not the leader")
	ErrDropped        = errors.New("proposal dropped, it had no effect")
	ErrTooLarge       = errors.New("too large")
	ErrUnknownOutcome = errors.New("outcome unknown")
	ErrRefused        = errors.New("refused by the state machine")
	ErrShuttingDown   = errors.New("shutting down")
	ErrBusy           = errors.New("busy, it had no effect")
	ErrHalted         = errors.New("group halted")
	ErrInvalid        = errors.New("invalid request")
	ErrReadTimeout    = errors.New("read found no quorum in time")
)

var sentinels = map[Code]error{
	Code_CODE_NOT_LEADER:      ErrNotLeader,
	Code_CODE_DROPPED:         ErrDropped,
	Code_CODE_TOO_LARGE:       ErrTooLarge,
	Code_CODE_UNKNOWN_OUTCOME: ErrUnknownOutcome,
	Code_CODE_REFUSED:         ErrRefused,
	Code_CODE_SHUTTING_DOWN:   ErrShuttingDown,
	Code_CODE_BUSY:            ErrBusy,
	Code_CODE_HALTED:          ErrHalted,
	Code_CODE_INVALID:         ErrInvalid,
	Code_CODE_TIMEOUT:         ErrReadTimeout,
}

// Error is a refusal as the asker sees it.
type Error struct {
	Code    Code
	Message string
	Reason  string // the state machine's, where Code is CODE_REFUSED
	Leader  *Peer  // a hint, may be nil
}

func (e *Error) Error() string {
	if e.Leader != nil && e.Code == Code_CODE_NOT_LEADER {
		return fmt.Sprintf("%s (leader is node %d at %s)", e.Message, e.Leader.NodeId, e.Leader.Address)
	}
	return e.Message
}

// Is makes errors.Is(err, ErrNotLeader) and the like work.
func (e *Error) Is(target error) bool { return target != nil && sentinels[e.Code] == target }

// NewFailed makes a refusal; with an empty message it says what its code says.
func NewFailed(code Code, message string, leader *Peer) *Failed {
	if message == "" {
		message = sentinels[code].Error()
	}
	return &Failed{Code: code, Message: message, Leader: leader}
}

// FailedFrom makes the refusal for an error of a state machine.
func FailedFrom(err error) *Failed {
	f := &Failed{Code: Code_CODE_REFUSED, Message: err.Error()}
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
		f.Reason = refusal.Reason
	}
	return f
}

// AsError is the refusal as an error.
func (f *Failed) AsError() error {
	return &Error{Code: f.GetCode(), Message: f.GetMessage(), Reason: f.GetReason(), Leader: f.GetLeader()}
}

// Reply unwraps an answer that is not a command's result: T is *Status, *Session, *MembershipChanged and so on. A
// time-out of the ask becomes ErrUnknownOutcome, which it is.
func Reply[T proto.Message](res any, err error) (T, error) {
	var none T
	if err != nil {
		return none, askError(err)
	}
	switch m := res.(type) {
	case T:
		return m, nil
	case *Failed:
		return none, m.AsError()
	}
	return none, fmt.Errorf("%w: answer is %T, want %T", ErrInvalid, res, none)
}

// Result unwraps the answer to a Propose or Query into the machine's own result.
func Result[T proto.Message](res any, err error) (T, error) {
	var none T
	if err != nil {
		return none, askError(err)
	}
	var packed *anypb.Any
	switch m := res.(type) {
	case *Proposed:
		packed = m.Result
	case *Answer:
		packed = m.Result
	case *Failed:
		return none, m.AsError()
	default:
		return none, fmt.Errorf("%w: answer is %T, want a result of type %T", ErrInvalid, res, none)
	}
	out, ok := none.ProtoReflect().New().Interface().(T)
	if !ok {
		return none, fmt.Errorf("%w: %T is no message type", ErrInvalid, none)
	}
	if packed == nil {
		return out, nil
	}
	if err := packed.UnmarshalTo(out); err != nil {
		return none, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return out, nil
}

func askError(err error) error {
	switch {
	case errors.Is(err, actors.ErrDeadLetter):
		return fmt.Errorf("%w: no such group here: %w", ErrDropped, err)
	case errors.Is(err, actors.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	return err
}
