package metadata

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"google.golang.org/protobuf/proto"
)

// A snapshot is, in little endian:
//
//	"RVMD", format version uint32
//	per record: kind byte, length uvarint, protobuf     nodes, topics, partitions, config, each sorted by key
//	kind 0, length uvarint, SnapshotEnd                 counts and digest
//	CRC-32C uint32 of all bytes before it
//
// Equal states give equal bytes.
const (
	snapshotMagic   = "RVMD"
	snapshotVersion = 1
	// maxRecord bounds what a length on disk or wire can make Restore allocate.
	maxRecord = MaxConfigValue + 4<<10
)

// ErrSnapshot is wrapped by every error of reading a snapshot or an export: it is damaged, or of another version.
var ErrSnapshot = errors.New("metadata snapshot can't be used")

var (
	castagnoli    = crc32.MakeTable(crc32.Castagnoli)
	deterministic = proto.MarshalOptions{Deterministic: true}
)

// WriteTo writes the state as a snapshot. Equal states give equal bytes.
func (s State) WriteTo(w io.Writer) (int64, error) {
	out := &snapshotWriter{w: bufio.NewWriterSize(w, 64<<10)}
	out.write([]byte(snapshotMagic))
	out.write(binary.LittleEndian.AppendUint32(nil, snapshotVersion))
	for n := range s.Nodes() {
		out.record(kindNode, n)
	}
	for t := range s.Topics() {
		out.record(kindTopic, t)
	}
	for p := range s.Partitions() {
		out.record(kindPartition, p)
	}
	for _, c := range s.config.all() {
		out.record(kindConfig, c)
	}
	out.record(kindEnd, s.end())
	out.write(binary.LittleEndian.AppendUint32(nil, out.sum))
	if out.err == nil {
		out.err = out.w.Flush()
	}
	return out.n, out.err
}

func (s State) end() *SnapshotEnd {
	return &SnapshotEnd{
		Nodes: uint64(s.nodes.len()), Topics: uint64(s.topics.len()),
		Partitions: uint64(s.partitions.len()), Config: uint64(s.config.len()), Digest: s.Digest(), EpochFloor: s.epochFloor,
	}
}

type snapshotWriter struct {
	w   *bufio.Writer
	sum uint32
	n   int64
	buf []byte
	err error
}

func (o *snapshotWriter) write(b []byte) {
	if o.err != nil {
		return
	}
	o.sum = crc32.Update(o.sum, castagnoli, b)
	var n int
	n, o.err = o.w.Write(b)
	o.n += int64(n)
}

func (o *snapshotWriter) record(kind byte, m proto.Message) {
	if o.err != nil {
		return
	}
	o.buf = append(o.buf[:0], kind)
	o.buf = binary.AppendUvarint(o.buf, uint64(proto.Size(m)))
	o.buf, o.err = deterministic.MarshalAppend(o.buf, m)
	o.write(o.buf)
}

// ReadState reads a snapshot to its end. It trusts nothing: checksum, order, every rule for
// records, counts and digest are checked. Errors wrap ErrSnapshot, or are the reader's own.
func ReadState(r io.Reader) (State, error) {
	in := &snapshotReader{r: bufio.NewReaderSize(r, 64<<10)}
	head, err := in.bytes(8)
	if err != nil {
		return State{}, err
	}
	if string(head[:4]) != snapshotMagic {
		return State{}, fmt.Errorf("%w: it begins with %q, want %q", ErrSnapshot, head[:4], snapshotMagic)
	}
	if v := binary.LittleEndian.Uint32(head[4:]); v != snapshotVersion {
		return State{}, fmt.Errorf("%w: it has format %d, this version reads %d", ErrSnapshot, v, snapshotVersion)
	}
	var l loader
	for {
		kind, payload, err := in.record()
		if err != nil {
			return State{}, err
		}
		if kind == kindEnd {
			if err := in.finish(&l, payload); err != nil {
				return State{}, err
			}
			return l.state, nil
		}
		if err := l.decode(kind, payload); err != nil {
			return State{}, err
		}
	}
}

type snapshotReader struct {
	r   *bufio.Reader
	sum uint32
	buf []byte
}

// ReadByte serves binary.ReadUvarint.
func (in *snapshotReader) ReadByte() (byte, error) {
	b, err := in.bytes(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// bytes are valid until the next call.
func (in *snapshotReader) bytes(n int) ([]byte, error) {
	in.buf = slices.Grow(in.buf[:0], n)[:n]
	if _, err := io.ReadFull(in.r, in.buf); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("%w: it is cut off", ErrSnapshot)
		}
		return nil, err
	}
	in.sum = crc32.Update(in.sum, castagnoli, in.buf)
	return in.buf, nil
}

func (in *snapshotReader) record() (byte, []byte, error) {
	kind, err := in.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	size, err := binary.ReadUvarint(in)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: length of a record: %w", ErrSnapshot, err)
	}
	if size > maxRecord {
		return 0, nil, fmt.Errorf("%w: a record has %d bytes, at most %d are allowed", ErrSnapshot, size, maxRecord)
	}
	payload, err := in.bytes(int(size))
	return kind, payload, err
}

func (in *snapshotReader) finish(l *loader, payload []byte) error {
	var end SnapshotEnd
	if err := proto.Unmarshal(payload, &end); err != nil {
		return fmt.Errorf("%w: its end: %w", ErrSnapshot, err)
	}
	want := in.sum
	sum, err := in.bytes(4)
	if err != nil {
		return err
	}
	if got := binary.LittleEndian.Uint32(sum); got != want {
		return fmt.Errorf("%w: checksum is %08x, its bytes give %08x", ErrSnapshot, got, want)
	}
	if _, err := in.r.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: bytes follow its end", ErrSnapshot)
	}
	return l.verify(&end)
}

// StateFrom rebuilds the state that an Export holds, with the same checks as ReadState.
func StateFrom(e *Export) (State, error) {
	var l loader
	err := errors.Join(
		addAll(&l, kindNode, e.GetNodes(), (*loader).node), addAll(&l, kindTopic, e.GetTopics(), (*loader).topic),
		addAll(&l, kindPartition, e.GetPartitions(), (*loader).partition), addAll(&l, kindConfig, e.GetConfig(), (*loader).config))
	if err != nil {
		return State{}, err
	}
	end := l.state.end()
	end.Digest, end.EpochFloor = e.GetDigest(), e.GetEpochFloor()
	if err := l.verify(end); err != nil {
		return State{}, err
	}
	return l.state, nil
}

func addAll[T any](l *loader, kind byte, records []T, add func(*loader, T) error) error {
	for _, r := range records {
		if err := add(l, r); err != nil {
			return fmt.Errorf("%w: record of kind %d: %w", ErrSnapshot, kind, err)
		}
	}
	return nil
}

// Equal reports whether two states hold the same records.
func (s State) Equal(o State) bool {
	if s.Digest() != o.Digest() {
		return false
	}
	var a, b bytes.Buffer
	_, errA := s.WriteTo(&a)
	_, errB := o.WriteTo(&b)
	return errA == nil && errB == nil && bytes.Equal(a.Bytes(), b.Bytes())
}
