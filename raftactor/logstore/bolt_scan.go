package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"hash/crc32"

	"github.com/hupe1980/rivven-cluster/actors"
)

// The root of the file holds a bucket "meta" and one for each segment, 's' and its id in big endian. A segment's keys are
// sequence numbers in big endian, without a hole over all segments. A record of up to smallRecord bytes is the value; a larger
// one has a bucket of its own with the one key "r", for bbolt writes a leaf's last four values again with each new one.
//
// "meta" holds format, identity and tail, each behind a CRC-32C. The tail says which segments and records there must be, so
// that none can vanish unnoticed; it changes with every transaction.
const (
	boltFormat  = 1
	smallRecord = 2048
)

var (
	metaBucket  = []byte("meta")
	formatKey   = []byte("format")
	identityKey = []byte("identity")
	tailKey     = []byte("tail")
	recordKey   = []byte("r")
)

func segmentName(id uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'s'}, id) }

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func sealMeta(body []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, crc32.Checksum(body, recordTable)), body...)
}

func openMeta(key, value []byte) ([]byte, error) {
	if len(value) < 4 || binary.LittleEndian.Uint32(value) != crc32.Checksum(value[4:], recordTable) {
		return nil, pageDamage("%q fails its checksum", key)
	}
	return value[4:], nil
}

// boltTail is what the file must hold.
type boltTail struct{ firstSegment, lastSegment, lastSeq uint64 }

func (t boltTail) encode() []byte {
	body := binary.BigEndian.AppendUint64(nil, t.firstSegment)
	body = binary.BigEndian.AppendUint64(body, t.lastSegment)
	return sealMeta(binary.BigEndian.AppendUint64(body, t.lastSeq))
}

func encodeIdentity(id Identity) []byte {
	body := append([]byte(nil), id.DirectoryID[:]...)
	body = binary.BigEndian.AppendUint64(body, id.NodeID)
	body = binary.BigEndian.AppendUint64(body, id.Generation)
	body = binary.AppendUvarint(body, uint64(len(id.ClusterID)))
	body = append(body, id.ClusterID...)
	body = binary.AppendUvarint(body, uint64(len(id.InitialConfig)))
	return sealMeta(append(body, id.InitialConfig...))
}

func decodeIdentity(body []byte) (Identity, error) {
	r := recordReader{rest: body}
	var id Identity
	fixed := r.bytes(32)
	if r.err == nil {
		id.DirectoryID, _ = actors.IDFromBytes(fixed[:16])
		id.NodeID, id.Generation = binary.BigEndian.Uint64(fixed[16:]), binary.BigEndian.Uint64(fixed[24:])
	}
	id.ClusterID = string(r.bytes(r.uint()))
	if config := r.bytes(r.uint()); len(config) > 0 {
		id.InitialConfig = append([]byte(nil), config...)
	}
	if r.err != nil || len(r.rest) > 0 || id.DirectoryID.IsZero() {
		return id, pageDamage("the identity is garbled")
	}
	return id, nil
}

// scan is all that is read at open.
type scan struct {
	index    *index
	identity Identity
	tail     boltTail
	found    map[string]bool
}

// scanFile reads and checks the whole file, before bbolt sees it.
func scanFile(path string, maxTail int) (*scan, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	pages, err := openPages(file, info.Size())
	if err != nil {
		return nil, err
	}
	s := &scan{index: newIndex(maxTail), found: make(map[string]bool)}
	if err := pages.walk(pages.root, func(key, value []byte, bucket bool) error { return s.root(pages, key, value, bucket) }); err != nil {
		return nil, err
	}
	return s, s.check()
}

func (s *scan) root(pages *pageReader, key, value []byte, bucket bool) error {
	switch {
	case !bucket:
		return pageDamage("unknown key %x", key)
	case string(key) == string(metaBucket):
		return pages.bucket(value, s.meta)
	case len(key) != 9 || key[0] != 's' || !s.found[string(tailKey)]:
		return pageDamage("unknown bucket %x", key)
	}
	id := binary.BigEndian.Uint64(key[1:])
	if n := len(s.index.segments); n > 0 && id != s.index.segments[n-1].id+1 {
		return pageDamage("segment %d follows segment %d", id, s.index.segments[n-1].id)
	}
	seg := &segment{id: id}
	s.index.segments = append(s.index.segments, seg)
	return pages.bucket(value, func(key, value []byte, bucket bool) error { return s.record(pages, seg, key, value, bucket) })
}

func (s *scan) meta(key, value []byte, bucket bool) error {
	if bucket {
		return pageDamage("unknown bucket %q", key)
	}
	body, err := openMeta(key, value)
	if err != nil {
		return err
	}
	s.found[string(key)] = true
	switch string(key) {
	case string(formatKey):
		if len(body) != 4 {
			return pageDamage("the format is garbled")
		}
		if format := binary.BigEndian.Uint32(body); format > boltFormat {
			return fmt.Errorf("%w: format %d, this version knows up to %d: run the version that wrote it, or a newer one", ErrNewerFormat, format, boltFormat)
		}
	case string(identityKey):
		s.identity, err = decodeIdentity(body)
		return err
	case string(tailKey):
		if len(body) != 24 {
			return pageDamage("the tail is garbled")
		}
		s.tail = boltTail{binary.BigEndian.Uint64(body), binary.BigEndian.Uint64(body[8:]), binary.BigEndian.Uint64(body[16:])}
	}
	return nil
}

func (s *scan) record(pages *pageReader, seg *segment, key, value []byte, bucket bool) error {
	if len(key) != 8 {
		return pageDamage("key %x in segment %d", key, seg.id)
	}
	seq := binary.BigEndian.Uint64(key)
	if s.index.lastSeq != 0 && seq != s.index.lastSeq+1 {
		return pageDamage("record %d of segment %d follows record %d", seq, seg.id, s.index.lastSeq)
	}
	s.index.lastSeq = seq
	if !bucket {
		return s.ops(seg, seq, value)
	}
	got := 0
	err := pages.bucket(value, func(key, value []byte, bucket bool) error {
		if got++; got > 1 || bucket || string(key) != string(recordKey) {
			return pageDamage("record %d of segment %d has a stray key %x", seq, seg.id, key)
		}
		return s.ops(seg, seq, value)
	})
	if err == nil && got == 0 {
		return pageDamage("record %d of segment %d is empty", seq, seg.id)
	}
	return err
}

func (s *scan) ops(seg *segment, seq uint64, value []byte) error {
	seg.bytes += uint64(len(value))
	err := decodeRecord(value, seg.id, seq, s.index.replay)
	if err != nil && !errors.Is(err, ErrNewerFormat) {
		return &DamageError{Detail: err.Error()}
	}
	return err
}

func (s *scan) check() error {
	for _, key := range [][]byte{formatKey, identityKey, tailKey} {
		if !s.found[string(key)] {
			return pageDamage("%q is missing", key)
		}
	}
	have := boltTail{lastSeq: s.index.lastSeq}
	if n := len(s.index.segments); n > 0 {
		have.firstSegment, have.lastSegment = s.index.segments[0].id, s.index.segments[n-1].id
	}
	if have != s.tail {
		return pageDamage("segments %d to %d up to record %d, instead of %d to %d up to %d",
			have.firstSegment, have.lastSegment, have.lastSeq, s.tail.firstSegment, s.tail.lastSegment, s.tail.lastSeq)
	}
	return s.index.settle()
}
