package logstore

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
)

var chunkTable = crc32.MakeTable(crc32.Castagnoli)

// ErrStalled: a snapshot transfer made no progress until its deadline.
var ErrStalled = errors.New("snapshot transfer stalled")

// RefusedError says why the receiver ended a transfer.
type RefusedError struct {
	Reason  Reason
	Message string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("snapshot refused by its receiver: %s: %s", e.Reason, e.Message)
}

// sendJob is one transfer and all who asked for it.
type sendJob struct {
	transfer uint64
	ref      SnapshotRef
	to       *actor.PID
	child    *actor.PID
	peer     uint64 // node id of the receiver, from its first answer on
	waiters  []sendWaiter
}

type sendWaiter struct {
	sender *actor.PID
	token  uint64
}

func (j *sendJob) answer(ctx actor.Context, err error) {
	for _, w := range j.waiters {
		reply(ctx, w.sender, &SnapshotSent{Ref: j.ref, Token: w.token, Err: err})
	}
}

func (s *snapshots) send(ctx actor.Context, msg *SendSnapshot) {
	waiter := sendWaiter{sender: ctx.Sender(), token: msg.Token}
	job := &sendJob{ref: msg.Ref, to: msg.To, waiters: []sendWaiter{waiter}}
	if msg.Ref.Size == 0 {
		job.answer(ctx, nil)
		return
	}
	if same := s.findSend(msg); same != nil {
		same.waiters = append(same.waiters, waiter)
		return
	}
	if len(s.sendQueue) >= s.cfg.MaxWaiting {
		s.meter.failed("busy").Add(1)
		job.answer(ctx, ErrBusy)
		return
	}
	s.sendQueue = append(s.sendQueue, job)
	s.startSends(ctx)
}

func (s *snapshots) findSend(msg *SendSnapshot) *sendJob {
	same := func(j *sendJob) bool {
		return j.ref.sameData(&msg.Ref) && j.to.Equal(msg.To) && len(j.waiters) < s.cfg.MaxWaiting
	}
	for _, transfer := range sortedTransfers(s.sends) {
		if j := s.sends[transfer]; same(j) {
			return j
		}
	}
	for _, j := range s.sendQueue {
		if same(j) {
			return j
		}
	}
	return nil
}

func (s *snapshots) startSends(ctx actor.Context) {
	for len(s.sends) < s.cfg.MaxSends && len(s.sendQueue) > 0 {
		job := s.sendQueue[0]
		s.sendQueue = s.sendQueue[1:]
		job.transfer = s.rand()
		for job.transfer == 0 || s.sends[job.transfer] != nil {
			job.transfer = s.rand()
		}
		parent := ctx.Self()
		job.child = ctx.Spawn(actor.PropsFromProducer(func() actor.Actor {
			return &sender{files: s.files, cfg: s.cfg, parent: parent, transfer: job.transfer, ref: job.ref, to: job.to}
		}))
		ctx.Watch(job.child)
		s.sends[job.transfer] = job
	}
	s.meter.sending.Set(float64(len(s.sends)))
}

func (s *snapshots) sendEnded(ctx actor.Context, transfer uint64, err error) {
	job, ok := s.sends[transfer]
	if !ok {
		return
	}
	delete(s.sends, transfer)
	if err != nil {
		s.meter.failed("send").Add(1)
	} else {
		s.meter.sentBytes.Add(job.ref.Size)
	}
	job.answer(ctx, err)
	s.startSends(ctx)
	s.prune(ctx, job.ref.Group)
}

// toSender hands an answer of the receiver on. The first one binds the transfer to its node.
func (s *snapshots) toSender(ctx actor.Context, peer *actors.PeerInfo, transfer uint64, msg proto.Message) {
	job, ok := s.sends[transfer]
	if !ok || (job.peer != 0 && job.peer != peer.NodeID) {
		s.meter.ignored.Add(1)
		return
	}
	job.peer = peer.NodeID
	ctx.Send(job.child, msg)
}

type sendEnded struct {
	transfer uint64
	err      error
}

// sender streams one file to one peer: it offers, sends within the window from where the receiver wants it, and offers again
// when nothing moves.
type sender struct {
	files    SnapshotFiles
	cfg      SnapshotsConfig
	parent   *actor.PID
	transfer uint64
	ref      SnapshotRef
	to       *actor.PID
	env      actors.Env

	file     io.ReadCloser
	at       uint64 // where file stands
	acked    uint64
	accepted bool
	attempts int
	moved    bool // since the last check
	lastMove time.Duration
	ended    bool
}

type checkProgress struct{}

