package logstore

import (
	"fmt"
	"io"

	"go.etcd.io/raft/v3/raftpb"
)

// SnapshotRef names one snapshot of a group's state. With Size 0 it has no file: the state is that of a fresh machine, which
// is how a group begins.
type SnapshotRef struct {
	Group     string
	Index     uint64
	Term      uint64
	ConfState *raftpb.ConfState
	// Peers is the group's address book at Index, opaque here.
	Peers    []byte
	Size     uint64 // bytes of data
	Checksum uint64 // CRC-64/ECMA over the data
}

// SnapshotReader opens snapshot files. The checksum was verified before Open returns.
type SnapshotReader interface {
	Open(ref SnapshotRef) (io.ReadCloser, error)
}

// SnapshotFiles is the seam to the files: a directory beside the database, or memory.
type SnapshotFiles interface {
	SnapshotReader
	// Create begins a file that exists only once it is committed.
	Create(ref SnapshotRef) (SnapshotWriter, error)
	// List returns a group's complete snapshots, newest first.
	List(group string) ([]SnapshotRef, error)
	// Damaged returns a group's files that fail their checks, newest first. Files of a newer format and those that can't be read at the
	// moment are not among them.
	Damaged(group string) ([]DamagedSnapshot, error)
	// Remove deletes a file by group, index and term, whole or damaged. One that isn't there is no error.
	Remove(ref SnapshotRef) error
}

// DamagedSnapshot is a file that is not what a writer of snapshots committed.
type DamagedSnapshot struct {
	Ref    SnapshotRef // group, index and term alone, by the file's name
	Detail string      // what is wrong
}

// SnapshotWriter takes the data, then Commit syncs, checks against the ref's size and checksum where these are set, and
// renames; Abort removes. One of both ends it.
type SnapshotWriter interface {
	io.Writer
	Commit() (SnapshotRef, error)
	Abort()
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("group %q: damage at index %d: %s: the replica must be rebuilt from the others", e.Group, e.Index, e.Detail)
}
