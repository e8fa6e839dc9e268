package raftactor

import (
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// phase is where a replica is in its life.
type phase uint8

const (
	opening  phase = iota // the store was asked where the log stands
	founding              // the initial state is being written
	running
	halted // for good: at a command that can't be applied, or at a store that failed
)

const (
	reopenAfter = time.Second // a store that is full or busy is asked again
	earlyMax    = 1024        // requests that wait for running
)

// group is one replica of a Raft group. Everything it does is a reaction to one message, in one mailbox.
type group struct {
	cfg   Config
	env   actors.Env
	log   *zap.Logger
	meter *meters

	phase    phase
	reason   string // why it halted
	instance uint64 // of this run from an Open on; what was asked or sent by an earlier one is dropped
	random   interface{ Uint64() uint64 }
	early    []request

	node     *raft.RawNode
	storage  *storage
	flushing bool // a flush is in our mailbox
	view     view
	lead     leadership

	appends []*appendWrite // FIFO, as the store answers
	tokens  uint64
	applier *actor.PID
	// applying was handed to the applier, applied came back.
	applying, applied uint64

	config    configuration
	routes    routes
	proposals proposals
	reads     reads
	asking    []*actor.PID // whose queries the state machine has, in order
	forwards  forwards
	snapshots snapshots
	change    *pendingChange
	transfer  *pendingTransfer
	appended  lagClock
	fallback  *fallback
	events    *subscribers

	ticks    uint64 // since the start
	lastTick time.Duration
	coalesce bool // heartbeats go through the timer, which gathers those of all groups
	rest     rest
}

// request is a message of the consensus vocabulary and who waits for its answer.
type request struct {
	message any
	from    *actor.PID
}

// flush ends a burst: what was queued before it has been stepped, and Ready is handled once for all.
type flush struct{}

// reopen starts the replica anew after a while.
type reopen struct{ instance uint64 }

func (g *group) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		g.start(ctx)
	case *actor.Stopping:
		g.leaveRest(ctx)
		g.end(ctx, consensus.Code_CODE_SHUTTING_DOWN)
	case *actor.Restarting:
		g.leaveRest(ctx)
		g.end(ctx, consensus.Code_CODE_DROPPED)
		g.forgetLeader(ctx)
	case *actor.Terminated:
		g.events.remove(m.Who)
	case *actors.Inbound:
		g.inbound(ctx, m)
	case *flush:
		g.flushing = false
		g.guarded(ctx, func() { g.flush(ctx) })
	case *tick:
		if g.phase == running {
			ctx.Request(ctx.Sender(), &tickDone{})
			g.guarded(ctx, func() { g.tick(ctx, m) })
		}
	case *reopen:
		if m.instance == g.instance && g.phase == opening {
			g.open(ctx)
		}
	case *logstore.Opened:
		g.opened(ctx, m)
	case *logstore.Written:
		g.guarded(ctx, func() { g.written(ctx, m) })
	case *actor.DeadLetterResponse:
		g.missing(ctx, m.Target)
	default:
		g.receiveOther(ctx)
	}
}

func (g *group) receiveOther(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *asked:
		g.asked(m)
	case *restRefused:
		g.stir(ctx, raft.None)
	case fromApplier:
		if m.of() == g.instance && g.phase == running {
			g.guarded(ctx, func() { g.fromApplier(ctx, m) })
		}
	case *logstore.SnapshotSaved:
		g.guarded(ctx, func() { g.snapshotSaved(ctx, m) })
	case *logstore.SnapshotSent:
		g.guarded(ctx, func() { g.snapshotSent(ctx, m) })
	case *silentPeer:
		g.guarded(ctx, func() { g.silent(ctx, m.Replica) })
	default:
		if g.routes.member(m) {
			g.memberFailed(ctx, m)
			return
		}
		g.request(ctx, request{message: m, from: ctx.Sender()})
	}
}

// guarded runs f, which may read the log. Where the disk turns out to lie, etcd raft panics; the replica stops and says where.
// Any other panic is a defect, and supervision's business.
func (g *group) guarded(ctx actor.Context, f func()) {
	if g.phase == halted {
		return
	}
	defer func() {
		if g.storage == nil || g.storage.failed == nil {
			return
		}
		_ = recover()
		g.halt(ctx, g.storage.failed.Error())
	}()
	f()
}

