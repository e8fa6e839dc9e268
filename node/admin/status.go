package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/node/client"
)

func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) error {
	members, err := s.members(r.Context())
	if err != nil {
		return err
	}
	topics, err := s.appliedTopics(r.Context())
	if err != nil {
		return err
	}
	raft := s.raftStatuses(r.Context(), members.GetMembers(), s.cfg.PIDs.Meta.GetId())
	own := raft[s.cfg.Self.ID]
	status := client.Status{
		ClusterID: s.cfg.Self.ClusterID(), Leader: own.GetLeader().GetNodeId(), Term: own.GetTerm(),
		Nodes: []client.Node{}, Topics: topics,
	}
	for _, m := range members.GetMembers() {
		status.Nodes = append(status.Nodes, client.Node{
			ID: m.GetNodeId(), Name: m.GetName(), Address: m.GetAddress(), GossipAddress: m.GetGossipAddress(),
			State: stateName(m.GetState()), RaftRole: roleName(raft[m.GetNodeId()].GetRole()), AppliedIndex: raft[m.GetNodeId()].GetApplied(),
		})
	}
	return s.answer(w, http.StatusOK, status)
}

// raftStatuses asks every member that is up for its replica of a group, all together within statusTimeout. Those
// that don't answer are missing.
func (s *Server) raftStatuses(ctx context.Context, members []*membership.Member, id string) map[uint64]*consensus.Status {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	var (
		mu      sync.Mutex
		out     = make(map[uint64]*consensus.Status, len(members))
		workers sync.WaitGroup
		queue   = make(chan *membership.Member, len(members))
	)
	for _, m := range members {
		if m.Up() {
			queue <- m
		}
	}
	close(queue)
	for range min(len(queue), statusWorkers) {
		workers.Go(func() {
			for m := range queue {
				pid := actor.NewPID(m.GetAddress(), id)
				if m.GetNodeId() == s.cfg.Self.ID {
					pid = actor.NewPID(s.cfg.PIDs.Meta.GetAddress(), id)
				}
				status, err := consensus.Reply[*consensus.Status](live.Ask(ctx, s.cfg.System, pid, &consensus.GetStatus{}))
				if err != nil {
					continue // the answer says unknown
				}
				mu.Lock()
				out[m.GetNodeId()] = status
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return out
}

func (s *Server) getMembers(w http.ResponseWriter, r *http.Request) error {
	members, err := s.members(r.Context())
	if err != nil {
		return err
	}
	out := client.Members{Self: members.GetSelf(), Members: []client.Member{}}
	for _, m := range members.GetMembers() {
		tags := m.GetTags()
		if tags == nil {
			tags = map[string]string{}
		}
		out.Members = append(out.Members, client.Member{
			ID: m.GetNodeId(), Name: m.GetName(), Address: m.GetAddress(), GossipAddress: m.GetGossipAddress(),
			State: stateName(m.GetState()), Generation: m.GetGeneration(), Incarnation: m.GetIncarnation(),
			Tags: tags, RTTMicros: m.GetRttUs(),
		})
	}
	return s.answer(w, http.StatusOK, out)
}

// members asks the membership. The node itself is among them from its start on, also before it belongs to a cluster.
func (s *Server) members(ctx context.Context) (*membership.Members, error) {
	ctx, cancel := context.WithTimeout(ctx, s.group.attempt)
	defer cancel()
	res, err := live.Ask(ctx, s.cfg.System, s.cfg.PIDs.Swim, &membership.GetMembers{})
	members, ok := res.(*membership.Members)
	if err != nil || !ok {
		return nil, &client.Error{Code: client.CodeUnavailable, Message: "the membership does not answer: the node is starting or stopping, see /readyz?verbose", Cause: err}
	}
	sorted := slices.Clone(members.GetMembers())
	slices.SortFunc(sorted, func(a, b *membership.Member) int { return cmp.Compare(a.GetNodeId(), b.GetNodeId()) })
	self := s.cfg.Self
	i, found := slices.BinarySearchFunc(sorted, self.ID, func(m *membership.Member, id uint64) int { return cmp.Compare(m.GetNodeId(), id) })
	if !found {
		sorted = slices.Insert(sorted, i, &membership.Member{
			NodeId: self.ID, Name: self.Name, Address: self.Address, GossipAddress: self.GossipAddress, State: membership.State_STATE_ALIVE,
		})
	}
	return &membership.Members{Self: self.ID, Members: sorted}, nil
}

func stateName(s membership.State) client.State {
	switch s {
	case membership.State_STATE_ALIVE:
		return client.StateAlive
	case membership.State_STATE_SUSPECT:
		return client.StateSuspect
	case membership.State_STATE_DEAD:
		return client.StateDead
	case membership.State_STATE_LEFT:
		return client.StateLeft
	}
	return client.StateUnknown
}

func roleName(r consensus.Role) client.Role {
	switch r {
	case consensus.Role_ROLE_LEADER:
		return client.RoleLeader
	case consensus.Role_ROLE_FOLLOWER:
		return client.RoleFollower
	case consensus.Role_ROLE_CANDIDATE:
		return client.RoleCandidate
	case consensus.Role_ROLE_PRE_CANDIDATE:
		return client.RolePreCandidate
	case consensus.Role_ROLE_LEARNER:
		return client.RoleLearner
	}
	return client.RoleUnknown
}
