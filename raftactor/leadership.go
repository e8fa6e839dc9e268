package raftactor

import (
	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

// leadership is what was last published.
type leadership struct{ term, leader uint64 }

// leadershipChanged publishes who leads, and answers those whose proposals depended on it.
func (g *group) leadershipChanged(ctx actor.Context) {
	if g.view.role != raft.StateLeader {
		g.proposals.lost(g)
		if g.change != nil {
			g.fail(ctx, g.change.from, consensus.Code_CODE_UNKNOWN_OUTCOME, "leadership was lost before the change was applied")
			g.change = nil
		}
		g.snapshots.streams = nil
	}
	now := leadership{term: g.view.term, leader: g.view.leader}
	if now == g.lead {
		return
	}
	if now.leader != g.lead.leader || now.leader != raft.None {
		g.log.Info("leadership", zap.Uint64("term", now.term), zap.Uint64("leader", now.leader), zap.Bool("self", now.leader == g.cfg.Replica))
	}
	g.lead = now
	g.meter.leader.Set(0)
	if now.leader == g.cfg.Replica {
		g.meter.leader.Set(1)
	}
	g.events.publish(ctx, g.leaderChanged())
	g.transferDone(ctx)
	g.proposals.resume(ctx, g)
	g.reads.leaderChanged()
	if g.reads.waiting() {
		g.wake(ctx)
	}
}

// forgetLeader tells subscribers that this replica knows of none, for now.
func (g *group) forgetLeader(ctx actor.Context) {
	if g.lead.leader != raft.None {
		g.lead.leader = raft.None
		g.meter.leader.Set(0)
		g.events.publish(ctx, g.leaderChanged())
	}
}

func (g *group) leaderChanged() *consensus.LeaderChanged {
	return &consensus.LeaderChanged{Group: g.cfg.Group, Term: g.lead.term, Leader: g.leaderPeer()}
}

// leaderPeer is the hint for who asked the wrong replica; nil while no leader is known.
func (g *group) leaderPeer() *consensus.Peer {
	if g.lead.leader == raft.None {
		return nil
	}
	return g.peer(g.lead.leader)
}

// peer describes a replica with its current address.
func (g *group) peer(replica uint64) *consensus.Peer {
	p := &consensus.Peer{NodeId: g.routes.nodes[replica], Replica: replica, Address: g.routes.addresses[replica]}
	if known := g.config.book[replica]; known != nil {
		p.NodeId = known.GetNodeId()
		if p.Address == "" {
			p.Address = known.GetAddress()
		}
	}
	if replica == g.cfg.Replica {
		p.NodeId = g.cfg.NodeID
	}
	return p
}

// leads asks RawNode itself: the view may be a message old.
func (g *group) leads() bool { return g.node.BasicStatus().RaftState == raft.StateLeader }

// pendingTransfer waits for another leader to show itself.
type pendingTransfer struct {
	from     *actor.PID
	to       uint64
	deadline uint64 // in ticks
}

func (g *group) transferLeadership(ctx actor.Context, r request, m *consensus.TransferLeadership) {
	if !g.leads() {
		g.forward(ctx, r, m.GetForwarded(), &consensus.TransferLeadership{ToReplica: m.GetToReplica(), Forwarded: true}, nil)
		return
	}
	if g.transfer != nil {
		g.fail(ctx, r.from, consensus.Code_CODE_BUSY, "leadership is being transferred to replica %d", g.transfer.to)
		return
	}
	to := m.GetToReplica()
	if to == 0 {
		to = g.mostCaughtUp()
	}
	if to == g.cfg.Replica {
		g.reply(ctx, r.from, &consensus.LeadershipTransferred{Leader: g.peer(to), Term: g.view.term})
		return
	}
	if !g.config.voter(to) {
		g.fail(ctx, r.from, consensus.Code_CODE_INVALID, "replica %d is no voter that could lead", to)
		return
	}
	g.transfer = &pendingTransfer{from: r.from, to: to, deadline: g.ticks + 2*uint64(g.cfg.electionTicks())}
	g.node.TransferLeader(to)
	g.wake(ctx)
}

// mostCaughtUp is the voter beside this one whose log is longest, of those that were heard since the last check of the quorum if
// there are any (that check forgets all of them); the lowest id of equals, zero where there is none.
func (g *group) mostCaughtUp() uint64 {
	var best uint64
	var active bool
	var match uint64
	progress := g.node.Status().Progress
	for _, id := range g.config.voters() {
		pr, ok := progress[id]
		if !ok || id == g.cfg.Replica {
			continue
		}
		if better := pr.RecentActive && !active || pr.RecentActive == active && pr.Match > match; best == 0 || better {
			best, active, match = id, pr.RecentActive, pr.Match
		}
	}
	return best
}

func (g *group) transferDone(ctx actor.Context) {
	if g.transfer == nil || g.lead.leader == raft.None || g.lead.leader == g.cfg.Replica {
		return
	}
	g.reply(ctx, g.transfer.from, &consensus.LeadershipTransferred{Leader: g.leaderPeer(), Term: g.lead.term})
	g.transfer = nil
}

func (g *group) expireTransfer(ctx actor.Context) {
	if g.transfer != nil && g.ticks >= g.transfer.deadline {
		g.fail(ctx, g.transfer.from, consensus.Code_CODE_DROPPED, "replica %d did not take over leadership in time", g.transfer.to)
		g.transfer = nil
	}
}

// stalledElections is how many election timeouts a leader's disk may take over one write while no other's is known to do better.
const stalledElections = 10

// yieldStalled hands leadership over where this replica's disk stands still. Entries are applied where they are durable, so such
// a leader answers nobody, although the others hear its heartbeats and commit what it sends them. One election timeout is enough where
// another voter has on its disk what this one is still waiting for; where all are slow, a transfer would help nobody.
func (g *group) yieldStalled() {
	timeout := uint64(g.cfg.electionTicks())
	if len(g.appends) == 0 || g.transfer != nil || g.ticks < g.appends[0].since+timeout || !g.leads() {
		return
	}
	to := g.mostCaughtUp()
	ahead := g.node.Status().Progress[to].Match > g.storage.last
	if to == raft.None || !ahead && g.ticks < g.appends[0].since+stalledElections*timeout {
		return
	}
	g.appends[0].since = g.ticks // tried again after as long
	g.meter.yielded.Add(1)
	g.log.Warn("the disk stands still, handing leadership over", zap.Uint64("to", to), zap.Duration("write", g.env.Boot()-g.appends[0].at))
	g.transfer = &pendingTransfer{to: to, deadline: g.ticks + 2*timeout}
	g.node.TransferLeader(to)
}
