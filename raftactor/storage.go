package raftactor

import (
	"errors"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// storage is what RawNode reads the durable log through. Its bounds move when the group learns of a write, not when the store
// completes it, so that RawNode sees one log during a turn.
type storage struct {
	group  string
	reader logstore.Reader
	hard   *raftpb.HardState
	ref    *logstore.SnapshotRef // nil: none yet
	conf   *raftpb.ConfState     // at the snapshot that the run began with
	first  uint64
	last   uint64
	failed error // the disk lied
}

func newStorage(group string, reader logstore.Reader, state logstore.GroupState) *storage {
	s := &storage{group: group, reader: reader, hard: state.HardState, ref: state.Snapshot, first: max(state.FirstIndex, 1), last: state.LastIndex}
	if s.ref != nil && s.hard.GetCommit() < s.ref.Index {
		// The commit index is not made durable on its own, and a snapshot holds committed entries alone.
		s.hard = &raftpb.HardState{Term: new(max(s.hard.GetTerm(), s.ref.Term)), Vote: new(s.hard.GetVote()), Commit: new(s.ref.Index)}
	}
	return s
}

func (s *storage) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	if s.conf == nil {
		return s.hard, &raftpb.ConfState{}, nil
	}
	return s.hard, s.conf, nil
}

func (s *storage) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	entries, err := s.reader.Entries(s.group, lo, hi, maxSize)
	return entries, s.check(err)
}

func (s *storage) Term(index uint64) (uint64, error) {
	if s.ref != nil && index == s.ref.Index {
		return s.ref.Term, nil
	}
	term, err := s.reader.Term(s.group, index)
	return term, s.check(err)
}

// check gives RawNode its own errors, which it compares by identity, and keeps what it must not paper over.
func (s *storage) check(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, logstore.ErrCompacted):
		return raft.ErrCompacted
	case errors.Is(err, logstore.ErrUnavailable):
		return raft.ErrUnavailable
	}
	s.failed = err
	return err
}

func (s *storage) FirstIndex() (uint64, error) { return s.first, nil }

func (s *storage) LastIndex() (uint64, error) { return s.last, nil }

// Snapshot returns a handle in place of the data.
func (s *storage) Snapshot() (*raftpb.Snapshot, error) {
	if s.ref == nil {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return handleOf(s.ref), nil
}

const snapshotFormat = 1

// handleOf is the snapshot as raft knows it; refOf is the way back.
func handleOf(ref *logstore.SnapshotRef) *raftpb.Snapshot {
	data, err := proto.Marshal(&SnapshotHandle{Format: snapshotFormat, Size: ref.Size, Checksum: ref.Checksum, Peers: ref.Peers})
	if err != nil {
		panic(err) // bytes and numbers always marshal
	}
	return &raftpb.Snapshot{
		Data: data,
		Metadata: &raftpb.SnapshotMetadata{
			ConfState: proto.Clone(ref.ConfState).(*raftpb.ConfState), Index: new(ref.Index), Term: new(ref.Term),
		},
	}
}

var errSnapshotFormat = errors.New("unknown snapshot format")

func refOf(group string, s *raftpb.Snapshot) (*logstore.SnapshotRef, error) {
	h := &SnapshotHandle{}
	if err := proto.Unmarshal(s.GetData(), h); err != nil {
		return nil, err
	}
	if h.GetFormat() != snapshotFormat {
		return nil, errSnapshotFormat
	}
	meta := s.GetMetadata()
	return &logstore.SnapshotRef{
		Group: group, Index: meta.GetIndex(), Term: meta.GetTerm(), ConfState: meta.GetConfState(),
		Peers: h.GetPeers(), Size: h.GetSize(), Checksum: h.GetChecksum(),
	}, nil
}
