package remote

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

func TestReservedNames(t *testing.T) {
	reserved := []ConfigOption{
		WithReserved(actors.NameSwim, &wrapperspb.StringValue{}),
		WithReserved(actors.RaftPrefix, &wrapperspb.UInt64Value{}),
	}
	w, a, b := pair(t, reserved...)
	swim, raft, store := b.collect("swim"), b.collect("raft/meta"), b.collect("store")
	for _, c := range []struct {
		to    string
		msg   proto.Message
		taken bool
	}{
		{"swim", text("x"), true},
		{"swim", wrapperspb.UInt64(1), false},
		{"swim", &actor.PoisonPill{}, false},
		{"raft/meta", wrapperspb.UInt64(1), true},
		{"raft/meta", text("x"), false},
		{"store", text("x"), false},
		{"remote", text("x"), false},
		{"remote/a:1", text("x"), false},
		{"guardian$1", text("x"), false},
		{"activator", &ActorPidRequest{Kind: "nope"}, true},
		{"activator", &actor.Touch{}, false},
	} {
		future := a.Root.RequestFuture(b.at(c.to), c.msg, time.Hour)
		w.runFor(time.Second)
		var got []any
		switch c.to {
		case "swim":
			got = swim.take()
		case "raft/meta":
			got = raft.take()
		case "store":
			got = store.take()
		}
		switch {
		case c.to == "activator" && c.taken:
			if res, err := future.Result(); err != nil || res.(*ActorPidResponse).StatusCode != ResponseStatusCodeUNAVAILABLE.ToInt32() {
				t.Errorf("spawning an unknown kind: %v, %v", res, err)
			}
		case c.taken:
			if len(got) != 1 {
				t.Fatalf("%s did not get %T", c.to, c.msg)
			}
			in := got[0].(*actors.Inbound)
			if in.Peer.NodeID != 1 || in.Class != actors.Default || !proto.Equal(in.Message.(proto.Message), c.msg) {
				t.Errorf("%s got %+v", c.to, in)
			}
		default:
			if _, err := future.Result(); !errors.Is(err, actor.ErrDeadLetter) || len(got) != 0 {
				t.Errorf("%s and %T: got %v, and the request ended with %v", c.to, c.msg, got, err)
			}
		}
	}
	if n := b.logs.FilterMessage("message refused").Len(); n == 0 || n > 2 {
		t.Errorf("refusals were logged %d times", n)
	}

	// Nobody may stop a reserved actor; watching one is harmless.
	watcher := a.collect("watcher")
	watchFrom(a, watcher, b.at("swim"))
	a.Root.Stop(b.at("swim"))
	w.runFor(time.Second)
	if got := watcher.take(); len(got) != 0 {
		t.Fatalf("swim was stopped from outside: %v", got)
	}
	b.Root.Stop(swim.pid)
	w.runFor(time.Second)
	wantTerminated(t, watcher, b.at("swim"), actor.TerminatedReason_Stopped)
}

func TestSystemMessagesDoNotComeAsMessages(t *testing.T) {
	w, a, b := pair(t)
	got := b.collect("x")
	a.Root.Send(b.at("x"), text("real"))
	w.runFor(time.Second)
	peer := a.remote.core.peers.find("b:1")
	forged := &actor.Terminated{Who: b.at("y")}
	a.remote.core.enqueue(peer, actors.Default, item{target: b.at("x"), msg: forged, size: uint32(proto.Size(forged))})
	// Terminated for somebody who watches nothing.
	a.remote.core.enqueue(peer, actors.Default, item{kind: uint8(Frame_TERMINATED), target: b.at("x"), sender: a.at("y")})
	w.runFor(time.Second)
	if msgs := got.take(); len(msgs) != 1 {
		t.Fatalf("got %v", msgs)
	}
	future := b.Root.RequestFuture(a.at("silent"), text("?"), time.Hour)
	a.collect("silent")
	a.remote.core.enqueue(peer, actors.Default, item{kind: uint8(Frame_STOP), target: b.at(future.PID().Id)})
	a.remote.core.enqueue(peer, actors.Default, item{kind: uint8(Frame_STOP), target: b.at("deadletter")})
	w.runFor(time.Second)
	if n := b.logs.FilterMessage("message refused").Len(); n == 0 {
		t.Fatal("a stop of a future was not refused")
	}
}

