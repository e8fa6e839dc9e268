package logstore

import (
	"errors"

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

// GroupWrite is what one group wants durable, all of it or nothing, in this order: Snapshot replaces log and hard
// state's floor, Entries truncate from the first one's index, HardState, then Compact.
type GroupWrite struct {
	Group     string
	HardState *raftpb.HardState // nil: unchanged
	Entries   []*raftpb.Entry   // consecutive; immutable from here on
	Snapshot  *SnapshotRef      // the log begins behind it
	Compact   uint64            // entries up to this index may go; 0: none
	Remove    bool              // forget the group
}

// Durable ends one Submit. Err, where set, is final for the store: nothing of this or a later Submit counts as written
// (ErrNoSpace alone is not final: nothing of this Submit was written, later ones may be).
type Durable struct {
	Seq uint64
	Err error
}

// Store is a log store of one node. Submit hands over a batch and returns; completions come in the order of Submits through
// the function given at open, from any goroutine. Reader methods see a Submit's writes only after its completion.
type Store interface {
	Reader
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
	// Entries returns [lo, hi), stopping before maxBytes but never before the first one. raft.ErrCompacted and
	// raft.ErrUnavailable where it can't; *DamageError where the disk lies.
	Entries(group string, lo, hi, maxBytes uint64) ([]*raftpb.Entry, error)
	Term(group string, index uint64) (uint64, error)
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
	// ErrNoSpace: the disk is full; nothing was written, and writing may go on when there is space again.
	ErrNoSpace = errors.New("no space left for the log")
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
