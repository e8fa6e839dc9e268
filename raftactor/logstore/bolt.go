package logstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/hupe1980/rivven-cluster/actors"
)

// BoltOptions says whose store it is. Zero bounds take the defaults.
type BoltOptions struct {
	// NodeID must be the one that the directory was made for.
	NodeID uint64
	// DirectoryID becomes the id of a directory that is new; an old one keeps its own.
	DirectoryID actors.ID
	// NowMs is the process's start in Unix milliseconds, the floor of its generation.
	NowMs uint64
	// SegmentBytes of records and a new segment begins. Default 16 MiB.
	SegmentBytes uint64
	// TailBytes of the newest entries of all groups are kept in memory. Default 64 MiB.
	TailBytes int
	// PreallocateBytes of zeros are written ahead, so that a commit needs no new blocks. Default 8 MiB.
	PreallocateBytes int64

	opened func(*bolt) // tests look on from here, before the first write
}

func (o BoltOptions) withDefaults() BoltOptions {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 16 << 20
	}
	if o.TailBytes == 0 {
		o.TailBytes = 64 << 20
	}
	if o.PreallocateBytes == 0 {
		o.PreallocateBytes = 8 << 20
	}
	return o
}

// DatabaseFile is the name of the file within the data directory.
const DatabaseFile = "raft.db"

// bolt is the store in a bbolt file. One goroutine writes; readers share an index in memory with it.
type bolt struct {
	dir  string
	opts BoltOptions
	lock *os.File
	db   *bbolt.DB

	mu       sync.RWMutex // index, identity: changed by the writer alone
	index    *index
	identity Identity

	queueMu sync.Mutex
	notify  func(Durable)
	queue   []boltJob
	closed  bool
	wake    chan struct{}
	done    chan struct{}

	w boltWriter // the writer goroutine's own
}

// OpenBolt opens the store of a data directory, and makes it where there is none. The whole file is read and checked.
// It fails with ErrLocked, ErrForeign, ErrNewerFormat or *DamageError where these are the reason.
func OpenBolt(dir string, opts BoltOptions) (Store, error) {
	opts = opts.withDefaults()
	if opts.NodeID == 0 {
		return nil, errors.New("open the log store: the node id is 0")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the log store: %w", err)
	}
	lock, err := lockFile(filepath.Join(dir, "LOCK"))
	if err != nil {
		return nil, fmt.Errorf("open the log store in %s: %w", dir, err)
	}
	s, err := openLocked(dir, opts)
	if err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("open the log store in %s: %w", dir, err)
	}
	s.lock = lock
	go s.run()
	return s, nil
}

func openLocked(dir string, opts BoltOptions) (*bolt, error) {
	path := filepath.Join(dir, DatabaseFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := createBolt(dir, opts); err != nil {
			return nil, err
		}
	}
	found, err := scanFile(path, opts.TailBytes)
	if err != nil {
		return nil, err
	}
	if found.identity.NodeID != opts.NodeID {
		return nil, fmt.Errorf("%w: it is node %d's (directory %s), this is node %d: point it at its own directory, or at an empty one",
			ErrForeign, found.identity.NodeID, found.identity.DirectoryID, opts.NodeID)
	}
	s := &bolt{dir: dir, opts: opts, index: found.index, identity: found.identity, notify: func(Durable) {},
		wake: make(chan struct{}, 1), done: make(chan struct{})}
	s.identity.Generation = max(s.identity.Generation+1, opts.NowMs)
	if err := guard(func() error { return s.openDB(path) }); err != nil {
		_ = s.w.space.close()
		if s.db != nil {
			_ = s.db.Close()
		}
		return nil, err
	}
	return s, nil
}

func boltOptions() *bbolt.Options {
	return &bbolt.Options{PageSize: boltPageSize, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, InitialMmapSize: 64 << 20, NoStatistics: true}
}

func (s *bolt) openDB(path string) (err error) {
	if s.db, err = bbolt.Open(path, 0o600, boltOptions()); err != nil {
		return err
	}
	if err := s.w.open(s, path); err != nil {
		return err
	}
	tx, err := s.db.Begin(true)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := tx.Bucket(metaBucket).Put(identityKey, encodeIdentity(s.identity)); err != nil {
		return err
	}
	return s.w.commit(tx)
}

