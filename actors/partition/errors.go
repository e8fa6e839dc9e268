package partition

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
)

// Sentinels for control flow. An [*Error] Is the one of its code.
var (
	ErrNoLeader       = errors.New("no leader known, it had no effect")
	ErrInvalid        = errors.New("invalid request")
	ErrAlreadyExists  = errors.New("already exists")
	ErrNotFound       = errors.New("not found")
	ErrNotEnoughNodes = errors.New("not enough nodes")
	ErrUnknownOutcome = errors.New("outcome unknown")
	ErrBusy           = errors.New("busy, it had no effect")
	ErrStaleEpoch     = errors.New("stale epoch")
	ErrUnavailable    = errors.New("unavailable")
)

var sentinels = map[Code]error{
	Code_CODE_NO_LEADER:        ErrNoLeader,
	Code_CODE_INVALID:          ErrInvalid,
	Code_CODE_ALREADY_EXISTS:   ErrAlreadyExists,
	Code_CODE_NOT_FOUND:        ErrNotFound,
	Code_CODE_NOT_ENOUGH_NODES: ErrNotEnoughNodes,
	Code_CODE_UNKNOWN_OUTCOME:  ErrUnknownOutcome,
	Code_CODE_BUSY:             ErrBusy,
	Code_CODE_STALE_EPOCH:      ErrStaleEpoch,
	Code_CODE_UNAVAILABLE:      ErrUnavailable,
}

// Error is a refusal as the asker sees it.
type Error struct {
	Code    Code
	Message string
	Leader  uint64 // node id, a hint; 0 where unknown
}

func (e *Error) Error() string { return e.Message }

// Is makes errors.Is(err, ErrNotFound) and the like work.
func (e *Error) Is(target error) bool { return target != nil && sentinels[e.Code] == target }

// AsError is the refusal as an error.
func (r *Refused) AsError() error {
	return &Error{Code: r.GetCode(), Message: r.GetMessage(), Leader: r.GetLeader()}
}

// Reply unwraps an answer of the partition manager.
func Reply[T proto.Message](res any, err error) (T, error) {
	var none T
	switch {
	case errors.Is(err, actors.ErrDeadLetter):
		return none, fmt.Errorf("%w: the partition manager is not running: %w", ErrUnavailable, err)
	case errors.Is(err, actors.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return none, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	case err != nil:
		return none, err
	}
	switch m := res.(type) {
	case T:
		return m, nil
	case *Refused:
		return none, m.AsError()
	}
	return none, fmt.Errorf("%w: answer is %T, want %T", ErrInvalid, res, none)
}
