package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/raftactor"
)

// voteTimeout bounds each question to a member on whether a replica still votes.
const voteTimeout = 2 * time.Second

// StillVoterError refuses to remove a replica whose vote others count: with its log it would forget what it promised them.
type StillVoterError struct {
	Group   string
	Replica uint64            // of this node
	Voters  []*consensus.Peer // of the group
	Leader  *consensus.Peer   // who says so; nil where none could be asked, and it is what this node knows
}

func (e *StillVoterError) Error() string {
	nodes := make([]uint64, len(e.Voters))
	for i, v := range e.Voters {
		nodes[i] = v.GetNodeId()
	}
	slices.Sort(nodes)
	source := "no leader could be asked"
	if e.Leader != nil {
		source = fmt.Sprintf("node %d, which leads, says so", e.Leader.GetNodeId())
	}
	return fmt.Sprintf("group %s: replica %d of this node still votes, nodes %v do (%s): remove it from the members first "+
		"(consensus.ChangeMembership, or rivven-node raft remove), or, where the group ends on every node, call EndGroup",
		e.Group, e.Replica, nodes, source)
}

// mayForget fails with a *StillVoterError where another voter of the group counts this node's vote. The leader knows; a replica that was
// removed may not have heard of it. Where none can be asked, what this node knows decides.
func (n *Node) mayForget(ctx context.Context, group string) error {
	own := n.facts.Load().replica
	known, err := n.membersOf(ctx, group)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(slices.Concat(known.GetVoters(), known.GetLearners()), func(p *consensus.Peer) bool { return p.GetReplica() == own })
	if leader := n.leaderAmong(ctx, group, known, others); leader != nil {
		known = leader
	}
	isOwn := func(p *consensus.Peer) bool { return p.GetReplica() == own }
	if !slices.ContainsFunc(known.GetVoters(), isOwn) || len(known.GetVoters()) == 1 {
		return nil
	}
	refused := &StillVoterError{Group: group, Replica: own, Voters: known.GetVoters()}
	if known.GetRole() == consensus.Role_ROLE_LEADER {
		refused.Leader = known.GetSelf()
	}
	return refused
}

// membersOf is what this node knows of a group: from its replica or, where that doesn't run, from the snapshot that its log stands on.
func (n *Node) membersOf(ctx context.Context, group string) (*consensus.Status, error) {
	if status := n.statusOf(ctx, n.system.NewLocalPID(actors.RaftName(group))); len(status.GetVoters()) > 0 {
		return status, nil
	}
	ref := n.Store().Reader.State(group).Snapshot
	if ref == nil {
		return &consensus.Status{}, nil
	}
	voters, learners, err := raftactor.Members(ref)
	if err != nil {
		return nil, fmt.Errorf("members of group %s: %w", group, err)
	}
	return &consensus.Status{Voters: peersIn(voters), Learners: peersIn(learners)}, nil
}

func peersIn(peers []raftactor.Peer) []*consensus.Peer {
	out := make([]*consensus.Peer, len(peers))
	for i, p := range peers {
		out[i] = &consensus.Peer{NodeId: p.NodeID, Replica: p.Replica, Address: p.Address}
	}
	return out
}

// leaderAmong asks all members at once who leads; of several that think they do, the one of the highest term counts. nil: none.
func (n *Node) leaderAmong(ctx context.Context, group string, known *consensus.Status, others []*consensus.Peer) *consensus.Status {
	answers := make(chan *consensus.Status, len(others))
	asked := 0
	for _, p := range others {
		if p.GetAddress() != "" {
			asked++
			go func() { answers <- n.statusOf(ctx, actor.NewPID(p.GetAddress(), actors.RaftName(group))) }()
		}
	}
	found := []*consensus.Status{known}
	for range asked {
		found = append(found, <-answers)
	}
	found = slices.DeleteFunc(found, func(s *consensus.Status) bool { return s.GetRole() != consensus.Role_ROLE_LEADER })
	if len(found) == 0 {
		return nil
	}
	return slices.MaxFunc(found, func(a, b *consensus.Status) int { return cmp.Compare(a.GetTerm(), b.GetTerm()) })
}

// statusOf is nil where a replica doesn't answer.
func (n *Node) statusOf(ctx context.Context, pid *actor.PID) *consensus.Status {
	ctx, cancel := context.WithTimeout(ctx, voteTimeout)
	defer cancel()
	status, err := consensus.Reply[*consensus.Status](live.Ask(ctx, n.System(), pid, &consensus.GetStatus{}))
	if err != nil {
		return nil
	}
	return status
}
