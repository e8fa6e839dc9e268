package raftactor

import (
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// appendWrite is one MsgStorageAppend, or one snapshot of our own, on its way through the store. Their answers are
// released in order.
type appendWrite struct {
	token uint64 // 0: nothing to write, it only waits for those before it
	done  bool
	since uint64 // in ticks: when it came to the head of the queue
	at    time.Duration

	self  []*raftpb.Message // responses to RawNode
	out   []outgoing        // responses to others, and requests for votes
	hard  *raftpb.HardState
	first uint64 // the storage's bounds once it is durable; 0: unchanged
	last  uint64
	ref   *logstore.SnapshotRef // the snapshot that the log stands on from then on
	// install: a leader's snapshot; the machine is to be restored from it before the responses go. own: taken here.
	install, restoring, own bool
}

// tick counts the time since the last one in ticks. After a pause it makes up for one heartbeat interval at most: more
// would run elections off before waiting messages are read.
func (g *group) tick(ctx actor.Context, m *tick) {
	if g.rest.asleep {
		return
	}
	at := m.At
	if m.Coalesce != g.coalesce { // what follows may overtake what went the other way
		g.coalesce, g.rest.active = m.Coalesce, g.ticks
	}
	every := g.cfg.tick()
	if g.lastTick == 0 || g.lastTick > at {
		g.lastTick = at - every
	}
	n := int((at - g.lastTick) / every)
	g.lastTick += time.Duration(n) * every
	if n > g.cfg.heartbeatTicks() {
		n, g.lastTick = g.cfg.heartbeatTicks(), at
	}
	for range n {
		g.node.Tick()
	}
	g.ticks += uint64(n)
	g.reads.expire(ctx, g)
	g.proposals.expire(ctx, g)
	g.expireTransfer(ctx)
	g.yieldStalled()
	g.restIfIdle(ctx)
	if g.node.HasReady() || g.reads.waiting() || len(g.proposals.burst) > 0 {
		g.wake(ctx)
	}
}

// flush ends a burst.
func (g *group) flush(ctx actor.Context) {
	if g.phase != running {
		return
	}
	g.proposals.flush(ctx, g)
	g.reads.issue(g)
	g.ready(ctx)
}

// writing reports whether entries are on their way to the disk here.
func (g *group) writing() bool {
	return slices.ContainsFunc(g.appends, func(a *appendWrite) bool { return !a.done && a.last > 0 })
}

// ready handles all that RawNode wants done.
func (g *group) ready(ctx actor.Context) {
	for g.phase == running && g.node.HasReady() {
		rd := g.node.Ready()
		g.view.dirty = false
		g.observe()
		var votes []*raftpb.Message
		network := rd.Messages[:0:0]
		for _, m := range rd.Messages {
			switch {
			case m.GetTo() == raft.LocalAppendThread:
				g.append(ctx, m, votes)
				votes = nil
			case m.GetTo() == raft.LocalApplyThread:
				g.apply(ctx, m)
			case m.GetType() == raftpb.MsgVote:
				votes = append(votes, m)
			case m.GetType() == raftpb.MsgSnap:
				g.sendSnapshot(ctx, m)
			default:
				network = append(network, m)
			}
		}
		g.send(ctx, g.address(append(network, votes...)))
		for _, rs := range rd.ReadStates {
			g.reads.confirmed(ctx, g, rs)
		}
		g.leadershipChanged(ctx)
	}
	g.snapshotIfDue(ctx)
}

// observe refreshes what the guard and the answers go by.
func (g *group) observe() {
	st := g.node.BasicStatus()
	if st.GetTerm() != g.view.term || st.RaftState != g.view.role {
		g.view.readsSent = 0
		g.reads.roleChanged(st.RaftState == raft.StateLeader)
	}
	g.view.term, g.view.commit = st.GetTerm(), st.GetCommit()
	g.view.role, g.view.leader = st.RaftState, st.Lead
	g.meter.term.Set(float64(g.view.term))
	g.meter.commit.Set(float64(g.view.commit))
}

// append hands a MsgStorageAppend to the store. votes are requests for votes of the same Ready: they wait for the term and
// the vote that they speak of. RawNode would let them go at once; but a candidate may win by the others' votes
// alone, and one that then loses its own term with the disk's cache could lead the same term twice.
func (g *group) append(ctx actor.Context, m *raftpb.Message, votes []*raftpb.Message) {
	a := &appendWrite{}
	var others []*raftpb.Message
	for _, r := range m.GetResponses() {
		if r.GetTo() == g.cfg.Replica {
			a.self = append(a.self, r)
		} else {
			others = append(others, r)
		}
	}
	a.out = g.address(append(others, votes...))

	w := logstore.GroupWrite{Group: g.cfg.Group, Entries: m.GetEntries()}
	if m.Term != nil {
		a.hard = &raftpb.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}
	}
	if s := m.GetSnapshot(); !raft.IsEmptySnap(s) {
		g.install(s, a)
		w.Snapshot = a.ref
	}
	if n := len(w.Entries); n > 0 {
		a.last = w.Entries[n-1].GetIndex()
		g.appended.note(w.Entries[0].GetIndex(), g.env.Boot())
		g.view.last = a.last
	}
	if g.mustWrite(a, &w) {
		w.HardState = g.hardState(a)
		g.tokens++
		a.token = g.tokens
		g.queueAppend(a)
		ctx.Request(g.cfg.Store.Writer, &logstore.Write{GroupWrite: w, Token: a.token})
		return
	}
	a.done = true
	g.queueAppend(a)
	g.release(ctx)
}

