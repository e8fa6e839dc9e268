package testkit

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// DiskModel is how a disk behaves where no fault was set. Probabilities are of one write, 0 to 1; a failed sync is final for the
// life of the node. Quota is in bytes of log; 0 means no limit.
type DiskModel struct {
	SyncLatency                  Dist
	Quota                        int64
	SyncErr, WriteErr, Torn, Rot float64
}

// CrashKind says what a crash leaves of what was written and not yet synced.
type CrashKind int

const (
	// KeepPageCache: the process dies, the machine does not: everything written is there.
	KeepPageCache CrashKind = iota
	// LoseUnsynced: the machine dies: nothing that was not synced is there.
	LoseUnsynced
	// TornTail: the machine dies in the middle: some of the unsynced writes are there, from the first on.
	TornTail
)

func (k CrashKind) String() string {
	return [...]string{"KeepPageCache", "LoseUnsynced", "TornTail"}[k]
}

// Disk is what a node keeps through its lives: what is durable, and what was written and waits for its sync.
type Disk struct {
	node     *Node
	model    DiskModel
	rand     *rand.Rand
	durable  logstore.Store
	files    logstore.SnapshotFiles
	unsynced []batch
	used     int64
	stalled  bool
	failing  error // every later write of this life fails with it
	wipes    int
}

type batch struct {
	seq    uint64
	writes []logstore.GroupWrite
	bytes  int64
	notify func(logstore.Durable)
	life   int
}

var (
	errSync  = errors.New("input/output error")
	errWrite = errors.New("write: input/output error")
)

func newDisk(n *Node, model DiskModel) *Disk {
	if model.SyncLatency == (Dist{}) {
		model.SyncLatency = Dist{Min: 300 * time.Microsecond, Tail: 200 * time.Microsecond, Max: 50 * time.Millisecond}
	}
	d := &Disk{node: n, model: model, rand: n.world.stream("disk/" + strconv.Itoa(n.id))}
	d.format()
	return d
}

// format makes a new disk, with a directory id that was never there.
func (d *Disk) format() {
	d.wipes++
	var id actors.ID
	r := d.node.world.stream(fmt.Sprintf("directory/%d/%d", d.node.id, d.wipes))
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	d.durable = logstore.NewMemory(logstore.Identity{NodeID: uint64(d.node.certified), DirectoryID: id})
	d.files = logstore.NewSnapshotMemory()
	d.unsynced, d.used, d.failing, d.stalled = nil, 0, nil, false
}

// SetModel changes the disk from now on.
func (d *Disk) SetModel(m DiskModel) { d.model = m }

// Model returns the model in force.
func (d *Disk) Model() DiskModel { return d.model }

// Stall lets no write end until it is called with false.
func (d *Disk) Stall(on bool) {
	d.stalled = on
	if !on {
		d.syncFirst()
	}
}

// FailSync makes the next sync, and all writes after it in this life, fail.
func (d *Disk) FailSync() { d.failing = errSync }

// crash decides what is left.
func (d *Disk) crash(kind CrashKind) {
	keep := 0
	switch kind {
	case KeepPageCache:
		keep = len(d.unsynced)
	case TornTail:
		keep = d.rand.IntN(len(d.unsynced) + 1)
	}
	for _, b := range d.unsynced[:keep] {
		d.apply(b)
	}
	d.unsynced, d.failing, d.stalled = nil, nil, false
}

// apply makes a batch durable.
func (d *Disk) apply(b batch) {
	d.durable.Attach(func(logstore.Durable) {})
	d.durable.Submit(b.writes, b.seq)
	d.used += b.bytes
}

func (d *Disk) syncFirst() {
	if d.stalled || len(d.unsynced) == 0 {
		return
	}
	b := d.unsynced[0]
	if d.failing == nil && d.model.SyncErr > 0 && d.rand.Float64() < d.model.SyncErr {
		d.failing = errSync
		d.node.world.count("sync failed")
	}
	d.unsynced = d.unsynced[1:]
	if d.failing != nil {
		b.notify(logstore.Durable{Seq: b.seq, Err: d.failing})
	} else {
		d.apply(b)
		d.node.world.durable(d.node, b)
		b.notify(logstore.Durable{Seq: b.seq})
	}
	d.scheduleSync(b.life)
}

