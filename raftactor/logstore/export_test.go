package logstore

import (
	"os"
	"reflect"
	"unsafe"

	"go.etcd.io/bbolt"
)

// Digest is all that a store knows, as text.
var Digest = digest

// FirstSegment is the oldest segment of a bolt store.
func FirstSegment(s Store) uint64 { return s.(*bolt).index.segments[0].id }

// RecordBolt are options of a store that tells of every write to its file from its opening on, bbolt's own and those of the space ahead,
// and of every sync. bbolt syncs twice: between a transaction's pages and the meta page that makes them the state, and behind that one
// (tx.Commit of bbolt 1.5.0). It has no seam for syncs, and that for writes it keeps to itself.
func RecordBolt(o BoltOptions, write func(data []byte, at int64), sync func()) BoltOptions {
	o.opened = func(b *bolt) { record(b, write, sync) }
	return o
}

func record(b *bolt, write func(data []byte, at int64), sync func()) {
	field := reflect.ValueOf(b.db).Elem().FieldByName("ops").FieldByName("writeAt")
	writeAt := (*func([]byte, int64) (int, error))(unsafe.Pointer(field.UnsafeAddr()))
	below := *writeAt
	*writeAt = func(data []byte, at int64) (int, error) {
		if at < 2*boltPageSize {
			sync()
		}
		write(data, at)
		return below(data, at)
	}
	b.w.commit = func(tx *bbolt.Tx) error {
		err := tx.Commit()
		sync()
		return err
	}
	extend, syncSpace := b.w.space.extend, b.w.space.sync
	b.w.space.extend = func(f *os.File, zeros []byte, at int64) error {
		write(zeros, at)
		return extend(f, zeros, at)
	}
	b.w.space.sync = func(f *os.File) error {
		sync()
		return syncSpace(f)
	}
	b.db.NoSync = true // what counts as durable is the recording's
}
