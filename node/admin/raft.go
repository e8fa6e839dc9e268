package admin

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

func (s *Server) getRaft(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
	defer cancel()
	res, err := live.Ask(ctx, s.cfg.System, s.cfg.Store.Writer, &logstore.GetStoreStatus{})
	disk, ok := res.(*logstore.StoreStatus)
	if err != nil || !ok {
		return &client.Error{Code: client.CodeUnavailable, Message: "the log store does not answer: the node is starting or stopping, see /readyz?verbose", Cause: err}
	}
	out := client.RaftNode{NodeID: s.cfg.Self.ID, Groups: s.cfg.Store.Reader.Groups(), Disk: client.RaftDisk{
		FileBytes: disk.Size.File, LiveBytes: disk.Size.Live, QueuedBytes: uint64(disk.QueuedBytes), InFlightMicro: disk.InFlight.Microseconds(),
		Batches: disk.Batches, MedianMicro: disk.Median.Microseconds(), P99Micro: disk.P99.Microseconds(), WorstMicro: disk.Worst.Microseconds(),
	}}
	if disk.Err != nil {
		out.Disk.Error = disk.Err.Error()
	}
	return s.answer(w, http.StatusOK, out)
}

// knownGroup is the group of a request's path, if this node has it.
func (s *Server) knownGroup(r *http.Request) (string, error) {
	group := r.PathValue("group")
	if !slices.Contains(s.cfg.Store.Reader.Groups(), group) {
		return "", &client.Error{Code: client.CodeNotFound, Message: fmt.Sprintf("this node has no raft group %.130q: GET /v1/raft lists those it has", group)}
	}
	return group, nil
}

func (s *Server) getRaftGroup(w http.ResponseWriter, r *http.Request) error {
	group, err := s.knownGroup(r)
	if err != nil {
		return err
	}
	members, err := s.members(r.Context())
	if err != nil {
		return err
	}
	statuses := s.raftStatuses(r.Context(), members.GetMembers(), actors.RaftName(group))
	if len(statuses) == 0 {
		return &client.Error{Code: client.CodeUnavailable, Message: fmt.Sprintf("no replica of group %s answers", group)}
	}
	return s.answer(w, http.StatusOK, groupOf(group, statuses))
}

// groupOf puts together what the replicas say. Where two call themselves leader, the one of the higher term is.
func groupOf(group string, statuses map[uint64]*consensus.Status) client.RaftGroup {
	out := client.RaftGroup{Group: group, Replicas: []client.RaftReplica{}}
	var leader *consensus.Status
	for _, node := range slices.Sorted(maps.Keys(statuses)) {
		st := statuses[node]
		if st.GetRole() == consensus.Role_ROLE_LEADER && (leader == nil || st.GetTerm() > leader.GetTerm()) {
			leader = st
		}
		if st.GetTerm() > out.Term {
			out.Term, out.Leader = st.GetTerm(), st.GetLeader().GetNodeId()
		}
		if out.Leader == 0 && st.GetTerm() == out.Term {
			out.Leader = st.GetLeader().GetNodeId()
		}
		out.Replicas = append(out.Replicas, replicaOf(st))
	}
	for _, p := range leader.GetProgress() {
		i := slices.IndexFunc(out.Replicas, func(r client.RaftReplica) bool { return r.Replica == replicaID(p.GetPeer()) })
		if i < 0 {
			i = len(out.Replicas)
			out.Replicas = append(out.Replicas, client.RaftReplica{
				NodeID: p.GetPeer().GetNodeId(), Replica: replicaID(p.GetPeer()), Address: p.GetPeer().GetAddress(), Role: client.RoleUnknown,
				Voter: !p.GetLearner(), SnapshotAgeMs: -1,
			})
		}
		if p.GetPeer().GetReplica() != leader.GetSelf().GetReplica() {
			out.Replicas[i].Lag = &client.RaftLag{
				Match: p.GetMatch(), Entries: p.GetLagEntries(), Ms: p.GetLagMs(), Active: p.GetRecentActive(), Snapshotting: p.GetSnapshotting(),
			}
		}
	}
	slices.SortFunc(out.Replicas, func(a, b client.RaftReplica) int {
		return cmp.Or(cmp.Compare(a.NodeID, b.NodeID), cmp.Compare(a.Replica, b.Replica))
	})
	return out
}

func replicaOf(st *consensus.Status) client.RaftReplica {
	return client.RaftReplica{
		NodeID: st.GetSelf().GetNodeId(), Replica: replicaID(st.GetSelf()), Address: st.GetSelf().GetAddress(), Role: roleName(st.GetRole()),
		Voter: slices.ContainsFunc(st.GetVoters(), func(p *consensus.Peer) bool { return p.GetReplica() == st.GetSelf().GetReplica() }),
		Term:  st.GetTerm(), Commit: st.GetCommit(), Applied: st.GetApplied(), FirstIndex: st.GetFirstIndex(), LastIndex: st.GetLastIndex(),
		LogBytes: st.GetLogBytes(), SnapshotIndex: st.GetSnapshotIndex(), SnapshotBytes: st.GetSnapshotBytes(), SnapshotAgeMs: st.GetSnapshotAgeMs(),
		WriteMs: st.GetWriteMs(), Halted: st.GetHalted(),
	}
}

func replicaID(p *consensus.Peer) string { return strconv.FormatUint(p.GetReplica(), 10) }

func (s *Server) transferLeadership(w http.ResponseWriter, r *http.Request) error {
	group, err := s.knownGroup(r)
	if err != nil {
		return err
	}
	message := &consensus.TransferLeadership{}
	if text := r.URL.Query().Get("to"); text != "" {
		node, err := strconv.ParseUint(text, 10, 64)
		if err != nil || node == 0 {
			return invalid("parameter to is %.50q, want a node id", text)
		}
		if message.ToReplica, err = s.voterOn(r.Context(), group, node); err != nil {
			return err
		}
	}
	done, err := askGroup[*consensus.LeadershipTransferred](r.Context(), s, s.raftPID(group), message)
	if err != nil {
		return groupError(group, err)
	}
	return s.answer(w, http.StatusOK, client.RaftTransferred{Leader: done.GetLeader().GetNodeId(), Term: done.GetTerm()})
}

// voterOn is the replica of a node that votes in a group.
func (s *Server) voterOn(ctx context.Context, group string, node uint64) (uint64, error) {
	status, err := askGroup[*consensus.Status](ctx, s, s.raftPID(group), &consensus.GetStatus{})
	if err != nil {
		return 0, groupError(group, err)
	}
	for _, p := range status.GetVoters() {
		if p.GetNodeId() == node {
			return p.GetReplica(), nil
		}
	}
	return 0, invalid("node %d has no voter of group %s that could lead", node, group)
}

func (s *Server) takeSnapshot(w http.ResponseWriter, r *http.Request) error {
	group, err := s.knownGroup(r)
	if err != nil {
		return err
	}
	taken, err := askGroup[*consensus.SnapshotTaken](r.Context(), s, s.raftPID(group), &consensus.TakeSnapshot{})
	if err != nil {
		return groupError(group, err)
	}
	return s.answer(w, http.StatusOK, client.RaftSnapshot{Index: taken.GetIndex()})
}
