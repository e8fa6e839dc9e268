package consensus

import (
	"errors"
	"io"

	"google.golang.org/protobuf/proto"
)

// Entry is one committed command.
type Entry struct {
	Group string
	Index uint64
	Term  uint64
	ID    *ProposalID // nil where the proposal had none
	// Command is decoded by its registered protobuf type. It is shared: a machine that keeps it must not change it.
	Command proto.Message
}

// Machine is the replicated state machine of a group. Its methods are called by one actor, one at a time, in the
// order of the log. A factory makes a fresh one at each start of the group.
type Machine interface {
	// Apply changes the state. It is deterministic: same state, same entry, same result on every replica. An error is a
	// refusal for the proposer (a [Refusal] keeps its reason) and must leave the state as it was; an error that Is
	// [ErrHalt] stops the group. A result may be nil.
	Apply(Entry) (proto.Message, error)
	// Query answers a read at the state that is applied now. It changes nothing.
	Query(proto.Message) (proto.Message, error)
	// Snapshot returns the state as it is now. It is cheap; the WriterTo is written out elsewhere, concurrently with later
	// Applies, and must not see them.
	Snapshot() (io.WriterTo, error)
	// Restore replaces the state by a snapshot's.
	Restore(io.Reader) error
}

// ErrHalt marks an error of Apply at which a replica can't go on: it stops and says so, the rest of the node goes on.
var ErrHalt = errors.New("replica halted")

// Refusal is an error of Apply or Query with a stable code of the machine's own.
type Refusal struct {
	Reason  string // stable, lower_case
	Message string
}

func (r *Refusal) Error() string { return r.Message }

// Applied is the event of one applied entry, in order, for those who sent [Subscribe]. Local message.
type Applied struct {
	Entry  Entry
	Result proto.Message
	Err    error // a refusal; the state did not change
}

// Restored is the event of a snapshot that replaced the state: a subscriber reads the state anew. Local message.
type Restored struct {
	Group string
	Index uint64
}
