package testkit

import (
	"fmt"
	"hash/fnv"
	"reflect"
	"strings"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cespare/xxhash/v2"

	"github.com/hupe1980/rivven-cluster/actors"
)

// trace folds everything that happens into one hash: every turn, every frame with its bytes, every fault. Text is made only
// where it is asked for; the last lines are kept for a failure.
type trace struct {
	digest *xxhash.Digest
	buf    []byte
	types  map[reflect.Type]uint64
	steps  uint64
	last   []record // a ring
	at     int
	print  func(string)
	marks  *[]mark64 // one for each step, where two runs are compared
}

// mark64 is where the hash stood behind a step, and whose step it was.
type mark64 struct {
	hash uint64
	node int
	who  string
}

// record is what a line of text is made of.
type record struct {
	step uint64
	now  int64
	node int
	who  string
	what any
}

const lastRecords = 256

func newTrace(print func(string)) *trace {
	return &trace{digest: xxhash.New(), types: make(map[reflect.Type]uint64), last: make([]record, 0, lastRecords), print: print}
}

func (t *trace) typeHash(v any) uint64 {
	typ := reflect.TypeOf(v)
	h, ok := t.types[typ]
	if !ok {
		f := fnv.New64a()
		_, _ = f.Write([]byte(typ.String()))
		h = f.Sum64()
		t.types[typ] = h
	}
	return h
}

func (t *trace) keep(r record) {
	if t.marks != nil {
		*t.marks = append(*t.marks, mark64{t.digest.Sum64(), r.node, r.who})
	}
	if t.print != nil {
		t.print(r.String())
	}
	if len(t.last) < lastRecords {
		t.last = append(t.last, r)
		return
	}
	t.last[t.at] = r
	t.at = (t.at + 1) % lastRecords
}

func (t *trace) tail(n int) []string {
	ordered := append(append([]record(nil), t.last[t.at:]...), t.last[:t.at]...)
	if len(ordered) > n {
		ordered = ordered[len(ordered)-n:]
	}
	out := make([]string, len(ordered))
	for i, r := range ordered {
		out[i] = r.String()
	}
	return out
}

func (t *trace) number(v uint64) {
	t.buf = append(t.buf, byte(v), byte(v>>8), byte(v>>16), byte(v>>24), byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56))
}

func (t *trace) fold() {
	_, _ = t.digest.Write(t.buf)
	t.buf = t.buf[:0]
}

func (w *World) traceTurn(m *mailbox, message any) {
	t := w.trace
	t.steps++
	content := actor.UnwrapEnvelopeMessage(message)
	t.number(uint64(w.now))
	t.number(uint64(m.node.id))
	t.buf = append(t.buf, m.id...)
	t.number(t.typeHash(content))
	t.fold()
	t.keep(record{step: t.steps, now: int64(w.now), node: m.node.id, who: m.id, what: content})
}

func (w *World) traceFrame(from, to *conn, class actors.Class, frame []byte) {
	t := w.trace
	t.number(uint64(w.now))
	t.number(from.id)
	t.number(uint64(class))
	t.buf = append(t.buf, frame...)
	t.fold()
}

func (w *World) traceEvent(e Event) {
	t := w.trace
	t.number(uint64(w.now))
	t.buf = append(t.buf, e.String()...)
	t.fold()
	t.keep(record{step: t.steps, now: int64(w.now), node: e.Node, who: "fault", what: e})
}

// Hash is over everything that happened so far.
func (w *World) Hash() uint64 { return w.trace.digest.Sum64() }

func (r record) String() string {
	if e, ok := r.what.(Event); ok {
		return fmt.Sprintf("t=%.6fs #%d n%d %s", float64(r.now)/1e9, r.step, r.node, e)
	}
	if in, ok := r.what.(*actors.Inbound); ok {
		return fmt.Sprintf("t=%.6fs #%d n%d %s recv n%d %s", float64(r.now)/1e9, r.step, r.node, r.who, in.Peer.NodeID, describe(in.Message))
	}
	return fmt.Sprintf("t=%.6fs #%d n%d %s %s", float64(r.now)/1e9, r.step, r.node, r.who, describe(r.what))
}

// describe names a message's type and, of protobuf ones, its content, shortened.
func describe(v any) string {
	name := strings.TrimPrefix(reflect.TypeOf(v).String(), "*")
	if s, ok := v.(fmt.Stringer); ok {
		text := s.String()
		if len(text) > 160 {
			text = text[:160] + "…"
		}
		return name + "{" + text + "}"
	}
	return name
}
