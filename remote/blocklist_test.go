package remote

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

func TestBlockList(t *testing.T) {
	bl := NewBlockList()
	bl.Block("7", "3", "3")
	for _, wrong := range []string{"", "0", "node 7", "-1", "+5", "05", "18446744073709551616"} {
		bl.Block(wrong)
		if bl.IsBlocked(wrong) {
			t.Errorf("%q is blocked", wrong)
		}
	}
	if s := bl.BlockedMembers(); bl.Len() != 2 || s.String() != "{3, 7}" || !s.Contains("7") || s.Contains("4") || s.Size() != 2 || s.IsEmpty() || len(s.ToSlice()) != 2 {
		t.Errorf("%d blocked: %v", bl.Len(), s)
	}
	for node := range 2 * blockedMax {
		bl.Block(strconv.Itoa(node + 1))
	}
	if bl.Len() != blockedMax || !bl.IsBlocked("7") || bl.IsBlocked(strconv.Itoa(2*blockedMax)) {
		t.Errorf("%d blocked, want %d", bl.Len(), blockedMax)
	}
}

// deadLetters counts what goes to a system's dead letters for one target.
func deadLetters(t *testing.T, n *testNode, target string) <-chan any {
	t.Helper()
	dead := make(chan any, 1000)
	subscription := n.EventStream.Subscribe(func(event any) {
		if e, ok := event.(*actor.DeadLetterEvent); ok && e.PID.Id == target {
			dead <- e.Message
		}
	})
	t.Cleanup(func() { n.EventStream.Unsubscribe(subscription) })
	return dead
}

// A node that is blocked while it is connected: both connections end with the code, all that is sent from now on is turned away on either side,
// and a third node notices nothing.
func TestBlockingAConnectedNode(t *testing.T) {
	a, b, c := startNode(t, 1), startNode(t, 2), startNode(t, 3)
	echoB, echoC := spawnEcho(t, b, "echo"), spawnEcho(t, c, "echo")
	echoA := spawnEcho(t, a, "echo")
	events := subscribe(t, a)
	ask(t, a, echoB, text("hello"))
	ask(t, b, echoA, text("hello"))
	ask(t, a, echoC, text("hello"))
	next(t, events)
	next(t, events)
	b.inboxOf(t, "silent")
	waiting := a.Root.RequestFuture(b.pid("silent"), text("?"), patience)
	ended := make(chan *actor.Terminated, 1)
	watching := make(chan struct{})
	a.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch msg := ctx.Message().(type) {
		case *actor.Started:
			ctx.Watch(echoB)
			close(watching)
		case *actor.Terminated:
			ended <- msg
		}
	}))
	<-watching

	a.remote.BlockList().Block("2")
	if down, ok := next(t, events).(*actors.PeerDown); !ok || down.Peer.NodeID != 2 {
		t.Fatalf("got %v, want node 2 down", down)
	}
	if end := <-ended; end.Why != actor.TerminatedReason_AddressTerminated {
		t.Errorf("the watch ended with %v", end.Why)
	}
	if _, err := waiting.Result(); !errors.Is(err, actor.ErrDeadLetter) {
		t.Errorf("a request to who was blocked then: %v", err)
	}
	dead := deadLetters(t, a, "x")
	for class := range actors.Class(actors.Classes) {
		actors.Send(class, a.Root, b.pid("x"), text("no"))
		next(t, dead)
	}
	status, err := a.remote.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := peerAt(status, b.address())
	for class := range p.Classes {
		if p.Classes[class].Dropped["blocked"] == 0 {
			t.Errorf("class %s: dropped %v", actors.Class(class), p.Classes[class].Dropped)
		}
	}
	if p.State == PeerConnected {
		t.Errorf("the blocked node is %s", p.State)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var refusal *CloseError
	if _, err := a.remote.Resolve(ctx, b.address()); !errors.As(err, &refusal) || refusal.Code != CodeBlocked {
		t.Errorf("resolving a blocked node: %v", err)
	}
	waitFor(t, "the blocked node to be told", func() bool {
		for _, line := range b.logs.FilterMessage("peer refused").All() {
			if line.ContextMap()["code"] == "blocked" {
				return true
			}
		}
		return false
	})
	deadThere := deadLetters(t, b, "y")
	waitFor(t, "what the blocked node sends to be turned away", func() bool {
		b.Root.Send(a.pid("y"), text("no"))
		return len(deadThere) > 0
	})
	if _, err := b.Root.RequestFuture(echoA, text("still?"), patience).Result(); !errors.Is(err, actor.ErrDeadLetter) {
		t.Errorf("a blocked node's request: %v", err)
	}
	ask(t, a, echoC, text("still there?"))
	if len(events) != 0 {
		t.Errorf("more happened: %v", <-events)
	}
}

// Whoever is blocked beforehand is not let in, by no kind of connection, and is not told who lives here; it is not dialed to either.
func TestBlockedNodeComesIn(t *testing.T) {
	besiege(t, func(s *siege) {
		s.remote.BlockList().Block("9")
		for _, kind := range []Kind{KindMain, KindBulk, KindDatagram} {
			conn := rawClient(t, s.testNode, 9, protocols[kind])
			stream, err := conn.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Write(s.hello(func(*Hello) {})); err != nil {
				t.Fatal(err)
			}
			if n, err := stream.Read(make([]byte, 100)); err == nil {
				t.Errorf("%s: %d bytes of an answer", kind, n)
			}
			if code := closeCode(t, conn); code != CodeBlocked {
				t.Fatalf("%s: closed with %s", kind, code)
			}
		}
		s.refused(3, CodeBlocked)
		if n := s.logs.FilterMessage("peer refused").Len(); n != 1 {
			t.Errorf("logged %d times, want once", n)
		}
	})
}

// A blocked node behind an address that nobody knows yet is found out by its certificate, before a Hello is said to it.
func TestDialingABlockedNode(t *testing.T) {
	a, b := startNode(t, 1), startNode(t, 2)
	a.remote.BlockList().Block("2")
	got := b.inboxOf(t, "x")
	dead := deadLetters(t, a, "x")
	a.Root.Send(b.pid("x"), wrapperspb.String("no"))
	next(t, dead)
	status, err := a.remote.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p := peerAt(status, b.address()); p.Info != nil || p.Classes[actors.Default].Dropped["blocked"] != 1 || len(got) != 0 {
		t.Errorf("%+v, and %d messages arrived", p, len(got))
	}
}
