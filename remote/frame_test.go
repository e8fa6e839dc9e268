package remote

import (
	"fmt"
	"strings"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"

	"github.com/hupe1980/rivven-cluster/actors"
)

func testItem(target, sender *actor.PID, msg proto.Message) *item {
	return &item{target: target, sender: sender, msg: msg, size: uint32(proto.Size(msg))}
}

func body(t testing.TB, framed []byte) []byte {
	t.Helper()
	length, n := protowire.ConsumeVarint(framed)
	if n < 0 || int(length) != len(framed)-n {
		t.Fatalf("a length of %d before %d bytes", length, len(framed)-n)
	}
	return framed[n:]
}

// What is written by hand is what the schema says.
func TestFramesFollowTheSchema(t *testing.T) {
	e := newEncoder("a:1", streamFrameMax, true)
	it := testItem(actor.NewPID("b:1", "x"), &actor.PID{Address: "a:1", Id: "y", RequestId: 7}, text("hello"))
	it.headers = map[string]string{"b": "2", "a": "1"}
	payload, _ := proto.Marshal(it.msg.(proto.Message))
	name := "google.protobuf.StringValue"
	slotX, slotY := slotOf("", "x"), slotOf("", "y")
	for i, want := range []*Frame{
		{Target: slotX, TargetId: "x", Sender: slotY, SenderId: "y", SenderRequestId: 7, Type: 1, TypeName: name, Headers: []string{"a", "1", "b", "2"}, Payload: payload},
		{Target: slotX, Sender: slotY, SenderRequestId: 7, Type: 1, Headers: []string{"a", "1", "b", "2"}, Payload: payload},
	} {
		b, err := e.append(nil, it)
		if err != nil {
			t.Fatal(err)
		}
		var got Frame
		if err := proto.Unmarshal(body(t, b), &got); err != nil || !proto.Equal(&got, want) {
			t.Errorf("frame %d: %v, %v; want %v", i, &got, err, want)
		}
	}
	for _, it := range []*item{
		{kind: uint8(Frame_WATCH), target: actor.NewPID("b:1", "x"), sender: actor.NewPID("nonhost", "y")},
		{kind: uint8(Frame_UNWATCH), target: actor.NewPID("b:1", "x"), sender: actor.NewPID("c:1", "y")},
		{kind: uint8(Frame_TERMINATED), target: actor.NewPID("b:1", "x"), sender: actor.NewPID("a:1", "y"), reason: 2},
		{kind: uint8(Frame_STOP), target: actor.NewPID("b:1", "x")},
		{kind: uint8(Frame_HEARTBEAT)},
	} {
		b, err := newEncoder("a:1", streamFrameMax, false).append(nil, it)
		if err != nil {
			t.Fatal(err)
		}
		kind := Frame_Kind(it.kind)
		want := &Frame{Kind: kind, Reason: uint32(it.reason)}
		if it.target != nil {
			want.TargetId = it.target.Id
		}
		if it.sender != nil {
			want.SenderId = it.sender.Id
			if it.sender.Address == "c:1" {
				want.SenderAddress = "c:1"
			}
		}
		if kind == Frame_HEARTBEAT {
			want.Padding = make([]byte, heartbeatPaddingSize)
			if len(b) < 24 {
				t.Errorf("a heartbeat of %d bytes: a stateless reset needs 24 and more", len(b))
			}
		}
		var got Frame
		if err := proto.Unmarshal(body(t, b), &got); err != nil || !proto.Equal(&got, want) {
			t.Errorf("%v: %v, %v; want %v", kind, &got, err, want)
		}
	}
}

// sink is an inbox over a system whose every target keeps what it gets.
type sink struct {
	*inbox
	got []*actor.MessageEnvelope
}

type sinkProcess struct{ *sink }

func (s sinkProcess) SendUserMessage(_ *actor.PID, m any) {
	s.got = append(s.got, actor.WrapEnvelope(m))
}
func (s sinkProcess) SendSystemMessage(*actor.PID, any) {}
func (s sinkProcess) Stop(*actor.PID)                   {}