func TestBlankNodes(t *testing.T) {
	w := newWorld(t)
	blank := func(node uint64) Identity {
		id := worldIdentity(node, 1)
		id.ClusterID = ""
		return id
	}
	opt := WithReserved(actors.NameBootstrap, &wrapperspb.StringValue{})
	a, b := w.start("a:1", blank(1), opt), w.start("b:1", worldIdentity(2, 1), opt)
	plain := b.collect("x")
	back := a.collect("y")
	b.collect("bootstrap", func(ctx actor.Context) { ctx.Respond(text("candidates")) })

	a.Root.Send(b.at("x"), text("too early"))
	b.Root.Send(a.at("y"), text("too early"))
	asker := a.collect("asker")
	var answer any
	a.do(asker, func(ctx actor.Context) {
		actors.Ask(ctx, b.at("bootstrap"), text("candidates?"), time.Second, func(res any, err error) { answer = res })
	})
	watchFrom(a, asker, b.at("x"))
	w.runFor(100 * time.Millisecond)
	if len(plain.take())+len(back.take()) != 0 {
		t.Fatal("messages passed before the node belonged to a cluster")
	}
	if m, ok := answer.(*wrapperspb.StringValue); !ok || m.Value != "candidates" {
		t.Fatalf("bootstrap was answered %v", answer)
	}
	wantTerminated(t, asker, b.at("x"), actor.TerminatedReason_AddressTerminated)

	a.do(asker, func(ctx actor.Context) { ctx.Request(a.remote.manager, &actors.SetClusterID{ClusterID: "c"}) })
	w.runFor(100 * time.Millisecond)
	if got := asker.take(); len(got) != 1 {
		t.Fatalf("SetClusterID was answered with %v", got)
	}
	a.Root.Send(b.at("x"), text("now"))
	b.Root.Send(a.at("y"), text("now"))
	w.runFor(100 * time.Millisecond)
	if len(plain.take()) != 1 || len(back.take()) != 1 {
		t.Fatal("messages do not pass after the node joined")
	}
}

func TestAnotherClusterIsRefusedAndLoggedOnce(t *testing.T) {
	w := newWorld(t)
	a := w.start("a:1", worldIdentity(1, 1))
	other := worldIdentity(2, 1)
	other.ClusterID = "d"
	b := w.start("b:1", other)
	for range 20 {
		a.Root.Send(b.at("x"), text("hello"))
		b.Root.Send(a.at("x"), text("hello"))
		w.runFor(time.Second)
	}
	for _, n := range []*worldNode{a, b} {
		lines := n.logs.FilterMessage("peer refused").All()
		if len(lines) != 1 || lines[0].ContextMap()["code"] != "cluster" {
			t.Errorf("%s logged %v, want one line", n.transport.address, lines)
		}
	}
	// A blank node that is told to join another cluster than its peers leaves them.
	id := worldIdentity(3, 1)
	id.ClusterID = ""
	c := w.start("c:1", id)
	asker := c.collect("asker")
	c.do(asker, func(ctx actor.Context) { ctx.Request(c.remote.manager, &actors.Resolve{Address: "b:1"}) })
	w.runFor(time.Second)
	c.do(asker, func(ctx actor.Context) { ctx.Request(c.remote.manager, &actors.SetClusterID{ClusterID: "c"}) })
	w.runFor(time.Second)
	c.Root.Send(b.at("bootstrap"), text("still there?"))
	w.runFor(time.Second)
	if n := c.logs.FilterMessage("peer refused").Len(); n != 1 {
		t.Errorf("leaving for another cluster was logged %d times", n)
	}
}

func TestHelloThatDisagreesWithTheCertificate(t *testing.T) {
	w, a, b := pair(t)
	a.transport.node = 7
	a.Root.Send(b.at("x"), text("hello"))
	w.runFor(10 * time.Second)
	for _, n := range []*worldNode{a, b} {
		lines := n.logs.FilterMessage("peer refused").All()
		if len(lines) != 1 || lines[0].ContextMap()["code"] != "identity" {
			t.Errorf("%s logged %v, want one line", n.transport.address, lines)
		}
	}
}

func TestTwoNodesOfOneId(t *testing.T) {
	w := newWorld(t)
	a := w.start("a:1", worldIdentity(1, 1))
	twin := worldIdentity(1, 1)
	twin.DirectoryID[5] = 9
	b := w.start("b:1", twin)
	a.Root.Send(b.at("x"), text("hello"))
	w.runFor(10 * time.Second)
	for _, n := range []*worldNode{a, b} {
		lines := n.logs.FilterMessage("peer refused").All()
		if len(lines) != 1 || !strings.Contains(lines[0].ContextMap()["reason"].(string), "two nodes claim the id 1") {
			t.Errorf("%s logged %v, want one line", n.transport.address, lines)
		}
	}
}

