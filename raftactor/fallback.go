package raftactor

import (
	"errors"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// A snapshot whose file can't be read at the start is replaced by the newest one before it that the log goes on from: the state of that
// one and the entries since make the same state. Where there is none the replica halts and is rebuilt from the others.

// unreadable is the answer to a begin: the state is not in its file, but in an earlier one and the log.
type unreadable struct {
	run
	ref     *logstore.SnapshotRef
	earlier *logstore.SnapshotRef
	err     error
}

// fallback is what a group starts from in place of the snapshot that its log stands on.
type fallback struct {
	damaged uint64 // index
	base    *logstore.SnapshotRef
}

// fallBack looks for an earlier snapshot where the file of the one to begin with is damaged or gone. Another failure to restore would
// come again.
func (a *applier) fallBack(ctx actor.Context, m *begin, err error) bool {
	var damage *logstore.DamageError
	if !errors.As(err, &damage) && !errors.Is(err, logstore.ErrNoSnapshot) {
		return false
	}
	earlier := a.earlier(m.ref, m.first)
	if earlier == nil {
		return false
	}
	// Until the group begins anew nothing is applied or asked here.
	ctx.Send(ctx.Parent(), &unreadable{run(a.instance), m.ref, earlier, err})
	a.machine, a.instance = nil, 0
	return true
}

func (a *applier) earlier(ref *logstore.SnapshotRef, first uint64) *logstore.SnapshotRef {
	files, ok := a.files.(interface {
		List(group string) ([]logstore.SnapshotRef, error)
	})
	if !ok {
		return nil
	}
	refs, err := files.List(a.group)
	if err != nil {
		return nil
	}
	for i := range refs { // newest first, the damaged ones left out
		if old := &refs[i]; old.Index < ref.Index && old.Index+1 >= first && old.ConfState != nil {
			return old
		}
	}
	return nil
}

// fallBack starts over from the earlier snapshot, if it is one of this log.
func (g *group) fallBack(ctx actor.Context, m *unreadable) {
	if g.phase != running {
		return
	}
	if term, err := g.storage.Term(m.earlier.Index); err != nil || term != m.earlier.Term {
		g.halt(ctx, m.err.Error())
		return
	}
	g.meter.fellBack.Add(1)
	g.log.Warn("snapshot can't be read, falling back to an earlier one and the log", zap.Uint64("index", m.ref.Index), zap.Uint64("earlier", m.earlier.Index), zap.Error(m.err))
	g.fallback = &fallback{damaged: m.ref.Index, base: m.earlier}
	g.open(ctx)
}

// base is the snapshot to start from.
func (g *group) base(state logstore.GroupState) *logstore.SnapshotRef {
	if state.Snapshot == nil {
		return &logstore.SnapshotRef{Group: g.cfg.Group}
	}
	if f := g.fallback; f != nil && f.damaged == state.Snapshot.Index {
		return f.base
	}
	g.fallback = nil
	return state.Snapshot
}