// createBolt makes the file beside its place and moves it there when it is complete, so that there never is half a one.
func createBolt(dir string, opts BoltOptions) error {
	if opts.DirectoryID.IsZero() {
		return errors.New("a new data directory needs an id")
	}
	temp := filepath.Join(dir, DatabaseFile+".tmp")
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	db, err := bbolt.Open(temp, 0o600, boltOptions())
	if err != nil {
		return err
	}
	db.AllocSize = boltPageSize
	err = db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucket(metaBucket)
		if err != nil {
			return err
		}
		id := Identity{DirectoryID: opts.DirectoryID, NodeID: opts.NodeID}
		return errors.Join(meta.Put(formatKey, sealMeta([]byte{0, 0, 0, boltFormat})), meta.Put(identityKey, encodeIdentity(id)), meta.Put(tailKey, boltTail{}.encode()))
	})
	var used int64
	err = errors.Join(err, db.View(func(tx *bbolt.Tx) error { used = tx.Size(); return nil }), db.Close())
	if err != nil {
		return err
	}
	// bbolt leaves a hole at the end; what lies beyond its pages is for us to write.
	if err := os.Truncate(temp, used); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(dir, DatabaseFile)); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	// The directory may be new itself; one above it that can't be read is its operator's.
	if err := syncDir(filepath.Dir(filepath.Clean(dir))); err != nil && !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil
}

// guard turns a panic of bbolt, or a fault in its memory map, into damage.
func guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = pageDamage("%v", r)
		}
	}()
	return do()
}

func (s *bolt) Attach(notify func(Durable)) {
	s.queueMu.Lock()
	defer s.queueMu.Unlock()
	s.notify = notify
}

func (s *bolt) Identity() Identity {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.identity
}

func (s *bolt) Groups() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return sortedKeys(s.index.groups)
}

func (s *bolt) State(group string) GroupState {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if g, ok := s.index.groups[group]; ok {
		return g.state()
	}
	return GroupState{}
}

func (s *bolt) Term(group string, index uint64) (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if g, ok := s.index.groups[group]; ok {
		return g.term(index)
	}
	return newPosition().term(index)
}

func (s *bolt) Entries(group string, lo, hi, maxBytes uint64) ([]*raftpb.Entry, error) {
	entries, tx, runs, err := s.locate(group, lo, hi, maxBytes)
	if tx == nil {
		return entries, err
	}
	err = guard(func() error {
		entries, err = readRuns(tx, runs, lo, hi, maxBytes)
		return err
	})
	_ = tx.Rollback()
	var damage *DamageError
	if errors.As(err, &damage) {
		err = &DamageError{Group: group, Index: max(lo, damage.Index), Detail: damage.Detail}
	}
	return entries, err
}

// locate answers from memory, or begins the transaction in which the runs can be read: a segment is dropped only after
// the index no longer names it, so a transaction that begins under the lock still has all that the index names.
func (s *bolt) locate(group string, lo, hi, maxBytes uint64) ([]*raftpb.Entry, *bbolt.Tx, []run, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	g, ok := s.index.groups[group]
	if !ok {
		return nil, nil, nil, newPosition().check(lo, hi)
	}
	if err := g.check(lo, hi); err != nil || lo == hi {
		return nil, nil, nil, err
	}
	if entries, ok := g.fromTail(lo, hi, maxBytes); ok {
		return entries, nil, nil, nil
	}
	tx, err := s.db.Begin(false)
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return nil, nil, nil, ErrStopped
	}
	if err != nil {
		return nil, nil, nil, err
	}
	return nil, tx, g.runsFrom(lo, hi, maxBytes), nil
}

func readRuns(tx *bbolt.Tx, runs []run, lo, hi, maxBytes uint64) ([]*raftpb.Entry, error) {
	var out []*raftpb.Entry
	for _, r := range runs {
		from := max(lo, r.first)
		record, err := readRecord(tx, r.at)
		if err != nil {
			return nil, &DamageError{Index: from, Detail: err.Error()}
		}
		entries, err := decodeEntries(record, r, from, min(hi, r.end()))
		if err != nil {
			return nil, &DamageError{Index: from, Detail: err.Error()}
		}
		before := len(out)
		if out = limitEntries(out, entries, maxBytes); len(out) < before+len(entries) {
			break
		}
	}
	return out, nil
}

// readRecord returns a record after checking it. It is valid until the transaction ends.
func readRecord(tx *bbolt.Tx, at location) ([]byte, error) {
	bucket := tx.Bucket(segmentName(at.segment))
	if bucket == nil {
		return nil, fmt.Errorf("segment %d is missing", at.segment)
	}
	key := seqKey(at.seq)
	record := bucket.Get(key)
	if record == nil {
		if own := bucket.Bucket(key); own != nil {
			record = own.Get(recordKey)
		}
	}
	_, err := openRecord(record, at.segment, at.seq)
	return record, err
}
