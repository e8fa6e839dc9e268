package recovery

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc64"
	"io"

	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// Reader reads a backup and checks it on the way. What it handed out is known to be whole only when Next returned io.EOF.
type Reader struct {
	in     *bufio.Reader
	number uint64
	head   Head
	group  *groupData // that is being read; nil between two
	groups int
	seen   map[string]bool
	bytes  uint64
	failed error
}

// NewReader reads the head.
func NewReader(in io.Reader) (*Reader, error) {
	r := &Reader{in: bufio.NewReaderSize(in, 64<<10)}
	magic := make([]byte, len(streamMagic))
	if _, err := io.ReadFull(r.in, magic); err != nil || string(magic[:6]) != streamMagic[:6] {
		return nil, fmt.Errorf("%w: it begins like no backup", ErrDamaged)
	}
	if string(magic) != streamMagic {
		return nil, fmt.Errorf("%w: backup format %q, this version reads %q: use the version that wrote it, or a newer one", ErrNewerFormat, magic[6:], streamMagic[6:])
	}
	kind, body, err := r.frame()
	if err == nil {
		err = r.expect(kind, frameHeadKind, body, &r.head)
	}
	if err == nil && r.head.Format != streamFormat {
		err = fmt.Errorf("%w: backup format %d, this version reads %d", ErrNewerFormat, r.head.Format, streamFormat)
	}
	return r, err
}

// Head says whose backup it is.
func (r *Reader) Head() Head { return r.head }

// Next returns the next group and its data, which is to be read before Next is called again; what is left of it is skipped and checked. At
// the end of a whole stream it returns io.EOF.
func (r *Reader) Next() (*GroupHead, io.Reader, error) {
	if r.group != nil {
		if _, err := io.Copy(io.Discard, r.group); err != nil {
			return nil, nil, err
		}
	}
	if r.failed != nil {
		return nil, nil, r.failed
	}
	kind, body, err := r.frame()
	if err != nil {
		return nil, nil, err
	}
	if kind == frameEnd {
		return nil, nil, r.end(body)
	}
	head := &GroupHead{}
	if err := r.expect(kind, frameGroup, body, head); err != nil {
		return nil, nil, err
	}
	if head.Group == "" || len(head.Group) > logstore.MaxGroupName || head.Index == 0 || head.Term == 0 {
		return nil, nil, r.damaged("group %.50q at index %d, term %d", head.Group, head.Index, head.Term)
	}
	if r.seen[head.Group] {
		return nil, nil, r.damaged("group %q comes again", head.Group)
	}
	if r.seen == nil {
		r.seen = make(map[string]bool)
	}
	r.seen[head.Group] = true
	r.group = &groupData{from: r, head: head, sum: crc64.New(dataTable)}
	return head, r.group, nil
}

func (r *Reader) end(body []byte) error {
	var end endBody
	if err := r.expect(frameEnd, frameEnd, body, &end); err != nil {
		return err
	}
	if end.Groups != r.groups || end.Bytes != r.bytes {
		return r.damaged("%d groups with %d bytes instead of %d with %d", r.groups, r.bytes, end.Groups, end.Bytes)
	}
	if _, err := r.in.ReadByte(); err != io.EOF {
		return r.damaged("more follows behind its end (%v)", err)
	}
	r.failed = io.EOF
	return io.EOF
}

func (r *Reader) damaged(format string, args ...any) error {
	r.failed = fmt.Errorf("%w: frame %d: %s", ErrDamaged, r.number, fmt.Sprintf(format, args...))
	return r.failed
}

func (r *Reader) frame() (frameKind, []byte, error) {
	head := make([]byte, frameHead)
	if _, err := io.ReadFull(r.in, head); err != nil {
		return 0, nil, r.damaged("it is cut off: %v", err)
	}
	kind, size := frameKind(head[0]), binary.LittleEndian.Uint32(head[1:])
	if kind < frameHeadKind || kind > frameEnd || size > maxFrame || kind != frameData && size > maxJSON {
		return 0, nil, r.damaged("kind %d with %d bytes", kind, size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r.in, body); err != nil {
		return 0, nil, r.damaged("it is cut off: %v", err)
	}
	if frameSumOf(r.number, kind, body) != binary.LittleEndian.Uint32(head[5:]) {
		return 0, nil, r.damaged("checksum")
	}
	r.number++
	return kind, body, nil
}

func (r *Reader) expect(kind, want frameKind, body []byte, out any) error {
	if kind != want {
		return r.damaged("kind %d instead of %d", kind, want)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(out); err != nil {
		return r.damaged("%v", err)
	}
	return nil
}

// groupData reads one group's data frames up to its sum.
type groupData struct {
	from *Reader
	head *GroupHead
	rest []byte
	size uint64
	sum  hash.Hash64
}

func (g *groupData) Read(p []byte) (int, error) {
	for len(g.rest) == 0 {
		if g.from.group != g {
			return 0, io.EOF
		}
		if g.from.failed != nil {
			return 0, g.from.failed
		}
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}

func (g *groupData) next() error {
	r := g.from
	kind, body, err := r.frame()
	if err != nil {
		return err
	}
	if kind == frameData {
		if len(body) == 0 || g.size+uint64(len(body)) > g.head.Size {
			return r.damaged("%d bytes of group %q behind %d of %d", len(body), g.head.Group, g.size, g.head.Size)
		}
		g.rest = body
		g.size += uint64(len(body))
		_, _ = g.sum.Write(body)
		return nil
	}
	var sum sumBody
	if err := r.expect(kind, frameSum, body, &sum); err != nil {
		return err
	}
	want := sumBody{Size: g.head.Size, Checksum: g.sum.Sum64()}
	if sum != want || g.size != g.head.Size || g.size > 0 && sum.Checksum != g.head.Checksum {
		return r.damaged("group %q has %d bytes with checksum %016x instead of %d with %016x", g.head.Group, g.size, g.sum.Sum64(), g.head.Size, g.head.Checksum)
	}
	r.groups++
	r.bytes += g.size
	r.group = nil
	return nil
}

// Inspect reads a whole backup, checks it, and says what it holds.
func Inspect(in io.Reader) (*Summary, error) {
	r, err := NewReader(in)
	if err != nil {
		return nil, err
	}
	s := &Summary{Head: r.Head(), Groups: []GroupHead{}}
	for {
		head, _, err := r.Next()
		if errors.Is(err, io.EOF) {
			s.Bytes = r.bytes
			return s, nil
		}
		if err != nil {
			return nil, err
		}
		s.Groups = append(s.Groups, *head)
	}
}
