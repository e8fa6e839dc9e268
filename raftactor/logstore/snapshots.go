package logstore

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
)

// SnapshotsConfig bounds the snapshot actor. Zero values take the defaults.
type SnapshotsConfig struct {
	// ChunkBytes of data travel in one message, 4 to 256 KiB. Default 128 KiB.
	ChunkBytes int
	// WindowChunks are sent ahead of the receiver's acknowledgement, at most 1 MiB together. Default 8.
	WindowChunks int
	// MaxSaves, MaxSends and MaxReceives run at once. More saves and sends wait, up to MaxWaiting of each, and are refused
	// with ErrBusy beyond; a receive too many is refused, and its sender offers again. Defaults 2, 4, 4 and 1024.
	MaxSaves, MaxSends, MaxReceives, MaxWaiting int
	// MaxBytes of one snapshot are accepted from a peer. Default 64 GiB.
	MaxBytes uint64
	// RetryAfter is how long a sender waits without progress before it offers again. Default 3 s.
	RetryAfter time.Duration
	// StallTimeout without progress ends a transfer at the sender, twice that at the receiver. Default 30 s.
	StallTimeout time.Duration
}

// maxWindow is what a receiver takes in unacknowledged chunks, whatever its own configuration.
const (
	maxWindow   = 2 << 20
	maxChunk    = 256 << 10
	minChunk    = 4 << 10
	keepBefore  = 2 // whole snapshots older than the one that a group stands on
	maxAttempts = 3 // transfers of one SendSnapshot that failed at the receiver
)

func (c SnapshotsConfig) withDefaults() SnapshotsConfig {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	set(&c.ChunkBytes, 128<<10)
	set(&c.WindowChunks, 8)
	set(&c.MaxSaves, 2)
	set(&c.MaxSends, 4)
	set(&c.MaxReceives, 4)
	set(&c.MaxWaiting, 1024)
	c.ChunkBytes = min(max(c.ChunkBytes, minChunk), maxChunk)
	c.WindowChunks = max(1, min(c.WindowChunks, (1<<20)/c.ChunkBytes))
	if c.MaxBytes == 0 {
		c.MaxBytes = 64 << 30
	}
	if c.RetryAfter == 0 {
		c.RetryAfter = 3 * time.Second
	}
	if c.StallTimeout == 0 {
		c.StallTimeout = 30 * time.Second
	}
	return c
}

// SnapshotsWireTypes are the messages that the snapshot actor takes from other nodes, all in class Bulk.
func SnapshotsWireTypes() []proto.Message {
	return []proto.Message{&Offer{}, &Accept{}, &Chunk{}, &Ack{}, &Complete{}, &Refuse{}}
}

// SnapshotsProps makes the snapshot actor of a node, known as "snapshots". Each save, transfer and removal of files runs in
// a child of its own, so that a large one holds nobody up.
func SnapshotsProps(files SnapshotFiles, cfg SnapshotsConfig) *actor.Props {
	cfg = cfg.withDefaults()
	return actor.PropsFromProducer(func() actor.Actor {
		return &snapshots{
			files: files, cfg: cfg,
			saves: make(map[string]*saveJob), sends: make(map[uint64]*sendJob),
			receives: make(map[snapshotKey]*receiveJob), incoming: make(map[transferKey]*receiveJob),
			standing: make(map[string]SnapshotRef), evidence: make(map[string]evidence),
		}
	}, actors.Named(actors.NameSnapshots), actor.WithSupervisor(stopFailed{}))
}

// stopFailed ends a job that panics: its parent reports the failure to who asked for it.
type stopFailed struct{}

func (stopFailed) HandleFailure(_ *actor.ActorSystem, supervisor actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, _, _ any) {
	supervisor.StopChildren(child)
}

// snapshots runs the jobs and routes the peers' messages to them.
type snapshots struct {
	files SnapshotFiles
	cfg   SnapshotsConfig
	log   *zap.Logger
	meter snapshotMetrics
	rand  func() uint64

	saves     map[string]*saveJob // by the child's id
	saveQueue []*saveJob

	sends     map[uint64]*sendJob // by transfer
	sendQueue []*sendJob

	receives map[snapshotKey]*receiveJob
	incoming map[transferKey]*receiveJob

	standing map[string]SnapshotRef // what each group stands on, as the last PruneSnapshots said
	evidence map[string]evidence    // of damage, by group
}

type saveJob struct {
	msg    *SaveSnapshot
	sender *actor.PID
}

var errJobFailed = errors.New("snapshot job failed")