func (g *group) start(ctx actor.Context) {
	s := actors.Of(ctx)
	g.env = s.Env()
	g.log = s.Log().Named("raft").With(zap.String("group", g.cfg.Group))
	g.meter = newMeters(s.Metrics(), g.cfg.Group)
	g.routes.full = g.meter.routesFull
	g.random = g.env.Rand("raft/" + g.cfg.Group)
	if g.cfg.ElectionTimeoutMax != 2*g.cfg.ElectionTimeoutMin {
		g.log.Warn("election timeouts are drawn from [min, 2·min), whatever the maximum says",
			zap.Duration("min", g.cfg.ElectionTimeoutMin), zap.Duration("max", g.cfg.ElectionTimeoutMax),
			zap.Duration("in_force_below", 2*g.cfg.ElectionTimeoutMin))
	}
	if g.cfg.Ticks == nil {
		g.cfg.Ticks = ctx.ActorSystem().NewLocalPID(actors.NameTicks)
	}
	g.applier = g.spawnApplier(ctx)
	g.open(ctx)
}

// wake makes sure that a flush follows what is queued now.
func (g *group) wake(ctx actor.Context) {
	if !g.flushing {
		g.flushing = true
		ctx.Send(ctx.Self(), &flush{})
	}
}

func (g *group) reply(ctx actor.Context, to *actor.PID, msg any) {
	if to != nil {
		actors.Send(actors.Default, ctx, to, msg)
	}
}

func (g *group) fail(ctx actor.Context, to *actor.PID, code consensus.Code, format string, args ...any) {
	g.reply(ctx, to, consensus.NewFailed(code, fmt.Sprintf(format, args...), g.leaderPeer()))
}

// halt stops this replica for good. Its silence makes the others elect a leader; the node's other groups go on.
func (g *group) halt(ctx actor.Context, reason string) {
	if g.phase == halted {
		return
	}
	g.leaveRest(ctx)
	g.phase, g.reason = halted, reason
	g.log.Error("replica halted, it takes no further part in the group", zap.String("reason", reason))
	g.meter.halted.Set(1)
	g.abandon(ctx, consensus.Code_CODE_HALTED)
	g.forgetLeader(ctx)
}

// abandon answers everybody who waits: what is in the log may still take effect, the rest did not and gets the code.
func (g *group) abandon(ctx actor.Context, code consensus.Code) {
	g.proposals.abandon(ctx, g, code)
	g.reads.abandon(ctx, g, code)
	if g.change != nil {
		g.fail(ctx, g.change.from, consensus.Code_CODE_UNKNOWN_OUTCOME, "this replica stopped before the change was applied")
		g.change = nil
	}
	if g.transfer != nil {
		g.fail(ctx, g.transfer.from, consensus.Code_CODE_UNKNOWN_OUTCOME, "this replica stopped during the transfer")
		g.transfer = nil
	}
	g.snapshots.abandon(ctx, g, code)
	for _, r := range g.early {
		g.fail(ctx, r.from, code, "this replica did not start")
	}
	g.early = nil
}

// end is abandon where this actor goes: nobody else would answer those whose request is with the leader or with the state machine. What
// these answer at this moment may come first; the first answer counts.
func (g *group) end(ctx actor.Context, code consensus.Code) {
	g.abandon(ctx, code)
	for _, from := range g.asking {
		g.fail(ctx, from, code, "this replica stopped before the query was answered")
	}
	g.asking = nil
	for _, from := range g.forwards.all() {
		g.fail(ctx, from, consensus.Code_CODE_UNKNOWN_OUTCOME, "this replica stopped before the leader answered")
	}
}

// storeFailed decides what a refused write means. Nothing of it was acknowledged.
func (g *group) storeFailed(ctx actor.Context, err error) {
	if !errors.Is(err, logstore.ErrNoSpace) && !errors.Is(err, logstore.ErrBusy) && !errors.Is(err, logstore.ErrInterrupted) {
		g.halt(ctx, fmt.Sprintf("log store: %v", err))
		return
	}
	g.log.Warn("log store refused a write, the replica starts over from what is durable", zap.Error(err), zap.Duration("after", reopenAfter))
	g.meter.reopened.Add(1)
	g.abandon(ctx, consensus.Code_CODE_DROPPED)
	g.forget(ctx)
	g.env.After(reopenAfter, ctx.Self(), &reopen{instance: g.instance})
}