func newSink(t testing.TB, ids ...string) *sink {
	w := newWorld(t)
	n := w.start("b:1", worldIdentity(2, 1))
	c := n.remote.core
	peer := c.peers.get("a:1")
	info := &actors.PeerInfo{NodeID: 1, ClusterID: "c", Address: "a:1"}
	s := &sink{inbox: newInbox(c, peer, info, actors.Default)}
	for _, id := range ids {
		n.ProcessRegistry.Add(sinkProcess{s}, id)
	}
	return s
}

// However names repeat, collide in their slots and grow, both ends of a lane agree on them.
func TestTablesAgree(t *testing.T) {
	ids := []string{"future$1", "ask$2", strings.Repeat("l", internMax+1)}
	for i := range 3000 { // three for each slot
		ids = append(ids, fmt.Sprintf("actor/%d", i))
	}
	s := newSink(t, ids...)
	rapid.Check(t, func(t *rapid.T) {
		s.inbox = newInbox(s.core, s.peer, s.from, actors.Default)
		e := newEncoder("a:1", 2000, true)
		id := rapid.SampledFrom(ids)
		address := rapid.SampledFrom([]string{"a:1", "nonhost", "b:1", "c:1"})
		for range rapid.IntRange(1, 60).Draw(t, "frames") {
			target := &actor.PID{Address: "b:1", Id: id.Draw(t, "target"), RequestId: rapid.Uint32Range(0, 2).Draw(t, "request")}
			var sender *actor.PID
			if rapid.Bool().Draw(t, "sender") {
				sender = &actor.PID{Address: address.Draw(t, "address"), Id: id.Draw(t, "id"), RequestId: rapid.Uint32Range(0, 2).Draw(t, "r")}
			}
			var msg proto.Message = text(strings.Repeat("x", rapid.IntRange(0, 300).Draw(t, "length")))
			if rapid.Bool().Draw(t, "other") {
				msg = wrapperspb.UInt64(rapid.Uint64().Draw(t, "value"))
			}
			it := testItem(target, sender, msg)
			if rapid.IntRange(0, 9).Draw(t, "broken") == 0 {
				it = testItem(target, sender, text(strings.Repeat("x", 3000)))
				if b, err := e.append([]byte("before"), it); err == nil || string(b) != "before" {
					t.Fatalf("a frame over the limit: %d bytes, %v", len(b), err)
				}
				continue
			}
			b, err := e.append(nil, it)
			if err != nil {
				t.Fatal(err)
			}
			s.got = nil
			if err := NewDeframer(actors.Default, s).Feed(b); err != nil {
				t.Fatal(err)
			}
			if len(s.got) != 1 || !proto.Equal(s.got[0].Message.(proto.Message), msg) {
				t.Fatalf("got %v, want %v", s.got, msg)
			}
			from := s.got[0].Sender
			switch {
			case sender == nil && from != nil:
				t.Fatalf("sender %v, want none", from)
			case sender == nil:
			case from.Id != sender.Id || from.RequestId != sender.RequestId || from.Address != strings.Replace(sender.Address, "nonhost", "a:1", 1):
				t.Fatalf("sender %v, want %v", from, sender)
			}
		}
	})
}