func (s *snapshots) Receive(ctx actor.Context) {
	switch msg := ctx.Message().(type) {
	case *actor.Started:
		sys := actors.Of(ctx)
		s.log, s.meter = sys.Log().Named(actors.NameSnapshots), newSnapshotMetrics(sys.Metrics())
		s.rand = sys.Env().Rand(actors.NameSnapshots).Uint64
	case *SaveSnapshot:
		s.save(ctx, msg)
	case *saved:
		s.saved(ctx, msg)
	case *SendSnapshot:
		s.send(ctx, msg)
	case *sendEnded:
		s.sendEnded(ctx, msg.transfer, msg.err)
	case *PruneSnapshots:
		s.standing[msg.Ref.Group] = msg.Ref
		s.prune(ctx, msg.Ref.Group)
	case *RemoveSnapshots:
		s.remove(ctx, msg.Group, ctx.Sender())
	case *pruned:
		s.pruned(msg)
	case *actors.Inbound:
		s.inbound(ctx, msg)
	case *stored:
		s.stored(msg)
	case *receiveEnded:
		s.receiveEnded(msg)
	case *actor.Terminated:
		// It overtakes the result, which is a user message and already queued.
		ctx.Send(ctx.Self(), &childGone{msg.Who})
	case *childGone:
		s.childGone(ctx, msg.who)
	case *actor.Restarting:
		s.abandon(ctx, ErrInterrupted)
	case *actor.Stopping:
		s.abandon(ctx, ErrStopped)
	}
}

func (s *snapshots) save(ctx actor.Context, msg *SaveSnapshot) {
	job := &saveJob{msg: msg, sender: ctx.Sender()}
	if len(s.saveQueue) >= s.cfg.MaxWaiting {
		s.meter.failed("busy").Add(1)
		reply(ctx, job.sender, &SnapshotSaved{Ref: msg.Ref, Err: ErrBusy})
		return
	}
	s.saveQueue = append(s.saveQueue, job)
	s.startSaves(ctx)
}

func (s *snapshots) startSaves(ctx actor.Context) {
	for len(s.saves) < s.cfg.MaxSaves && len(s.saveQueue) > 0 {
		job := s.saveQueue[0]
		s.saveQueue = s.saveQueue[1:]
		pid := s.task(ctx, func(self *actor.PID) any {
			ref, err := writeSnapshot(s.files, job.msg)
			return &saved{job: self.Id, ref: ref, err: err}
		})
		s.saves[pid.Id] = job
	}
}

// saved is what a save's child reports.
type saved struct {
	job string
	ref SnapshotRef
	err error
}

func (s *snapshots) saved(ctx actor.Context, msg *saved) {
	job, ok := s.saves[msg.job]
	if !ok {
		return
	}
	delete(s.saves, msg.job)
	if msg.err != nil {
		s.meter.failed("save").Add(1)
		msg.ref = job.msg.Ref
	} else {
		s.meter.savedBytes.Add(msg.ref.Size)
	}
	reply(ctx, job.sender, &SnapshotSaved{Ref: msg.ref, Err: msg.err})
	s.startSaves(ctx)
}

func writeSnapshot(files SnapshotFiles, msg *SaveSnapshot) (SnapshotRef, error) {
	ref := msg.Ref
	ref.Size, ref.Checksum = 0, 0
	w, err := files.Create(ref)
	if err != nil {
		return ref, err
	}
	written := false
	defer func() { // also where the machine panics
		if !written {
			w.Abort()
		}
	}()
	if _, err := msg.Data.WriteTo(w); err != nil {
		return ref, fmt.Errorf("write the snapshot of group %q at index %d: %w", ref.Group, ref.Index, err)
	}
	written = true
	return w.Commit()
}

// task runs do in a child and hands its result to this actor. A result that never comes is noticed by its Terminated.
func (s *snapshots) task(ctx actor.Context, do func(self *actor.PID) any) *actor.PID {
	parent := ctx.Self()
	pid := ctx.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*actor.Started); ok {
			ctx.Send(parent, do(ctx.Self()))
			ctx.Stop(ctx.Self())
		}
	}))
	ctx.Watch(pid)
	return pid
}

type childGone struct{ who *actor.PID }

// childGone reports the job whose child ended without a result.
func (s *snapshots) childGone(ctx actor.Context, who *actor.PID) {
	s.saved(ctx, &saved{job: who.Id, err: errJobFailed})
	for _, transfer := range sortedTransfers(s.sends) {
		if s.sends[transfer].child.Equal(who) {
			s.sendEnded(ctx, transfer, errJobFailed)
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(s.receives), snapshotKey.compare) {
		s.receiveEnded(&receiveEnded{key: key, child: who})
	}
}

func sortedTransfers(m map[uint64]*sendJob) []uint64 {
	out := make([]uint64, 0, len(m))
	for t := range m {
		out = append(out, t)
	}
	slices.Sort(out)
	return out
}

// abandon answers everyone who waits. The children end with their parent.
func (s *snapshots) abandon(ctx actor.Context, err error) {
	for _, id := range sortedKeys(s.saves) {
		reply(ctx, s.saves[id].sender, &SnapshotSaved{Ref: s.saves[id].msg.Ref, Err: err})
	}
	for _, job := range s.saveQueue {
		reply(ctx, job.sender, &SnapshotSaved{Ref: job.msg.Ref, Err: err})
	}
	for _, transfer := range sortedTransfers(s.sends) {
		s.sends[transfer].answer(ctx, err)
	}
	for _, job := range s.sendQueue {
		job.answer(ctx, err)
	}
}
