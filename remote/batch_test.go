package remote

import (
	"slices"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

// recorder is a process, or the mailbox of an actor, that notes what it gets.
type recorder struct {
	actor.Mailbox
	seen *[]string
	then func()
}

func (r recorder) note(m any) {
	switch m := actor.UnwrapEnvelopeMessage(m).(type) {
	case *wrapperspb.StringValue:
		*r.seen = append(*r.seen, m.Value)
	case *actor.Stop:
		*r.seen = append(*r.seen, "stop")
	}
	if r.then != nil {
		r.then()
	}
}

func (r recorder) PostUserMessage(m any)               { r.note(m) }
func (r recorder) PostSystemMessage(m any)             { r.note(m) }
func (r recorder) SendUserMessage(_ *actor.PID, m any) { r.note(m) }
func (r recorder) SendSystemMessage(*actor.PID, any)   {}
func (r recorder) Stop(*actor.PID)                     {}

// reads is what a lane received, one read after the other.
type reads struct {
	t       *testing.T
	encoder *encoder
	lane    *Deframer
	bytes   []byte
}

func newReads(t *testing.T, s *sink) *reads {
	return &reads{t: t, encoder: newEncoder("a:1", streamFrameMax, true), lane: NewDeframer(actors.Default, s)}
}

func (r *reads) add(kind Frame_Kind, id string, message proto.Message) {
	it := testItem(&actor.PID{Address: "b:1", Id: id}, nil, message)
	it.kind = uint8(kind)
	var err error
	if r.bytes, err = r.encoder.append(r.bytes, it); err != nil {
		r.t.Fatal(err)
	}
}

func (r *reads) send(id, message string) { r.add(Frame_MESSAGE, id, text(message)) }

func (r *reads) receive() {
	if err := r.lane.Feed(r.bytes); err != nil {
		r.t.Fatal(err)
	}
	r.bytes = r.bytes[:0]
}

func (s *sink) deadLetters() func() int {
	n := 0
	s.core.system.EventStream.Subscribe(func(e any) {
		if _, ok := e.(*actor.DeadLetterEvent); ok {
			n++
		}
	})
	return func() int { return n }
}

// An actor that ends in the middle of a read gets nothing after it, and what takes its name gets the rest.
func TestNamesChangeHandsWithinARead(t *testing.T) {
	s := newSink(t)
	registry := s.core.system.ProcessRegistry
	dead := s.deadLetters()
	var first, second, third []string
	end := func() { registry.Remove(s.core.system.NewLocalPID("x")) }
	registry.Add(actor.NewActorProcess(recorder{seen: &first}), "x")
	registry.Add(recorder{seen: new([]string), then: end}, "end")
	registry.Add(recorder{seen: new([]string), then: func() { registry.Add(recorder{seen: &second}, "x") }}, "second")
	registry.Add(recorder{seen: new([]string), then: func() {
		end()
		registry.Add(recorder{seen: &third}, "x")
	}}, "third")

	r := newReads(t, s)
	for _, id := range []string{"x", "end", "x", "second", "x"} {
		r.send(id, id)
	}
	r.receive()
	if len(first) != 1 || len(second) != 1 || dead() != 1 {
		t.Errorf("the actor got %v, its successor %v, and %d were dead letters; want one each", first, second, dead())
	}
	r.send("third", "")
	r.receive()
	r.send("x", "x")
	r.send("x", "x")
	r.receive()
	if len(second) != 1 || len(third) != 2 {
		t.Errorf("who lost the name got %v, who has it %v; want one and two", second, third)
	}
}

func TestSystemMessagesComeAfterWhatWasSentBefore(t *testing.T) {
	s := newSink(t)
	var seen []string
	s.core.system.ProcessRegistry.Add(actor.NewActorProcess(recorder{seen: &seen}), "x")
	r := newReads(t, s)
	r.send("x", "1")
	r.send("x", "2")
	r.add(Frame_STOP, "x", nil)
	r.send("x", "3")
	r.receive()
	if want := []string{"1", "2", "stop", "3"}; !slices.Equal(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
}

// A mailbox that panics costs its own message alone, and all are counted.
func TestPanicWithinARead(t *testing.T) {
	s := newSink(t)
	var seen []string
	s.core.system.ProcessRegistry.Add(actor.NewActorProcess(recorder{seen: &seen}), "x")
	s.core.system.ProcessRegistry.Add(recorder{seen: &seen, then: func() { panic("no") }}, "bad")
	r := newReads(t, s)
	for range batchMax {
		r.send("x", "x")
		r.send("bad", "bad")
	}
	r.receive()
	if len(seen) != 2*batchMax {
		t.Errorf("%d of %d came", len(seen), 2*batchMax)
	}
	if got := s.peer.in[actors.Default].messages.Load(); got != 2*batchMax {
		t.Errorf("%d were counted", got)
	}
}

// What was whole before a violation is handed on.
func TestViolationWithinARead(t *testing.T) {
	s := newSink(t)
	var seen []string
	s.core.system.ProcessRegistry.Add(actor.NewActorProcess(recorder{seen: &seen}), "x")
	r := newReads(t, s)
	r.send("x", "1")
	if err := r.lane.Feed(append(r.bytes, 2, 0xff, 0xff)); err == nil {
		t.Error("a frame that can't be read was taken")
	}
	if len(seen) != 1 {
		t.Errorf("%d came before it, want 1", len(seen))
	}
}

// Receiving takes no memory beyond the messages: here the value and its bytes.
func TestReceivingAllocatesMessagesAlone(t *testing.T) {
	s := newSink(t)
	seen := 0
	s.core.system.ProcessRegistry.Add(actor.NewActorProcess(recorder{seen: new([]string), then: func() { seen++ }}), "x")
	r := newReads(t, s)
	const messages = 500
	fill := func() []byte {
		for range messages {
			r.add(Frame_MESSAGE, "x", wrapperspb.Bytes(make([]byte, 16)))
		}
		return slices.Clone(r.bytes)
	}
	fill() // names are spelled
	r.receive()
	stream := fill()
	n := testing.AllocsPerRun(20, func() {
		if err := r.lane.Feed(stream); err != nil {
			t.Fatal(err)
		}
	})
	if n > 2*messages+8 { // the tables of names and the registry's look-ups, once a read
		t.Errorf("%v allocations for %d messages", n, messages)
	}
	if seen < 20*messages {
		t.Errorf("%d messages came", seen)
	}
}

// A stream of large frames makes no garbage of buffers, and leaves none behind.
func TestLargeFramesReuseTheirBuffers(t *testing.T) {
	in := &lengths{}
	d := NewDeframer(actors.Bulk, in)
	frame := appendLength(make([]byte, bulkFrameMax))
	feed := func() {
		in.got = in.got[:0]
		if err := d.Feed(frame); err != nil {
			t.Fatal(err)
		}
	}
	feed()
	if n := testing.AllocsPerRun(50, feed); n > 6 { // heads of pooled buffers, and a collection may empty the pool
		t.Errorf("%v allocations for a frame", n)
	}
	if n := len(d.space()); n > readBufferMax {
		t.Errorf("a lane that rests keeps %d bytes", n)
	}
	b := takeLarge(bulkFrameMax)
	giveLarge(b)
	giveLarge(make([]byte, 10)) // none of its kinds
	if len(b) < bulkFrameMax || len(takeLarge(3)) != largeBufMin || len(takeLarge(largeBufMin<<largeSizes+1)) != largeBufMin<<largeSizes+1 {
		t.Error("a buffer is of another size than was asked for")
	}
}