func (d *Disk) scheduleSync(life int) {
	if len(d.unsynced) == 0 {
		return
	}
	d.node.world.after(d.model.SyncLatency.draw(d.rand), func() {
		d.node.whenAwake(life, d.syncFirst)
	})
}

// store is the disk as one life of the node sees it.
type store struct {
	disk   *Disk
	life   int
	notify func(logstore.Durable)
	closed bool
}

var _ logstore.Store = (*store)(nil)

func (s *store) Attach(notify func(logstore.Durable)) { s.notify = notify }

func (s *store) Submit(writes []logstore.GroupWrite, seq uint64) {
	d := s.disk
	if s.closed || d.node.life != s.life {
		return
	}
	b := batch{seq: seq, writes: slices.Clone(writes), notify: s.notify, life: s.life, bytes: sizeOf(writes)}
	refuse := func(err error) {
		d.node.world.after(0, func() { d.node.whenAwake(s.life, func() { b.notify(logstore.Durable{Seq: seq, Err: err}) }) })
	}
	switch {
	case d.model.Quota > 0 && d.used+b.bytes > d.model.Quota:
		d.node.world.count("disk full")
		refuse(logstore.ErrNoSpace)
		return
	case d.model.WriteErr > 0 && d.rand.Float64() < d.model.WriteErr:
		d.node.world.count("write failed")
		d.failing = errWrite
	}
	d.unsynced = append(d.unsynced, b)
	if len(d.unsynced) == 1 {
		d.scheduleSync(s.life)
	}
}

func sizeOf(writes []logstore.GroupWrite) int64 {
	var size int64
	for i := range writes {
		size += 64
		for _, e := range writes[i].Entries {
			size += int64(proto.Size(e))
		}
	}
	return size
}

// SetIdentity is synchronous, and durable when it returns.
func (s *store) SetIdentity(id logstore.Identity, groups []logstore.GroupWrite) error {
	id.Generation = s.disk.durable.Identity().Generation // the memory below knows of no lives
	return s.disk.durable.SetIdentity(id, groups)
}

func (s *store) Identity() logstore.Identity {
	id := s.disk.durable.Identity()
	id.Generation = uint64(s.disk.node.generation)
	return id
}

func (s *store) Close() error { s.closed = true; return nil }

func (s *store) Groups() []string                       { return s.disk.durable.Groups() }
func (s *store) State(group string) logstore.GroupState { return s.disk.durable.State(group) }

func (s *store) Entries(group string, lo, hi, maxBytes uint64) ([]*raftpb.Entry, error) {
	if s.rotten() {
		return nil, &logstore.DamageError{Group: group, Index: lo, Detail: "checksum does not match"}
	}
	return s.disk.durable.Entries(group, lo, hi, maxBytes)
}

func (s *store) Term(group string, index uint64) (uint64, error) {
	return s.disk.durable.Term(group, index)
}

func (s *store) rotten() bool {
	d := s.disk
	if d.model.Rot > 0 && d.rand.Float64() < d.model.Rot {
		d.node.world.count("bit rot")
		return true
	}
	return false
}

// files are the disk's snapshots as one life sees them.
type files struct {
	logstore.SnapshotFiles
	disk *Disk
}

func (f files) Open(ref logstore.SnapshotRef) (io.ReadCloser, error) {
	if (&store{disk: f.disk}).rotten() {
		return nil, &logstore.DamageError{Group: ref.Group, Index: ref.Index, Detail: "snapshot: checksum does not match"}
	}
	return f.SnapshotFiles.Open(ref)
}

func (f files) Create(ref logstore.SnapshotRef) (logstore.SnapshotWriter, error) {
	if d := f.disk; d.model.WriteErr > 0 && d.rand.Float64() < d.model.WriteErr {
		d.node.world.count("write failed")
		return nil, errWrite
	}
	return f.SnapshotFiles.Create(ref)
}
