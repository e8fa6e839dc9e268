package raftactor

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// snapshots are those that are being taken, sent and received. The data goes on its own way, ahead of the message.
type snapshots struct {
	taking  bool
	waiters []*actor.PID
	failed  uint64        // applied index at the last failure; the next try comes a threshold later
	last    time.Duration // when the log last came to stand on one; 0: before this run

	tokens    uint64
	streams   map[uint64]*stream // by receiver
	verifying *raftpb.Message    // received; its file is being looked at
}

// settled reports whether none is on its way.
func (s *snapshots) settled() bool { return !s.taking && len(s.streams) == 0 && s.verifying == nil }

// stream is a snapshot on its way to a follower.
type stream struct {
	token   uint64
	term    uint64
	ref     *logstore.SnapshotRef
	message *raftpb.Message
}

func (g *group) takeSnapshot(ctx actor.Context, r request) {
	s := &g.snapshots
	if len(s.waiters) >= earlyMax {
		g.meter.busy.Add(1)
		g.fail(ctx, r.from, consensus.Code_CODE_BUSY, "%d requests wait for a snapshot", earlyMax)
		return
	}
	s.waiters = append(s.waiters, r.from)
	g.beginSnapshot(ctx)
}

func (g *group) snapshotIfDue(ctx actor.Context) {
	if g.phase != running {
		return
	}
	since, threshold := max(g.snapshotIndex(), g.snapshots.failed), g.cfg.SnapshotThreshold
	if g.fallback != nil {
		threshold = 1 // the one that the log stands on can't be read
	}
	if g.applied >= since && g.applied-since >= threshold {
		g.beginSnapshot(ctx)
	}
}

func (g *group) snapshotIndex() uint64 {
	if g.storage == nil || g.storage.ref == nil {
		return 0
	}
	return g.storage.ref.Index
}

func (g *group) beginSnapshot(ctx actor.Context) {
	if !g.snapshots.taking {
		g.snapshots.taking = true
		ctx.Send(g.applier, &capture{instance: g.instance})
	}
}

// captured has the state at an index whose results have all come, and no later one's: configuration and address book are
// those of that index, unless a leader's snapshot came in between.
func (g *group) captured(ctx actor.Context, m *captured) {
	switch {
	case m.err != nil:
		g.snapshotFailed(ctx, fmt.Errorf("snapshot of the machine: %w", m.err))
	case m.index <= g.snapshotIndex():
		g.snapshotTaken(ctx)
	case m.index < g.config.index:
		g.snapshotFailed(ctx, fmt.Errorf("a leader's snapshot at index %d came first", g.config.index))
	default:
		ctx.Request(g.cfg.Store.Snapshots, &logstore.SaveSnapshot{Data: m.data, Ref: logstore.SnapshotRef{
			Group: g.cfg.Group, Index: m.index, Term: m.term, ConfState: g.config.state, Peers: g.config.book.encode(),
		}})
	}
}

func (g *group) snapshotSaved(ctx actor.Context, m *logstore.SnapshotSaved) {
	if g.phase != running || !g.snapshots.taking || m.Ref.Group != g.cfg.Group {
		return
	}
	if m.Err != nil {
		g.snapshotFailed(ctx, m.Err)
		return
	}
	if m.Ref.Index <= g.snapshotIndex() || m.Ref.Index <= g.installingIndex() {
		g.snapshotFailed(ctx, fmt.Errorf("a leader's snapshot came first"))
		return
	}
	ref := m.Ref
	a := &appendWrite{own: true, ref: &ref}
	w := logstore.GroupWrite{Group: g.cfg.Group, Snapshot: &ref, Compact: g.compactTo(ref.Index), HardState: g.hardState(a)}
	if w.Compact > 0 {
		a.first = w.Compact + 1
	}
	g.tokens++
	a.token = g.tokens
	g.queueAppend(a)
	ctx.Request(g.cfg.Store.Writer, &logstore.Write{GroupWrite: w, Token: a.token})
}

