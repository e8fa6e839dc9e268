package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// A record is what one flush writes, or a part of it: ops of any groups, in their order, behind a CRC-32C over all that
// follows, the segment and the sequence number, so that a record in another's place is damage too.
//
//	crc32c (4, little endian) · version (1) · ops
//	op: kind (1) · group (length, bytes) · by kind:
//	  hard     term · vote · commit
//	  state    flags (1) · first · term before it · [hard] · [snapshot: length, protobuf Ref]
//	  entries  first · term · count · count × (type · data length + 1, 0 for none · data)
//
// All numbers are uvarints.
const (
	recordVersion = 1
	recordHead    = 5

	flagHard  = 1
	flagSnap  = 2
	flagReset = 4
)

var recordTable = crc32.MakeTable(crc32.Castagnoli)

var errGarbled = errors.New("garbled record")

// recordSum is the checksum of a record in its place.
func recordSum(segment, seq uint64, body []byte) uint32 {
	var place [16]byte
	binary.BigEndian.PutUint64(place[:8], segment)
	binary.BigEndian.PutUint64(place[8:], seq)
	return crc32.Update(crc32.Checksum(place[:], recordTable), recordTable, body)
}

func beginRecord(buf []byte) []byte { return append(buf, 0, 0, 0, 0, recordVersion) }

func sealRecord(record []byte, segment, seq uint64) {
	binary.LittleEndian.PutUint32(record, recordSum(segment, seq, record[4:]))
}

// openRecord checks a record and returns its ops' bytes.
func openRecord(record []byte, segment, seq uint64) ([]byte, error) {
	if len(record) < recordHead {
		return nil, fmt.Errorf("record %d of segment %d has %d bytes", seq, segment, len(record))
	}
	if sum := recordSum(segment, seq, record[4:]); sum != binary.LittleEndian.Uint32(record) {
		return nil, fmt.Errorf("record %d of segment %d has checksum %08x instead of %08x", seq, segment, sum, binary.LittleEndian.Uint32(record))
	}
	if record[4] != recordVersion {
		return nil, fmt.Errorf("%w: record %d of segment %d has version %d, known is %d", ErrNewerFormat, seq, segment, record[4], recordVersion)
	}
	return record[recordHead:], nil
}

// appendOp writes an op behind what record holds, and notes in o where its entries begin. Entries are of one term.
func appendOp(record []byte, o *op) []byte {
	record = append(record, byte(o.kind))
	record = binary.AppendUvarint(record, uint64(len(o.group)))
	record = append(record, o.group...)
	switch o.kind {
	case opHard:
		record = appendHard(record, o.hard)
	case opState:
		record = appendState(record, o)
	case opEntries, opCarry:
		record = binary.AppendUvarint(record, o.first)
		record = binary.AppendUvarint(record, o.terms[0].term)
		record = binary.AppendUvarint(record, uint64(o.count))
		o.at.offset = uint32(len(record))
		for _, e := range o.entries {
			record = appendEntry(record, e)
		}
		o.at.bytes = uint32(len(record)) - o.at.offset
	}
	return record
}

func appendHard(record []byte, h *raftpb.HardState) []byte {
	record = binary.AppendUvarint(record, h.GetTerm())
	record = binary.AppendUvarint(record, h.GetVote())
	return binary.AppendUvarint(record, h.GetCommit())
}

func appendState(record []byte, o *op) []byte {
	var flags byte
	if o.hard != nil {
		flags |= flagHard
	}
	if o.snap != nil {
		flags |= flagSnap
	}
	if o.reset {
		flags |= flagReset
	}
	record = append(record, flags)
	record = binary.AppendUvarint(record, o.first)
	record = binary.AppendUvarint(record, o.prevTerm)
	if o.hard != nil {
		record = appendHard(record, o.hard)
	}
	if o.snap != nil {
		ref := o.snap.toProto()
		record = binary.AppendUvarint(record, uint64(proto.Size(ref)))
		// A Ref of our own always marshals.
		record, _ = proto.MarshalOptions{Deterministic: true}.MarshalAppend(record, ref)
	}
	return record
}

func appendEntry(record []byte, e *raftpb.Entry) []byte {
	record = binary.AppendUvarint(record, uint64(e.GetType()))
	if e.GetData() == nil {
		return append(record, 0)
	}
	record = binary.AppendUvarint(record, uint64(len(e.GetData()))+1)
	return append(record, e.GetData()...)
}

