package testkit

import (
	"io"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// store is the disk as one life of the node sees it.
type store struct {
	disk   *Disk
	life   int
	notify func(logstore.Durable)
	closed bool
}

var _ logstore.Store = (*store)(nil)

// open is what a new life finds. Whatever is damaged shows now.
func (d *Disk) open(life int) (*store, error) {
	if err := d.rot.found(); err != nil {
		d.node.world.count("damage found")
		return nil, err
	}
	return &store{disk: d, life: life, notify: func(logstore.Durable) {}}, nil
}

func (s *store) Attach(notify func(logstore.Durable)) { s.notify = notify }

func (s *store) Submit(writes []logstore.GroupWrite, seq uint64) {
	d, notify := s.disk, s.notify
	if d.node.life != s.life {
		return
	}
	later := func(err error) {
		d.node.world.after(0, func() { d.node.whenAwake(s.life, func() { notify(logstore.Durable{Seq: seq, Err: err}) }) })
	}
	if s.closed {
		later(logstore.ErrStopped)
		return
	}
	if d.point("write"); d.node.life != s.life {
		return
	}
	b := batch{seq: seq, writes: slices.Clone(writes), notify: notify, life: s.life, bytes: entryBytes(writes)}
	if d.full(b.bytes) {
		d.node.world.count("disk full")
		b.writes, b.bytes = nil, 0
		b.notify = func(done logstore.Durable) {
			if done.Err == nil {
				done.Err = logstore.ErrNoSpace
			}
			notify(done)
		}
	}
	d.accept(b)
}

func entryBytes(writes []logstore.GroupWrite) int64 {
	var size int64
	for i := range writes {
		for _, e := range writes[i].Entries {
			size += int64(proto.Size(e))
		}
	}
	return size
}

// SetIdentity is synchronous, and durable when it returns.
func (s *store) SetIdentity(id logstore.Identity, groups []logstore.GroupWrite) error {
	d := s.disk
	if s.closed || d.node.life != s.life {
		return logstore.ErrStopped
	}
	if d.point("write"); d.node.life != s.life {
		return logstore.ErrStopped
	}
	id.Generation = d.durable.Identity().Generation // the memory below knows of no lives
	if err := d.durable.SetIdentity(id, groups); err != nil {
		return err
	}
	d.point("durable")
	return nil
}

func (s *store) Identity() logstore.Identity {
	id := s.disk.durable.Identity()
	id.Generation = uint64(s.disk.node.generation)
	return id
}

// Close completes what was submitted.
func (s *store) Close() error {
	d := s.disk
	for !s.closed && d.node.life == s.life && len(d.unsynced) > 0 {
		b := d.unsynced[0]
		d.unsynced = d.unsynced[1:]
		b.notify(d.sync(b))
	}
	s.closed = true
	return nil
}

func (s *store) Groups() []string                       { return s.disk.durable.Groups() }
func (s *store) State(group string) logstore.GroupState { return s.disk.durable.State(group) }

func (s *store) Entries(group string, lo, hi, maxBytes uint64) ([]*raftpb.Entry, error) {
	entries, err := s.disk.durable.Entries(group, lo, hi, maxBytes)
	if err != nil || s.disk.rot.none() {
		return entries, err
	}
	for _, e := range entries {
		if s.disk.rot.entry(group, e.GetIndex()) {
			s.disk.node.world.count("damage found")
			return nil, &logstore.DamageError{Group: group, Index: e.GetIndex(), Detail: "checksum does not match"}
		}
	}
	return entries, nil
}

func (s *store) Term(group string, index uint64) (uint64, error) {
	return s.disk.durable.Term(group, index)
}

// files are the disk's snapshots as one life sees them. A snapshot is there, synced, once it is committed.
type files struct {
	logstore.SnapshotFiles
	disk *Disk
}

func (f files) Open(ref logstore.SnapshotRef) (io.ReadCloser, error) {
	if f.disk.rot.snapshot(ref.Group, ref.Index) {
		f.disk.node.world.count("damage found")
		return nil, &logstore.DamageError{Group: ref.Group, Index: ref.Index, Detail: "snapshot: checksum does not match"}
	}
	return f.SnapshotFiles.Open(ref)
}

// List skips what is damaged, as a directory of files does.
func (f files) List(group string) ([]logstore.SnapshotRef, error) {
	refs, err := f.SnapshotFiles.List(group)
	return slices.DeleteFunc(refs, func(ref logstore.SnapshotRef) bool { return f.disk.rot.snapshot(group, ref.Index) }), err
}

// Damaged finds what List skips.
func (f files) Damaged(group string) ([]logstore.DamagedSnapshot, error) {
	refs, err := f.SnapshotFiles.List(group)
	var out []logstore.DamagedSnapshot
	for _, ref := range refs {
		if f.disk.rot.snapshot(group, ref.Index) {
			out = append(out, logstore.DamagedSnapshot{Ref: logstore.SnapshotRef{Group: group, Index: ref.Index, Term: ref.Term}, Detail: "checksum does not match"})
		}
	}
	return out, err
}

func (f files) Remove(ref logstore.SnapshotRef) error {
	delete(f.disk.rot.snapshots[ref.Group], ref.Index)
	return f.SnapshotFiles.Remove(ref)
}

func (f files) Create(ref logstore.SnapshotRef) (logstore.SnapshotWriter, error) {
	w, err := f.SnapshotFiles.Create(ref)
	if err != nil {
		return nil, err
	}
	return &snapshotWriter{SnapshotWriter: w, disk: f.disk, life: f.disk.node.life}, nil
}

type snapshotWriter struct {
	logstore.SnapshotWriter
	disk *Disk
	life int
}

func (w *snapshotWriter) Write(p []byte) (int, error) {
	if d := w.disk; d.model.WriteErr > 0 && d.rand.snapshot.Float64() < d.model.WriteErr {
		d.node.world.count("snapshot write failed")
		return 0, errWrite
	}
	return w.SnapshotWriter.Write(p)
}

// Commit is a sync of its own; its failure ends this snapshot alone.
func (w *snapshotWriter) Commit() (logstore.SnapshotRef, error) {
	d := w.disk
	if d.model.SyncErr > 0 && d.rand.snapshot.Float64() < d.model.SyncErr {
		d.node.world.count("snapshot sync failed")
		w.Abort()
		return logstore.SnapshotRef{}, errSync
	}
	if d.point("snapshot"); d.node.life != w.life {
		return logstore.SnapshotRef{}, errSync
	}
	ref, err := w.SnapshotWriter.Commit()
	if err == nil {
		d.ageSnapshot(ref)
	}
	return ref, err
}
