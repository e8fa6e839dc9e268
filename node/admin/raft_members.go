package admin

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/node/client"
)

var changeKinds = map[client.RaftChange]consensus.ChangeKind{
	client.RaftAddLearner: consensus.ChangeKind_CHANGE_KIND_ADD_LEARNER,
	client.RaftPromote:    consensus.ChangeKind_CHANGE_KIND_PROMOTE,
	client.RaftDemote:     consensus.ChangeKind_CHANGE_KIND_DEMOTE,
	client.RaftRemove:     consensus.ChangeKind_CHANGE_KIND_REMOVE,
}

// changeMembers adds, promotes, demotes or removes the replica of a node. What makes no sense the group refuses, with the reason.
func (s *Server) changeMembers(w http.ResponseWriter, r *http.Request) error {
	group, err := s.knownGroup(r)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	kind, ok := changeKinds[client.RaftChange(query.Get("change"))]
	if !ok {
		return invalid("parameter change is %.50q, want add-learner, promote, demote or remove", query.Get("change"))
	}
	node, err := strconv.ParseUint(query.Get("node"), 10, 64)
	if err != nil || node == 0 {
		return invalid("parameter node is %.50q, want a node id", query.Get("node"))
	}
	peer, err := s.replicaOn(r.Context(), group, node, kind, query.Get("replica"))
	if err != nil {
		return err
	}
	done, err := askGroup[*consensus.MembershipChanged](r.Context(), s, s.raftPID(group),
		&consensus.ChangeMembership{Changes: []*consensus.Change{{Kind: kind, Peer: peer}}})
	if err != nil {
		return groupError(group, err)
	}
	return s.answer(w, http.StatusOK, client.RaftMembers{Index: done.GetIndex(), Voters: nodeIDs(done.GetVoters()), Learners: nodeIDs(done.GetLearners())})
}

// replicaOn is the replica that a change means: of a newcomer the one that the membership sees, else the node's among those that the
// change suits. A node with several disks in the group needs the replica's own id.
func (s *Server) replicaOn(ctx context.Context, group string, node uint64, kind consensus.ChangeKind, replica string) (*consensus.Peer, error) {
	if kind == consensus.ChangeKind_CHANGE_KIND_ADD_LEARNER {
		return s.newcomer(ctx, node)
	}
	status, err := askGroup[*consensus.Status](ctx, s, s.raftPID(group), &consensus.GetStatus{})
	if err != nil {
		return nil, groupError(group, err)
	}
	candidates := slices.Concat(status.GetVoters(), status.GetLearners())
	switch kind {
	case consensus.ChangeKind_CHANGE_KIND_PROMOTE:
		candidates = status.GetLearners()
	case consensus.ChangeKind_CHANGE_KIND_DEMOTE:
		candidates = status.GetVoters()
	}
	candidates = slices.DeleteFunc(slices.Clone(candidates), func(p *consensus.Peer) bool {
		return p.GetNodeId() != node || replica != "" && replicaID(p) != replica
	})
	switch len(candidates) {
	case 0:
		return nil, invalid("node %d has no replica in group %s that the change suits: see GET /v1/raft/%s", node, group, group)
	case 1:
		return candidates[0], nil
	}
	return nil, invalid("node %d has %d replicas in group %s, of several disks: name one in parameter replica", node, len(candidates), group)
}

func (s *Server) newcomer(ctx context.Context, node uint64) (*consensus.Peer, error) {
	members, err := s.members(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range members.GetMembers() {
		if directory, ok := actors.IDFromBytes(m.GetDirectoryId()); ok && m.GetNodeId() == node {
			return &consensus.Peer{NodeId: node, Replica: actors.ReplicaID(directory), Address: m.GetAddress()}, nil
		}
	}
	return nil, invalid("node %d is no member of the cluster: start it first", node)
}

func nodeIDs(peers []*consensus.Peer) []uint64 {
	out := make([]uint64, 0, len(peers))
	for _, p := range peers {
		out = append(out, p.GetNodeId())
	}
	slices.Sort(out)
	return out
}
