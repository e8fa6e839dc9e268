package logstore

import (
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
)

// transferKey names a transfer at its receiver: the id is the sender's own.
type transferKey struct {
	node     uint64
	transfer uint64
}

// receiveJob is one file that is being received.
type receiveJob struct {
	ref     SnapshotRef
	from    transferKey
	child   *actor.PID
	pending int // bytes handed to the child and not yet stored
}

// inbound takes a peer's message. Replies go to the peer's own snapshot actor: a sender in the envelope proves nothing.
func (s *snapshots) inbound(ctx actor.Context, in *actors.Inbound) {
	switch msg := in.Message.(type) {
	case *Offer:
		s.offered(ctx, in.Peer, msg)
	case *Chunk:
		s.chunk(ctx, in.Peer, msg)
	case *Accept:
		s.toSender(ctx, in.Peer, msg.GetTransfer(), msg)
	case *Ack:
		s.toSender(ctx, in.Peer, msg.GetTransfer(), msg)
	case *Complete:
		s.toSender(ctx, in.Peer, msg.GetTransfer(), msg)
	case *Refuse:
		s.toSender(ctx, in.Peer, msg.GetTransfer(), msg)
	default:
		s.meter.ignored.Add(1)
	}
}

func (s *snapshots) offered(ctx actor.Context, peer *actors.PeerInfo, msg *Offer) {
	ref, err := refFromProto(msg.GetRef())
	switch {
	case err != nil:
		s.refuse(ctx, peer, msg.GetTransfer(), Reason_REASON_INVALID, err.Error())
		return
	case ref.Size == 0:
		s.refuse(ctx, peer, msg.GetTransfer(), Reason_REASON_INVALID, "a snapshot without data has no file")
		return
	case ref.Size > s.cfg.MaxBytes:
		s.refuse(ctx, peer, msg.GetTransfer(), Reason_REASON_TOO_LARGE, fmt.Sprintf("%d bytes, at most %d are taken", ref.Size, s.cfg.MaxBytes))
		return
	}
	from := transferKey{peer.NodeID, msg.GetTransfer()}
	job := s.receives[ref.key()]
	switch {
	case job != nil && !job.ref.sameData(ref):
		s.refuse(ctx, peer, msg.GetTransfer(), Reason_REASON_BUSY, "another file of the same snapshot is being received")
		return
	case job == nil && len(s.receives) >= s.cfg.MaxReceives:
		s.refuse(ctx, peer, msg.GetTransfer(), Reason_REASON_BUSY, fmt.Sprintf("%d snapshots are being received", len(s.receives)))
		return
	case job == nil:
		job = &receiveJob{ref: *ref}
		parent := ctx.Self()
		job.child = ctx.Spawn(actor.PropsFromProducer(func() actor.Actor {
			return &receiver{files: s.files, cfg: s.cfg, parent: parent, ref: *ref}
		}))
		ctx.Watch(job.child)
		s.receives[ref.key()] = job
		s.meter.receiving.Set(float64(len(s.receives)))
	}
	delete(s.incoming, job.from)
	job.from = from
	s.incoming[from] = job
	ctx.Send(job.child, &takeOver{peer: peer, transfer: msg.GetTransfer()})
}

func (s *snapshots) chunk(ctx actor.Context, peer *actors.PeerInfo, msg *Chunk) {
	job, ok := s.incoming[transferKey{peer.NodeID, msg.GetTransfer()}]
	if !ok {
		s.refuse(ctx, peer, msg.GetTransfer(), Reason_REASON_UNKNOWN, "no such transfer")
		return
	}
	if len(msg.GetData()) == 0 || len(msg.GetData()) > maxChunk || job.pending+len(msg.GetData()) > maxWindow {
		s.refuse(ctx, peer, msg.GetTransfer(), Reason_REASON_INVALID,
			fmt.Sprintf("a chunk of %d bytes behind %d that are not acknowledged; at most %d and %d are taken", len(msg.GetData()), job.pending, maxChunk, maxWindow))
		ctx.Stop(job.child)
		return
	}
	job.pending += len(msg.GetData())
	ctx.Send(job.child, msg)
}

func (s *snapshots) refuse(ctx actor.Context, peer *actors.PeerInfo, transfer uint64, reason Reason, message string) {
	s.meter.refused.Add(1)
	s.log.Warn("snapshot transfer refused", zap.Stringer("from", peer), zap.Stringer("reason", reason), zap.String("message", message))
	actors.Send(actors.Bulk, ctx, peerSnapshots(peer), &Refuse{Transfer: transfer, Reason: reason, Message: message})
}

func peerSnapshots(peer *actors.PeerInfo) *actor.PID {
	return actor.NewPID(peer.Address, actors.NameSnapshots)
}

func (s *snapshots) stored(msg *stored) {
	if job := s.receives[msg.key]; job != nil && job.child.Equal(msg.child) {
		job.pending -= msg.bytes
	}
}

