package logstore

import (
	"errors"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
)

// Retention, per group: the snapshot that it stands on and the two whole ones before. Of the damaged files older than that, the newest is
// kept as evidence for as long as a whole one would be in its place; the others go. So a group has at most four files at rest, and those
// that are being sent.

// pruned is what a removal's child reports.
type pruned struct {
	group   string
	removed []DamagedSnapshot
	left    []DamagedSnapshot // newest first
	err     error
}

// evidence is what is known of a group's damaged files.
type evidence struct {
	newest snapshotKey
	files  int
}

// prune removes what a group no longer needs.
func (s *snapshots) prune(ctx actor.Context, group string) {
	ref, ok := s.standing[group]
	if !ok {
		return
	}
	sending := make(map[snapshotKey]bool)
	for _, job := range s.sends {
		sending[job.ref.key()] = true
	}
	for _, job := range s.sendQueue {
		sending[job.ref.key()] = true
	}
	s.task(ctx, func(*actor.PID) any { return pruneSnapshots(s.files, ref, sending) })
}

// remove drops every file of a group that is gone.
func (s *snapshots) remove(ctx actor.Context, group string, sender *actor.PID) {
	delete(s.standing, group)
	s.task(ctx, func(*actor.PID) any {
		done := removeSnapshots(s.files, group)
		if sender != nil {
			ctx.ActorSystem().Root.Send(sender, &SnapshotsRemoved{Group: group, Err: done.err})
		}
		return done
	})
}

func (s *snapshots) pruned(m *pruned) {
	if m.err != nil {
		s.meter.failed("prune").Add(1)
		s.log.Warn("old snapshots could not be removed", zap.String("group", m.group), zap.Error(m.err))
	}
	for _, d := range m.removed {
		s.meter.damagedRemoved.Add(1)
		s.log.Warn("damaged snapshot removed", damagedFields(d)...)
	}
	was := s.evidence[m.group]
	delete(s.evidence, m.group)
	if len(m.left) > 0 {
		newest := m.left[0]
		s.evidence[m.group] = evidence{newest.Ref.key(), len(m.left)}
		if newest.Ref.key() != was.newest {
			s.log.Error("damaged snapshot, kept as evidence: look at the disk", damagedFields(newest)...)
		}
	}
	files := 0
	for _, e := range s.evidence {
		files += e.files
	}
	s.meter.damaged.Set(float64(files))
}

func damagedFields(d DamagedSnapshot) []zap.Field {
	return []zap.Field{zap.String("group", d.Ref.Group), zap.Uint64("index", d.Ref.Index), zap.Uint64("term", d.Ref.Term), zap.String("damage", d.Detail)}
}

func removeSnapshots(files SnapshotFiles, group string) *pruned {
	out := &pruned{group: group}
	refs, listErr := files.List(group)
	damaged, damagedErr := files.Damaged(group)
	errs := []error{listErr, damagedErr}
	for _, ref := range refs {
		errs = append(errs, files.Remove(ref))
	}
	for _, d := range damaged {
		errs = append(errs, files.Remove(d.Ref))
	}
	out.removed, out.err = damaged, errors.Join(errs...)
	return out
}

func pruneSnapshots(files SnapshotFiles, ref SnapshotRef, sending map[snapshotKey]bool) *pruned {
	out := &pruned{group: ref.Group}
	refs, err := files.List(ref.Group)
	if err != nil {
		out.err = err
		return out
	}
	var errs []error
	var oldest SnapshotRef // of those that are kept, once they are as many as can be
	kept := 0
	for _, old := range refs {
		if newer(old, ref) <= 0 {
			continue
		}
		if kept++; kept == keepBefore {
			oldest = old
		}
		if kept > keepBefore && !sending[old.key()] {
			errs = append(errs, files.Remove(old))
		}
	}
	damaged, err := files.Damaged(ref.Group)
	errs = append(errs, err)
	evidence := false
	for _, d := range damaged {
		older := newer(d.Ref, ref) > 0 // one that isn't may be written anew at this moment
		if older && (evidence || newer(d.Ref, oldest) > 0) {
			errs = append(errs, files.Remove(d.Ref))
			out.removed = append(out.removed, d)
			continue
		}
		evidence = evidence || older
		out.left = append(out.left, d)
	}
	out.err = errors.Join(errs...)
	return out
}
