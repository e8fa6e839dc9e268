package remote

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

func pair(t *testing.T, opts ...ConfigOption) (*world, *worldNode, *worldNode) {
	w := newWorld(t)
	a := w.start("a:1", worldIdentity(1, 1), opts...)
	b := w.start("b:1", worldIdentity(2, 1), opts...)
	return w, a, b
}

func TestEveryClassArrivesInOrder(t *testing.T) {
	w, a, b := pair(t)
	got := b.collect("x")
	for class := actors.Class(0); class < actors.Classes; class++ {
		for i := range 50 {
			actors.Send(class, a.Root, b.at("x"), wrapperspb.UInt64(uint64(class)<<32|uint64(i)))
		}
	}
	w.runFor(time.Second)
	next := [actors.Classes]uint64{}
	for _, m := range got.take() {
		v := m.(*wrapperspb.UInt64Value).Value
		class, i := v>>32, v&0xffffffff
		if next[class] != i {
			t.Fatalf("class %d: got %d, want %d", class, i, next[class])
		}
		next[class]++
	}
	if next != [actors.Classes]uint64{50, 50, 50, 50, 50} {
		t.Fatalf("arrived: %v", next)
	}
}

func TestSenderAndHeadersTravel(t *testing.T) {
	w, a, b := pair(t)
	var headers map[string]string
	got := b.collect("x", func(ctx actor.Context) {
		headers = ctx.MessageHeader().ToMap()
		ctx.Respond(text("pong"))
	})
	asker := a.collect("asker")
	a.do(asker, func(ctx actor.Context) {
		actors.SendEnvelope(actors.Control, ctx, b.at("x"), &actor.MessageEnvelope{
			Message: text("ping"), Sender: ctx.Self(), Header: map[string]string{"k": "v", "l": ""},
		})
	})
	w.runFor(time.Second)
	if len(got.senders) != 1 || got.senders[0].Address != "a:1" || got.senders[0].Id != "asker" {
		t.Fatalf("senders: %v", got.senders)
	}
	if len(headers) != 2 || headers["k"] != "v" {
		t.Fatalf("headers: %v", headers)
	}
	if r := asker.take(); len(r) != 1 || r[0].(*wrapperspb.StringValue).Value != "pong" {
		t.Fatalf("answer: %v", r)
	}
}

func watchFrom(n *worldNode, c *collected, who *actor.PID) {
	n.do(c, func(ctx actor.Context) { ctx.Watch(who) })
}

func wantTerminated(t *testing.T, c *collected, who *actor.PID, why actor.TerminatedReason) {
	t.Helper()
	got := c.take()
	if len(got) != 1 {
		t.Fatalf("got %v, want one Terminated", got)
	}
	end, ok := got[0].(*actor.Terminated)
	if !ok || !end.Who.Equal(who) || end.Why != why {
		t.Fatalf("got %v, want the end of %v: %v", got[0], who, why)
	}
}

func TestWatch(t *testing.T) {
	w, a, b := pair(t)
	watcher := a.collect("watcher")
	b.collect("target")

	watchFrom(a, watcher, b.at("nobody"))
	w.runFor(time.Second)
	wantTerminated(t, watcher, b.at("nobody"), actor.TerminatedReason_NotFound)

	watchFrom(a, watcher, b.at("target"))
	w.runFor(time.Second)
	a.Root.Stop(b.at("target"))
	w.runFor(time.Second)
	wantTerminated(t, watcher, b.at("target"), actor.TerminatedReason_Stopped)

	poisoned := b.collect("poisoned")
	watchFrom(a, watcher, b.at("poisoned"))
	a.Root.Send(b.at("poisoned"), text("last"))
	a.Root.Poison(b.at("poisoned"))
	w.runFor(time.Second)
	wantTerminated(t, watcher, b.at("poisoned"), actor.TerminatedReason_Stopped)
	if len(poisoned.take()) != 1 {
		t.Fatal("poison overtook the message before it")
	}

	b.collect("unwatched")
	watchFrom(a, watcher, b.at("unwatched"))
	a.do(watcher, func(ctx actor.Context) { ctx.Unwatch(b.at("unwatched")) })
	w.runFor(time.Second)
	b.Root.Stop(b.at("unwatched"))
	w.runFor(time.Second)
	if got := watcher.take(); len(got) != 0 {
		t.Fatalf("an unwatched end was told: %v", got)
	}
}

