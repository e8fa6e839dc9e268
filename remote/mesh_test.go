package remote

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

// Twenty nodes talk to each other. One of them goes silent: what the others hold for it stays within its bounds, whatever is sent to it,
// and none of them is disturbed.
func TestMeshWithABlackhole(t *testing.T) {
	const nodes = 20
	limits := Limits{DefaultBytes: 32 << 10, ControlBytes: 16 << 10, AppendBytes: 64 << 10, BulkBytes: 48 << 10, DatagramBytes: 8 << 10}
	inLab(t, func(t *testing.T, l *lab) {
		mesh := make([]*testNode, nodes)
		got := make([]<-chan any, nodes)
		for i := range mesh {
			mesh[i] = l.start(t, fmt.Sprintf("10.0.1.%d", i+1), uint64(i+1), 1, WithLimits(limits))
			got[i] = mesh[i].inboxOf(t, "x")
		}
		greetAll := func(members []*testNode, inboxes []<-chan any) {
			for _, from := range members {
				for _, to := range members {
					if from != to {
						from.Root.Send(to.pid("x"), text("hello"))
					}
				}
			}
			for i := range members {
				for range len(members) - 1 {
					<-inboxes[i]
				}
			}
		}
		greetAll(mesh, got)
		for _, n := range mesh {
			wantMesh(t, n, nodes-1, 0)
		}

		silent, others := mesh[nodes-1], mesh[:nodes-1]
		l.cut(silent.address(), true)
		payload := &wrapperspb.BytesValue{Value: make([]byte, 1000)}
		for range 60 {
			for _, n := range others {
				for class := range actors.Classes {
					for range 20 {
						actors.Send(actors.Class(class), n.Root, silent.pid("x"), payload)
					}
				}
			}
			pass(time.Second)
			for _, n := range others {
				wantBounds(t, n)
			}
		}
		greetAll(others, got)
		for _, n := range others {
			wantMesh(t, n, nodes-2, 0)
			p := knownPeer(t, n, silent.address())
			var full, unreachable uint64
			for _, c := range p.Classes {
				full, unreachable = full+c.Dropped["queue_full"], unreachable+c.Dropped["unreachable"]
			}
			if p.State == PeerConnected || full == 0 || unreachable == 0 {
				t.Errorf("node %s: the silent one is %s; %d messages found a full queue and %d nobody", n.address(), p.State, full, unreachable)
			}
		}
		l.cut(silent.address(), false)
		pass(backoffMax + 2*dialDeadline)
		for len(got[nodes-1]) > 0 {
			<-got[nodes-1]
		}
		greetAll(mesh, got)
	})
}

func statusOf(t *testing.T, n *testNode) *Status {
	t.Helper()
	s, err := n.remote.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func knownPeer(t *testing.T, n *testNode, address string) PeerStatus {
	t.Helper()
	for _, p := range statusOf(t, n).Peers {
		if p.Address == address {
			return p
		}
	}
	t.Fatalf("node %s knows no peer at %s", n.address(), address)
	return PeerStatus{}
}

func wantMesh(t *testing.T, n *testNode, connected int, reconnects uint64) {
	t.Helper()
	up, again := 0, uint64(0)
	for _, p := range statusOf(t, n).Peers {
		if p.State == PeerConnected {
			up, again = up+1, again+p.Reconnects
		}
	}
	if up != connected || again != reconnects {
		t.Errorf("node %s has %d sessions and reconnected %d times, want %d and %d", n.address(), up, again, connected, reconnects)
	}
}

// wantBounds holds what a node keeps for its peers against its limits.
func wantBounds(t *testing.T, n *testNode) {
	t.Helper()
	s := statusOf(t, n)
	if s.Accepted > 3*len(s.Peers) || s.HalfOpen > len(s.Peers) {
		t.Errorf("node %s took %d connections, %d of them without a Hello, from %d peers", n.address(), s.Accepted, s.HalfOpen, len(s.Peers))
	}
	for _, p := range s.Peers {
		for class, c := range p.Classes {
			if c.QueuedBytes > c.QueuedBytesMax {
				t.Errorf("node %s holds %d bytes of class %s for %s, at most %d are allowed", n.address(), c.QueuedBytes, actors.Class(class), p.Address, c.QueuedBytesMax)
			}
		}
	}
}
