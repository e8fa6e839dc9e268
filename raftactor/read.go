package raftactor

import (
	"encoding/binary"
	"slices"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

const (
	readFlights  = 8    // read indexes of this replica under way
	earlyReads   = 64   // of peers, that wait for the first commit in the term
	peerReadsMax = 1024 // of peers, that wait for a quorum
)

// reads are linearizable reads on their way. All that wait when a burst ends share one read index; its context is never
// used twice, not even by another start of this replica, because a late answer to an equal one would be stale.
type reads struct {
	prefix, counter uint64
	waits           int           // reads anywhere below
	queue           []*read       // for a read index
	flights         []*readFlight // for its answer
	behind          []*read       // for the entries up to it

	leads  bool
	inTerm bool // as leader: an entry of its own term is committed, so its commit index is not behind
	early  []*raftpb.Message
	peers  int // read indexes of peers that RawNode holds
}

type read struct {
	request
	query    *consensus.Query // nil: the index itself is asked for
	index    uint64
	deadline uint64 // in ticks
}

type readFlight struct {
	context string
	reads   []*read
	retry   uint64 // in ticks
}

// settled reports whether nobody waits, here or at a peer.
func (rs *reads) settled() bool { return rs.waits+len(rs.early)+rs.peers == 0 }

func newReads(instance uint64) reads { return reads{prefix: instance} }

func (g *group) query(ctx actor.Context, r request, m *consensus.Query) {
	if m.GetRequest() == nil {
		g.fail(ctx, r.from, consensus.Code_CODE_INVALID, "no request given")
		return
	}
	if m.GetStale() {
		if g.reads.admit(ctx, g, r) {
			g.reads.ask(ctx, g, query{m, r.from})
		}
		return
	}
	g.reads.enqueue(ctx, g, &read{request: r, query: m})
}

func (g *group) readIndex(ctx actor.Context, r request) { g.reads.enqueue(ctx, g, &read{request: r}) }

func (rs *reads) enqueue(ctx actor.Context, g *group, r *read) {
	if !rs.admit(ctx, g, r.request) {
		return
	}
	rs.waits++
	r.deadline = g.ticks + uint64(g.cfg.RequestTimeout/g.cfg.tick())
	rs.queue = append(rs.queue, r)
	g.wake(ctx)
}

// admit refuses a read where too many wait, for an index or for the state machine.
func (rs *reads) admit(ctx actor.Context, g *group, r request) bool {
	if rs.waits+len(g.asking) < g.cfg.MaxPending {
		return true
	}
	g.meter.busy.Add(1)
	g.fail(ctx, r.from, consensus.Code_CODE_BUSY, "%d reads wait", g.cfg.MaxPending)
	return false
}

// ask hands queries to the state machine.
func (rs *reads) ask(ctx actor.Context, g *group, queries ...query) {
	if len(queries) == 0 {
		return
	}
	for _, q := range queries {
		g.asking = append(g.asking, q.from)
	}
	ctx.Send(g.applier, &ask{queries})
}

// asked: the state machine answered as many queries.
func (g *group) asked(m *asked) { g.asking = g.asking[min(m.queries, len(g.asking)):] }

func (rs *reads) waiting() bool { return len(rs.queue) > 0 && len(rs.flights) < readFlights }

// issue asks for a read index for all that wait. A leader without a commit in its term doesn't know what is committed.
func (rs *reads) issue(g *group) {
	if !rs.waiting() || g.view.leader == raft.None || rs.leads && !rs.inTerm {
		return
	}
	rs.counter++
	context := make([]byte, 16)
	binary.BigEndian.PutUint64(context, rs.prefix)
	binary.BigEndian.PutUint64(context[8:], rs.counter)
	rs.flights = append(rs.flights, &readFlight{context: string(context), reads: rs.queue, retry: g.ticks + uint64(g.cfg.electionTicks())})
	rs.queue = nil
	g.node.ReadIndex(context)
}

// confirmed takes a read index. Of one that was given up for a newer, nothing waits here any more.
func (rs *reads) confirmed(ctx actor.Context, g *group, state raft.ReadState) {
	i := slices.IndexFunc(rs.flights, func(f *readFlight) bool { return f.context == string(state.RequestCtx) })
	if i < 0 {
		return
	}
	flight := rs.flights[i]
	rs.flights = slices.Delete(rs.flights, i, i+1)
	var now []query
	for _, r := range flight.reads {
		r.index = state.Index
		switch {
		case r.query == nil:
			rs.waits--
			g.reply(ctx, r.from, &consensus.ReadIndexed{Index: r.index})
		case r.index <= g.applying:
			rs.waits--
			now = append(now, query{r.query, r.from})
		default:
			rs.behind = append(rs.behind, r)
		}
	}
	rs.ask(ctx, g, now...)
	if rs.waiting() {
		g.wake(ctx)
	}
}

// reached lets the queries go whose entries are with the machine now.
func (rs *reads) reached(ctx actor.Context, g *group) {
	var now []query
	rs.behind = slices.DeleteFunc(rs.behind, func(r *read) bool {
		if r.index > g.applying {
			return false
		}
		rs.waits--
		now = append(now, query{r.query, r.from})
		return true
	})
	rs.ask(ctx, g, now...)
}

// expire gives up on late reads, and asks anew where an answer was lost.
func (rs *reads) expire(ctx actor.Context, g *group) {
	if rs.waits == 0 {
		return
	}
	late := func(r *read) bool {
		if g.ticks < r.deadline {
			return false
		}
		rs.waits--
		g.fail(ctx, r.from, consensus.Code_CODE_TIMEOUT, "no quorum confirmed the read within %v", g.cfg.RequestTimeout)
		return true
	}
	rs.queue = slices.DeleteFunc(rs.queue, late)
	rs.behind = slices.DeleteFunc(rs.behind, late)
	rs.flights = slices.DeleteFunc(rs.flights, func(f *readFlight) bool {
		f.reads = slices.DeleteFunc(f.reads, late)
		if g.ticks < f.retry && len(f.reads) > 0 {
			return false
		}
		rs.queue = append(f.reads, rs.queue...)
		return true
	})
}

// leaderChanged asks the new leader at once.
func (rs *reads) leaderChanged() {
	for i := len(rs.flights) - 1; i >= 0; i-- {
		rs.queue = append(rs.flights[i].reads, rs.queue...)
	}
	rs.flights = nil
}

func (rs *reads) roleChanged(leads bool) {
	rs.leads, rs.inTerm, rs.early, rs.peers = leads, false, nil, 0
}

func (rs *reads) committedInTerm(g *group) {
	if rs.inTerm {
		return
	}
	rs.inTerm = true
	early := rs.early
	rs.early = nil
	for _, m := range early {
		rs.fromPeer(g, m)
	}
	rs.issue(g)
}

// fromPeer steps a follower's read index. One that is not taken is asked again, with a new context.
func (rs *reads) fromPeer(g *group, m *raftpb.Message) {
	switch {
	case !g.config.member(m.GetFrom()):
		g.refuse("no_member", m.GetFrom())
	case !rs.inTerm && len(rs.early) < earlyReads:
		rs.early = append(rs.early, m)
	case !rs.inTerm || rs.peers >= peerReadsMax:
		g.meter.busy.Add(1)
	default:
		rs.peers++
		g.step(m)
	}
}

func (rs *reads) served() { rs.peers = max(rs.peers-1, 0) }

func (rs *reads) abandon(ctx actor.Context, g *group, code consensus.Code) {
	gone := slices.Concat(rs.queue, rs.behind)
	for _, f := range rs.flights {
		gone = append(gone, f.reads...)
	}
	rs.queue, rs.behind, rs.flights, rs.waits = nil, nil, nil, 0
	for _, r := range gone {
		g.fail(ctx, r.from, code, "this replica stopped before the read was confirmed")
	}
}