func (s *sender) Receive(ctx actor.Context) {
	switch msg := ctx.Message().(type) {
	case *actor.Started:
		s.env = actors.EnvOf(ctx)
		s.lastMove = s.env.Boot()
		if err := s.reopen(); err != nil {
			s.end(ctx, err)
			return
		}
		s.offer(ctx)
		s.schedule(ctx)
	case *checkProgress:
		s.check(ctx)
	case *Accept:
		s.accept(ctx, msg.GetOffset())
	case *Ack:
		if s.accepted && msg.GetOffset() > s.acked && msg.GetOffset() <= s.at {
			s.acked, s.moved = msg.GetOffset(), true
			s.pump(ctx)
		}
	case *Complete:
		s.end(ctx, nil)
	case *Refuse:
		s.refused(ctx, msg)
	case *actor.Stopping:
		if s.file != nil {
			_ = s.file.Close()
		}
	}
}

func (s *sender) reopen() error {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
	file, err := s.files.Open(s.ref)
	if err != nil {
		return err
	}
	s.file, s.at = file, 0
	return nil
}

func (s *sender) offer(ctx actor.Context) {
	s.accepted = false
	actors.Send(actors.Bulk, ctx, s.to, &Offer{Transfer: s.transfer, Ref: s.ref.toProto()})
}

func (s *sender) schedule(ctx actor.Context) {
	s.env.After(s.cfg.RetryAfter, ctx.Self(), &checkProgress{})
}

func (s *sender) check(ctx actor.Context) {
	now := s.env.Boot()
	switch {
	case s.ended:
		return
	case s.moved:
		s.moved, s.lastMove = false, now
	case now-s.lastMove >= s.cfg.StallTimeout:
		s.end(ctx, fmt.Errorf("%w: %d of %d bytes acknowledged, nothing for %s", ErrStalled, s.acked, s.ref.Size, now-s.lastMove))
		return
	default:
		s.offer(ctx)
	}
	s.schedule(ctx)
}

func (s *sender) accept(ctx actor.Context, offset uint64) {
	if offset > s.ref.Size {
		s.end(ctx, &RefusedError{Reason: Reason_REASON_INVALID, Message: fmt.Sprintf("it asks for byte %d of %d", offset, s.ref.Size)})
		return
	}
	if s.accepted && offset <= s.acked {
		return
	}
	if err := s.seek(offset); err != nil {
		s.end(ctx, err)
		return
	}
	s.moved = s.moved || offset > s.acked
	s.accepted, s.acked = true, offset
	s.pump(ctx)
}

func (s *sender) seek(offset uint64) error {
	if seeker, ok := s.file.(io.Seeker); ok {
		s.at = offset
		_, err := seeker.Seek(int64(offset), io.SeekStart)
		return err
	}
	if offset < s.at {
		if err := s.reopen(); err != nil {
			return err
		}
	}
	n, err := io.CopyN(io.Discard, s.file, int64(offset-s.at))
	s.at += uint64(n)
	return err
}

// pump fills the window.
func (s *sender) pump(ctx actor.Context) {
	window := uint64(s.cfg.ChunkBytes * s.cfg.WindowChunks)
	for s.at < s.ref.Size && s.at-s.acked < window {
		n := min(uint64(s.cfg.ChunkBytes), s.ref.Size-s.at)
		data := make([]byte, n)
		if _, err := io.ReadFull(s.file, data); err != nil {
			s.end(ctx, fmt.Errorf("read the snapshot of group %q at index %d: %w", s.ref.Group, s.ref.Index, err))
			return
		}
		actors.Send(actors.Bulk, ctx, s.to, &Chunk{Transfer: s.transfer, Offset: s.at, Data: data, Checksum: crc32.Checksum(data, chunkTable)})
		s.at += n
	}
}

// refused gives up, or leaves it to the next check to offer again.
func (s *sender) refused(ctx actor.Context, msg *Refuse) {
	s.accepted = false
	switch msg.GetReason() {
	case Reason_REASON_BUSY, Reason_REASON_UNKNOWN:
		return
	case Reason_REASON_CHECKSUM, Reason_REASON_IO:
		if s.attempts++; s.attempts < maxAttempts {
			s.acked = 0
			return
		}
	}
	s.end(ctx, &RefusedError{Reason: msg.GetReason(), Message: msg.GetMessage()})
}

func (s *sender) end(ctx actor.Context, err error) {
	if s.ended {
		return
	}
	s.ended = true
	ctx.Send(s.parent, &sendEnded{transfer: s.transfer, err: err})
	ctx.Stop(ctx.Self())
}
