package raftactor

import (
	"errors"
	"fmt"
	"io"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// What the group asks of its state machine's actor, raft/<group>/apply. instance is the run that asks; the answers carry it back.
type (
	// begin makes a fresh machine and restores it.
	begin struct {
		instance uint64
		ref      *logstore.SnapshotRef
		first    uint64 // where the log begins
	}
	// batch is committed entries, in order.
	batch struct {
		instance  uint64
		entries   []*raftpb.Entry
		responses []*raftpb.Message
	}
	// ask is queries at what is applied when their turn comes. They are answered directly, and asked says that they were.
	ask   struct{ queries []query }
	query struct {
		query *consensus.Query
		from  *actor.PID
	}
	asked struct{ queries int }
	// capture takes a snapshot of the state.
	capture struct{ instance uint64 }
	// verify looks whether a snapshot's file is here, whole.
	verify struct {
		instance uint64
		ref      *logstore.SnapshotRef
	}
	// restore replaces the state by a snapshot's.
	restore struct {
		instance uint64
		ref      *logstore.SnapshotRef
	}
)

// fromApplier is an answer of the state machine's actor to the run that asked.
type fromApplier interface{ of() uint64 }

type run uint64

func (r run) of() uint64 { return uint64(r) }

type (
	applied struct {
		run
		results   []result
		responses []*raftpb.Message
	}
	captured struct {
		run
		index, term uint64
		data        io.WriterTo
		err         error
	}
	verified struct {
		run
		ref *logstore.SnapshotRef
		err error
	}
	begun struct {
		run
		ref *logstore.SnapshotRef
	}
	restored struct {
		run
		ref *logstore.SnapshotRef
	}
	stopped struct {
		run
		reason string
	}
)

// result is what one entry came to.
type result struct {
	entry          *raftpb.Entry
	origin, number uint64
	answer         proto.Message     // to the proposer
	asked          bool              // the machine
	event          consensus.Applied // where it was
}

func (g *group) fromApplier(ctx actor.Context, m fromApplier) {
	switch m := m.(type) {
	case *applied:
		g.appliedBatch(ctx, m)
	case *captured:
		g.captured(ctx, m)
	case *verified:
		g.verified(ctx, m)
	case *begun:
		// Subscribers of an earlier run see the state go back to the snapshot, and then every entry since.
		g.events.publish(ctx, &consensus.Restored{Group: g.cfg.Group, Index: m.ref.Index})
	case *restored:
		g.restored(ctx, m)
	case *unreadable:
		g.fallBack(ctx, m)
	case *stopped:
		g.halt(ctx, m.reason)
	}
}

// appliedBatch answers the proposers. A configuration takes effect here, before RawNode hears that its entry was applied.
func (g *group) appliedBatch(ctx actor.Context, m *applied) {
	for i := range m.results {
		r := &m.results[i]
		g.applied = max(g.applied, r.entry.GetIndex())
		if r.entry.GetType() != raftpb.EntryNormal {
			g.applyChange(ctx, r.entry)
		}
		if g.phase != running {
			return
		}
		if r.origin == g.instance {
			if p := g.proposals.take(ctx, g, r.number); p != nil {
				g.reply(ctx, p.from, r.answer)
			}
		}
		if r.asked {
			g.events.publish(ctx, &r.event)
		}
	}
	g.meter.applied.Set(float64(g.applied))
	for _, response := range m.responses {
		g.step(response)
	}
	g.wake(ctx)
}

// applier owns the state machine of one group, and the sessions beside it.
type applier struct {
	group    string
	files    logstore.SnapshotReader
	factory  func() consensus.Machine
	machine  consensus.Machine
	sessions *sessions
	instance uint64
	index    uint64
	term     uint64
	reason   string                              // why it no longer applies
	types    map[string]protoreflect.MessageType // of commands, by URL
	evicted  actors.Counter
}

func (g *group) spawnApplier(ctx actor.Context) *actor.PID {
	cfg, evicted := g.cfg, g.meter.evicted
	props := actor.PropsFromProducer(func() actor.Actor {
		return &applier{group: cfg.Group, files: cfg.Store.Files, factory: cfg.Machine, evicted: evicted}
	}, actors.Named(actors.RaftName(cfg.Group)+"/apply"))
	pid, err := ctx.SpawnNamed(props, "apply")
	if err != nil {
		panic(fmt.Errorf("spawn the state machine's actor of group %s: %w", cfg.Group, err))
	}
	return pid
}

func (a *applier) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *begin:
		a.instance, a.reason = m.instance, ""
		if a.load(ctx, m.ref, func(err error) bool { return a.fallBack(ctx, m, err) }) {
			ctx.Send(ctx.Parent(), &begun{run(a.instance), m.ref})
		}
	case *restore:
		if m.instance == a.instance && a.reason == "" && a.load(ctx, m.ref, nil) {
			ctx.Send(ctx.Parent(), &restored{run(a.instance), m.ref})
		}
	case *batch:
		if m.instance == a.instance && a.reason == "" {
			a.batch(ctx, m)
		}
	case *ask:
		for _, q := range m.queries {
			if q.from != nil {
				actors.Send(actors.Default, ctx, q.from, a.query(q.query))
			}
		}
		ctx.Send(ctx.Parent(), &asked{len(m.queries)})
	case *capture:
		if m.instance == a.instance && a.reason == "" {
			a.capture(ctx)
		}
	case *verify:
		ctx.Send(ctx.Parent(), &verified{run(m.instance), m.ref, a.verify(m.ref)})
	}
}

