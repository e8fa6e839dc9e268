package remote

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/hupe1980/rivven-cluster/actors"
)

// A message of class Bulk that is larger than a frame goes in chunks: a message frame with the total and the first
// part, then chunk frames, with nothing in between. One lane puts together one message at a time, so that a peer costs
// at most bulkMessageMax here.
const (
	chunkBytes     = 128 << 10
	bulkMessageMax = 8 << 20
)

// messageLimit is the largest message of a class, in bytes.
func messageLimit(class actors.Class) int {
	if class == actors.Bulk {
		return bulkMessageMax
	}
	return streamFrameMax
}

// splits reports whether an item is sent in chunks.
func (e *encoder) splits(it *item) bool {
	return e.whole > 0 && Frame_Kind(it.kind) == Frame_MESSAGE && int(it.size)+envelopeMax > e.limit && int(it.size) > e.chunk()
}

// chunk is the payload of one frame: what the peer takes may be less than the usual.
func (e *encoder) chunk() int { return min(chunkBytes, e.limit/2) }

// appendFirst adds the first frame of a message that goes in chunks, and keeps the rest. An error leaves dst as it was.
func (e *encoder) appendFirst(dst []byte, it *item) ([]byte, error) {
	if int(it.size) > e.whole {
		return dst, fmt.Errorf("its %d bytes are over the %d that the peer puts together from chunks", it.size, e.whole)
	}
	payload, err := appendPayload(make([]byte, 0, it.size), it, it.form())
	if err == nil && len(payload) != int(it.size) {
		err = changedError(it, len(payload))
	}
	if err != nil {
		return dst, err
	}
	n := e.chunk()
	body := appendNumber(nil, fieldTotal, it.size)
	if it.target != nil {
		body = e.appendTarget(body, it.target)
	}
	if it.sender != nil {
		body = e.appendSender(body, it.sender)
	}
	body, _, defined := e.appendType(body, it)
	body = appendHeaders(body, it.headers)
	body = protowire.AppendTag(body, fieldPayload, protowire.BytesType)
	body = protowire.AppendVarint(body, uint64(n))
	if size := len(body) + n; size > e.limit {
		e.forget(it, defined)
		return dst, fmt.Errorf("its first frame of %d bytes is over the limit of %d", size, e.limit)
	}
	e.rest = payload[n:]
	dst = protowire.AppendVarint(dst, uint64(len(body)+n))
	return append(append(dst, body...), payload[:n]...), nil
}

// appendChunk adds the next frame of a message that is under way.
func (e *encoder) appendChunk(dst []byte) []byte {
	part := e.rest[:min(e.chunk(), len(e.rest))]
	if e.rest = e.rest[len(part):]; len(e.rest) == 0 {
		e.rest = nil
	}
	size := protowire.SizeTag(fieldKind) + protowire.SizeVarint(uint64(Frame_CHUNK)) + protowire.SizeTag(fieldPayload) + protowire.SizeBytes(len(part))
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = appendNumber(dst, fieldKind, uint32(Frame_CHUNK))
	return protowire.AppendBytes(protowire.AppendTag(dst, fieldPayload, protowire.BytesType), part)
}

// assembly is a message that comes in chunks. Its bytes grow as they arrive, whatever total announces.
type assembly struct {
	target  inTarget
	sender  *actor.PID
	kind    wireType
	headers map[string]string
	total   int
	bytes   []byte
}

func (in *inbox) begin(f *frame, target *inTarget, sender *actor.PID, kind *wireType) error {
	switch {
	case in.class != actors.Bulk:
		return protocolError("a message in chunks on the lane %s", in.class)
	case f.total > bulkMessageMax:
		return &CloseError{Code: CodeFrameTooLarge, Reason: fmt.Sprintf("a message of %d bytes: at most %d", f.total, bulkMessageMax)}
	case len(f.payload) == 0 || len(f.payload) >= int(f.total):
		return protocolError("a first chunk of %d bytes for a message of %d", len(f.payload), f.total)
	}
	in.part = &assembly{target: *target, sender: sender, kind: *kind, headers: f.headers, total: int(f.total)}
	in.part.bytes = append(in.part.bytes, f.payload...)
	return nil
}

func (in *inbox) chunk(f *frame) error {
	p := in.part
	switch {
	case p == nil:
		return protocolError("a chunk of no message")
	case f.kind != Frame_CHUNK:
		return protocolError("a frame of kind %d among the chunks of a message", f.kind)
	case len(f.payload) == 0 || len(f.payload) > p.total-len(p.bytes):
		return protocolError("a chunk of %d bytes where %d of %d are there", len(f.payload), len(p.bytes), p.total)
	}
	p.bytes = append(p.bytes, f.payload...)
	if len(p.bytes) < p.total {
		return nil
	}
	in.part = nil
	in.frame = frame{payload: p.bytes, headers: p.headers}
	in.deliver(&p.target, p.sender, &p.kind)
	return nil
}

// unfinished reports whether more of a message has to come.
func (in *inbox) unfinished() bool { return in.part != nil }
