package raftactor

import (
	"errors"
	"maps"
	"slices"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

const (
	entryFormat = 1
	batchMax    = 1024 // proposals that enter the log together
	// parkedFor is how long, in election timeouts, a proposal waits for a leader to be elected.
	parkedFor = 4
)

// proposals are those that wait: for the end of the burst, where no leader is known for one, and on a leader for their result.
// They enter the log in the order of their numbers and come back in it.
type proposals struct {
	number    uint64
	term      uint64 // of the leadership that pending belongs to
	burst     []*proposal
	bytes     int         // of burst
	parked    []*proposal // by deadline
	pending   []*proposal
	forwarded int
}

type proposal struct {
	request
	number   uint64
	deadline uint64 // in ticks, once it is parked, or pending without leadership
	bytes    int
	id       *consensus.ProposalID // nil: outside sessions
	command  *anypb.Any            // nil: it opens a session
	hopped   bool                  // a follower sent it already
}

// forward is what a follower sends to the leader.
func (p *proposal) forward() proto.Message {
	if p.command == nil {
		return &consensus.OpenSession{Forwarded: true}
	}
	return &consensus.Propose{Id: p.id, Command: p.command, Forwarded: true}
}

// settled reports whether nobody waits.
func (ps *proposals) settled() bool {
	return len(ps.burst)+len(ps.parked)+len(ps.pending)+ps.forwarded == 0
}

func newProposals() proposals { return proposals{} }

func (g *group) propose(ctx actor.Context, r request, m *consensus.Propose) {
	id, bytes := m.GetId(), sizeAny(m.GetCommand())
	switch {
	case m.GetCommand() == nil:
		g.fail(ctx, r.from, consensus.Code_CODE_INVALID, "no command given")
		return
	case bytes > g.cfg.MaxCommandBytes:
		g.fail(ctx, r.from, consensus.Code_CODE_TOO_LARGE, "command of %d bytes, at most %d fit", bytes, g.cfg.MaxCommandBytes)
		return
	case (id.GetSession() == 0) != (id.GetSequence() == 0):
		g.fail(ctx, r.from, consensus.Code_CODE_INVALID, "session %d with sequence %d: set both, sequences begin at 1", id.GetSession(), id.GetSequence())
		return
	}
	p := &proposal{request: r, hopped: m.GetForwarded(), bytes: bytes, command: m.GetCommand()}
	if id.GetSession() != 0 {
		p.id = id
	}
	g.enqueue(ctx, p)
}

func (g *group) openSession(ctx actor.Context, r request, m *consensus.OpenSession) {
	g.enqueue(ctx, &proposal{request: r, hopped: m.GetForwarded()})
}

func (g *group) enqueue(ctx actor.Context, p *proposal) {
	if ps := &g.proposals; len(ps.burst)+len(ps.parked)+len(ps.pending) >= g.cfg.MaxPending {
		g.meter.busy.Add(1)
		g.fail(ctx, p.from, consensus.Code_CODE_BUSY, "%d proposals wait", g.cfg.MaxPending)
		return
	}
	g.proposals.gather(p)
	if !g.proposals.held(g) {
		g.wake(ctx)
	}
}

func (ps *proposals) gather(some ...*proposal) {
	ps.burst = append(ps.burst, some...)
	for _, p := range some {
		ps.bytes += p.bytes
	}
}

// held reports whether the burst goes on: a leader whose last entries are still being written gathers what is proposed meanwhile, up to what
// fits one append. At once it would wait for the same sync, for RawNode applies what is durable here, and cost every replica a message and
// a write of its own.
func (ps *proposals) held(g *group) bool {
	return len(ps.burst) < batchMax && uint64(ps.bytes) < g.cfg.MaxSizePerMsg && g.writing() && g.leads()
}

// flush puts what the burst gathered into the log, or sends it to the leader.
func (ps *proposals) flush(ctx actor.Context, g *group) {
	if len(ps.burst) == 0 || ps.held(g) {
		return
	}
	burst := ps.burst
	ps.burst, ps.bytes = nil, 0
	if !g.leads() {
		leaderless := g.node.BasicStatus().Lead == raft.None
		for _, p := range burst {
			if leaderless && !p.hopped {
				ps.park(g, p)
				continue
			}
			g.forward(ctx, p.request, p.hopped, p.forward(), func() bool { return ps.again(g, p) })
		}
		return
	}
	if term := g.node.BasicStatus().GetTerm(); term != ps.term {
		ps.lost(g)
		ps.term = term
	}
	for len(burst) > 0 {
		n, size := 1, burst[0].bytes
		for n < len(burst) && n < batchMax && uint64(size+burst[n].bytes) <= g.cfg.MaxSizePerMsg {
			size += burst[n].bytes
			n++
		}
		ps.step(ctx, g, burst[:n])
		burst = burst[n:]
	}
}

// park lets a proposal wait for the next leader.
func (ps *proposals) park(g *group, p *proposal) {
	if p.deadline == 0 {
		p.deadline = g.deadline()
	}
	ps.parked = append(ps.parked, p)
}

func (g *group) deadline() uint64 { return g.ticks + uint64(parkedFor*g.cfg.electionTicks()) }

// again takes back a proposal that went to a replica which no longer led.
func (ps *proposals) again(g *group, p *proposal) bool {
	if g.phase != running || p.deadline != 0 && p.deadline <= g.ticks {
		return false
	}
	ps.park(g, p)
	return true
}

// resume takes up what waited, once there is a leader who isn't about to hand over.
func (ps *proposals) resume(ctx actor.Context, g *group) {
	if len(ps.parked) == 0 {
		return
	}
	if st := g.node.BasicStatus(); st.Lead != raft.None && st.LeadTransferee == raft.None {
		waited := ps.burst
		ps.burst, ps.bytes = nil, 0
		ps.gather(append(ps.parked, waited...)...)
		ps.parked = nil
		g.wake(ctx)
	}
}

// expire gives up on a leader.
func (ps *proposals) expire(ctx actor.Context, g *group) {
	ps.resume(ctx, g)
	for len(ps.parked) > 0 && ps.parked[0].deadline <= g.ticks {
		g.fail(ctx, ps.parked[0].from, consensus.Code_CODE_NOT_LEADER, "group %s has no leader", g.cfg.Group)
		ps.parked = ps.parked[1:]
	}
	ps.unknown(ctx, g, "leadership was lost, and nobody committed or replaced the proposal's entry in time",
		func(p *proposal) bool { return p.deadline != 0 && p.deadline <= g.ticks })
}

// step proposes a batch as one message. RawNode takes all of it or nothing, so a batch that doesn't fit goes one by one.
func (ps *proposals) step(ctx actor.Context, g *group, some []*proposal) {
	m := &raftpb.Message{Type: raftpb.MsgProp.Enum(), From: new(g.cfg.Replica), Entries: ps.entries(g, some)}
	err := g.node.Step(m)
	switch {
	case err == nil:
		g.meter.proposals.Add(uint64(len(some)))
		for _, p := range some {
			p.deadline = 0
		}
		ps.pending = append(ps.pending, some...)
	case len(some) > 1:
		for _, p := range some {
			ps.step(ctx, g, []*proposal{p})
		}
	case g.node.BasicStatus().LeadTransferee != raft.None:
		ps.park(g, some[0])
	case g.leads():
		g.meter.busy.Add(1)
		g.fail(ctx, some[0].from, consensus.Code_CODE_BUSY, "%d bytes of proposals wait for a quorum", g.cfg.MaxUncommittedSize)
	default:
		g.fail(ctx, some[0].from, consensus.Code_CODE_DROPPED, "%v", err)
	}
}

// entries numbers proposals and writes them as entries, whose data share one piece of memory.
func (ps *proposals) entries(g *group, some []*proposal) []*raftpb.Entry {
	size := 0
	for i, p := range some {
		p.number = ps.number + uint64(i) + 1
		size += sizeLogEntry(g.instance, p.number, p.id, p.command)
	}
	ps.number += uint64(len(some))
	data, entries, out := make([]byte, 0, size), make([]raftpb.Entry, len(some)), make([]*raftpb.Entry, len(some))
	for i, p := range some {
		from := len(data)
		data = appendLogEntry(data, g.instance, p.number, p.id, p.command)
		entries[i].Type, entries[i].Data = entryTypes[raftpb.EntryNormal], data[from:len(data):len(data)]
		out[i] = &entries[i]
	}
	return out
}

// take returns the pending proposal of that number. Those before it were overwritten: their places in the log are taken.
func (ps *proposals) take(ctx actor.Context, g *group, number uint64) *proposal {
	for len(ps.pending) > 0 && ps.pending[0].number <= number {
		p := ps.pending[0]
		ps.pending[0] = nil
		ps.pending = ps.pending[1:]
		if p.number == number {
			return p
		}
		g.fail(ctx, p.from, consensus.Code_CODE_DROPPED, "another leader's entry took the proposal's place")
	}
	return nil
}

// lost gives the entries of a leader that is none any more some time: the next one may commit them, and then this replica
// learns their results too.
func (ps *proposals) lost(g *group) {
	for i := len(ps.pending) - 1; i >= 0 && ps.pending[i].deadline == 0; i-- {
		ps.pending[i].deadline = g.deadline()
	}
}

// unknown answers those in the log whose outcome nobody here will learn.
func (ps *proposals) unknown(ctx actor.Context, g *group, why string, which func(*proposal) bool) {
	for len(ps.pending) > 0 && which(ps.pending[0]) {
		g.fail(ctx, ps.pending[0].from, consensus.Code_CODE_UNKNOWN_OUTCOME, "%s", why)
		ps.pending[0] = nil
		ps.pending = ps.pending[1:]
	}
}

// skipped: a snapshot took the place of entries, and with them of their results.
func (ps *proposals) skipped(ctx actor.Context, g *group) {
	ps.unknown(ctx, g, "a snapshot took the place of the proposal's entry", func(*proposal) bool { return true })
}

func (ps *proposals) abandon(ctx actor.Context, g *group, code consensus.Code) {
	burst := append(ps.parked, ps.burst...)
	ps.parked, ps.burst, ps.bytes = nil, nil, 0
	ps.unknown(ctx, g, "this replica stopped before the proposal's result was known", func(*proposal) bool { return true })
	for _, p := range burst {
		g.fail(ctx, p.from, code, "this replica stopped, the proposal had no effect")
	}
}

// forward sends a request one hop, to the leader, and relays its answer. The connection that it goes out on carries this
// node's identity. again, where given, may take the request back that the other one refused to lead.
func (g *group) forward(ctx actor.Context, r request, hopped bool, m proto.Message, again func() bool) {
	leader := g.node.BasicStatus().Lead
	pid := g.pid(leader, actors.RaftName(g.cfg.Group))
	switch {
	case hopped || leader == raft.None || leader == g.cfg.Replica || pid == nil:
		g.fail(ctx, r.from, consensus.Code_CODE_NOT_LEADER, "this replica doesn't lead group %s", g.cfg.Group)
		return
	case g.proposals.forwarded >= g.cfg.MaxPending:
		g.meter.busy.Add(1)
		g.fail(ctx, r.from, consensus.Code_CODE_BUSY, "%d requests wait for the leader's answer", g.cfg.MaxPending)
		return
	}
	instance := g.instance
	g.proposals.forwarded++
	done := g.forwards.add(r.from)
	actors.AskClass(actors.Default, ctx, pid, m, g.cfg.RequestTimeout, func(res any, err error) {
		if g.instance == instance {
			g.proposals.forwarded--
		}
		done()
		if f, ok := res.(*consensus.Failed); ok && f.GetCode() == consensus.Code_CODE_NOT_LEADER && again != nil && again() {
			return
		}
		g.relay(ctx, r, res, err)
	})
}

// forwards are those whose requests are with the leader.
type forwards struct {
	next uint64
	from map[uint64]*actor.PID
}

func (f *forwards) add(from *actor.PID) (done func()) {
	if f.from == nil {
		f.from = make(map[uint64]*actor.PID)
	}
	f.next++
	number := f.next
	f.from[number] = from
	return func() { delete(f.from, number) }
}

// all are in the order in which they came.
func (f *forwards) all() []*actor.PID {
	out := make([]*actor.PID, 0, len(f.from))
	for _, number := range slices.Sorted(maps.Keys(f.from)) {
		out = append(out, f.from[number])
	}
	return out
}

// relay passes the leader's answer on. Without one the request may have arrived: a dead letter says only that this
// connection was lost, perhaps with the answer.
func (g *group) relay(ctx actor.Context, r request, res any, err error) {
	switch {
	case errors.Is(err, actors.ErrTimeout):
		g.fail(ctx, r.from, consensus.Code_CODE_UNKNOWN_OUTCOME, "the leader did not answer within %v", g.cfg.RequestTimeout)
	case err != nil:
		g.fail(ctx, r.from, consensus.Code_CODE_UNKNOWN_OUTCOME, "the connection to the leader was lost: %v", err)
	default:
		if answer, ok := res.(proto.Message); ok {
			g.reply(ctx, r.from, answer)
			return
		}
		g.fail(ctx, r.from, consensus.Code_CODE_UNKNOWN_OUTCOME, "the leader answered with %T", res)
	}
}
