package raftactor

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/membership"
)

// rest is what a group knows of its own idleness. A resting group is not ticked and sends nothing; the timers of the nodes show
// each other that they are there (see [ticks]).
type rest struct {
	asleep bool
	active uint64 // in ticks: when something last happened
}

// peersAwait is how many election timeouts a peer's node may be silent before the groups that rest with it are woken.
const peersAwait = 2

// stir notes that something happens, and wakes a group that rests. A follower that the leader didn't wake wakes the leader, which
// would else stay silent until the follower runs for election. by is the replica whose message it was, or none.
func (g *group) stir(ctx actor.Context, by uint64) {
	g.rest.active = g.ticks
	if !g.rest.asleep || g.phase != running {
		return
	}
	g.rest.asleep, g.lastTick = false, 0
	for _, id := range g.config.members() { // a silence begins at the waking
		if _, ok := g.routes.heard[id]; ok {
			g.routes.heard[id] = g.env.Boot()
		}
	}
	ctx.Request(g.cfg.Ticks, &registerTicks{Interval: g.cfg.tick()})
	if leader := g.view.leader; leader != raft.None && leader != g.cfg.Replica && leader != by {
		g.sendWake(ctx, leader)
	}
}

// sendWake goes to a replica that may rest.
func (g *group) sendWake(ctx actor.Context, to uint64) {
	g.sendStep(ctx, to, actors.Control, &Step{Instance: g.instance, ToInstance: g.routes.instances[to], Wake: true})
}

// leaveRest wakes the followers of a leader that stops or starts over: nobody else would tell them, for its node is still there.
func (g *group) leaveRest(ctx actor.Context) {
	if g.rest.asleep && g.view.role == raft.StateLeader {
		for _, id := range g.config.members() {
			if id != g.cfg.Replica {
				g.sendWake(ctx, id)
			}
		}
	}
	g.rest = rest{}
}

// settled reports whether nothing is under way here: what is in the log is committed, durable and applied, and nobody waits.
func (g *group) settled() bool {
	return g.phase == running && !g.view.dirty && !g.node.HasReady() && len(g.appends) == 0 &&
		g.storage.last == g.view.last && g.applied == g.view.last && g.node.BasicStatus().GetCommit() == g.view.last &&
		g.change == nil && g.transfer == nil && !g.config.joint() &&
		g.proposals.settled() && g.reads.settled() && g.snapshots.settled()
}

// restIfIdle lets the leader rest where every member has all of the log and was heard since the last check of the quorum. The
// latter is what makes that check start afresh on waking: the first one after it passes, the next looks at a whole interval.
func (g *group) restIfIdle(ctx actor.Context) {
	if g.cfg.RestAfter < 0 || g.view.role != raft.StateLeader || g.ticks < g.rest.active+uint64(g.cfg.RestAfter/g.cfg.tick()) || !g.settled() {
		return
	}
	st := g.node.BasicStatus()
	ready := st.RaftState == raft.StateLeader && st.LeadTransferee == raft.None && g.reads.inTerm
	g.node.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if id != g.cfg.Replica {
			ready = ready && pr.RecentActive && pr.State == tracker.StateReplicate && pr.Match == g.view.last &&
				g.routes.instances[id] != 0 && g.routes.addresses[id] != ""
		}
	})
	if !ready {
		return
	}
	var others []uint64
	for _, id := range g.config.members() {
		if id != g.cfg.Replica {
			others = append(others, id)
			g.sendBeat(ctx, id, &Step{
				Instance: g.instance, ToInstance: g.routes.instances[id], Rest: &Rest{Term: st.GetTerm(), Index: g.view.last},
			})
		}
	}
	g.fallAsleep(ctx, others)
}

// follow lets a follower rest with its leader, or tells it why not: by waking it.
func (g *group) follow(ctx actor.Context, from uint64, s *Step) {
	r := s.GetRest()
	switch {
	case r.GetTerm() != g.view.term || from != g.view.leader || s.GetToInstance() != g.instance:
		g.meter.stale.Add(1)
	case g.cfg.RestAfter < 0 || r.GetIndex() != g.view.last || g.view.role != raft.StateFollower || !g.settled():
		g.sendWake(ctx, from)
	default:
		g.fallAsleep(ctx, []uint64{from})
	}
}

func (g *group) fallAsleep(ctx actor.Context, peers []uint64) {
	g.rest.asleep = true
	m := &sleepTicks{Every: g.cfg.HeartbeatInterval, Patience: peersAwait * g.cfg.ElectionTimeoutMin}
	for _, id := range peers {
		m.Peers = append(m.Peers, sleepPeer{replica: id, address: g.routes.addresses[id]})
	}
	ctx.Request(g.cfg.Ticks, m)
}

// silent says that a peer's node doesn't show itself any more.
func (g *group) silent(ctx actor.Context, peer uint64) {
	if !g.rest.asleep || g.phase != running {
		return
	}
	leads := g.view.role == raft.StateLeader
	g.stir(ctx, peer)
	if !leads && peer == g.view.leader {
		// It was silent for longer than an election timeout, as if the group had been ticked.
		for range g.cfg.electionTicks() {
			g.node.Tick()
		}
		g.ticks += uint64(g.cfg.electionTicks())
		g.wake(ctx)
	}
}

// memberFailed wakes a group whose member the membership takes for dead.
func (g *group) memberFailed(ctx actor.Context, m any) {
	e, ok := m.(*membership.Failed)
	if !ok || !g.rest.asleep {
		return
	}
	if directory, ok := actors.IDFromBytes(e.GetMember().GetDirectoryId()); ok && g.config.member(actors.ReplicaID(directory)) {
		g.stir(ctx, actors.ReplicaID(directory))
	}
}

// wakes reports whether a message of a peer ends the rest. The late answer to a last heartbeat doesn't.
func (g *group) wakes(m *raftpb.Message) bool {
	return m.GetType() != raftpb.MsgHeartbeatResp || m.GetTerm() != g.view.term
}

// idleTraffic are the messages that flow in a group where nothing happens.
func idleTraffic(m *raftpb.Message) bool {
	return (m.GetType() == raftpb.MsgHeartbeat || m.GetType() == raftpb.MsgHeartbeatResp) && len(m.GetContext()) == 0
}

// ignores reports whether a message has no effect on a leader: a follower that heard it late asks for votes beforehand, and gets none. On a busy
// node that happens often, and a group that took it for use would not come to rest.
func (g *group) ignores(m *raftpb.Message) bool {
	return g.view.role == raft.StateLeader && m.GetType() == raftpb.MsgPreVote && len(m.GetContext()) == 0
}

// restAfter is the default: long enough that a group in use doesn't fall asleep between two requests.
const restAfter = time.Second