func TestWatchOutlivesAReconnect(t *testing.T) {
	for _, lost := range []string{"outgoing", "incoming", "incoming, with what was on its way"} {
		t.Run(lost, func(t *testing.T) {
			w, a, b := pair(t)
			watcher := a.collect("watcher")
			b.collect("target")
			watchFrom(a, watcher, b.at("target"))
			w.runFor(time.Second)
			// The target ends while the way back is broken: its Terminated is lost for good.
			from, to := a, b
			if lost != "outgoing" {
				from, to = b, a
			}
			if lost != "outgoing" && lost != "incoming" {
				b.Root.Stop(b.at("target"))
				w.runFor(w.latency / 2)
			}
			w.breakConns(from, to, KindMain)
			b.Root.Stop(b.at("target"))
			w.settle()
			w.runFor(5 * time.Second)
			got := watcher.take()
			if len(got) != 1 || !got[0].(*actor.Terminated).Who.Equal(b.at("target")) {
				t.Fatalf("got %v, want one Terminated", got)
			}
		})
	}
}

// A peer that was given up and is back repeats its watches as soon as its own connection is up. The answer must not be lost because
// this side's is not yet.
func TestAnswerToARepeatedWatchIsNotRefused(t *testing.T) {
	w, a, b := pair(t)
	watcher := a.collect("watcher")
	b.collect("target")
	watchFrom(a, watcher, b.at("target"))
	w.runFor(time.Second)
	core := b.remote.core
	core.giveUp(core.peers.get(a.transport.address), dropUnreachable)
	watchFrom(a, watcher, b.at("nobody"))
	w.runFor(time.Second)
	wantTerminated(t, watcher, b.at("nobody"), actor.TerminatedReason_NotFound)
}

func TestCrashedPeerEndsWatchesAndRequests(t *testing.T) {
	w, a, b := pair(t)
	events := a.collect("events")
	a.do(events, func(ctx actor.Context) { ctx.Request(a.remote.manager, &actors.SubscribePeers{}) })
	watcher := a.collect("watcher")
	b.collect("silent")
	watchFrom(a, watcher, b.at("silent"))
	future := a.Root.RequestFuture(b.at("silent"), text("?"), time.Hour)
	w.runFor(time.Second)
	if up := events.take(); len(up) != 1 || up[0].(*actors.PeerUp).Peer.NodeID != 2 {
		t.Fatalf("events: %v", up)
	}
	b.crash()
	w.runFor(10 * time.Millisecond)
	if _, err := future.Result(); !errors.Is(err, actor.ErrDeadLetter) {
		t.Fatalf("the request in flight: %v", err)
	}
	if down := events.take(); len(down) != 1 || down[0].(*actors.PeerDown).Peer.NodeID != 2 {
		t.Fatalf("events: %v", down)
	}
	if got := watcher.take(); len(got) != 0 {
		t.Fatalf("the watch ended before the reconnect failed: %v", got)
	}
	w.runFor(dialDeadline + time.Second)
	wantTerminated(t, watcher, b.at("silent"), actor.TerminatedReason_AddressTerminated)

	// While it is down, everything fails at once.
	watchFrom(a, watcher, b.at("silent"))
	w.settle()
	wantTerminated(t, watcher, b.at("silent"), actor.TerminatedReason_AddressTerminated)
	future = a.Root.RequestFuture(b.at("silent"), text("?"), time.Hour)
	w.settle()
	if _, err := future.Result(); !errors.Is(err, actor.ErrDeadLetter) {
		t.Fatalf("a request to a peer that is down: %v", err)
	}
}

func TestRestartedPeer(t *testing.T) {
	w, a, b := pair(t)
	watcher := a.collect("watcher")
	b.collect("target")
	watchFrom(a, watcher, b.at("target"))
	w.runFor(time.Second)
	b.crash()
	w.runFor(time.Minute)
	watcher.take()

	b = w.start("b:1", worldIdentity(2, 2))
	got := b.collect("target")
	dials := a.transport.dials
	// Its first Hello ends the back-off here.
	b.Root.Send(a.at("watcher"), text("I am back"))
	w.runFor(20 * time.Millisecond)
	if a.transport.dials != dials+1 {
		t.Fatalf("dialed %d times after a Hello came in, want once", a.transport.dials-dials)
	}
	a.Root.Send(b.at("target"), text("welcome"))
	w.runFor(20 * time.Millisecond)
	if len(watcher.take()) != 1 || len(got.take()) != 1 {
		t.Fatal("messages did not arrive after the restart")
	}
}

