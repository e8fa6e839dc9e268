package raftactor

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// open asks the store where the log stands. The answer queues behind all that an earlier run had written, so no old
// vote can be read.
func (g *group) open(ctx actor.Context) {
	g.forget(ctx)
	ctx.Request(g.cfg.Store.Writer, &logstore.Open{Group: g.cfg.Group})
}

// forget drops what the run before knew and begins a new one.
func (g *group) forget(ctx actor.Context) {
	g.leaveRest(ctx)
	g.forgetLeader(ctx)
	g.instance = g.random.Uint64() | 1
	g.phase = opening
	g.node, g.storage, g.appends = nil, nil, nil
	g.view = view{self: g.cfg.Replica}
	g.proposals, g.reads, g.snapshots = newProposals(), newReads(g.instance), snapshots{}
	g.routes.begin()
}

// missing is the dead letter of a request: an actor of this node is not there yet, or no longer.
func (g *group) missing(ctx actor.Context, who *actor.PID) {
	switch {
	case who == nil || g.phase == halted:
	case who.Id == g.cfg.Store.Writer.Id && g.phase == running:
		g.storeFailed(ctx, logstore.ErrInterrupted)
	case who.Id == g.cfg.Store.Writer.Id:
		g.phase = opening
		g.env.After(reopenAfter, ctx.Self(), &reopen{instance: g.instance})
	case who.Id == g.cfg.Store.Snapshots.Id && g.phase == running:
		g.snapshotsMissing(ctx)
	case who.Id == g.cfg.Ticks.Id && g.phase == running:
		g.rest = rest{active: g.ticks}
		g.env.After(reopenAfter, g.cfg.Ticks, &actor.MessageEnvelope{Message: &registerTicks{Interval: g.cfg.tick()}, Sender: ctx.Self()})
	}
}

func (g *group) opened(ctx actor.Context, m *logstore.Opened) {
	switch {
	case g.phase != opening:
	case m.Err != nil:
		g.storeFailed(ctx, m.Err)
	case m.State.HardState == nil && m.State.Snapshot == nil && m.State.LastIndex == 0 && g.founder():
		g.phase = founding
		g.tokens++
		ctx.Request(g.cfg.Store.Writer, &logstore.Write{GroupWrite: InitialWrite(g.cfg.Group, g.cfg.Peers), Token: g.tokens})
	default:
		g.guarded(ctx, func() { g.run(ctx, m.State) })
	}
}

func (g *group) founder() bool {
	for _, p := range g.cfg.Peers {
		if p.Replica == g.cfg.Replica {
			return true
		}
	}
	return false
}

func (g *group) founded(ctx actor.Context, m *logstore.Written) {
	if m.Token != g.tokens {
		return
	}
	if m.Err != nil {
		g.storeFailed(ctx, m.Err)
		return
	}
	g.open(ctx)
}

// run starts RawNode at what is durable. Configuration and applied index both come from the snapshot; raft hands out
// the committed rest of the log again, and the machine starts from the same snapshot.
func (g *group) run(ctx actor.Context, state logstore.GroupState) {
	ref := g.base(state)
	g.storage = newStorage(g.cfg.Group, g.cfg.Store.Reader, state)
	g.storage.conf = ref.ConfState
	if err := g.config.reset(ref); err != nil {
		g.halt(ctx, fmt.Sprintf("snapshot at index %d: %v", ref.Index, err))
		return
	}
	for _, p := range g.config.book.sorted() {
		g.routes.belongs(p.GetReplica(), p.GetNodeId(), p.GetAddress())
	}
	node, err := raft.NewRawNode(g.raftConfig(ref.Index))
	if err != nil {
		g.halt(ctx, err.Error())
		return
	}
	g.node, g.phase = node, running
	g.applying, g.applied = ref.Index, ref.Index
	g.view.last, g.view.hard = g.storage.last, state.HardState
	g.observe()
	g.log.Info("replica running", zap.Uint64("replica", g.cfg.Replica), zap.Uint64("term", g.view.term), zap.Uint64("commit", g.view.commit),
		zap.Uint64("last", g.view.last), zap.Uint64("snapshot", ref.Index), zap.Uint64s("voters", g.config.state.GetVoters()))

	ctx.Send(g.applier, &begin{instance: g.instance, ref: ref, first: g.storage.first})
	ctx.Request(g.cfg.Ticks, &registerTicks{Interval: g.cfg.tick()})
	if g.cfg.Membership != nil {
		ctx.Request(g.cfg.Membership, &membership.Subscribe{})
	}
	if v := g.config.state.GetVoters(); len(v) == 1 && v[0] == g.cfg.Replica {
		if err := g.node.Campaign(); err != nil {
			g.log.Warn("the only voter can't campaign at once, it waits for its election timeout", zap.Error(err))
		}
	}
	early := g.early
	g.early = nil
	for _, r := range early {
		g.request(ctx, r)
	}
	g.wake(ctx)
}