func (g *group) queueAppend(a *appendWrite) {
	a.since, a.at = g.ticks, g.env.Boot()
	g.appends = append(g.appends, a)
}

// mustWrite leaves a commit index that stands alone to the next write: it is no promise to anybody, and raft finds it again. So
// a proposal costs its leader one sync.
func (g *group) mustWrite(a *appendWrite, w *logstore.GroupWrite) bool {
	if len(w.Entries) > 0 || w.Snapshot != nil {
		return true
	}
	return a.hard != nil && (a.hard.GetTerm() != g.view.hard.GetTerm() || a.hard.GetVote() != g.view.hard.GetVote())
}

// hardState returns what goes with a write: the newest, also where an earlier commit index was left out.
func (g *group) hardState(a *appendWrite) *raftpb.HardState {
	if a.hard != nil {
		g.view.hard = a.hard
		return a.hard
	}
	if g.view.commit > g.view.hard.GetCommit() {
		g.view.hard = &raftpb.HardState{Term: new(g.view.hard.GetTerm()), Vote: new(g.view.hard.GetVote()), Commit: new(g.view.commit)}
		return g.view.hard
	}
	return nil
}

// written moves the log's bounds and releases what waited for the write.
func (g *group) written(ctx actor.Context, m *logstore.Written) {
	if g.phase == founding {
		g.founded(ctx, m)
		return
	}
	if g.phase != running {
		return
	}
	for _, a := range g.appends {
		if a.token != m.Token || a.done {
			continue
		}
		if m.Err != nil {
			g.storeFailed(ctx, m.Err)
			return
		}
		a.done = true
		g.release(ctx)
		return
	}
}

// release delivers the responses of all writes at the head of the queue that are durable: RawNode's own first.
func (g *group) release(ctx actor.Context) {
	for g.phase == running && len(g.appends) > 0 && g.appends[0].done {
		a := g.appends[0]
		if a.install && !a.restoring {
			a.restoring = true
			ctx.Send(g.applier, &restore{instance: g.instance, ref: a.ref})
			g.applying = max(g.applying, a.ref.Index)
			g.reads.reached(ctx, g)
		}
		if a.install {
			return
		}
		g.appends[0] = nil
		g.appends = g.appends[1:]
		if len(g.appends) > 0 {
			g.appends[0].since = g.ticks
		}
		g.settle(ctx, a)
	}
}

func (g *group) settle(ctx actor.Context, a *appendWrite) {
	if a.last != 0 {
		g.storage.last = a.last
	}
	if a.first != 0 {
		g.storage.first = max(g.storage.first, a.first)
	}
	if a.ref != nil {
		g.storage.ref, g.snapshots.last, g.fallback = a.ref, g.env.Boot(), nil
		ctx.Send(g.cfg.Store.Snapshots, &logstore.PruneSnapshots{Ref: *a.ref})
	}
	for _, m := range a.self {
		g.step(m)
	}
	g.send(ctx, a.out)
	if a.own {
		g.snapshotTaken(ctx)
	}
	g.wake(ctx)
}

// step gives RawNode a message of its own, or one that the guard let through.
func (g *group) step(m *raftpb.Message) {
	if err := g.node.Step(m); err != nil {
		g.log.Sugar().Debugf("step of %s from %d: %v", m.GetType(), m.GetFrom(), err)
	}
}

// apply hands committed entries to the state machine's actor. Queries that wait for them follow at once: its mailbox
// keeps the order.
func (g *group) apply(ctx actor.Context, m *raftpb.Message) {
	entries := m.GetEntries()
	g.applying = entries[len(entries)-1].GetIndex()
	ctx.Send(g.applier, &batch{instance: g.instance, entries: entries, responses: m.GetResponses()})
	if g.view.role == raft.StateLeader && entries[len(entries)-1].GetTerm() == g.view.term {
		g.reads.committedInTerm(g)
	}
	g.reads.reached(ctx, g)
}