func TestFullQueueGoesToDeadLetters(t *testing.T) {
	w, a, b := pair(t, WithLimits(Limits{DefaultBytes: 1000}))
	got := b.collect("x")
	var dead int
	a.EventStream.Subscribe(func(e any) {
		if _, ok := e.(*actor.DeadLetterEvent); ok {
			dead++
		}
	})
	for range 100 {
		a.Root.Send(b.at("x"), text("hello"))
	}
	w.runFor(time.Second)
	arrived := len(got.take())
	if arrived == 0 || dead == 0 || arrived+dead != 100 {
		t.Fatalf("%d arrived and %d are dead letters, of 100", arrived, dead)
	}
	a.Root.Send(b.at("x"), text("room again"))
	w.runFor(time.Second)
	if len(got.take()) != 1 {
		t.Fatal("the queue did not recover")
	}
}

type notProto struct{ s string }

func TestWhatCannotBeSentFailsAtOnce(t *testing.T) {
	w, a, b := pair(t)
	b.collect("x")
	big := &wrapperspb.BytesValue{Value: make([]byte, streamFrameMax+1)}
	for _, c := range []struct {
		class actors.Class
		msg   any
	}{
		{actors.Default, &notProto{}},
		{actors.Default, nil},
		{actors.Default, big},
		{actors.Bulk, &wrapperspb.BytesValue{Value: make([]byte, bulkMessageMax)}},
		{actors.Datagram, &wrapperspb.BytesValue{Value: make([]byte, datagramMax)}},
	} {
		future := actor.NewFuture(a.ActorSystem, time.Hour)
		actors.SendEnvelope(c.class, a.Root, b.at("x"), &actor.MessageEnvelope{Message: c.msg, Sender: future.PID()})
		w.runFor(time.Second)
		if _, err := future.Result(); !errors.Is(err, actor.ErrDeadLetter) {
			t.Errorf("%T in class %s: %v", c.msg, c.class, err)
		}
	}
	if b.logs.FilterMessage("peer lost").Len() != 0 || a.logs.FilterMessage("peer lost").Len() != 0 {
		t.Error("a message that could not be encoded cost the connection")
	}
}

type upper struct{}

func (upper) Serialize(msg any) ([]byte, error)           { return []byte(msg.(*notProto).s), nil }
func (upper) Deserialize(_ string, b []byte) (any, error) { return &notProto{string(b)}, nil }
func (upper) GetTypeName(msg any) (string, error) {
	if _, ok := msg.(*notProto); !ok {
		return "", errNotSerializable
	}
	return "notProto", nil
}

func TestSerializerAndUnknownType(t *testing.T) {
	w := newWorld(t)
	a := w.start("a:1", worldIdentity(1, 1), WithSerializer("own", upper{}))
	b := w.start("b:1", worldIdentity(2, 1), WithSerializer("own", upper{}))
	c := w.start("c:1", worldIdentity(3, 1))
	got := b.collect("x")
	c.collect("x")
	a.Root.Send(b.at("x"), &notProto{"hello"})
	future := a.Root.RequestFuture(c.at("x"), &notProto{"hello"}, time.Hour)
	w.runFor(time.Second)
	if msgs := got.take(); len(msgs) != 1 || msgs[0].(*notProto).s != "hello" {
		t.Fatalf("got %v", msgs)
	}
	if _, err := future.Result(); !errors.Is(err, actor.ErrDeadLetter) {
		t.Fatalf("a type that is unknown there: %v", err)
	}
}

func TestDeliverAs(t *testing.T) {
	w, a, b := pair(t, WithReserved("ring", &wrapperspb.StringValue{}))
	got := b.collect("ring")
	a.remote.DeliverAs(actors.Control, &wrapperspb.StringValue{})
	a.Root.Send(b.at("ring"), text("x"))
	w.runFor(time.Second)
	if msgs := got.take(); len(msgs) != 1 || msgs[0].(*actors.Inbound).Class != actors.Control {
		t.Fatalf("got %v", msgs)
	}
}

func TestUnreachableTargetThatPanics(t *testing.T) {
	w, a, b := pair(t)
	a.Root.Send(b.at("bomb"), text("x"))
	b.ProcessRegistry.Add(bomb{}, "bomb")
	w.runFor(time.Second)
	if b.logs.FilterMessage("delivery panicked").Len() != 1 {
		t.Fatal("a panic in a delivery was not caught")
	}
	if b.logs.FilterMessage("peer lost").Len() != 0 {
		t.Fatal("it cost the connection")
	}
}

type bomb struct{}

func (bomb) SendUserMessage(*actor.PID, any)   { panic("boom") }
func (bomb) SendSystemMessage(*actor.PID, any) { panic("boom") }
func (bomb) Stop(*actor.PID)                   {}
