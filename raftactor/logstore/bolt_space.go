package logstore

import (
	"fmt"
	"os"

	"go.etcd.io/bbolt"
)

// boltSpace writes zeros beyond the pages that bbolt uses, so that a commit finds its blocks allocated: it is faster, and
// a full disk shows before a transaction begins and not in the middle of one. Pages beyond bbolt's high water mark are
// nobody's, and bbolt never makes the file shorter.
type boltSpace struct {
	file   *os.File
	size   int64 // of the file, all of it written
	ahead  int64
	zeros  []byte
	extend func(file *os.File, zeros []byte, at int64) error // tests make it fail, and sync
	sync   func(*os.File) error
}

// reservePages stay for transactions that only make the log shorter.
const reservePages = 256

func (b *boltSpace) open(path string, ahead int64) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return err
	}
	b.file, b.size, b.ahead = file, info.Size(), ahead
	b.zeros, b.sync = make([]byte, 256<<10), (*os.File).Sync
	b.extend = func(file *os.File, zeros []byte, at int64) error {
		_, err := file.WriteAt(zeros, at)
		return err
	}
	return nil
}

func (b *boltSpace) close() error {
	if b.file == nil {
		return nil
	}
	return b.file.Close()
}

// reserve makes sure that a transaction of so many new pages finds room. ErrNoSpace means that nothing was begun.
func (b *boltSpace) reserve(db *bbolt.DB, pages int64, shrinks bool) error {
	var used int64
	if err := db.View(func(tx *bbolt.Tx) error { used = tx.Size(); return nil }); err != nil {
		return err
	}
	need := used + (pages+1)*boltPageSize
	if !shrinks {
		need += reservePages * boltPageSize
	}
	if need <= b.size {
		return nil
	}
	b.size = max(b.size, used)
	err := b.grow(need + b.ahead)
	if err == nil || (isNoSpace(err) && need <= b.size) {
		return nil
	}
	if isNoSpace(err) {
		return fmt.Errorf("%w: %d more bytes are wanted for %s: %w", ErrNoSpace, need-b.size, b.file.Name(), err)
	}
	return fmt.Errorf("extend %s: %w", b.file.Name(), err)
}

func (b *boltSpace) grow(to int64) error {
	for b.size < to {
		n := min(int64(len(b.zeros)), to-b.size)
		if err := b.extend(b.file, b.zeros[:n], b.size); err != nil {
			return err
		}
		b.size += n
	}
	return b.sync(b.file)
}

// onlyShrinks says whether ops write no entries.
func onlyShrinks(ops []op) bool {
	for i := range ops {
		if len(ops[i].entries) > 0 {
			return false
		}
	}
	return true
}