// installingIndex is the index of a leader's snapshot that is on its way into the log.
func (g *group) installingIndex() uint64 {
	var index uint64
	for _, a := range g.appends {
		if a.install {
			index = a.ref.Index
		}
	}
	return index
}

// compactTo leaves the tail that nearby followers need, what follows every snapshot that is being sent, and what follows the snapshot
// before, in case the new one can't be read one day.
func (g *group) compactTo(index uint64) uint64 {
	if before := g.before(); before != nil {
		index = min(index, before.Index+g.cfg.SnapshotTrailing)
	}
	for _, s := range g.snapshots.streams {
		index = min(index, s.ref.Index)
	}
	if index <= g.cfg.SnapshotTrailing || index-g.cfg.SnapshotTrailing < g.storage.first {
		return 0
	}
	return index - g.cfg.SnapshotTrailing
}

// before is the snapshot that the log stands on, if it has a file to fall back to.
func (g *group) before() *logstore.SnapshotRef {
	switch {
	case g.fallback != nil:
		return g.fallback.base
	case g.storage.ref == nil || g.storage.ref.Size == 0:
		return nil
	}
	return g.storage.ref
}

func (g *group) snapshotTaken(ctx actor.Context) {
	g.meter.snapshots.Add(1)
	g.snapshots.taking = false
	waiters := g.snapshots.waiters
	g.snapshots.waiters = nil
	for _, w := range waiters {
		g.reply(ctx, w, &consensus.SnapshotTaken{Index: g.snapshotIndex()})
	}
}

func (g *group) snapshotFailed(ctx actor.Context, err error) {
	g.log.Warn("snapshot not taken", zap.Error(err))
	g.snapshots.taking, g.snapshots.failed = false, g.applied
	waiters := g.snapshots.waiters
	g.snapshots.waiters = nil
	for _, w := range waiters {
		g.fail(ctx, w, consensus.Code_CODE_DROPPED, "snapshot not taken: %v", err)
	}
}

func (s *snapshots) abandon(ctx actor.Context, g *group, code consensus.Code) {
	waiters := s.waiters
	s.waiters = nil
	for _, w := range waiters {
		g.fail(ctx, w, code, "this replica stopped before the snapshot was taken")
	}
}

// sendSnapshot sends the data first. Only when the follower has it, whole and synced, does the message follow: stepping it
// replaces log and configuration at once.
func (g *group) sendSnapshot(ctx actor.Context, m *raftpb.Message) {
	to := m.GetTo()
	if g.fallback != nil { // the next one can be read
		g.node.ReportSnapshot(to, raft.SnapshotFailure)
		return
	}
	ref, err := refOf(g.cfg.Group, m.GetSnapshot())
	receiver := g.pid(to, actors.NameSnapshots)
	if err != nil || receiver == nil {
		g.meter.noRoute.Add(1)
		g.node.ReportSnapshot(to, raft.SnapshotFailure)
		return
	}
	if !inConfState(ref.ConfState, to) {
		// A replica takes no snapshot over that doesn't name it. The next one does.
		g.node.ReportSnapshot(to, raft.SnapshotFailure)
		g.beginSnapshot(ctx)
		return
	}
	if ref.Size == 0 {
		g.send(ctx, g.address([]*raftpb.Message{m}))
		g.node.ReportSnapshot(to, raft.SnapshotFinish)
		return
	}
	if g.snapshots.streams == nil {
		g.snapshots.streams = make(map[uint64]*stream)
	}
	g.snapshots.tokens++
	g.snapshots.streams[to] = &stream{token: g.snapshots.tokens ^ g.instance, term: g.view.term, ref: ref, message: m}
	g.log.Info("sending snapshot", zap.Uint64("to", to), zap.Uint64("index", ref.Index), zap.Uint64("bytes", ref.Size))
	ctx.Request(g.cfg.Store.Snapshots, &logstore.SendSnapshot{Ref: *ref, To: receiver, Token: g.snapshots.tokens ^ g.instance})
}