func (s *snapshots) receiveEnded(msg *receiveEnded) {
	job := s.receives[msg.key]
	if job == nil || !job.child.Equal(msg.child) {
		return
	}
	delete(s.receives, msg.key)
	delete(s.incoming, job.from)
	s.meter.receiving.Set(float64(len(s.receives)))
	if msg.complete {
		s.meter.receivedBytes.Add(job.ref.Size)
	}
}

// takeOver tells a receiver whose chunks come next.
type takeOver struct {
	peer     *actors.PeerInfo
	transfer uint64
}

type stored struct {
	key   snapshotKey
	child *actor.PID
	bytes int
}

type receiveEnded struct {
	key      snapshotKey
	child    *actor.PID
	complete bool
}

type idleCheck struct{}

// receiver writes one file. A transfer that broke off is taken over where it ended, as long as the receiver lives.
type receiver struct {
	files  SnapshotFiles
	cfg    SnapshotsConfig
	parent *actor.PID
	ref    SnapshotRef
	env    actors.Env

	peer     *actors.PeerInfo
	transfer uint64
	file     SnapshotWriter
	offset   uint64
	lastMove time.Duration
	ended    bool
}

func (r *receiver) Receive(ctx actor.Context) {
	switch msg := ctx.Message().(type) {
	case *actor.Started:
		r.env = actors.EnvOf(ctx)
		r.lastMove = r.env.Boot()
		r.env.After(2*r.cfg.StallTimeout, ctx.Self(), &idleCheck{})
	case *takeOver:
		r.takeOver(ctx, msg)
	case *Chunk:
		r.chunk(ctx, msg)
		ctx.Send(r.parent, &stored{key: r.ref.key(), child: ctx.Self(), bytes: len(msg.GetData())})
	case *idleCheck:
		idle := r.env.Boot() - r.lastMove
		if idle >= 2*r.cfg.StallTimeout {
			r.end(ctx, false)
			return
		}
		r.env.After(2*r.cfg.StallTimeout-idle, ctx.Self(), &idleCheck{})
	case *actor.Stopping:
		if r.file != nil {
			r.file.Abort()
		}
	}
}

func (r *receiver) takeOver(ctx actor.Context, msg *takeOver) {
	if r.ended {
		return
	}
	r.peer, r.transfer, r.lastMove = msg.peer, msg.transfer, r.env.Boot()
	if r.file == nil {
		if file, err := r.files.Open(r.ref); err == nil {
			_ = file.Close()
			r.reply(ctx, &Complete{Transfer: r.transfer})
			r.end(ctx, false)
			return
		}
		file, err := r.files.Create(r.ref)
		if err != nil {
			r.fail(ctx, Reason_REASON_IO, err)
			return
		}
		r.file = file
	}
	r.reply(ctx, &Accept{Transfer: r.transfer, Offset: r.offset})
}

func (r *receiver) chunk(ctx actor.Context, msg *Chunk) {
	if r.ended || r.file == nil || msg.GetTransfer() != r.transfer {
		return
	}
	if msg.GetOffset() != r.offset {
		// Sent before the transfer was taken over, or behind a chunk that was lost: the sender notices and offers again.
		r.reply(ctx, &Ack{Transfer: r.transfer, Offset: r.offset})
		return
	}
	if crc32.Checksum(msg.GetData(), chunkTable) != msg.GetChecksum() {
		r.fail(ctx, Reason_REASON_CHECKSUM, fmt.Errorf("%w: chunk at %d", ErrSnapshotChecksum, msg.GetOffset()))
		return
	}
	if _, err := r.file.Write(msg.GetData()); err != nil {
		r.fail(ctx, reasonOf(err), err)
		return
	}
	r.offset += uint64(len(msg.GetData()))
	r.lastMove = r.env.Boot()
	r.reply(ctx, &Ack{Transfer: r.transfer, Offset: r.offset})
	if r.offset == r.ref.Size {
		r.commit(ctx)
	}
}

func (r *receiver) commit(ctx actor.Context) {
	file := r.file
	r.file = nil
	if _, err := file.Commit(); err != nil {
		r.fail(ctx, reasonOf(err), err)
		return
	}
	r.reply(ctx, &Complete{Transfer: r.transfer})
	r.end(ctx, true)
}

func reasonOf(err error) Reason {
	if errors.Is(err, ErrSnapshotChecksum) {
		return Reason_REASON_CHECKSUM
	}
	return Reason_REASON_IO
}

func (r *receiver) fail(ctx actor.Context, reason Reason, err error) {
	r.reply(ctx, &Refuse{Transfer: r.transfer, Reason: reason, Message: err.Error()})
	r.end(ctx, false)
}

func (r *receiver) reply(ctx actor.Context, msg proto.Message) {
	actors.Send(actors.Bulk, ctx, peerSnapshots(r.peer), msg)
}

func (r *receiver) end(ctx actor.Context, complete bool) {
	if r.ended {
		return
	}
	r.ended = true
	ctx.Send(r.parent, &receiveEnded{key: r.ref.key(), child: ctx.Self(), complete: complete})
	ctx.Stop(ctx.Self())
}
