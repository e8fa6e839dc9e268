package swimactor

import (
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/membership"
)

// What the remote says of its connections reaches the protocol, also after the actor was restarted.
func TestRemotesSignalsReachTheProtocol(t *testing.T) {
	w, nodes, probes := three(t)
	w.run(5 * time.Second)
	tell := func(event any) {
		if len(nodes[0].heeds) == 0 {
			t.Fatal("nobody asked the remote for its peers")
		}
		nodes[0].system.Root.Send(nodes[0].heeds[len(nodes[0].heeds)-1], event)
	}
	for round := range 2 {
		before := w.sent[actors.Datagram]
		tell(&actors.PeerDown{Peer: nodes[1].peer(), Reason: "reset"})
		if w.sent[actors.Datagram] != before+1 {
			t.Fatalf("round %d: no probe at once", round)
		}
		nodes[0].restart()
		w.run(10 * time.Second)
	}
	if len(nodes[0].heeds) != 3 {
		t.Errorf("asked %d times for three lives of the actor", len(nodes[0].heeds))
	}

	nodes[2].down = true
	w.until(30*time.Second, "node 3 is dead", func() bool { return got(probes[0], about[*membership.Failed](3)) == 1 })
	nodes[2].down = false
	before := w.sent[actors.Control]
	tell(&actors.PeerUp{Peer: nodes[2].peer()})
	if w.sent[actors.Control] != before+1 {
		t.Error("a dead member that is back is not asked")
	}
}
