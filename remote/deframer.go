package remote

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/hupe1980/rivven-cluster/actors"
)

const (
	readBufferMin = 4 << 10
	readBufferMax = 64 << 10 // a larger one, for a large frame, goes with it
	lengthBytes   = 5
)

// Deframer cuts the bytes of one lane into frames. Its buffer grows only as bytes arrive. Not safe for concurrent use.
type Deframer struct {
	in         Inbox
	joins      interface{ unfinished() bool } // nil where no message takes several frames
	batches    batcher                        // nil where frames go on one by one
	limit      int
	buf        []byte
	small      []byte // what buf was before it grew beyond readBufferMax
	start, end int
	frames     uint64
}

// NewDeframer makes one that hands frames of a class to in.
func NewDeframer(class actors.Class, in Inbox) *Deframer {
	joins, _ := in.(interface{ unfinished() bool })
	batches, _ := in.(batcher)
	return &Deframer{in: in, joins: joins, batches: batches, limit: FrameLimit(class)}
}

// Feed takes bytes that were received; its error ends the connection.
func (d *Deframer) Feed(p []byte) error {
	for len(p) > 0 {
		n := copy(d.space(), p)
		p = p[n:]
		if err := d.advance(n); err != nil {
			return err
		}
	}
	return nil
}

// space returns where to put the next bytes, never empty.
func (d *Deframer) space() []byte {
	switch {
	case d.start == d.end:
		d.start, d.end = 0, 0
		d.shrink()
	case d.end == len(d.buf) && d.start > 0:
		d.end = copy(d.buf, d.buf[d.start:d.end])
		d.start = 0
	}
	if d.end == len(d.buf) {
		d.widen()
	}
	return d.buf[d.end:]
}

// advance takes n bytes that were put into space.
func (d *Deframer) advance(n int) error {
	d.end += n
	// A full buffer says that more is coming than it takes: the next read gets a larger one.
	if full := d.end == len(d.buf); full && len(d.buf) < readBufferMax {
		defer d.widen()
	}
	if d.batches != nil {
		d.batches.hold()
		defer d.batches.release()
	}
	return d.cut()
}

// cut hands on the frames that are whole.
func (d *Deframer) cut() error {
	for d.start < d.end {
		length, n := consumeVarint(d.buf[d.start:d.end])
		if n < 0 {
			if d.end-d.start >= lengthBytes {
				return protocolError("a frame's length can't be read")
			}
			return nil
		}
		if length > uint64(d.limit) {
			return &CloseError{Code: CodeFrameTooLarge, Reason: fmt.Sprintf("a frame of %d bytes: at most %d", length, d.limit)}
		}
		if d.end-d.start-n < int(length) {
			return nil
		}
		body := d.buf[d.start+n : d.start+n+int(length)]
		d.start += n + int(length)
		d.frames++
		if err := d.in.Receive(body); err != nil {
			return err
		}
	}
	return nil
}

// widen doubles the buffer.
func (d *Deframer) widen() {
	size := max(readBufferMin, 2*len(d.buf))
	var grown []byte
	if size > readBufferMax {
		grown = takeLarge(size)
	} else {
		grown = make([]byte, size)
	}
	d.end = copy(grown, d.buf[d.start:d.end])
	d.start = 0
	if len(d.buf) > readBufferMax {
		giveLarge(d.buf)
	} else {
		d.small = d.buf
	}
	d.buf = grown
}

// shrink gives a large buffer back that holds nothing.
func (d *Deframer) shrink() {
	if len(d.buf) > readBufferMax {
		giveLarge(d.buf)
		d.buf = d.small
	}
}

// close gives back what is large; nothing is fed after it.
func (d *Deframer) close() {
	d.start, d.end = 0, 0
	d.shrink()
}

// partial reports whether a frame, or a message of several, has begun and not ended, and how many frames ended so far.
func (d *Deframer) partial() (bool, uint64) {
	return d.start < d.end || d.joins != nil && d.joins.unfinished(), d.frames
}

// appendLength returns a frame behind its length.
func appendLength(frame []byte) []byte {
	return append(protowire.AppendVarint(make([]byte, 0, len(frame)+lengthBytes), uint64(len(frame))), frame...)
}
