package logstore

import (
	"io"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Messages of the persistence actor, known as "store". All are local.

// Write asks for a group's writes to be made durable; it is sent as *Write. The actor coalesces what all groups have waiting.
// The sender gets a *Written once it is, with its Token; a group's are answered in the order of its writes.
//
// After one write was refused with an error, the group's later ones are refused with the same, so that none overtakes it,
// until the group starts over: it sends the refused one again (with the same Token) or sends Open.
type Write struct {
	GroupWrite
	Token uint64 // the sender's own; instance and sequence
}

// Written answers Write. With Err nothing may be acknowledged; ErrNoSpace and ErrBusy alone can be tried again, for nothing
// was written.
type Written struct {
	Group string
	Token uint64
	Err   error
}

// Open, sent as *Open, asks where a group's durable log stands, behind all its writes so far. Answered with *Opened.
type Open struct{ Group string }

// Opened answers Open.
type Opened struct {
	Group string
	State GroupState
	Err   error
}

// GetStoreStatus, sent as *GetStoreStatus, asks how the disk does. Answered with *StoreStatus.
type GetStoreStatus struct{}

// StoreStatus answers GetStoreStatus. Times are those of batches, from the hand-over to the store until they were durable.
type StoreStatus struct {
	Size        Size
	QueuedBytes int           // that wait for the batch on its way
	InFlight    time.Duration // how long that batch is on its way; 0: none is
	Batches     uint64        // since the start of the process
	// Median, Worst and P99 of the last batches, at most 1,024.
	Median, P99, Worst time.Duration
	Err                error // why the store stopped
}

// Messages of the snapshot actor, known as "snapshots".

// SaveSnapshot writes a snapshot file: Ref without size and checksum, and the data. Answered with *SnapshotSaved. Local.
type SaveSnapshot struct {
	Ref  SnapshotRef
	Data io.WriterTo
}

// SnapshotSaved answers SaveSnapshot. The file is complete, checksummed and synced; it is not yet referenced by the log.
type SnapshotSaved struct {
	Ref SnapshotRef
	Err error
}

// SendSnapshot streams a snapshot file to the snapshot actor of another node, data first: the answer *SnapshotSent comes
// when the receiver has it complete, verified and synced, or has failed, or the deadline passed. Local.
type SendSnapshot struct {
	Ref SnapshotRef
	To  *actor.PID // "snapshots" at the receiver's main address
	// Token is the sender's own.
	Token uint64
}

// SnapshotSent answers SendSnapshot.
type SnapshotSent struct {
	Ref   SnapshotRef
	Token uint64
	Err   error
}

// PruneSnapshots tells the snapshot actor which snapshot a group now stands on: it keeps that one and the two whole ones before, of the
// damaged ones the newest for as long as it would be kept if it were whole, and never removes one that is being sent. Local, not answered.
type PruneSnapshots struct{ Ref SnapshotRef }

// RemoveSnapshots removes all snapshot files of a group that the log has forgotten, see GroupWrite.Remove. Answered with
// *SnapshotsRemoved. Local.
type RemoveSnapshots struct{ Group string }

// SnapshotsRemoved answers RemoveSnapshots.
type SnapshotsRemoved struct {
	Group string
	Err   error
}
