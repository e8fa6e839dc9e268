package logstore

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc64"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// Bounds of what a reference may carry from wire or file.
const (
	maxConfState = 64 << 10
	maxPeers     = 1 << 20
)

var snapshotTable = crc64.MakeTable(crc64.ECMA)

// ErrSnapshotChecksum: the data of a snapshot is not what its reference says.
var ErrSnapshotChecksum = errors.New("snapshot differs from its size or checksum")

// ErrNoSnapshot: there is no complete file of that snapshot.
var ErrNoSnapshot = errors.New("no such snapshot")

func (r *SnapshotRef) toProto() *Ref {
	out := &Ref{Group: r.Group, Index: r.Index, Term: r.Term, Peers: r.Peers, Size: r.Size, Checksum: r.Checksum}
	if r.ConfState != nil {
		// A ConfState of our own always marshals.
		out.ConfState, _ = proto.MarshalOptions{Deterministic: true}.Marshal(r.ConfState)
	}
	return out
}

func refFromProto(in *Ref) (*SnapshotRef, error) {
	switch {
	case in == nil:
		return nil, errors.New("snapshot without a reference")
	case in.GetGroup() == "" || len(in.GetGroup()) > MaxGroupName:
		return nil, fmt.Errorf("snapshot of a group with a name of %d bytes, want 1 to %d", len(in.GetGroup()), MaxGroupName)
	case len(in.GetConfState()) > maxConfState || len(in.GetPeers()) > maxPeers:
		return nil, fmt.Errorf("snapshot with a configuration of %d and peers of %d bytes, want at most %d and %d",
			len(in.GetConfState()), len(in.GetPeers()), maxConfState, maxPeers)
	}
	ref := &SnapshotRef{Group: in.GetGroup(), Index: in.GetIndex(), Term: in.GetTerm(), Peers: in.GetPeers(), Size: in.GetSize(), Checksum: in.GetChecksum()}
	if in.ConfState != nil {
		ref.ConfState = &raftpb.ConfState{}
		if err := proto.Unmarshal(in.GetConfState(), ref.ConfState); err != nil {
			return nil, fmt.Errorf("snapshot with a garbled configuration: %w", err)
		}
	}
	return ref, nil
}

// snapshotKey is what tells snapshots apart.
type snapshotKey struct {
	group       string
	index, term uint64
}

func (r *SnapshotRef) key() snapshotKey { return snapshotKey{r.Group, r.Index, r.Term} }

func (k snapshotKey) compare(other snapshotKey) int {
	return cmp.Or(cmp.Compare(k.group, other.group), cmp.Compare(k.index, other.index), cmp.Compare(k.term, other.term))
}

// newer orders a group's snapshots, the newest first.
func newer(a, b SnapshotRef) int {
	return cmp.Or(cmp.Compare(b.Index, a.Index), cmp.Compare(b.Term, a.Term))
}

// sameData says whether two references are of one snapshot with the same bytes.
func (r *SnapshotRef) sameData(o *SnapshotRef) bool {
	return r.key() == o.key() && r.Size == o.Size && r.Checksum == o.Checksum
}

// snapshotSum counts and sums what is written, and refuses what is more than a reference with a size says.
type snapshotSum struct {
	ref  SnapshotRef
	size uint64
	sum  uint64
}

func (s *snapshotSum) add(p []byte) error {
	if s.ref.Size > 0 && s.size+uint64(len(p)) > s.ref.Size {
		return fmt.Errorf("%w: more than its %d bytes", ErrSnapshotChecksum, s.ref.Size)
	}
	s.size += uint64(len(p))
	s.sum = crc64.Update(s.sum, snapshotTable, p)
	return nil
}

func (s *snapshotSum) finish() (SnapshotRef, error) {
	if s.ref.Size > 0 && (s.size != s.ref.Size || s.sum != s.ref.Checksum) {
		return SnapshotRef{}, fmt.Errorf("%w: %d bytes with checksum %016x instead of %d with %016x",
			ErrSnapshotChecksum, s.size, s.sum, s.ref.Size, s.ref.Checksum)
	}
	ref := s.ref
	ref.Size, ref.Checksum = s.size, s.sum
	return ref, nil
}
