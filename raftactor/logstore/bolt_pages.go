package logstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt has no checksums on its data pages, and a damaged one makes it panic, in a goroutine of its own even. So at open
// the file is read here first: its tree must be sound in every page, and only then is it handed to bbolt.
//
// The format is bbolt's (version 2), in the byte order of the machine: see internal/common of go.etcd.io/bbolt.
const (
	boltPageSize = 4096 // of every file, whatever the machine's pages are
	pageHead     = 16
	pageElement  = 16
	pageBranch   = 0x01
	pageLeaf     = 0x02
	leafBucket   = 0x01
	boltMagic    = 0xED0CDAED
	boltVersion  = 2
	metaBytes    = 64
	maxDepth     = 32
)

// pageReader reads a bbolt file's pages.
type pageReader struct {
	file io.ReaderAt
	size int64
	hwm  uint64 // pages from here on are not in use
	root uint64
	seen []uint64 // a bit for each page
}

type boltMeta struct{ root, hwm, txid uint64 }

func pageDamage(format string, args ...any) error {
	return &DamageError{Detail: "database file: " + fmt.Sprintf(format, args...)}
}

// openPages finds the state that was committed last. A meta page is a tenth of a sector and written in one piece, so one
// that doesn't check is damage, not a torn write; taking the other one would lose the last commit silently.
func openPages(file io.ReaderAt, size int64) (*pageReader, error) {
	var metas [2]boltMeta
	for i := range metas {
		buf := make([]byte, pageHead+metaBytes)
		if _, err := file.ReadAt(buf, int64(i)*boltPageSize); err != nil {
			return nil, pageDamage("meta page %d: %v", i, err)
		}
		m := buf[pageHead:]
		sum := fnv.New64a()
		_, _ = sum.Write(m[:metaBytes-8])
		u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
		if u32(m) != boltMagic || u32(m[4:]) != boltVersion || u32(m[8:]) != boltPageSize || u64(m[56:]) != sum.Sum64() {
			return nil, pageDamage("meta page %d fails its checksum", i)
		}
		metas[i] = boltMeta{root: u64(m[16:]), hwm: u64(m[40:]), txid: u64(m[48:])}
	}
	m, old := metas[0], metas[1]
	if old.txid > m.txid {
		m, old = old, m
	}
	if m.txid != old.txid+1 {
		return nil, pageDamage("meta pages are of transactions %d and %d", old.txid, m.txid)
	}
	if m.hwm > uint64(size)/boltPageSize || m.hwm < 4 {
		return nil, pageDamage("%d pages in use in a file of %d bytes", m.hwm, size)
	}
	return &pageReader{file: file, size: size, hwm: m.hwm, root: m.root, seen: make([]uint64, m.hwm/64+1)}, nil
}

// walk visits the leaf elements below a page in order, and checks what bbolt takes for granted.
func (p *pageReader) walk(id uint64, visit func(key, value []byte, bucket bool) error) error {
	_, err := p.walkPage(id, nil, nil, 0, visit)
	return err
}

func (p *pageReader) walkPage(id uint64, low, high []byte, depth int, visit func(key, value []byte, bucket bool) error) (last []byte, err error) {
	if depth > maxDepth {
		return nil, pageDamage("page %d is more than %d levels deep", id, maxDepth)
	}
	page, err := p.load(id)
	if err != nil {
		return nil, err
	}
	return p.walkElements(id, page, low, high, depth, visit)
}

