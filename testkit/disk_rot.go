package testkit

import (
	"maps"
	"slices"

	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// rot knows which records on a disk are damaged. Damage is the record's, not the read's: it stays until the record is written
// again, truncated or compacted away.
type rot struct {
	entries   map[string]map[uint64]bool
	hard      map[string]bool
	snapshots map[string]map[uint64]bool
}

// RotEntry damages one entry of a group's log on disk.
func (d *Disk) RotEntry(group string, index uint64) {
	d.node.world.count("bit rot")
	d.rot.entries = set(d.rot.entries, group, index)
}

// RotHardState damages a group's hard state on disk. A running node has it in memory: the next life finds out.
func (d *Disk) RotHardState(group string) {
	d.node.world.count("bit rot")
	if d.rot.hard == nil {
		d.rot.hard = make(map[string]bool)
	}
	d.rot.hard[group] = true
}

// RotSnapshot damages the file of a group's snapshot at an index.
func (d *Disk) RotSnapshot(group string, index uint64) {
	d.node.world.count("bit rot")
	d.rot.snapshots = set(d.rot.snapshots, group, index)
}

func set(of map[string]map[uint64]bool, group string, index uint64) map[string]map[uint64]bool {
	if of == nil {
		of = make(map[string]map[uint64]bool)
	}
	if of[group] == nil {
		of[group] = make(map[uint64]bool)
	}
	of[group][index] = true
	return of
}

func (r *rot) none() bool { return len(r.entries)+len(r.hard)+len(r.snapshots) == 0 }

func (r *rot) entry(group string, index uint64) bool    { return r.entries[group][index] }
func (r *rot) snapshot(group string, index uint64) bool { return r.snapshots[group][index] }

// found is the first damage that a scan of the whole log meets. Snapshots are read when they are opened.
func (r *rot) found() error {
	for _, group := range slices.Sorted(maps.Keys(r.hard)) {
		return &logstore.DamageError{Group: group, Detail: "hard state: checksum does not match"}
	}
	for _, group := range slices.Sorted(maps.Keys(r.entries)) {
		for _, index := range slices.Sorted(maps.Keys(r.entries[group])) {
			return &logstore.DamageError{Group: group, Index: index, Detail: "checksum does not match"}
		}
	}
	return nil
}

// age draws for each record of a write that is on disk now, and forgets the damage of those that it replaced.
func (d *Disk) age(w *logstore.GroupWrite) {
	if d.model.Rot == 0 && d.rot.none() {
		return
	}
	if w.HardState != nil || w.Remove {
		delete(d.rot.hard, w.Group)
	}
	if damaged := d.rot.entries[w.Group]; damaged != nil {
		state := d.durable.State(w.Group)
		maps.DeleteFunc(damaged, func(index uint64, _ bool) bool {
			rewritten := len(w.Entries) > 0 && index >= w.Entries[0].GetIndex()
			return rewritten || index < state.FirstIndex || index > state.LastIndex
		})
		if len(damaged) == 0 {
			delete(d.rot.entries, w.Group)
		}
	}
	if w.HardState != nil && d.rots() {
		d.RotHardState(w.Group)
	}
	for _, e := range w.Entries {
		if d.rots() {
			d.RotEntry(w.Group, e.GetIndex())
		}
	}
}

func (d *Disk) ageSnapshot(ref logstore.SnapshotRef) {
	delete(d.rot.snapshots[ref.Group], ref.Index)
	if d.rots() {
		d.RotSnapshot(ref.Group, ref.Index)
	}
}

func (d *Disk) rots() bool { return d.model.Rot > 0 && d.rand.rot.Float64() < d.model.Rot }
