package raftactor

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// What offline tools need to found a group anew from what is left of another; a running group is changed through its leader.

// Members are a snapshot's voters, those of both halves of a joint configuration, and its learners, each ascending by replica. The node id
// and address of one that the address book doesn't know are zero.
func Members(ref *logstore.SnapshotRef) (voters, learners []Peer, err error) {
	var c configuration
	if err := c.reset(ref); err != nil {
		return nil, nil, fmt.Errorf("snapshot of group %q at index %d: %w", ref.Group, ref.Index, err)
	}
	describe := func(ids []uint64) []Peer {
		out := make([]Peer, 0, len(ids))
		for _, id := range ids {
			out = append(out, Peer{NodeID: c.book[id].GetNodeId(), Replica: id, Address: c.book[id].GetAddress()})
		}
		return out
	}
	return describe(c.voters()), describe(c.learners()), nil
}

// SoleVoter is the same snapshot with a configuration of one voter.
func SoleVoter(ref *logstore.SnapshotRef, voter Peer) *logstore.SnapshotRef {
	sole := InitialWrite(ref.Group, []Peer{voter}).Snapshot
	sole.Index, sole.Term, sole.Size, sole.Checksum = ref.Index, ref.Term, ref.Size, ref.Checksum
	return sole
}

// WithoutChanges replaces membership changes by empty entries, and says how many there were: what follows a [SoleVoter] must not bring
// the members of before back. Other entries are shared, not copied.
func WithoutChanges(entries []*raftpb.Entry) (out []*raftpb.Entry, changes int) {
	out = make([]*raftpb.Entry, len(entries))
	for i, e := range entries {
		if out[i] = e; e.GetType() == raftpb.EntryNormal {
			continue
		}
		changes++
		out[i] = &raftpb.Entry{Index: proto.Uint64(e.GetIndex()), Term: proto.Uint64(e.GetTerm()), Type: raftpb.EntryNormal.Enum()}
	}
	return out, changes
}