func (g *group) raftConfig(applied uint64) *raft.Config {
	return &raft.Config{
		ID:                        g.cfg.Replica,
		ElectionTick:              g.cfg.electionTicks(),
		HeartbeatTick:             g.cfg.heartbeatTicks(),
		Storage:                   g.storage,
		Applied:                   applied,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             g.cfg.MaxSizePerMsg,
		MaxCommittedSizePerReady:  4 * g.cfg.MaxSizePerMsg,
		MaxUncommittedEntriesSize: g.cfg.MaxUncommittedSize,
		MaxInflightMsgs:           g.cfg.MaxInflightMsgs,
		MaxInflightBytes:          g.cfg.MaxInflightBytes,
		CheckQuorum:               true,
		PreVote:                   true,
		ReadOnlyOption:            raft.ReadOnlySafe,
		Logger:                    raftLogger{g.log.Sugar()},
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
	}
}

// request handles a message of the consensus vocabulary, from this node or, unwrapped, from another.
func (g *group) request(ctx actor.Context, r request) {
	switch m := r.message.(type) {
	case *consensus.GetStatus:
		g.reply(ctx, r.from, g.status())
		return
	case *consensus.Subscribe:
		g.subscribe(ctx, r.from)
		return
	default:
		if !isRequest(m) {
			return
		}
	}
	if q, ok := r.message.(*consensus.Query); !ok || !q.GetStale() {
		g.stir(ctx, raft.None)
	}
	switch {
	case g.phase == halted:
		g.fail(ctx, r.from, consensus.Code_CODE_HALTED, "replica halted: %s", g.reason)
	case g.phase == running:
		g.answer(ctx, r)
	case len(g.early) >= earlyMax:
		g.meter.busy.Add(1)
		g.fail(ctx, r.from, consensus.Code_CODE_BUSY, "replica is starting and %d requests wait", earlyMax)
	default:
		g.early = append(g.early, r)
	}
}

func isRequest(m any) bool {
	switch m.(type) {
	case *consensus.Propose, *consensus.Query, *consensus.ReadIndex, *consensus.OpenSession, *consensus.TransferLeadership,
		*consensus.ChangeMembership, *consensus.TakeSnapshot, *consensus.Subscribe, *consensus.GetStatus:
		return true
	}
	return false
}

func (g *group) answer(ctx actor.Context, r request) {
	switch m := r.message.(type) {
	case *consensus.Propose:
		g.propose(ctx, r, m)
	case *consensus.OpenSession:
		g.openSession(ctx, r, m)
	case *consensus.Query:
		g.query(ctx, r, m)
	case *consensus.ReadIndex:
		g.readIndex(ctx, r)
	case *consensus.TransferLeadership:
		g.transferLeadership(ctx, r, m)
	case *consensus.ChangeMembership:
		g.changeMembership(ctx, r, m)
	case *consensus.TakeSnapshot:
		g.takeSnapshot(ctx, r)
	}
}
