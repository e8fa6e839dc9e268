package remote

import (
	"bytes"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

// pattern is n bytes of which no two chunks are the same.
func pattern(n int) *wrapperspb.BytesValue {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return wrapperspb.Bytes(b)
}

func TestLargeBulkMessagesArriveWhole(t *testing.T) {
	w, a, b := pair(t)
	got := b.collect("x")
	sizes := []int{bulkFrameMax - envelopeMax, bulkFrameMax, 3 << 20, 10, bulkMessageMax - 10}
	for _, size := range sizes {
		actors.Send(actors.Bulk, a.Root, b.at("x"), pattern(size))
	}
	w.runFor(time.Second)
	all := got.take()
	if len(all) != len(sizes) {
		t.Fatalf("%d of %d came", len(all), len(sizes))
	}
	for i, size := range sizes {
		if !proto.Equal(all[i].(proto.Message), pattern(size)) {
			t.Errorf("message %d is not the %d bytes that were sent", i, size)
		}
	}
}

func TestLargeBulkMessageKeepsItsEnvelope(t *testing.T) {
	w, a, b := pair(t)
	var header string
	got := b.collect("x", func(ctx actor.Context) { header = ctx.MessageHeader().Get("trace") })
	sender := a.collect("y")
	actors.SendEnvelope(actors.Bulk, a.Root, b.at("x"), &actor.MessageEnvelope{
		Message: pattern(1 << 20), Sender: sender.pid, Header: map[string]string{"trace": "7"},
	})
	w.runFor(time.Second)
	if len(got.senders) != 1 || !got.senders[0].Equal(a.at("y")) || header != "7" {
		t.Fatalf("from %v with header %q", got.senders, header)
	}
}

// A connection that is lost in the middle of a message loses that message and no other.
func TestLossAmongChunks(t *testing.T) {
	a, b := startNode(t, 1), startNode(t, 2)
	got := b.inboxOf(t, "x")
	actors.Send(actors.Bulk, a.Root, b.pid("x"), text("before"))
	next(t, got)
	conn := saysHello(t, b, KindBulk) // node 9 breaks off
	lane, err := conn.OpenUniStream()
	if err != nil {
		t.Fatal(err)
	}
	e := newEncoder("127.0.0.1:9", bulkFrameMax, true)
	e.whole = bulkMessageMax
	first, err := e.appendFirst([]byte{byte(actors.Bulk)}, testItem(b.pid("x"), nil, pattern(1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lane.Write(first); err != nil {
		t.Fatal(err)
	}
	_ = lane.Close()
	if code := closeCode(t, conn); code != CodeTimeout {
		t.Errorf("closed with %s", code)
	}
	actors.Send(actors.Bulk, a.Root, b.pid("x"), text("after"))
	if m := next(t, got).(*wrapperspb.StringValue); m.Value != "after" {
		t.Fatalf("got %q", m.Value)
	}
}

// A peer that takes no chunks gets none.
func TestNoChunksForWhoTakesNone(t *testing.T) {
	e := newEncoder("a:1", bulkFrameMax, true)
	it := testItem(actor.NewPID("b:1", "x"), nil, pattern(bulkFrameMax))
	if e.splits(it) {
		t.Fatal("it splits")
	}
	if _, err := e.append(nil, it); err == nil {
		t.Fatal("a frame over the limit was made")
	}
	e.whole = bulkFrameMax
	if _, err := e.appendFirst(nil, it); err == nil || len(e.rest) != 0 {
		t.Fatalf("a message over the peer's limit was begun: %v", err)
	}
}

func bulkSink(s *sink) *inbox { return newInbox(s.core, s.peer, s.from, actors.Bulk) }

func TestChunksThatAreNone(t *testing.T) {
	s := newSink(t, "x")
	frame := func(f *Frame) []byte {
		b, err := proto.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := &Frame{TargetId: "x", TypeName: "google.protobuf.BytesValue", Total: 10, Payload: []byte{1, 2, 3}}
	part := func(n int) *Frame { return &Frame{Kind: Frame_CHUNK, Payload: make([]byte, n)} }
	for name, c := range map[string]struct {
		class  actors.Class
		frames []*Frame
		want   Code
	}{
		"a chunk of no message":    {actors.Bulk, []*Frame{part(3)}, CodeProtocol},
		"on another lane":          {actors.Default, []*Frame{first}, CodeProtocol},
		"nothing in the first":     {actors.Bulk, []*Frame{{TargetId: "x", TypeName: "t", Total: 10}}, CodeProtocol},
		"all in the first":         {actors.Bulk, []*Frame{{TargetId: "x", TypeName: "t", Total: 3, Payload: []byte{1, 2, 3}}}, CodeProtocol},
		"more than a message":      {actors.Bulk, []*Frame{{TargetId: "x", TypeName: "t", Total: bulkMessageMax + 1, Payload: []byte{1}}}, CodeFrameTooLarge},
		"an empty chunk":           {actors.Bulk, []*Frame{first, part(0)}, CodeProtocol},
		"more than the total":      {actors.Bulk, []*Frame{first, part(8)}, CodeProtocol},
		"another message between":  {actors.Bulk, []*Frame{first, {TargetId: "x", TypeName: "t"}}, CodeProtocol},
		"a heartbeat between":      {actors.Bulk, []*Frame{first, {Kind: Frame_HEARTBEAT}}, CodeProtocol},
		"a chunk after the end":    {actors.Bulk, []*Frame{first, part(7), part(1)}, CodeProtocol},
		"a total that grew":        {actors.Bulk, []*Frame{first, {TargetId: "x", Total: 100, TypeName: "t", Payload: []byte{1}}}, CodeProtocol},
		"bytes that are no such":   {actors.Bulk, []*Frame{first, part(7)}, CodeDone},
		"a type that nobody knows": {actors.Bulk, []*Frame{{TargetId: "x", TypeName: "t", Total: 3, Payload: []byte{1}}, part(2)}, CodeDone},
	} {
		t.Run(name, func(t *testing.T) {
			in := newInbox(s.core, s.peer, s.from, c.class)
			s.got = nil
			for i, f := range c.frames {
				err := in.Receive(frame(f))
				switch last := i == len(c.frames)-1; {
				case err == nil && last && c.want != CodeDone:
					t.Fatal("it was taken")
				case err == nil:
				case !last || closeErrorOf(err).Code != c.want:
					t.Fatalf("frame %d: %v, want code %s", i, err, c.want)
				}
			}
			if len(s.got) != 0 {
				t.Fatalf("delivered %v", s.got)
			}
		})
	}
}

// FuzzChunk sends what is fuzzed into a lane Bulk, and a message in chunks of any size behind any cut: the lane holds
// no more than what came, and what was cut up comes out whole.
func FuzzChunk(f *testing.F) {
	s := newSink(f, "x")
	seed := func(limit, size int) []byte {
		e := newEncoder("a:1", limit, true)
		e.whole = bulkMessageMax
		stream, err := e.appendFirst(nil, testItem(actor.NewPID("b:1", "x"), actor.NewPID("a:1", "y"), pattern(size)))
		if err != nil {
			f.Fatal(err)
		}
		for len(e.rest) > 0 {
			stream = e.appendChunk(stream)
		}
		return stream
	}
	f.Add(seed(110, 150), uint32(1000), uint16(300), uint16(7))
	f.Add(seed(110, 100)[:105], uint32(10000), uint16(4095), uint16(4096))
	f.Fuzz(func(t *testing.T, hostile []byte, size uint32, limit, cut uint16) {
		in := bulkSink(s)
		s.got = nil
		d := NewDeframer(actors.Bulk, in)
		fed, step := 0, int(cut)+1
		for rest := hostile; len(rest) > 0; {
			n := min(step, len(rest))
			err := d.Feed(rest[:n])
			fed, rest = fed+n, rest[n:]
			if in.part != nil && (len(in.part.bytes) > fed || cap(in.part.bytes) > 2*fed+1024 || in.part.total > bulkMessageMax) {
				t.Fatalf("a message of %d bytes in a buffer of %d after %d bytes", in.part.total, cap(in.part.bytes), fed)
			}
			if err != nil {
				break
			}
		}
		s.core.drop(s.peer, actors.Default, dropLost)
		s.core.dropIncoming(s.peer)
		joinsAgain(t, s, int(size)%(16<<10), int(limit)%(4<<10), step)
	})
}

// joinsAgain sends one message through an encoder and a lane of its own.
func joinsAgain(t *testing.T, s *sink, size, limit, step int) {
	t.Helper()
	e := newEncoder("a:1", limit, true)
	e.whole = bulkMessageMax
	it := testItem(actor.NewPID("b:1", "x"), nil, pattern(size))
	if limit == 0 || !e.splits(it) {
		return
	}
	stream, err := e.appendFirst(nil, it)
	if err != nil {
		return // the limit leaves no room for an envelope
	}
	for len(e.rest) > 0 {
		stream = e.appendChunk(stream)
	}
	s.got = nil
	d := NewDeframer(actors.Bulk, bulkSink(s))
	for len(stream) > 0 {
		n := min(step, len(stream))
		if err := d.Feed(stream[:n]); err != nil {
			t.Fatal(err)
		}
		stream = stream[n:]
	}
	if len(s.got) != 1 || !bytes.Equal(s.got[0].Message.(*wrapperspb.BytesValue).Value, it.msg.(*wrapperspb.BytesValue).Value) {
		t.Fatalf("%d bytes over frames of %d: got %d messages", size, limit, len(s.got))
	}
}
