package remote

import (
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
)

func (n *worldNode) verdict(node uint64, address string, alive bool) {
	n.Root.Send(n.remote.manager, &actors.PeerVerdict{NodeID: node, Address: address, Alive: alive})
	n.w.settle()
}

func TestResidents(t *testing.T) {
	var r residents
	want := func(step, address string, node uint64) {
		t.Helper()
		if got := r.of(address); got != node {
			t.Errorf("%s: node %d lives at %s, want %d", step, got, address, node)
		}
	}
	want("nobody is known", "a:1", 0)
	r.moveIn(1, home{address: "a:1"})
	r.moveIn(1, home{address: "a:1"})
	want("told twice", "a:1", 1)
	r.moveIn(1, home{address: "b:1"})
	want("moved", "a:1", 0)
	want("moved", "b:1", 1)
	r.moveIn(2, home{address: "b:1"})
	want("the newer word counts", "b:1", 2)
	r.moveIn(1, home{address: "c:1"})
	want("the older one moves on", "b:1", 2)
	r.moveOut(1)
	r.moveOut(7)
	want("gone", "c:1", 0)
	r.moveOut(2)
	want("gone", "b:1", 0)
	if len(r.at)+len(r.homes) != 0 {
		t.Errorf("left over: %v, %v", r.at, r.homes)
	}
}

// A member's address is its own while it is down, also where nobody here ever spoke to it; once it is dead another node may have it.
func TestTheAddressOfAMemberThatIsDown(t *testing.T) {
	for _, met := range []bool{false, true} {
		w := newWorld(t)
		a := w.start("a:1", worldIdentity(1, 1))
		if met {
			b := w.start("b:1", worldIdentity(2, 1))
			a.Root.Send(b.at("x"), text("hello"))
			w.runFor(time.Second)
			b.crash()
		}
		a.verdict(2, "b:1", true)
		w.runFor(20 * time.Second)
		heard := signalsOf(w, a)

		thief := w.start("b:1", worldIdentity(3, 1))
		got := a.collect("x")
		thief.Root.Send(a.at("x"), text("I live at b:1"))
		w.runFor(20 * time.Second)
		wantSignals(t, heard)
		if n := len(got.take()); n != 0 {
			t.Errorf("met %v: a node that claims the address of a member got %d messages through", met, n)
		}
		lines := a.logs.FilterMessage("peer refused").FilterField(zap.Uint64("node_id", 3)).All()
		if len(lines) != 1 || lines[0].ContextMap()["code"] != "address" {
			t.Errorf("met %v: logged %v", met, lines)
		}

		a.verdict(2, "b:1", false)
		w.runFor(2 * backoffMax)
		thief.Root.Send(a.at("x"), text("and I may"))
		w.runFor(2 * backoffMax)
		wantSignals(t, heard, 1)
		if n := len(got.take()); n == 0 {
			t.Errorf("met %v: the node that replaced a dead one is not heard", met)
		}
	}
}

// Who came before the membership knew better gives way to the member.
func TestTheMemberTakesItsAddressBack(t *testing.T) {
	w := newWorld(t)
	a := w.start("a:1", worldIdentity(1, 1))
	first := w.start("b:1", worldIdentity(3, 1))
	heard := signalsOf(w, a)
	a.Root.Send(first.at("x"), text("hello"))
	w.runFor(time.Second)
	wantSignals(t, heard, 1)
	first.crash()
	a.verdict(2, "b:1", true)
	w.runFor(time.Second)
	wantSignals(t, heard, -1)
	member := w.start("b:1", worldIdentity(2, 5))
	got := a.collect("x")
	member.Root.Send(a.at("x"), text("at home"))
	w.runFor(10 * time.Second)
	wantSignals(t, heard, 5)
	if len(got.take()) != 1 {
		t.Error("the member is not heard")
	}
}
