package remote

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

// Who accepts bounds the age too, whatever the dialer's own is, and what is sent meanwhile arrives.
func TestTheAcceptingSideBoundsTheAge(t *testing.T) {
	w := newWorld(t)
	a := w.start("a:1", worldIdentity(1, 1))
	b := w.start("b:1", worldIdentity(2, 1), WithConnectionAge(time.Second))
	got := b.collect("x")
	events := a.collect("events")
	a.do(events, func(ctx actor.Context) { ctx.Request(a.remote.manager, &actors.SubscribePeers{}) })
	const n = 5000
	for i := range n {
		for _, class := range []actors.Class{actors.Default, actors.Bulk} {
			actors.Send(class, a.Root, b.at("x"), wrapperspb.UInt64(uint64(class)<<32|uint64(i)))
		}
		actors.Send(actors.Datagram, a.Root, b.at("x"), text("may be lost"))
		w.runFor(time.Millisecond)
	}
	w.runFor(time.Second)
	var counts [actors.Classes]uint64
	for _, m := range got.take() {
		v, ok := m.(*wrapperspb.UInt64Value)
		if !ok {
			continue
		}
		if class := v.Value >> 32; counts[class] != v.Value&0xffffffff {
			t.Fatalf("class %d: message %d is %d", class, counts[class], v.Value&0xffffffff)
		}
		counts[v.Value>>32]++
	}
	if counts[actors.Default] != n || counts[actors.Bulk] != n {
		t.Fatalf("%v of %d arrived", counts, n)
	}
	if a.transport.dials < 9 {
		t.Fatalf("%d connections were made in five seconds, want a new one of each kind every 1.25", a.transport.dials)
	}
	for _, e := range events.take() {
		if _, down := e.(*actors.PeerDown); down {
			t.Fatal("a renewal is no loss")
		}
	}
}

func TestAPeerThatDoesNotRenewIsClosed(t *testing.T) {
	w := newWorld(t)
	a := w.start("a:1", worldIdentity(1, 1))
	b := w.start("b:1", worldIdentity(2, 1), WithConnectionAge(time.Minute))
	conn := dialRaw(w, a, b)
	conn.Greet(helloGreeting(a.remote.core.hello()))
	w.runFor(74 * time.Second)
	if conn.err != nil {
		t.Fatalf("closed too early: %v", conn.err)
	}
	w.runFor(2*time.Second + finishDeadline)
	if conn.err == nil || closeErrorOf(conn.err).Code != CodeRenew {
		t.Fatalf("an old connection ended with %v", conn.err)
	}
}