func TestDeframerTakesAnyCut(t *testing.T) {
	var stream []byte
	var want []int
	for i := range 200 {
		n := i * i % 7000
		stream = append(stream, appendLength(make([]byte, n))...)
		want = append(want, n)
	}
	for _, cut := range []int{1, 2, 7, 1000, 4096, 100000, len(stream)} {
		in := &lengths{}
		d := NewDeframer(actors.Default, in)
		for rest := stream; len(rest) > 0; {
			n := min(cut, len(rest))
			if err := d.Feed(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if fmt.Sprint(in.got) != fmt.Sprint(want) {
			t.Fatalf("cut at %d: %v", cut, in.got)
		}
		if partial, frames := d.partial(); partial || frames != 200 {
			t.Fatalf("cut at %d: partial %v after %d frames", cut, partial, frames)
		}
	}
	d := NewDeframer(actors.Default, &lengths{})
	if err := d.Feed([]byte{0x80, 0x80, 0x80, 0x02, 1, 2}); err != nil || len(d.buf) > readBufferMin {
		t.Fatalf("4 MiB announced and two bytes sent: %v, a buffer of %d", err, len(d.buf))
	}
}

type lengths struct{ got []int }

func (l *lengths) Receive(b []byte) error { l.got = append(l.got, len(b)); return nil }

func FuzzFrame(f *testing.F) {
	e := newEncoder("a:1", streamFrameMax, true)
	var stream []byte
	for _, to := range []string{"x", "y", "x"} {
		stream, _ = e.append(stream, testItem(actor.NewPID("b:1", to), actor.NewPID("a:1", "z"), text("hello")))
	}
	f.Add(stream, uint8(3))
	f.Add([]byte{0x81, 0x80, 0x80, 0x02, 0}, uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		in := &lengths{}
		d := NewDeframer(actors.Bulk, in)
		step := int(cut) + 1
		for len(b) > 0 {
			n := min(step, len(b))
			if d.Feed(b[:n]) != nil {
				return
			}
			b = b[n:]
		}
		if len(d.buf) > 2*(bulkFrameMax+readBufferMax) {
			t.Fatalf("a buffer of %d bytes", len(d.buf))
		}
		for _, n := range in.got {
			if n > bulkFrameMax {
				t.Fatalf("a frame of %d bytes got through", n)
			}
		}
	})
}

func FuzzHello(f *testing.F) {
	w := newWorld(f)
	n := w.start("b:1", worldIdentity(2, 1))
	f.Add(helloGreeting(n.remote.core.hello()))
	f.Add(ackGreeting(n.remote.core.hello()))
	f.Add(goAwayGreeting(CodeShutdown, "bye"))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := decodeGreeting(b)
		if err != nil {
			return
		}
		for _, hello := range []*Hello{g.GetHello(), g.GetHelloAck().GetHello()} {
			info, refusal := n.remote.core.checkHello(hello, 2)
			if refusal != nil {
				continue
			}
			if info.NodeID != 2 || checkAddress(info.Address) != nil || len(info.Name) > helloNameMax {
				t.Fatalf("took %v", info)
			}
		}
	})
}

// FuzzEnvelope feeds a lane with one frame after the other, so that the tables are filled with what came.
func FuzzEnvelope(f *testing.F) {
	e := newEncoder("a:1", streamFrameMax, true)
	var stream []byte
	for _, it := range []*item{
		testItem(actor.NewPID("b:1", "x"), actor.NewPID("a:1", "z"), text("hello")),
		testItem(actor.NewPID("b:1", "x"), nil, text("hello")),
		{kind: uint8(Frame_WATCH), target: actor.NewPID("b:1", "x"), sender: actor.NewPID("a:1", "z")},
		{kind: uint8(Frame_STOP), target: actor.NewPID("b:1", "remote")},
		{kind: uint8(Frame_TERMINATED), target: actor.NewPID("b:1", "x"), sender: actor.NewPID("a:1", "z")},
	} {
		stream, _ = e.append(stream, it)
	}
	f.Add(stream)
	s := newSink(f, "x")
	f.Fuzz(func(t *testing.T, b []byte) {
		s.inbox = newInbox(s.core, s.peer, s.from, actors.Default)
		s.got = nil
		_ = NewDeframer(actors.Default, s).Feed(b)
		for _, m := range s.got {
			if _, system := m.Message.(actor.SystemMessage); system {
				t.Fatalf("a system message came as %v", m.Message)
			}
		}
		s.core.drop(s.peer, actors.Default, dropLost)
		s.core.dropIncoming(s.peer)
	})
}