// recordReader takes ops' bytes apart. After a failure all it returns is zero, and err is set.
type recordReader struct {
	rest []byte
	err  error
}

func (r *recordReader) fail() {
	r.rest, r.err = nil, errGarbled
}

func (r *recordReader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *recordReader) uint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *recordReader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *recordReader) hard() *raftpb.HardState {
	return &raftpb.HardState{Term: proto.Uint64(r.uint()), Vote: proto.Uint64(r.uint()), Commit: proto.Uint64(r.uint())}
}

// entry reads one entry's type and data; the data is part of the record's memory.
func (r *recordReader) entry() (raftpb.EntryType, []byte) {
	kind := r.uint()
	if kind > uint64(raftpb.EntryType_EntryConfChangeV2) {
		r.fail()
	}
	n := r.uint()
	if n == 0 {
		return raftpb.EntryType(kind), nil
	}
	return raftpb.EntryType(kind), r.bytes(n - 1)
}

// op reads one op without its entries. group is what the one before it named, to share its memory.
func (r *recordReader) op(total int, group string) (op, error) {
	o := op{kind: opKind(r.byte())}
	name := r.bytes(r.uint())
	if o.group = group; string(name) != group {
		o.group = string(name)
	}
	if len(name) == 0 || len(name) > MaxGroupName {
		r.fail()
	}
	switch o.kind {
	case opHard:
		o.hard = r.hard()
	case opState:
		r.state(&o)
	case opEntries, opCarry:
		r.entries(&o, total)
	case opRemove:
	default:
		r.fail()
	}
	return o, r.err
}

func (r *recordReader) state(o *op) {
	flags := r.byte()
	o.reset = flags&flagReset != 0
	o.first, o.prevTerm = r.uint(), r.uint()
	if o.first == 0 {
		r.fail()
	}
	if flags&flagHard != 0 {
		o.hard = r.hard()
	}
	if flags&flagSnap == 0 {
		return
	}
	var wire Ref
	if err := proto.Unmarshal(r.bytes(r.uint()), &wire); err != nil || r.err != nil {
		r.fail()
		return
	}
	ref, err := refFromProto(&wire)
	if err != nil {
		r.fail()
		return
	}
	o.snap = ref
}

func (r *recordReader) entries(o *op, total int) {
	o.first = r.uint()
	o.terms = []termRun{{first: o.first, term: r.uint()}}
	count := r.uint()
	// An entry takes two bytes at least.
	if count == 0 || count > uint64(len(r.rest)) || o.first == 0 || o.first > math.MaxUint64-count {
		r.fail()
		return
	}
	o.count = int(count)
	o.at.offset = uint32(total - len(r.rest))
	for range o.count {
		r.entry()
	}
	o.at.bytes = uint32(total-len(r.rest)) - o.at.offset
}

// decodeRecord reads a checked record's ops without their entries.
func decodeRecord(record []byte, segment, seq uint64, visit func(*op)) error {
	body, err := openRecord(record, segment, seq)
	if err != nil {
		return err
	}
	r := recordReader{rest: body}
	group := ""
	for len(r.rest) > 0 {
		o, err := r.op(len(record), group)
		if err != nil {
			return fmt.Errorf("record %d of segment %d: %w", seq, segment, err)
		}
		group = o.group
		o.at.segment, o.at.seq = segment, seq
		visit(&o)
	}
	return nil
}

// decodeEntries reads entries [lo, hi) of a run from its record, which was checked. Their data is copied.
func decodeEntries(record []byte, run run, lo, hi uint64) ([]*raftpb.Entry, error) {
	if uint64(run.at.offset)+uint64(run.at.bytes) > uint64(len(record)) {
		return nil, errGarbled
	}
	r := recordReader{rest: record[run.at.offset : run.at.offset+run.at.bytes]}
	entries := make([]*raftpb.Entry, 0, hi-lo)
	for index := run.first; index < hi; index++ {
		kind, data := r.entry()
		if r.err != nil {
			return nil, r.err
		}
		if index < lo {
			continue
		}
		if data != nil {
			data = append(make([]byte, 0, len(data)), data...)
		}
		entries = append(entries, &raftpb.Entry{Index: proto.Uint64(index), Term: proto.Uint64(run.term), Type: kind.Enum(), Data: data})
	}
	return entries, nil
}
