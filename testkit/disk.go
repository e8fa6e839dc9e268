package testkit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// DiskModel is how a disk behaves where no fault was set. Probabilities are of one write, 0 to 1.
type DiskModel struct {
	// SyncLatency is how long one sync takes; writes that wait for it queue up.
	SyncLatency Dist
	// Quota bounds the log, in bytes of entries; 0 means no limit. A write with entries beyond it is refused with
	// logstore.ErrNoSpace until compaction or a larger quota makes room.
	Quota int64
	// SyncErr and WriteErr are the chances that a sync or a write fails. Either is final for the life of the node.
	SyncErr, WriteErr float64
	// Torn is the chance that a crash which loses unsynced writes leaves the first of them, as [TornTail] does.
	Torn float64
	// Rot is the chance that a record (an entry, a hard state, a snapshot) is damaged on disk from when it is written. It stays
	// damaged until it is written again or gone: reads of it, and opening the disk, fail with *logstore.DamageError.
	Rot float64
}

// CrashKind says what a crash leaves of what was written and not yet synced.
type CrashKind int

const (
	// KeepPageCache: the process dies, the machine does not: everything written is there. Where a sync had failed
	// before, only the first of it may be.
	KeepPageCache CrashKind = iota
	// LoseUnsynced: the machine dies: nothing that was not synced is there.
	LoseUnsynced
	// TornTail: the machine dies in the middle: some of the unsynced writes are there, from the first on. A batch of
	// several groups may be there in part; one group's write is there whole or not at all.
	TornTail
)

func (k CrashKind) String() string {
	return [...]string{"KeepPageCache", "LoseUnsynced", "TornTail"}[k]
}

// Disk is what a node keeps through its lives: what is durable, and what was written and waits for its sync.
//
// Each write passes three points that [World.On] can wait for, to crash the node right there: "write", before the disk
// has anything of it; "sync", written and not yet synced; "durable", synced and not yet known to the node.
type Disk struct {
	node     *Node
	model    DiskModel
	rand     diskStreams
	durable  logstore.Store
	files    logstore.SnapshotFiles
	result   logstore.Durable // of the last batch that went into durable
	unsynced []batch
	doubtful []batch // their sync failed: a crash may or may not find them
	used     int64   // an upper bound of the entries' bytes
	syncing  bool
	due      bool // a sync has ended that a stall holds back
	stalled  bool
	failing  error // every later sync of this life fails with it
	rot      rot
	wipes    int
}

// diskStreams are a generator for each kind of fault, so that none moves what another one draws.
type diskStreams struct{ latency, sync, write, torn, rot, snapshot *rand.Rand }

// batch is one Submit.
type batch struct {
	seq    uint64
	writes []logstore.GroupWrite
	bytes  int64
	notify func(logstore.Durable)
	life   int
	failed error // the write itself failed
}

var (
	errSync  = errors.New("input/output error")
	errWrite = errors.New("write: input/output error")
)

func newDisk(n *Node, model DiskModel) *Disk {
	stream := func(name string) *rand.Rand { return n.world.stream("disk/" + strconv.Itoa(n.id) + "/" + name) }
	d := &Disk{node: n, rand: diskStreams{
		latency: stream("latency"), sync: stream("sync"), write: stream("write"), torn: stream("torn"), rot: stream("rot"), snapshot: stream("snapshot"),
	}}
	d.SetModel(model)
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
	d.durable.Attach(func(done logstore.Durable) { d.result = done })
	d.files = logstore.NewSnapshotMemory()
	d.unsynced, d.doubtful, d.used, d.failing = nil, nil, 0, nil
	d.stalled, d.syncing, d.due = false, false, false
	d.rot = rot{}
}

// SetModel changes the disk from now on. What is damaged stays so.
func (d *Disk) SetModel(m DiskModel) {
	if m.SyncLatency == (Dist{}) {
		m.SyncLatency = Dist{Min: 300 * time.Microsecond, Tail: 200 * time.Microsecond, Max: 50 * time.Millisecond}
	}
	d.model = m
}

// Model returns the model in force.
func (d *Disk) Model() DiskModel { return d.model }

// Stall lets no sync end until it is called with false.
func (d *Disk) Stall(on bool) {
	d.stalled = on
	if !on && d.due {
		d.due = false
		d.syncFirst()
	}
}

// FailSync makes the next sync, and all after it in this life, fail.
func (d *Disk) FailSync() { d.failing = errSync }

