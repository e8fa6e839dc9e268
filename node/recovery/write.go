package recovery

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc64"
	"io"

	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// Writer writes a backup. An error ends it: what was written so far is no backup, and every reader says so.
type Writer struct {
	out    io.Writer
	number uint64
	groups int
	bytes  uint64
}

// NewWriter begins a backup. Format is set here.
func NewWriter(out io.Writer, head Head) (*Writer, error) {
	w := &Writer{out: out}
	head.Format = streamFormat
	if _, err := io.WriteString(out, streamMagic); err != nil {
		return nil, fmt.Errorf("write the backup: %w", err)
	}
	return w, w.json(frameHeadKind, head)
}

// Add writes a group's snapshot. The data must be what ref says; more, less or other data is an error.
func (w *Writer) Add(ref *logstore.SnapshotRef, data io.Reader) error {
	voters, _, err := raftactor.Members(ref)
	if err != nil {
		return err
	}
	head := GroupHead{Group: ref.Group, Index: ref.Index, Term: ref.Term, Size: ref.Size, Checksum: ref.Checksum, Voters: members(voters)}
	if err := w.json(frameGroup, head); err != nil {
		return err
	}
	sum, size := crc64.New(dataTable), uint64(0)
	buf := make([]byte, maxFrame)
	for {
		n, err := io.ReadFull(data, buf)
		if n > 0 {
			_, _ = sum.Write(buf[:n])
			size += uint64(n)
			if err := w.frame(frameData, buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read the snapshot of group %q at index %d: %w", ref.Group, ref.Index, err)
		}
	}
	if size != ref.Size || size > 0 && sum.Sum64() != ref.Checksum {
		return fmt.Errorf("snapshot of group %q at index %d has %d bytes with checksum %016x instead of %d with %016x",
			ref.Group, ref.Index, size, sum.Sum64(), ref.Size, ref.Checksum)
	}
	w.groups++
	w.bytes += size
	return w.json(frameSum, sumBody{Size: size, Checksum: sum.Sum64()})
}

// Close ends the backup. It does not close the writer below.
func (w *Writer) Close() error { return w.json(frameEnd, endBody{Groups: w.groups, Bytes: w.bytes}) }

func (w *Writer) json(kind frameKind, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	if len(b) > maxJSON {
		return fmt.Errorf("write the backup: a frame of %d bytes, at most %d are read again", len(b), maxJSON)
	}
	return w.frame(kind, b)
}

func (w *Writer) frame(kind frameKind, body []byte) error {
	head := make([]byte, frameHead)
	head[0] = byte(kind)
	binary.LittleEndian.PutUint32(head[1:], uint32(len(body)))
	binary.LittleEndian.PutUint32(head[5:], frameSumOf(w.number, kind, body))
	w.number++
	for _, b := range [][]byte{head, body} {
		if _, err := w.out.Write(b); err != nil {
			return fmt.Errorf("write the backup: %w", err)
		}
	}
	return nil
}
