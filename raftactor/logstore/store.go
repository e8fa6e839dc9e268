package logstore

import (
	"errors"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/hupe1980/rivven-cluster/actors"
)

// Identity says whose disk this is. It is written at the first start and checked at every open.
type Identity struct {
	DirectoryID actors.ID
	NodeID      uint64
	// Generation of the process that has the store open: max(stored + 1, Unix ms of its start).
	Generation uint64
	// ClusterID is empty until the node belongs to a cluster; it is written once.
	ClusterID string
	// InitialConfig is the configuration that the cluster started with, opaque here; empty on a node that joined without it.
	InitialConfig []byte
}

// GroupWrite is what one group wants durable, all of it or nothing, in this order: Snapshot, Entries, HardState, Compact.
//
// Snapshot becomes the floor of the hard state. A log that holds the snapshot's index with its term keeps its entries, also
// those before (Compact drops them); any other log is discarded and begins behind the snapshot. Entries truncate from
// the first one's index.
type GroupWrite struct {
	Group     string
	HardState *raftpb.HardState // nil: unchanged; immutable from here on
	Entries   []*raftpb.Entry   // consecutive; immutable from here on
	Snapshot  *SnapshotRef      // never older than the one before; immutable from here on
	Compact   uint64            // entries up to this index go, at most the snapshot's; 0: none
	Remove    bool              // forget the group
}

// Durable ends one Submit. Err, where set, is final for the store: nothing of this or a later Submit counts as written
// (ErrNoSpace alone is not final: nothing of this Submit was written, later ones may be). Without Err all is durable
// but what Refused names.
type Durable struct {
	Seq     uint64
	Err     error
	Refused []Refused
}

// Refused is one write of a Submit that would have left a log that can't be recovered, see [InvalidWriteError]. The later
// writes of its group in the same Submit are refused with it, other groups' are not.
type Refused struct {
	Write int // its place in the batch
	Err   error
}

// InvalidWriteError says what is wrong with a write: a hole in the log, a term that goes back, a vote that changes within a
// term, a commit beyond the log, a compaction that no snapshot covers.
type InvalidWriteError struct {
	Group  string
	Detail string
}

func (e *InvalidWriteError) Error() string {
	return fmt.Sprintf("group %q: write refused: %s", e.Group, e.Detail)
}

// Store is a log store of one node. Submit hands over a batch and returns; completions come in the order of Submits through
// the function attached last before the Submit, from any goroutine. A group may have several writes in a batch; they
// apply in order. Reader methods see a Submit's writes only after its completion.
type Store interface {
	Reader
	// Attach says where the completions of later Submits go. The function must not block.
	Attach(notify func(Durable))
	Submit(batch []GroupWrite, seq uint64)
	// SetIdentity writes identity and groups in one step, synchronously; it is for the first start only.
	SetIdentity(id Identity, groups []GroupWrite) error
	Identity() Identity
	Close() error
}

// Reader reads what is durable, synchronously, from memory where it can. Safe for concurrent use with Submit.
type Reader interface {
	// Groups in sorted order.
	Groups() []string
	// State is zero for an unknown group.
	State(group string) GroupState
	// Entries returns [lo, hi), stopping before maxBytes but never before the first one. ErrCompacted and
	// ErrUnavailable where it can't; *DamageError where the disk lies.
	Entries(group string, lo, hi, maxBytes uint64) ([]*raftpb.Entry, error)
	Term(group string, index uint64) (uint64, error)
}

// Sized is a store that knows what it takes. Both are safe for concurrent use.
type Sized interface {
	// LogBytes of a group's entries, as they lie on disk.
	LogBytes(group string) uint64
	Size() Size
}

// Size is what a store takes, in bytes.
type Size struct {
	File uint64 // the database file; 0: there is none
	Live uint64 // of it, entries that some group still has
}

// GroupState is where a group's durable log stands. FirstIndex is Snapshot.Index+1 or higher bound by compaction; LastIndex is
// FirstIndex−1 for an empty log.
type GroupState struct {
	HardState  *raftpb.HardState
	Snapshot   *SnapshotRef // nil: never had one
	FirstIndex uint64
	LastIndex  uint64
}

// Handle is what a group needs of its node's storage: the actors that write, and the readers beside them.
type Handle struct {
	Writer    *actor.PID // takes Write, Open
	Reader    Reader
	Snapshots *actor.PID // takes SaveSnapshot, SendSnapshot
	Files     SnapshotReader
}

// Errors of a store.
var (
	// ErrCompacted: the log begins behind that index.
	ErrCompacted = errors.New("entries up to here were compacted away")
	// ErrUnavailable: the log ends before that index.
	ErrUnavailable = errors.New("no such entry yet")
	// ErrNoSpace: the disk is full; nothing was written, and writing may go on when there is space again.
	ErrNoSpace = errors.New("no space left for the log")
	// ErrBusy: too many bytes wait for the disk; nothing was written.
	ErrBusy = errors.New("log store is busy")
	// ErrInterrupted: the persistence actor failed while a write waited; whether it is durable is unknown.
	ErrInterrupted = errors.New("write interrupted, outcome unknown")
	// ErrStopped: the store stopped at an earlier failure or was closed.
	ErrStopped = errors.New("store stopped")
	// ErrForeign: the directory belongs to another node or cluster.
	ErrForeign = errors.New("data directory belongs to another node")
	// ErrNewerFormat: a later version wrote the directory.
	ErrNewerFormat = errors.New("data directory has a newer format")
	// ErrLocked: another process has the directory open.
	ErrLocked = errors.New("data directory is in use by another process")
)

// DamageError says what a checksum found. It is never papered over: the replica stops and is rebuilt from the others.
type DamageError struct {
	Group  string
	Index  uint64
	Detail string
}
