package remote

import (
	"fmt"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// rawConns opens n connections that say nothing.
func rawConns(w *world, from, to *worldNode, n int) []*rawConn {
	conns := make([]*rawConn, n)
	for i := range conns {
		conns[i] = dialRaw(w, from, to)
	}
	return conns
}

func closedWith(conns []*rawConn, code Code) int {
	n := 0
	for _, c := range conns {
		if c.err != nil && closeErrorOf(c.err).Code == code {
			n++
		}
	}
	return n
}

func TestConnectionsWithoutHelloAreBounded(t *testing.T) {
	w, a, b := pair(t, WithLimits(Limits{HalfOpen: 3}))
	conns := rawConns(w, a, b, 10)
	if n := closedWith(conns, CodeLimit); n != 7 {
		t.Fatalf("%d of 10 gave way, want the oldest 7", n)
	}
	w.runFor(helloDeadline)
	if n := closedWith(conns, CodeTimeout); n != 3 {
		t.Fatalf("%d of 3 timed out", n)
	}
}

func TestAcceptedConnectionsAreBounded(t *testing.T) {
	w, a, b := pair(t, WithLimits(Limits{Connections: 3}))
	conns := rawConns(w, a, b, 5)
	if n := closedWith(conns, CodeLimit); n != 2 {
		t.Fatalf("%d of 5 were turned away, want 2", n)
	}
	w.runFor(helloDeadline + time.Second)
	// There is room again.
	c := w.start("c:1", worldIdentity(3, 1))
	got := b.collect("x")
	c.Root.Send(b.at("x"), text("hello"))
	w.runFor(time.Second)
	if len(got.take()) != 1 {
		t.Fatal("nobody comes in any more")
	}
}

func TestPeersAreBounded(t *testing.T) {
	w := newWorld(t)
	a := w.start("a:1", worldIdentity(1, 1), WithLimits(Limits{Peers: 3}))
	for i := range 10 {
		a.Root.Send(actor.NewPID(fmt.Sprintf("nowhere:%d", i+1), "x"), text("lost"))
	}
	future := a.Root.RequestFuture(actor.NewPID("nowhere:99", "x"), text("lost"), time.Hour)
	watcher := a.collect("watcher")
	watchFrom(a, watcher, actor.NewPID("nowhere:99", "x"))
	w.settle()
	if n := len(a.remote.core.peers.all()); n != 3 {
		t.Fatalf("%d peers are known, want 3", n)
	}
	if _, err := future.Result(); err == nil {
		t.Fatal("a request to one too many did not fail")
	}
	wantTerminated(t, watcher, actor.NewPID("nowhere:99", "x"), actor.TerminatedReason_AddressTerminated)
	w.runFor(10 * time.Minute)
	if n := len(a.remote.core.peers.all()); n != 0 {
		t.Fatalf("%d peers that never were are still known", n)
	}
}

func TestWatchesAreBounded(t *testing.T) {
	for name, limited := range map[string]int{"here": 0, "there": 1} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			opts := [2][]ConfigOption{}
			opts[limited] = []ConfigOption{WithLimits(Limits{Watches: 2})}
			a := w.start("a:1", worldIdentity(1, 1), opts[0]...)
			b := w.start("b:1", worldIdentity(2, 1), opts[1]...)
			watcher := a.collect("watcher")
			for i := range 3 {
				b.collect(fmt.Sprint("x", i))
				watchFrom(a, watcher, b.at(fmt.Sprint("x", i)))
				w.runFor(100 * time.Millisecond)
			}
			wantTerminated(t, watcher, b.at("x2"), actor.TerminatedReason_AddressTerminated)
		})
	}
}

func TestDatagramDialsThatCross(t *testing.T) {
	w, a, b := pair(t)
	gotA, gotB := a.collect("x"), b.collect("x")
	a.Root.Send(b.at("x"), text("hello"))
	w.runFor(time.Second)
	gotB.take()
	for i := range 100 {
		actors.Send(actors.Datagram, a.Root, b.at("x"), text("a"))
		actors.Send(actors.Datagram, b.Root, a.at("x"), text("b"))
		if i > 0 {
			w.runFor(10 * time.Millisecond)
		}
	}
	// What was on the connection that gave way may be lost.
	if n := len(gotA.take()); n < 95 {
		t.Errorf("%d of 100 came", n)
	}
	if n := len(gotB.take()); n < 95 {
		t.Errorf("%d of 100 came", n)
	}
	for _, n := range []*worldNode{a, b} {
		open := 0
		for _, c := range n.transport.conns {
			if c.kind == KindDatagram && !c.ended {
				open++
			}
		}
		if open != 1 {
			t.Errorf("%s has %d datagram connections, want one", n.transport.address, open)
		}
	}
}

func TestTheRemoteSurvivesItsOwnFailures(t *testing.T) {
	for name, fail := range map[string]func(*worldNode){
		"session": func(n *worldNode) {
			n.Root.Send(actor.NewPID("nonhost", "remote/b:1"), &cameIn{})
		},
		"manager": func(n *worldNode) { n.Root.Send(n.remote.manager, &accepted{}) },
		"another cluster": func(n *worldNode) {
			n.Root.Send(n.remote.manager, &actors.SetClusterID{ClusterID: "other"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t)
			gotA, gotB := a.collect("x"), b.collect("x")
			watchFrom(a, gotA, b.at("x"))
			a.Root.Send(b.at("x"), text("before"))
			w.runFor(time.Second)
			fail(a)
			w.runFor(10 * time.Second)
			a.Root.Send(b.at("x"), text("after"))
			b.Root.Send(a.at("x"), text("back"))
			w.runFor(time.Second)
			if got := gotB.take(); len(got) != 2 {
				t.Fatalf("b got %v", got)
			}
			if got := gotA.take(); len(got) != 1 {
				t.Fatalf("a got %v", got)
			}
			b.Root.Stop(gotB.pid)
			w.runFor(time.Second)
			wantTerminated(t, gotA, b.at("x"), actor.TerminatedReason_Stopped)
		})
	}
}

func TestBothSidesDrain(t *testing.T) {
	w, a, b := pair(t)
	gotA, gotB := a.collect("x"), b.collect("x")
	a.Root.Send(b.at("x"), text("hello"))
	b.Root.Send(a.at("x"), text("hello"))
	w.runFor(time.Second)
	gotA.take()
	gotB.take()
	for range 500 {
		a.Root.Send(b.at("x"), text("a"))
		b.Root.Send(a.at("x"), text("b"))
	}
	asker := a.collect("asker")
	a.do(asker, func(ctx actor.Context) { ctx.Request(a.remote.manager, &Drain{Timeout: time.Second}) })
	w.runFor(50 * time.Millisecond)
	if r := asker.take(); len(r) != 1 || *r[0].(*Drained) != (Drained{Peers: 1}) {
		t.Fatalf("drained: %v", texts(r))
	}
	if n, m := len(gotA.take()), len(gotB.take()); n != 500 || m != 500 {
		t.Fatalf("%d and %d of 500 came", n, m)
	}
}