func TestAPeerThatIsBackIsAnswered(t *testing.T) {
	w, a, b := pair(t)
	a.collect("echo", func(ctx actor.Context) { ctx.Respond(text("yes")) })
	a.Root.Send(b.at("x"), text("hello"))
	w.runFor(time.Second)
	b.crash()
	w.runFor(time.Minute)
	b = w.start("b:1", worldIdentity(2, 2))
	// The question comes before this side has a connection of its own again.
	asker := b.collect("asker")
	b.do(asker, func(ctx actor.Context) { ctx.Request(a.at("echo"), text("anybody?")) })
	w.runFor(50 * time.Millisecond)
	if len(asker.take()) != 1 {
		t.Fatal("the answer to a peer that is back was turned away")
	}
}

func TestNewGenerationEndsWatchesAtOnce(t *testing.T) {
	w, a, b := pair(t)
	watcher := a.collect("watcher")
	b.collect("target")
	watchFrom(a, watcher, b.at("target"))
	w.runFor(time.Second)
	// The old process vanishes unnoticed, and another generation takes its place.
	b.transport.down = true
	b = w.start("b:1", worldIdentity(2, 2))
	b.collect("target")
	b.Root.Send(a.at("watcher"), text("hello"))
	w.runFor(time.Second)
	var ended int
	for _, m := range watcher.take() {
		if end, ok := m.(*actor.Terminated); ok && end.Why == actor.TerminatedReason_AddressTerminated {
			ended++
		}
	}
	if ended != 1 {
		t.Fatalf("watchers were told %d times, want once", ended)
	}
	// And the older generation is not let in again.
	stale := w.start("c:1", worldIdentity(3, 1))
	hello := stale.remote.core.hello()
	hello.NodeId, hello.Address, hello.DirectoryId[0] = 2, "b:1", 2
	stale.transport.node = 2
	conn := dialRaw(w, stale, a)
	conn.Greet(helloGreeting(hello))
	w.runFor(time.Second)
	if conn.err == nil || closeErrorOf(conn.err).Code != CodeStale {
		t.Fatalf("an older generation: %v", conn.err)
	}
}

// rawConn is a connection that no session handles at its dialing end.
type rawConn struct {
	*memConn
	err error
}

type rawHandler struct {
	Handler
	raw *rawConn
}

func (h *rawHandler) Dialed(_ uint64, c Conn) { h.raw.memConn = c.(*memConn) }
func (h *rawHandler) Greeting(Conn, []byte)   {}

func (h *rawHandler) Closed(c Conn, err error) {
	if h.raw.memConn == c {
		h.raw.err = err
		return
	}
	h.Handler.Closed(c, err)
}

func dialRaw(w *world, from, to *worldNode) *rawConn {
	raw := &rawConn{}
	from.transport.handler = &rawHandler{from.transport.handler, raw}
	from.transport.Dial(1<<40, KindMain, to.transport.address, 0)
	w.runFor(10 * time.Millisecond)
	return raw
}

func TestNoHelloIsClosed(t *testing.T) {
	w, a, b := pair(t)
	conn := dialRaw(w, a, b)
	w.runFor(helloDeadline + time.Second)
	if conn.err == nil || closeErrorOf(conn.err).Code != CodeTimeout {
		t.Fatalf("got %v", conn.err)
	}
	if n := len(w.nodes["b:1"].remote.core.peers.all()); n != 0 {
		t.Fatalf("%d peers are left", n)
	}
}

func TestBackoffGrowsAndAnUnwantedPeerIsForgotten(t *testing.T) {
	w := newWorld(t)
	a := w.start("a:1", worldIdentity(1, 1))
	a.Root.Send(actor.NewPID("nowhere:1", "x"), text("lost"))
	w.runFor(dialDeadline + 60*time.Millisecond)
	if a.transport.dials != 2 {
		t.Fatalf("dialed %d times, want the second within 50 ms of the first failure", a.transport.dials)
	}
	w.runFor(10 * time.Minute)
	if a.transport.dials > 14 || a.remote.core.peers.find("nowhere:1") != nil {
		t.Fatalf("dialed %d times and did not forget the peer", a.transport.dials)
	}
}