func (g *group) snapshotSent(ctx actor.Context, m *logstore.SnapshotSent) {
	var s *stream
	for _, to := range slices.Sorted(maps.Keys(g.snapshots.streams)) {
		if candidate := g.snapshots.streams[to]; candidate.token == m.Token {
			s = candidate
		}
	}
	if g.phase != running || s == nil {
		return
	}
	to := s.message.GetTo()
	delete(g.snapshots.streams, to)
	if !g.leads() || s.term != g.view.term {
		return
	}
	if m.Err != nil {
		g.log.Warn("snapshot not sent", zap.Uint64("to", to), zap.Uint64("index", s.ref.Index), zap.Error(m.Err))
		g.node.ReportSnapshot(to, raft.SnapshotFailure)
	} else {
		g.meter.sent.Add(1)
		g.send(ctx, g.address([]*raftpb.Message{s.message}))
		g.node.ReportSnapshot(to, raft.SnapshotFinish)
	}
	g.wake(ctx)
}

// snapshotsMissing is the dead letter of the snapshot actor: it is being restarted.
func (g *group) snapshotsMissing(ctx actor.Context) {
	if g.snapshots.taking {
		g.snapshotFailed(ctx, fmt.Errorf("the snapshot actor is not there"))
	}
	for _, id := range append(g.config.voters(), g.config.learners()...) {
		if _, ok := g.snapshots.streams[id]; ok {
			delete(g.snapshots.streams, id)
			g.node.ReportSnapshot(id, raft.SnapshotFailure)
		}
	}
	g.wake(ctx)
}

// receiveSnapshot steps a leader's snapshot once its data is known to be here.
func (g *group) receiveSnapshot(ctx actor.Context, m *raftpb.Message) {
	ref, err := refOf(g.cfg.Group, m.GetSnapshot())
	if err != nil {
		return
	}
	if ref.Size == 0 || m.GetTerm() < g.view.term || ref.Index <= g.view.commit {
		g.stepSnapshot(ctx, m)
		return
	}
	g.snapshots.verifying = m
	ctx.Send(g.applier, &verify{instance: g.instance, ref: ref})
}

func (g *group) verified(ctx actor.Context, m *verified) {
	message := g.snapshots.verifying
	if message == nil || message.GetSnapshot().GetMetadata().GetIndex() != m.ref.Index {
		return
	}
	g.snapshots.verifying = nil
	if m.err != nil {
		g.refuse("snapshot_data", message.GetFrom(), zap.Uint64("index", m.ref.Index), zap.Error(m.err))
		return
	}
	g.stepSnapshot(ctx, message)
}

// stepSnapshot handles Ready at once: from here on RawNode has another configuration, and results of entries before
// the snapshot must not change it.
func (g *group) stepSnapshot(ctx actor.Context, m *raftpb.Message) {
	g.view.dirty = true
	g.step(m)
	g.ready(ctx)
	g.wake(ctx)
}

// install prepares the write of a snapshot that RawNode took over.
func (g *group) install(s *raftpb.Snapshot, a *appendWrite) {
	ref, err := refOf(g.cfg.Group, s)
	if err == nil {
		err = g.config.reset(ref)
	}
	if err != nil {
		panic(fmt.Sprintf("raftactor: RawNode took a snapshot over that the guard let through unread: %v", err))
	}
	for _, p := range g.config.book.sorted() {
		g.routes.belongs(p.GetReplica(), p.GetNodeId(), p.GetAddress())
	}
	a.ref, a.install = ref, true
	a.first, a.last = ref.Index+1, ref.Index
	g.view.last = ref.Index
	g.log.Info("installing snapshot", zap.Uint64("index", ref.Index), zap.Uint64("term", ref.Term), zap.Uint64s("voters", g.config.state.GetVoters()))
}

func (g *group) restored(ctx actor.Context, m *restored) {
	if len(g.appends) == 0 || !g.appends[0].restoring || g.appends[0].ref.Index != m.ref.Index {
		return
	}
	g.appends[0].install = false
	g.applied = max(g.applied, m.ref.Index)
	g.proposals.skipped(ctx, g)
	g.meter.applied.Set(float64(g.applied))
	g.events.publish(ctx, &consensus.Restored{Group: g.cfg.Group, Index: m.ref.Index})
	g.release(ctx)
}
