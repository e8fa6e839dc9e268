package remote

import (
	"fmt"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

// open counts the connections of a kind that a node dialed and that stand.
func (n *worldNode) open(kind Kind) int {
	count := 0
	for _, c := range n.transport.conns {
		if !c.ended && c.dialed && c.kind == kind {
			count++
		}
	}
	return count
}

// longIdle is when an unused connection is ended at the latest, and the goodbye is over.
const longIdle = 2*connIdleDefault + time.Second

func TestUnusedConnectionsEnd(t *testing.T) {
	w, a, b := pair(t)
	heard := signalsOf(w, a)
	got := b.collect("x")
	for round := range 3 {
		a.Root.Send(b.at("x"), text("hello"))
		actors.Send(actors.Bulk, a.Root, b.at("x"), text("large"))
		w.runFor(connIdleDefault / 2)
		if len(got.take()) != 2 || a.open(KindMain) == 0 || a.open(KindBulk) == 0 {
			t.Fatalf("round %d: not delivered, or ended while it was used", round)
		}
		w.runFor(longIdle)
		if left := a.open(KindMain) + b.open(KindMain) + a.open(KindBulk); left != 0 {
			t.Fatalf("round %d: %d connections are left that nobody uses", round, left)
		}
		if s := a.peer(); s.State != PeerIdle || s.Reconnects != 0 {
			t.Fatalf("round %d: %s after %d reconnects", round, s.State, s.Reconnects)
		}
	}
	wantSignals(t, heard, 1) // the session stood all the time
	dials := a.transport.dials
	w.runFor(time.Hour)
	if a.transport.dials != dials {
		t.Error("dialed although nobody sends")
	}
}

// What relies on a connection keeps it: watches of either side, a future, and messages.
func TestUsedConnectionsStay(t *testing.T) {
	w, a, b := pair(t)
	watcher := a.collect("watcher")
	b.collect("silent")
	for _, use := range []struct {
		name       string
		begin, end func()
	}{
		{"a watch", func() { watchFrom(a, watcher, b.at("silent")) }, func() { a.do(watcher, func(ctx actor.Context) { ctx.Unwatch(b.at("silent")) }) }},
		{"a future", func() {
			future := a.Root.RequestFuture(b.at("silent"), text("?"), time.Hour)
			watcher.got = append(watcher.got, future.PID())
		}, func() { a.Root.Send(watcher.take()[0].(*actor.PID), text("done")) }},
	} {
		use.begin()
		w.runFor(10 * connIdleDefault)
		if a.open(KindMain) == 0 {
			t.Errorf("%s did not keep the connection", use.name)
		}
		if use.name == "a watch" && b.open(KindMain) == 0 {
			t.Error("the side that is watched ended the connection by which it would tell")
		}
		use.end()
		w.runFor(longIdle)
		if left := a.open(KindMain) + b.open(KindMain); left != 0 {
			t.Errorf("%d connections are left after %s", left, use.name)
		}
	}
	for range 10 {
		a.Root.Send(b.at("silent"), text("now and then"))
		w.runFor(connIdleDefault * 9 / 10)
		if a.open(KindMain) == 0 {
			t.Fatal("messages did not keep the connection")
		}
	}
}

// However a message meets the goodbye of a connection, it arrives, and once.
func TestNothingIsLostAtAGoodbye(t *testing.T) {
	w, a, b := pair(t)
	got := b.collect("x")
	sent := 0
	send := func() {
		for class := range actors.Datagram {
			actors.Send(class, a.Root, b.at("x"), wrapperspb.UInt64(uint64(sent)))
		}
		sent++
	}
	send()
	w.runFor(connIdleDefault)
	for a.open(KindMain) > 0 { // one just before each moment at which it may end
		w.runFor(time.Millisecond)
		if w.now > time.Minute {
			t.Fatal("it does not end")
		}
	}
	ended := w.now
	for shift := -4 * time.Millisecond; shift <= 4*time.Millisecond; shift += 500 * time.Microsecond {
		send()
		at := w.now + ended + shift
		w.runFor(at - w.now)
		send()
		w.runFor(longIdle)
	}
	classes := int(actors.Datagram)
	values := got.take()
	if len(values) != sent*classes {
		t.Fatalf("%d of %d messages arrived", len(values), sent*classes)
	}
	seen := make(map[uint64]int)
	for _, v := range values {
		seen[v.(*wrapperspb.UInt64Value).Value]++
	}
	for i := range uint64(sent) {
		if seen[i] != classes {
			t.Errorf("message %d arrived %d times, want once in each class", i, seen[i])
		}
	}
}

// A peer that dies while its connection rests is reported when it is missed, or when the membership says so.
func TestDeathOfAPeerThatRests(t *testing.T) {
	for _, how := range []string{"sent to", "called dead"} {
		t.Run(how, func(t *testing.T) {
			w, a, b := pair(t)
			heard := signalsOf(w, a)
			a.Root.Send(b.at("x"), text("hello"))
			w.runFor(longIdle)
			b.crash()
			w.runFor(time.Minute)
			wantSignals(t, heard, 1)
			future := a.Root.RequestFuture(b.at("x"), text("anybody?"), time.Hour)
			if how == "called dead" {
				future = nil
				a.Root.Send(a.remote.manager, &actors.PeerVerdict{NodeID: 2, Address: "b:1"})
			}
			w.runFor(2 * dialDeadline)
			wantSignals(t, heard, -1)
			if future != nil {
				if _, err := future.Result(); err == nil {
					t.Error("a request to a dead peer was answered")
				}
			}
		})
	}
}

// While a connection rests, who lives there may have changed: whoever asks is told by the node itself.
func TestResolveAsksAPeerThatRests(t *testing.T) {
	w, a, b := pair(t)
	a.Root.Send(b.at("x"), text("hello"))
	w.runFor(longIdle)
	b.crash()
	w.start("b:1", worldIdentity(3, 1))
	asker := a.collect("asker")
	a.do(asker, func(ctx actor.Context) { ctx.Request(a.remote.manager, &actors.Resolve{Address: "b:1"}) })
	w.runFor(time.Second)
	if got := asker.take(); len(got) != 1 || got[0].(*actors.Resolved).Peer == nil || got[0].(*actors.Resolved).Peer.NodeID != 3 {
		t.Fatalf("resolved to %v", got)
	}
}

// With the gossip address from the membership a datagram needs no main connection, and its answer no connection at all.
func TestDatagramsAloneTakeOneConnection(t *testing.T) {
	w, a, b := pair(t)
	for _, n := range []*worldNode{a, b} {
		for _, of := range []*worldNode{a, b} {
			if n != of {
				self := of.remote.core.self.Load()
				n.Root.Send(n.remote.manager, &actors.PeerVerdict{NodeID: self.NodeID, Address: self.Address, GossipAddress: self.GossipAddress, Alive: true})
			}
		}
	}
	got := a.collect("probe")
	b.collect("echo", func(ctx actor.Context) { actors.Send(actors.Datagram, ctx, a.at("probe"), text("ack")) })
	for range 10 {
		actors.Send(actors.Datagram, a.Root, b.at("echo"), text("ping"))
		w.runFor(time.Second)
	}
	if acks := len(got.take()); acks != 10 {
		t.Errorf("%d of 10 pings were answered", acks)
	}
	if main, datagram := a.open(KindMain)+b.open(KindMain), a.open(KindDatagram); main != 0 || datagram != 1 || a.transport.dials+b.transport.dials != 1 {
		t.Errorf("%d main and %d datagram connections after %d dials, want one for datagrams", main, datagram, a.transport.dials+b.transport.dials)
	}
	w.runFor(10 * time.Minute)
	if a.open(KindDatagram) != 1 {
		t.Error("the datagram connection was ended for idleness")
	}
}

// A gossip address that leads to another node than the membership says is not taken for that node.
func TestGossipAddressOfAnotherNode(t *testing.T) {
	w, a, b := pair(t)
	c := w.start("c:1", worldIdentity(3, 1))
	got := c.collect("x")
	a.Root.Send(a.remote.manager, &actors.PeerVerdict{NodeID: 2, Address: "b:1", GossipAddress: "c:1", Alive: true})
	actors.Send(actors.Datagram, a.Root, b.at("x"), text("for b"))
	w.runFor(time.Second)
	if len(got.take()) != 0 || a.open(KindDatagram) != 0 {
		t.Error("a datagram for one node went to another")
	}
}

// Members that probe each other, one a second, cost the same packets whatever their number, and hold no main connection.
func TestProbesCostTheSameAtAnySize(t *testing.T) {
	if testing.Short() {
		t.Skip("hundreds of handshakes")
	}
	cost := make(map[int]float64)
	for _, nodes := range []int{10, 40} {
		inLab(t, func(t *testing.T, l *lab) {
			mesh := make([]*testNode, nodes)
			for i := range mesh {
				mesh[i] = l.start(t, fmt.Sprintf("10.0.2.%d", i+1), uint64(i+1), 1)
			}
			for i, n := range mesh {
				for j, of := range mesh {
					if i != j {
						self := of.remote.Self()
						n.Root.Send(n.remote.manager, &actors.PeerVerdict{NodeID: self.NodeID, Address: self.Address, GossipAddress: self.GossipAddress, Alive: true})
					}
				}
				_, err := n.Root.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
					if from := ctx.Sender(); from != nil {
						actors.Send(actors.Datagram, ctx, from, text("ack"))
					}
				}), "member")
				if err != nil {
					t.Fatal(err)
				}
			}
			probe := func(rounds int) {
				for round := range rounds {
					for i, n := range mesh {
						to := mesh[(i+1+round%(nodes-1))%nodes]
						actors.SendEnvelope(actors.Datagram, n.Root, to.pid("member"), &actor.MessageEnvelope{
							Message: text("ping"), Sender: actor.NewPID(n.address(), "prober"),
						})
					}
					pass(time.Second)
				}
			}
			probe(nodes) // every pair has met
			before := l.packets()
			probe(nodes)
			cost[nodes] = float64(l.packets()-before) / float64(nodes*nodes)
			for _, n := range mesh {
				wantMesh(t, n, 0, 0)
			}
		})
	}
	t.Logf("packets per node-second: %.2f of 10 nodes, %.2f of 40", cost[10], cost[40])
	for nodes, packets := range cost {
		if packets > 4.2 {
			t.Errorf("%.2f packets per node-second of %d nodes, want at most 4.2", packets, nodes)
		}
	}
	if cost[40] > 1.05*cost[10] {
		t.Errorf("%.2f packets per node-second of 40 nodes, %.2f of 10: they grow with the number", cost[40], cost[10])
	}
}