func TestResolve(t *testing.T) {
	w, a, b := pair(t)
	w.nodes["alias:1"], w.nodes["alias:2"] = b, b
	asker, events := a.collect("asker"), a.collect("events")
	a.do(events, func(ctx actor.Context) { ctx.Request(a.remote.manager, &actors.SubscribePeers{}) })
	for _, c := range []struct {
		address string
		node    uint64
		err     string
	}{
		{"b:1", 2, ""},
		{"alias:1", 2, ""},
		{"alias:2", 2, ""},
		{"2@b:1", 2, ""},
		{"3@b:1", 0, "node 3 was expected"},
		{"a:1", 1, ""},
		{"nowhere:1", 0, "timeout"},
		{"nonsense", 0, "host:port"},
	} {
		a.do(asker, func(ctx actor.Context) { ctx.Request(a.remote.manager, &actors.Resolve{Address: c.address}) })
		w.runFor(dialDeadline + time.Second)
		got := asker.take()
		if len(got) != 1 {
			t.Fatalf("%s: %v", c.address, got)
		}
		r := got[0].(*actors.Resolved)
		switch {
		case c.err != "" && (r.Err == nil || !strings.Contains(r.Err.Error(), c.err)):
			t.Errorf("%s: got %v, want an error with %q", c.address, r.Err, c.err)
		case c.err == "" && (r.Err != nil || r.Peer.NodeID != c.node):
			t.Errorf("%s: got %v, %v", c.address, r.Peer, r.Err)
		}
	}

	// Asking under another name does not touch the session that stands.
	if got := events.take(); len(got) != 1 || got[0].(*actors.PeerUp).Peer.NodeID != 2 {
		t.Fatalf("events: %v", got)
	}

	// What is sent to an alias arrives, and a watch there is answered in its spelling.
	got := b.collect("x")
	a.Root.Send(actor.NewPID("alias:1", "x"), text("by alias"))
	watchFrom(a, asker, actor.NewPID("alias:1", "x"))
	w.runFor(time.Second)
	if len(got.take()) != 1 {
		t.Fatal("nothing came under the alias")
	}
	b.Root.Stop(got.pid)
	w.runFor(time.Second)
	wantTerminated(t, asker, actor.NewPID("alias:1", "x"), actor.TerminatedReason_Stopped)
}

func TestVerdict(t *testing.T) {
	w, a, b := pair(t)
	watcher := a.collect("watcher")
	b.collect("x")
	watchFrom(a, watcher, b.at("x"))
	w.runFor(time.Second)
	a.Root.Send(a.remote.manager, &actors.PeerVerdict{NodeID: 2, Address: "b:1"})
	w.runFor(time.Second)
	if got := watcher.take(); len(got) != 0 {
		t.Fatalf("a verdict closed a connection that works: %v", got)
	}
	b.crash()
	w.runFor(20 * time.Second)
	wantTerminated(t, watcher, b.at("x"), actor.TerminatedReason_AddressTerminated)
	dials := a.transport.dials
	w.runFor(time.Minute)
	if a.transport.dials != dials {
		t.Fatal("a dead peer is dialed")
	}
	b = w.start("b:1", worldIdentity(2, 2))
	a.Root.Send(a.remote.manager, &actors.PeerVerdict{NodeID: 2, Address: "b:1", Alive: true})
	w.runFor(time.Second)
	if a.transport.dials != dials+1 {
		t.Fatalf("dialed %d times after it came back", a.transport.dials-dials)
	}
	b.crash()
	w.runFor(time.Minute)
	a.Root.Send(a.remote.manager, &actors.PeerVerdict{NodeID: 2, Address: "b:1"})
	w.runFor(deadKept + time.Minute)
	if a.remote.core.peers.find("b:1") != nil {
		t.Fatal("a dead peer is kept for ever")
	}
}

func TestDialUnderWayIsNotWaitedFor(t *testing.T) {
	w, a, b := pair(t)
	a.collect("echo", func(ctx actor.Context) { ctx.Respond(text("yes")) })
	b.crash()
	a.Root.Send(b.at("x"), text("hello")) // its dial ends at the deadline, whoever listens meanwhile
	w.runFor(dialDeadline / 2)
	b = w.start("b:1", worldIdentity(2, 2))
	asker := b.collect("asker")
	b.do(asker, func(ctx actor.Context) { ctx.Request(a.at("echo"), text("anybody?")) })
	w.runFor(dialDeadline / 10)
	if len(asker.take()) != 1 {
		t.Fatal("a peer that came in waits until a dial that began before it was there has failed")
	}
	w.runFor(dialDeadline)
	b.do(asker, func(ctx actor.Context) { ctx.Request(a.at("echo"), text("still?")) })
	w.runFor(time.Second)
	if len(asker.take()) != 1 {
		t.Fatal("the failure of the old dial ended the new connection")
	}
}

