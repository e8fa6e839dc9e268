package raftactor

import (
	"maps"
	"slices"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

const subscribersMax = 1024

// subscribers get each event in order, until they stop.
type subscribers struct{ pids []*actor.PID }

// subscribe answers with the index that Applied events begin behind, and with who leads now.
func (g *group) subscribe(ctx actor.Context, who *actor.PID) {
	if who == nil {
		return
	}
	if len(g.events.pids) >= subscribersMax {
		g.meter.busy.Add(1)
		g.fail(ctx, who, consensus.Code_CODE_BUSY, "%d subscribers are the most", subscribersMax)
		return
	}
	g.events.remove(who)
	g.events.pids = append(g.events.pids, who)
	ctx.Watch(who)
	ctx.Send(who, &consensus.Subscribed{Applied: g.applied})
	ctx.Send(who, g.leaderChanged())
}

func (s *subscribers) publish(ctx actor.Context, event any) {
	for _, pid := range s.pids {
		ctx.Send(pid, event)
	}
}

func (s *subscribers) remove(who *actor.PID) {
	s.pids = slices.DeleteFunc(s.pids, func(pid *actor.PID) bool { return pid.Id == who.Id && pid.Address == who.Address })
}

var roles = map[raft.StateType]consensus.Role{
	raft.StateFollower:     consensus.Role_ROLE_FOLLOWER,
	raft.StatePreCandidate: consensus.Role_ROLE_PRE_CANDIDATE,
	raft.StateCandidate:    consensus.Role_ROLE_CANDIDATE,
	raft.StateLeader:       consensus.Role_ROLE_LEADER,
}

// status is what an operator asks for. A replica that isn't running says so and little more.
func (g *group) status() *consensus.Status {
	s := &consensus.Status{Group: g.cfg.Group, Self: g.peer(g.cfg.Replica), Halted: g.reason}
	if g.node == nil {
		return s
	}
	st := g.node.Status()
	s.Resting = g.rest.asleep
	s.Role, s.Term, s.Commit, s.Applied = roles[st.RaftState], st.GetTerm(), st.GetCommit(), g.applied
	if g.config.learner(g.cfg.Replica) {
		s.Role = consensus.Role_ROLE_LEARNER
	}
	if st.Lead != raft.None {
		s.Leader = g.peer(st.Lead)
	}
	s.FirstIndex, s.LastIndex, s.SnapshotIndex = g.storage.first, g.view.last, g.snapshotIndex()
	g.diskStatus(s)
	s.Voters, s.Learners = g.describe(g.config.voters()), g.describe(g.config.learners())
	for _, id := range slices.Sorted(maps.Keys(st.Progress)) {
		pr := st.Progress[id]
		s.Progress = append(s.Progress, &consensus.Progress{
			Peer: g.peer(id), Match: pr.Match, Next: pr.Next, Learner: pr.IsLearner,
			RecentActive: pr.RecentActive || id == g.cfg.Replica, Snapshotting: pr.State == tracker.StateSnapshot,
			LagEntries: g.view.last - min(pr.Match, g.view.last), LagMs: g.appended.lag(pr.Match, g.view.last, g.env.Boot()).Milliseconds(),
			SilentMs: g.silence(id).Milliseconds(),
		})
	}
	if g.phase == halted {
		s.Role, s.Leader, s.Progress = consensus.Role_ROLE_UNSPECIFIED, nil, nil
	}
	return s
}

// diskStatus is what this replica has on disk, and waits for.
func (g *group) diskStatus(s *consensus.Status) {
	s.SnapshotAgeMs = -1
	if ref := g.storage.ref; ref != nil {
		s.SnapshotBytes = ref.Size
	}
	if g.snapshots.last > 0 {
		s.SnapshotAgeMs = (g.env.Boot() - g.snapshots.last).Milliseconds()
	}
	if sized, ok := g.cfg.Store.Reader.(logstore.Sized); ok {
		s.LogBytes = sized.LogBytes(g.cfg.Group)
	}
	if len(g.appends) > 0 {
		s.WriteMs = (g.env.Boot() - g.appends[0].at).Milliseconds()
	}
}