// stop ends applying for good: the command would fail again at every start, so the replica says where and stands still.
func (a *applier) stop(ctx actor.Context, format string, args ...any) {
	a.reason = fmt.Sprintf(format, args...)
	ctx.Send(ctx.Parent(), &stopped{run(a.instance), a.reason})
}

// load restores a snapshot. Where it can't be read and otherwise, which may be nil, finds no other way, the replica stops.
func (a *applier) load(ctx actor.Context, ref *logstore.SnapshotRef, otherwise func(error) bool) bool {
	a.machine, a.sessions = a.factory(), newSessions()
	if ref.Size > 0 {
		if err := a.read(ref); err != nil {
			if otherwise != nil && otherwise(err) {
				return false
			}
			a.stop(ctx, "snapshot at index %d can't be restored: %v", ref.Index, err)
			return false
		}
	}
	a.index, a.term = ref.Index, ref.Term
	return true
}

func (a *applier) verify(ref *logstore.SnapshotRef) error {
	in, err := a.files.Open(*ref)
	if err != nil {
		return err
	}
	return in.Close()
}

func (a *applier) batch(ctx actor.Context, m *batch) {
	out := &applied{run: run(a.instance), results: make([]result, 0, len(m.entries))}
	for _, e := range m.entries {
		r, err := a.apply(e)
		if err != nil {
			ctx.Send(ctx.Parent(), out)
			a.stop(ctx, "command at index %d: %v", e.GetIndex(), err)
			return
		}
		a.index, a.term = e.GetIndex(), e.GetTerm()
		out.results = append(out.results, r)
	}
	out.responses = m.responses
	ctx.Send(ctx.Parent(), out)
}

// apply returns an error only where this replica can't go on.
func (a *applier) apply(e *raftpb.Entry) (result, error) {
	r := result{entry: e}
	if e.GetType() != raftpb.EntryNormal || len(e.GetData()) == 0 {
		return r, nil
	}
	entry, err := readLogEntry(e.GetData())
	if err != nil {
		return r, err
	}
	if entry.format != entryFormat {
		return r, fmt.Errorf("entry of format %d, this version knows %d: run a newer one", entry.format, entryFormat)
	}
	r.origin, r.number = entry.origin, entry.number
	switch {
	case entry.opens:
		if a.sessions.open(e.GetIndex()) {
			a.evicted.Add(1)
		}
		r.answer = &consensus.Session{Id: e.GetIndex()}
		return r, nil
	case entry.commands:
		return r, a.command(&r, entry.id, entry.command)
	}
	return r, fmt.Errorf("entry of unknown kind: run a newer version")
}