// load reads a page with its overflow and claims it.
func (p *pageReader) load(id uint64) ([]byte, error) {
	if id < 2 || id >= p.hwm {
		return nil, pageDamage("page %d is out of bounds, %d are in use", id, p.hwm)
	}
	page := make([]byte, boltPageSize)
	if _, err := p.file.ReadAt(page, int64(id)*boltPageSize); err != nil {
		return nil, pageDamage("page %d: %v", id, err)
	}
	if self := binary.NativeEndian.Uint64(page); self != id {
		return nil, pageDamage("page %d says it is page %d", id, self)
	}
	overflow := uint64(binary.NativeEndian.Uint32(page[12:]))
	if id+overflow >= p.hwm {
		return nil, pageDamage("page %d goes on for %d pages, %d are in use", id, overflow, p.hwm)
	}
	for i := id; i <= id+overflow; i++ {
		if p.seen[i/64]&(1<<(i%64)) != 0 {
			return nil, pageDamage("page %d is referenced twice", i)
		}
		p.seen[i/64] |= 1 << (i % 64)
	}
	if overflow == 0 {
		return page, nil
	}
	whole := make([]byte, (overflow+1)*boltPageSize)
	if _, err := p.file.ReadAt(whole[copy(whole, page):], int64(id+1)*boltPageSize); err != nil {
		return nil, pageDamage("page %d: %v", id, err)
	}
	return whole, nil
}

func (p *pageReader) walkElements(id uint64, page, low, high []byte, depth int, visit func(key, value []byte, bucket bool) error) (last []byte, err error) {
	flags, count := binary.NativeEndian.Uint16(page[8:]), int(binary.NativeEndian.Uint16(page[10:]))
	if flags != pageBranch && flags != pageLeaf {
		return nil, pageDamage("page %d has flags %x", id, flags)
	}
	if pageHead+count*pageElement > len(page) || (flags == pageBranch && count == 0) {
		return nil, pageDamage("page %d has %d elements", id, count)
	}
	elements := make([]element, count)
	for i := range elements {
		if elements[i], err = readElement(page, i, flags); err != nil {
			return nil, pageDamage("page %d: element %d: %v", id, i, err)
		}
		key := elements[i].key
		if (i == 0 && low != nil && bytes.Compare(key, low) < 0) || (i > 0 && bytes.Compare(key, elements[i-1].key) <= 0) || (high != nil && bytes.Compare(key, high) >= 0) {
			return nil, pageDamage("page %d: key %x of element %d is out of order", id, key, i)
		}
	}
	for i, e := range elements {
		if flags == pageLeaf {
			if err := visit(e.key, e.value, e.bucket); err != nil {
				return nil, err
			}
			last = e.key
			continue
		}
		next := high
		if i+1 < count {
			next = elements[i+1].key
		}
		if last, err = p.walkPage(e.child, e.key, next, depth+1, visit); err != nil {
			return nil, err
		}
	}
	return last, nil
}

type element struct {
	key, value []byte
	bucket     bool
	child      uint64
}

func readElement(page []byte, i int, flags uint16) (element, error) {
	at := uint64(pageHead + i*pageElement)
	e := page[at : at+pageElement]
	u32 := binary.NativeEndian.Uint32
	var out element
	var pos, keySize, valueSize uint64
	if flags == pageBranch {
		pos, keySize, out.child = uint64(u32(e)), uint64(u32(e[4:])), binary.NativeEndian.Uint64(e[8:])
	} else {
		pos, keySize, valueSize = uint64(u32(e[4:])), uint64(u32(e[8:])), uint64(u32(e[12:]))
		if f := u32(e); f > leafBucket {
			return out, fmt.Errorf("flags %x", f)
		}
		out.bucket = u32(e) == leafBucket
	}
	if at+pos+keySize+valueSize > uint64(len(page)) {
		return out, fmt.Errorf("%d bytes at %d in a page of %d", keySize+valueSize, at+pos, len(page))
	}
	body := page[at+pos:]
	out.key, out.value = body[:keySize:keySize], body[keySize:keySize+valueSize]
	return out, nil
}

// bucket visits the elements of a bucket by its value in its parent's leaf. A small bucket lies in that value itself.
func (p *pageReader) bucket(value []byte, visit func(key, value []byte, bucket bool) error) error {
	if len(value) < 16 {
		return pageDamage("a bucket's head has %d bytes", len(value))
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return p.walk(root, visit)
	}
	page := value[16:]
	if len(page) < pageHead || binary.NativeEndian.Uint16(page[8:]) != pageLeaf {
		return pageDamage("an inline bucket has no leaf page")
	}
	_, err := p.walkElements(0, page, nil, nil, 0, visit)
	return err
}