// crash decides what is left.
func (d *Disk) crash(kind CrashKind) {
	left := append(d.doubtful, d.unsynced...)
	for i, b := range left {
		if b.failed != nil {
			left = left[:i]
			break
		}
	}
	if kind == LoseUnsynced && d.model.Torn > 0 && d.rand.torn.Float64() < d.model.Torn || kind == KeepPageCache && d.failing != nil {
		kind = TornTail
	}
	switch kind {
	case LoseUnsynced:
		left = nil
	case TornTail:
		left = d.tear(left)
	}
	for _, b := range left {
		d.apply(b)
	}
	d.unsynced, d.doubtful, d.failing = nil, nil, nil
	d.stalled, d.syncing, d.due = false, false, false
}

// tear keeps the first writes of the batches, as many as come up.
func (d *Disk) tear(batches []batch) []batch {
	writes := 0
	for _, b := range batches {
		writes += len(b.writes)
	}
	keep := d.rand.torn.IntN(writes + 1)
	for i := range batches {
		if b := &batches[i]; len(b.writes) > keep {
			b.writes = b.writes[:keep]
			return batches[:i+1]
		}
		keep -= len(batches[i].writes)
	}
	return batches
}

// apply makes a batch durable.
func (d *Disk) apply(b batch) {
	d.durable.Submit(b.writes, b.seq)
	d.used += b.bytes
	done := d.result
	for i := range b.writes {
		if len(done.Refused) == 0 || !refused(done, i) {
			d.node.world.observed.onDurable(d.node, &b.writes[i])
			d.age(&b.writes[i])
		}
	}
	d.node.world.observed.onBatch(d.node, b.writes)
}

func refused(done logstore.Durable, write int) bool {
	for _, r := range done.Refused {
		if r.Write == write {
			return true
		}
	}
	return false
}

// accept takes a batch into the page cache.
func (d *Disk) accept(b batch) {
	if d.model.WriteErr > 0 && d.rand.write.Float64() < d.model.WriteErr {
		d.node.world.count("write failed")
		b.failed = errWrite
	}
	d.unsynced = append(d.unsynced, b)
	d.scheduleSync()
}

// scheduleSync begins the sync of the first batch, unless one is under way. A disk goes on while its node is paused.
func (d *Disk) scheduleSync() {
	if d.syncing || len(d.unsynced) == 0 {
		return
	}
	d.syncing = true
	life := d.unsynced[0].life
	d.node.world.after(d.model.SyncLatency.draw(d.rand.latency), func() {
		switch {
		case d.node.life != life:
		case d.stalled:
			d.due = true
		default:
			d.syncFirst()
		}
	})
}

func (d *Disk) syncFirst() {
	d.syncing = false
	if len(d.unsynced) == 0 {
		return // closed meanwhile
	}
	b := d.unsynced[0]
	if d.point("sync"); d.node.life != b.life {
		return
	}
	d.unsynced = d.unsynced[1:]
	done := d.sync(b)
	if d.node.life != b.life {
		return
	}
	d.node.whenAwake(b.life, func() { b.notify(done) })
	d.scheduleSync()
}

// sync makes the batch durable, or fails for good.
func (d *Disk) sync(b batch) logstore.Durable {
	switch {
	case d.failing != nil:
	case b.failed != nil:
		d.failing = b.failed
	case d.model.SyncErr > 0 && d.rand.sync.Float64() < d.model.SyncErr:
		d.failing = errSync
		d.node.world.count("sync failed")
	}
	if d.failing != nil {
		d.doubtful = append(d.doubtful, b)
		return logstore.Durable{Seq: b.seq, Err: d.failing}
	}
	d.doubtful = nil
	d.apply(b)
	done := d.result
	d.point("durable")
	return done
}

// point tells those who wait for it how far a write has come.
func (d *Disk) point(kind string) {
	if len(d.node.world.matches) > 0 {
		d.node.world.tell(Event{Kind: kind, Node: d.node.id})
	}
}

// full reports whether a write has no room.
func (d *Disk) full(bytes int64) bool {
	if d.model.Quota == 0 || bytes == 0 {
		return false
	}
	waiting := bytes
	for _, b := range d.unsynced {
		waiting += b.bytes
	}
	if d.used+waiting > d.model.Quota {
		d.used = d.measure() // compaction may have made room
	}
	return d.used+waiting > d.model.Quota
}

func (d *Disk) measure() int64 {
	var size int64
	for _, g := range d.durable.Groups() {
		state := d.durable.State(g)
		entries, err := d.durable.Entries(g, state.FirstIndex, state.LastIndex+1, 1<<62)
		if err != nil {
			continue // an empty log
		}
		for _, e := range entries {
			size += int64(proto.Size(e))
		}
	}
	return size
}
