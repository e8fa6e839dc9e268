package consensus

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// NewPropose packs a command without a session: it is never retried on the proposer's behalf.
func NewPropose(command proto.Message) *Propose { return &Propose{Command: Pack(command)} }

// NewProposeOnce packs a command under a session's sequence number; sent again, it is applied once.
func NewProposeOnce(session, sequence uint64, command proto.Message) *Propose {
	return &Propose{Id: &ProposalID{Session: session, Sequence: sequence}, Command: Pack(command)}
}

// NewQuery packs a linearizable read.
func NewQuery(request proto.Message) *Query { return &Query{Request: Pack(request)} }

// NewStaleQuery packs a read of whatever the replica that gets it has applied.
func NewStaleQuery(request proto.Message) *Query { return &Query{Request: Pack(request), Stale: true} }

// Pack wraps a message in Any, nil in nil. It panics where a message can't be marshalled (invalid UTF-8 in a string),
// which is the caller's mistake.
func Pack(m proto.Message) *anypb.Any {
	if m == nil {
		return nil
	}
	packed := &anypb.Any{}
	if err := anypb.MarshalFrom(packed, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic(fmt.Sprintf("consensus: can't marshal %T: %v", m, err))
	}
	return packed
}

// Unpack decodes by the registered type. An unknown type is an error.
func Unpack(packed *anypb.Any) (proto.Message, error) {
	if packed == nil {
		return nil, fmt.Errorf("%w: no message given", ErrInvalid)
	}
	m, err := packed.UnmarshalNew()
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, packed.GetTypeUrl(), err)
	}
	return m, nil
}