func (a *applier) command(r *result, id *consensus.ProposalID, packed packedCommand) error {
	index := r.entry.GetIndex()
	var s *session
	if id.GetSession() != 0 {
		var stored *StoredResult
		if s, stored = a.sessions.find(id, index); s == nil {
			r.answer = consensus.NewFailed(consensus.Code_CODE_UNKNOWN_OUTCOME,
				fmt.Sprintf("session %d is unknown or expired, or has forgotten number %d: it was not applied now", id.GetSession(), id.GetSequence()), nil)
			return nil
		}
		if stored != nil {
			r.answer = answerOf(stored.GetIndex(), stored.GetResult(), stored.GetRefusal())
			return nil
		}
	}
	command, err := a.unpack(packed)
	if err != nil {
		return err
	}
	entry := consensus.Entry{Group: a.group, Index: index, Term: r.entry.GetTerm(), ID: id, Command: command}
	// Only who answers needs the result packed: the proposer's replica, and all where a retry may ask for it.
	value, out, err := a.call(entry, s != nil || r.origin == a.instance)
	if errors.Is(err, consensus.ErrHalt) {
		return fmt.Errorf("%s: %w", packed.url, err)
	}
	r.asked, r.event = true, consensus.Applied{Entry: entry, Result: value, Err: err}
	var refusal *consensus.Failed
	if err != nil {
		refusal = consensus.FailedFrom(err)
	}
	if s != nil {
		s.remember(id.GetSequence(), index, out, refusal)
	}
	r.answer = answerOf(index, out, refusal)
	return nil
}

// unpack decodes a command by its registered type, as [consensus.Unpack] does.
func (a *applier) unpack(packed packedCommand) (proto.Message, error) {
	kind := a.types[string(packed.url)]
	if kind == nil {
		var err error
		if kind, err = protoregistry.GlobalTypes.FindMessageByURL(string(packed.url)); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", consensus.ErrInvalid, packed.url, err)
		}
		if a.types == nil {
			a.types = make(map[string]protoreflect.MessageType)
		}
		a.types[string(packed.url)] = kind
	}
	m := kind.New().Interface()
	if err := proto.Unmarshal(packed.value, m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", consensus.ErrInvalid, packed.url, err)
	}
	return m, nil
}

func answerOf(index uint64, out *anypb.Any, refusal *consensus.Failed) proto.Message {
	if refusal != nil {
		return refusal
	}
	return &consensus.Proposed{Index: index, Result: out}
}

// call turns a panic of the machine into ErrHalt: it would panic on every replica after every restart.
func (a *applier) call(e consensus.Entry, pack bool) (value proto.Message, packed *anypb.Any, err error) {
	defer func() {
		if p := recover(); p != nil {
			value, packed, err = nil, nil, fmt.Errorf("%w: Apply panicked: %v", consensus.ErrHalt, p)
		}
	}()
	if value, err = a.machine.Apply(e); err != nil {
		return nil, nil, err
	}
	if pack {
		packed = consensus.Pack(value)
	}
	return value, packed, nil
}

func (a *applier) query(q *consensus.Query) (answer proto.Message) {
	if a.reason != "" {
		return consensus.NewFailed(consensus.Code_CODE_HALTED, a.reason, nil)
	}
	if a.machine == nil {
		return consensus.NewFailed(consensus.Code_CODE_DROPPED, "replica is starting", nil)
	}
	request, err := consensus.Unpack(q.GetRequest())
	if err != nil {
		return consensus.NewFailed(consensus.Code_CODE_INVALID, err.Error(), nil)
	}
	defer func() {
		if p := recover(); p != nil {
			answer = consensus.NewFailed(consensus.Code_CODE_REFUSED, fmt.Sprintf("query panicked: %v", p), nil)
		}
	}()
	value, err := a.machine.Query(request)
	if err != nil {
		return consensus.FailedFrom(err)
	}
	return &consensus.Answer{Index: a.index, Result: consensus.Pack(value)}
}