func TestVerdictOnAFormerLife(t *testing.T) {
	w, a, b := pair(t)
	a.collect("echo", func(ctx actor.Context) { ctx.Respond(text("yes")) })
	a.Root.Send(b.at("x"), text("hello"))
	w.runFor(time.Second)
	b.crash()
	w.runFor(time.Minute)
	w.cut[[2]string{"a:1", "b:1"}] = true // a can't dial yet
	b = w.start("b:1", worldIdentity(2, 2))
	asker := b.collect("asker")
	ask := func() { b.do(asker, func(ctx actor.Context) { ctx.Request(a.at("echo"), text("anybody?")) }) }
	ask()
	w.runFor(50 * time.Millisecond)
	a.Root.Send(a.remote.manager, &actors.PeerVerdict{NodeID: 2, Address: "b:1"})
	w.runFor(20 * time.Second)
	delete(w.cut, [2]string{"a:1", "b:1"})
	w.runFor(10 * time.Second)
	asker.take()
	ask()
	w.runFor(time.Second)
	if len(asker.take()) != 1 {
		t.Fatal("a peer whose connection stands is never dialed, because its former life was declared dead")
	}
}

func TestRenewLosesNothing(t *testing.T) {
	w, a, b := pair(t, WithConnectionAge(time.Second))
	got := b.collect("x")
	events := a.collect("events")
	a.do(events, func(ctx actor.Context) { ctx.Request(a.remote.manager, &actors.SubscribePeers{}) })
	const n = 5000
	for i := range n {
		a.Root.Send(b.at("x"), wrapperspb.UInt64(uint64(i)))
		w.runFor(time.Millisecond)
	}
	w.runFor(time.Second)
	msgs := got.take()
	if len(msgs) != n {
		t.Fatalf("%d of %d arrived", len(msgs), n)
	}
	for i, m := range msgs {
		if m.(*wrapperspb.UInt64Value).Value != uint64(i) {
			t.Fatalf("message %d is %v", i, m)
		}
	}
	if a.transport.dials < 4 {
		t.Fatalf("renewed %d times", a.transport.dials-1)
	}
	for _, e := range events.take() {
		if _, down := e.(*actors.PeerDown); down {
			t.Fatal("a renewal is no loss")
		}
	}
}

func TestDrain(t *testing.T) {
	w, a, b := pair(t)
	got := b.collect("x")
	a.Root.Send(b.at("x"), text("first"))
	w.runFor(time.Second)
	for range 1000 {
		a.Root.Send(b.at("x"), text("queued"))
	}
	asker := a.collect("asker")
	a.do(asker, func(ctx actor.Context) { ctx.Request(a.remote.manager, &Drain{Timeout: time.Second}) })
	w.runFor(50 * time.Millisecond)
	r := asker.take()
	if len(r) != 1 || *r[0].(*Drained) != (Drained{Peers: 1}) {
		t.Fatalf("drained: %v", texts(r))
	}
	if n := len(got.take()); n != 1001 {
		t.Fatalf("%d of 1001 arrived", n)
	}
}

func TestDatagramsDoNotWaitForABackoff(t *testing.T) {
	w, a, b := pair(t)
	got := b.collect("x")
	a.Root.Send(b.at("x"), text("hello"))
	w.runFor(time.Second)
	got.take()
	b.crash()
	w.runFor(time.Minute)
	// It is back and says nothing; the stream lanes here wait out their back-off.
	b = w.start("b:1", worldIdentity(2, 2))
	got = b.collect("x")
	actors.Send(actors.Datagram, a.Root, b.at("x"), text("probe"))
	w.runFor(20 * time.Millisecond)
	if len(got.take()) != 1 {
		t.Fatal("the probe waited")
	}
}

func TestAnAliasEndsWithItsPeer(t *testing.T) {
	w, a, b := pair(t)
	w.nodes["alias:1"] = b
	got := b.collect("x")
	alias := actor.NewPID("alias:1", "x")
	a.Root.Send(alias, text("hello"))
	w.runFor(time.Second)
	b.crash()
	delete(w.nodes, "alias:1")
	w.runFor(time.Hour)
	if len(got.take()) != 1 || a.remote.core.peers.find("b:1") != nil {
		t.Fatal("the peer was not forgotten")
	}
	c := w.start("c:1", worldIdentity(3, 1))
	w.nodes["alias:1"] = c
	got = c.collect("x")
	a.Root.Send(alias, text("hello"))
	w.runFor(time.Second)
	if len(got.take()) != 1 {
		t.Fatal("the address does not reach who lives there now")
	}
}

func TestAPeerThatComesDuringTheStart(t *testing.T) {
	w := newWorld(t)
	a := w.start("a:1", worldIdentity(1, 1))
	a.Root.Send(actor.NewPID("b:1", "x"), text("early"))
	b := w.startWith("b:1", worldIdentity(2, 1), func() { w.runFor(10 * time.Millisecond) })
	got := b.collect("x")
	w.runFor(10 * time.Millisecond)
	if len(got.take()) != 1 || a.logs.FilterMessage("peer refused").Len() != 0 {
		t.Fatal("a peer that came before this node knew its addresses was turned away")
	}
}
