package remote

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// signalsOf subscribes a collecting actor to a node's peers.
func signalsOf(w *world, n *worldNode) *collected {
	heard := n.collect("heard")
	n.Root.RequestWithCustomSender(n.NewLocalPID(actors.NameRemote), &actors.SubscribePeers{}, heard.pid)
	w.settle()
	return heard
}

// wantSignals compares the order of what a subscriber got: the generation of each peer that is up, negative for down.
func wantSignals(t *testing.T, heard *collected, want ...int) {
	t.Helper()
	var got []int
	for _, event := range heard.take() {
		switch e := event.(type) {
		case *actors.PeerUp:
			got = append(got, int(e.Peer.Generation))
		case *actors.PeerDown:
			got = append(got, -int(e.Peer.Generation))
		}
	}
	if len(got) != len(want) {
		t.Fatalf("signals %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("signals %v, want %v", got, want)
		}
	}
}

func TestSubscribersHearOfPeersInOrder(t *testing.T) {
	w, a, b := pair(t)
	heard := signalsOf(w, a)
	a.Root.Send(b.at("x"), text("hello"))
	w.runFor(time.Second)
	wantSignals(t, heard, 1)

	b.crash()
	w.runFor(time.Second)
	wantSignals(t, heard, -1)

	w.start("b:1", worldIdentity(2, 2))
	w.runFor(30 * time.Second)
	wantSignals(t, heard, 2)
}

// Whoever subscribed once is told of what a restart of the remote ends, and of what it opens again.
func TestSubscribersOutliveARestartOfTheRemote(t *testing.T) {
	w, a, b := pair(t)
	heard := signalsOf(w, a)
	b.collect("x")
	a.Root.Send(b.at("x"), text("hello"))
	w.runFor(time.Second)
	wantSignals(t, heard, 1)

	manager, _ := a.ProcessRegistry.GetLocal(actors.NameRemote)
	manager.SendSystemMessage(a.NewLocalPID(actors.NameRemote), &actor.Restart{})
	w.runFor(10 * time.Second)
	a.Root.Send(b.at("x"), text("again"))
	w.runFor(time.Second)
	wantSignals(t, heard, -1, 1)
}
