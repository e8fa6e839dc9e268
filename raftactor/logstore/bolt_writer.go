package logstore

import (
	"errors"
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"
)

// maxRecord is about where a record ends and the next begins; a larger entry has one of its own.
const maxRecord = 256 << 10

// boltJob is one Submit, or one SetIdentity.
type boltJob struct {
	batch    []GroupWrite
	seq      uint64
	notify   func(Durable)
	identity *Identity
	reply    chan error
}

// boltWriter is what only the writer goroutine touches.
type boltWriter struct {
	space   boltSpace
	segment uint64 // that is written to; 0: the next write begins one
	failed  error
	stuck   bool // the oldest segment is damaged: nothing more is cleaned
	spare   [][]byte

	// commit ends a transaction; a test makes it fail.
	commit func(*bbolt.Tx) error
}

func (w *boltWriter) open(s *bolt, path string) error {
	w.commit = (*bbolt.Tx).Commit
	if err := w.space.open(path, s.opts.PreallocateBytes); err != nil {
		return err
	}
	if s.opts.opened != nil {
		s.opts.opened(s)
	}
	// On a full disk the store opens all the same, and refuses what needs room.
	if err := w.space.reserve(s.db, 0, false); err != nil && !errors.Is(err, ErrNoSpace) {
		return err
	}
	return nil
}

func (s *bolt) Submit(batch []GroupWrite, seq uint64) {
	s.queueMu.Lock()
	job := boltJob{batch: batch, seq: seq, notify: s.notify}
	closed := s.enqueue(job)
	s.queueMu.Unlock()
	if closed {
		job.notify(Durable{Seq: seq, Err: ErrStopped})
	}
}

// enqueue hands a job to the writer goroutine. Callers are few and wait for their completions: the queue is as short as they
// make it.
func (s *bolt) enqueue(job boltJob) (closed bool) {
	if s.closed {
		return true
	}
	s.queue = append(s.queue, job)
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return false
}

func (s *bolt) SetIdentity(id Identity, groups []GroupWrite) error {
	job := boltJob{batch: groups, identity: &id, reply: make(chan error, 1)}
	s.queueMu.Lock()
	closed := s.enqueue(job)
	s.queueMu.Unlock()
	if closed {
		return ErrStopped
	}
	return <-job.reply
}

// Close completes what was submitted, then releases file and directory.
func (s *bolt) Close() error {
	s.queueMu.Lock()
	already := s.closed
	s.closed = true
	s.queueMu.Unlock()
	if !already {
		close(s.wake)
	}
	<-s.done
	if already {
		return nil
	}
	return errors.Join(s.db.Close(), s.w.space.close(), s.lock.Close())
}

func (s *bolt) run() {
	defer close(s.done)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	for open := true; open; {
		_, open = <-s.wake
		s.queueMu.Lock()
		jobs := s.queue
		s.queue = nil
		s.queueMu.Unlock()
		for i := range jobs {
			s.do(&jobs[i])
		}
	}
}

func (s *bolt) do(job *boltJob) {
	refused, err := s.write(job)
	if err != nil && !errors.Is(err, ErrNoSpace) && !errors.Is(err, errIdentity) {
		s.w.failed = ErrStopped
	}
	if job.reply != nil {
		job.reply <- err
		return
	}
	job.notify(Durable{Seq: job.seq, Err: err, Refused: refused})
}

// errIdentity marks what is wrong with a SetIdentity alone.
var errIdentity = errors.New("identity refused")

func (s *bolt) write(job *boltJob) ([]Refused, error) {
	if s.w.failed != nil {
		return nil, s.w.failed
	}
	if job.identity != nil {
		if err := s.identity.admits(*job.identity); err != nil {
			return nil, fmt.Errorf("%w: %w", errIdentity, err)
		}
	}
	plan := planBatch(job.batch, func(group string) *position {
		if g, ok := s.index.groups[group]; ok {
			return g.position
		}
		return newPosition()
	})
	if job.identity != nil && len(plan.refused) > 0 {
		return nil, fmt.Errorf("%w: %w", errIdentity, plan.refused[0].Err)
	}
	if len(plan.ops) == 0 && job.identity == nil {
		return plan.refused, nil
	}
	return plan.refused, guard(func() error { return s.commit(job, plan) })
}

// commit writes ops, and one step of cleaning, in one transaction: what is carried on goes before the ops, which may
// replace it, and the checkpoints behind them, for they are of the state after.
func (s *bolt) commit(job *boltJob, plan batchPlan) error {
	step := s.nextStep(plan)
	ops := splitOps(plan.ops)
	need := pagesFor(ops) + pagesFor(step.checkpoints) + 2*int64(step.carryBytes)/boltPageSize
	if err := s.w.space.reserve(s.db, need, onlyShrinks(plan.ops)); err != nil {
		return err
	}
	tx, err := s.db.Begin(true)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	flush := &boltFlush{spare: s.w.spare}
	s.w.spare = nil
	s.carryRuns(tx, flush, step)
	flush.addAll(ops)
	flush.addAll(step.checkpoints)
	if err := s.fill(tx, job, flush, step); err != nil {
		return err
	}
	if err := s.w.commit(tx); err != nil {
		return fmt.Errorf("commit to the log store: %w", err)
	}
	s.publish(job, plan, flush, step)
	s.w.spare = flush.buffers()
	return nil
}

func (s *bolt) fill(tx *bbolt.Tx, job *boltJob, flush *boltFlush, step cleanStep) error {
	segment := s.w.segment
	if active := s.index.segment(segment); active == nil || active.bytes >= s.opts.SegmentBytes {
		segment = s.lastSegment() + 1
	}
	flush.place(segment, s.index.lastSeq+1)
	if err := flush.put(tx); err != nil {
		return err
	}
	for _, old := range step.drop {
		if err := tx.DeleteBucket(segmentName(old)); err != nil {
			return err
		}
	}
	tail := boltTail{firstSegment: segment, lastSegment: segment, lastSeq: s.index.lastSeq + uint64(len(flush.records))}
	if len(flush.records) == 0 {
		tail.firstSegment, tail.lastSegment = s.lastSegment(), s.lastSegment()
	}
	if kept := s.index.segments[len(step.drop):]; len(kept) > 0 {
		tail.firstSegment = kept[0].id
	}
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		return pageDamage("bucket meta is missing")
	}
	if job.identity != nil {
		if err := meta.Put(identityKey, encodeIdentity(*job.identity)); err != nil {
			return err
		}
	}
	return meta.Put(tailKey, tail.encode())
}

func (s *bolt) lastSegment() uint64 {
	if n := len(s.index.segments); n > 0 {
		return s.index.segments[n-1].id
	}
	return 0
}

// publish shows readers what is durable.
func (s *bolt) publish(job *boltJob, plan batchPlan, flush *boltFlush, step cleanStep) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if job.identity != nil {
		s.identity = *job.identity
	}
	x := s.index
	x.segments = x.segments[len(step.drop):]
	if n := len(flush.records); n > 0 {
		if s.lastSegment() != flush.segment {
			x.segments = append(x.segments, &segment{id: flush.segment})
		}
		s.w.segment = flush.segment
		x.lastSeq += uint64(n)
		for _, r := range flush.records {
			x.segment(flush.segment).bytes += uint64(len(r.body))
		}
	}
	for i := range flush.ops {
		x.apply(&flush.ops[i])
	}
	for group, p := range plan.after {
		if g, ok := x.groups[group]; ok {
			g.position = p
		}
	}
}
