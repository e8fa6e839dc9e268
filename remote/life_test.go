package remote

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

// A path that swallows what comes from this node's port is left by a new one.
func TestFreshSocketAfterFailures(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a, b := l.start(t, "10.0.0.1", 1, 1), l.start(t, "10.0.0.2", 2, 1)
		events := subscribe(t, a)
		got := b.inboxOf(t, "x")
		a.Root.Send(b.pid("x"), text("before"))
		<-got
		<-events
		l.cut(a.address(), true)
		if _, down := (<-events).(*actors.PeerDown); !down {
			t.Fatal("the peer is not lost")
		}
		if _, up := (<-events).(*actors.PeerUp); !up {
			t.Fatal("the peer is not back")
		}
		a.Root.Send(b.pid("x"), text("after"))
		if m := (<-got).(*wrapperspb.StringValue); m.Value != "after" {
			t.Fatalf("got %q", m.Value)
		}
		if n := l.sockets("10.0.0.1"); n != 2 {
			t.Errorf("%d sockets, want the bound one and a fresh one", n)
		}
		// The old path works again; the fresh socket goes with its connection.
		l.cut(a.address(), false)
		b.remote.Shutdown(true)
		began := time.Now()
		for l.sockets("10.0.0.1") != 1 { // between two attempts
			if pass(100 * time.Millisecond); time.Since(began) > time.Minute {
				t.Fatalf("%d sockets are left", l.sockets("10.0.0.1"))
			}
		}
	})
}

func TestWireVersions(t *testing.T) {
	for _, c := range []struct {
		min, max uint32
		ok       bool
	}{{1, 1, true}, {1, 9, true}, {2, 9, false}, {0, 0, false}, {9, 1, false}} {
		w, a, b := pair(t)
		hello := a.remote.core.hello()
		hello.WireMin, hello.WireMax = c.min, c.max
		conn := dialRaw(w, a, b)
		conn.Greet(helloGreeting(hello))
		w.runFor(time.Second)
		if refused := conn.err != nil; refused == c.ok {
			t.Errorf("versions %d to %d: %v", c.min, c.max, conn.err)
		} else if refused && closeErrorOf(conn.err).Code != CodeVersion {
			t.Errorf("versions %d to %d: closed with %s", c.min, c.max, closeErrorOf(conn.err).Code)
		}
	}
}

// A peer that says goodbye is down at once: nobody waits for the attempt that would follow a loss.
func TestGoodbyeEndsWatchesAndRequestsAtOnce(t *testing.T) {
	w, a, b := pair(t)
	watcher := a.collect("watcher")
	b.collect("silent")
	watchFrom(a, watcher, b.at("silent"))
	w.runFor(time.Second)
	for _, c := range b.transport.conns {
		c.Close(CodeShutdown, "this node is stopping")
	}
	b.transport.down = true
	delete(w.nodes, "b:1")
	w.runFor(10 * time.Millisecond)
	wantTerminated(t, watcher, b.at("silent"), actor.TerminatedReason_AddressTerminated)
	future := a.Root.RequestFuture(b.at("silent"), text("?"), time.Hour)
	w.settle()
	if _, err := future.Result(); err == nil {
		t.Error("a request is answered by nobody")
	}
}

// Watches that a dead peer held here are removed: their targets know no watcher any more.
func TestWatchesOfADeadPeerAreRemoved(t *testing.T) {
	w, a, b := pair(t)
	watcher := b.collect("watcher")
	target := a.collect("target")
	watchFrom(b, watcher, a.at("target"))
	a.Root.Send(b.at("watcher"), text("and back"))
	w.runFor(time.Second)
	if in := a.peer().WatchesIn; in != 1 {
		t.Fatalf("%d watches came in", in)
	}
	b.crash()
	w.runFor(dialDeadline + time.Second)
	if in := a.peer().WatchesIn; in != 0 {
		t.Errorf("%d watches are left", in)
	}
	var told int
	a.EventStream.Subscribe(func(e any) {
		if letter, ok := e.(*actor.DeadLetterEvent); ok && letter.PID.Address == "b:1" {
			told++
		}
	})
	a.Root.Stop(target.pid)
	w.runFor(time.Second)
	if told != 0 {
		t.Errorf("the end was told %d times to a peer that is dead", told)
	}
}

// While nothing else is sent, heartbeats go, large enough for a stateless reset to answer their packets.
func TestHeartbeats(t *testing.T) {
	w, a, b := pair(t, WithConnectionIdle(0))
	a.Root.Send(b.at("nobody"), text("hello"))
	w.runFor(time.Second)
	before := a.peer().Classes[actors.Control]
	w.runFor(10 * heartbeatInterval)
	after := a.peer().Classes[actors.Control]
	n := after.SentMessages - before.SentMessages
	if n < 9 || n > 11 {
		t.Fatalf("%d heartbeats in ten intervals", n)
	}
	if size := (after.SentBytes - before.SentBytes) / n; size < 24 {
		t.Errorf("a heartbeat of %d bytes", size)
	}
	if there := b.peer().Classes[actors.Control]; there.ReceivedMessages < n {
		t.Errorf("%d of %d came", there.ReceivedMessages, n)
	}
}

// What ends the back-off for a peer that is back is its Hello, not the clock.
func TestHelloEndsTheBackoff(t *testing.T) {
	w, a, b := pair(t)
	a.Root.Send(b.at("nobody"), text("hello"))
	w.runFor(time.Second)
	b.crash()
	for a.peer().State != PeerDown || a.peer().Failures < 10 {
		w.runFor(100 * time.Millisecond)
	}
	dials := a.transport.dials
	b = w.start("b:1", worldIdentity(2, 2))
	began := w.now
	b.Root.Send(a.at("nobody"), text("back"))
	for a.peer().State != PeerConnected {
		w.runFor(w.latency)
	}
	if took := w.now - began; took > 100*time.Millisecond || a.transport.dials != dials+1 {
		t.Errorf("talked to again %s after it was up, with %d dials", took, a.transport.dials-dials)
	}
}
