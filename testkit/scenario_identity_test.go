package testkit_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/remote"
	"github.com/hupe1980/rivven-cluster/testkit"
)

// voters waits until the metadata has exactly these voters.
func voters(w *testkit.World, limit time.Duration, want ...*testkit.Node) {
	until(w, "the voters are the right ones", limit, func() error {
		leader, _ := w.Leader()
		if leader == nil {
			return fmt.Errorf("no leader")
		}
		st := leader.Status()
		have := replicas(st.GetVoters())
		for _, n := range want {
			if !have[n.Replica()] {
				return fmt.Errorf("node %d does not vote", n.ID())
			}
		}
		if len(have) != len(want) || len(st.GetLearners()) > 0 {
			return fmt.Errorf("%d voters and %d learners, want %d and none", len(have), len(st.GetLearners()), len(want))
		}
		return nil
	})
}

// A voter whose disk was wiped has forgotten its votes and its log: it must come back as another replica that takes the old
// one's place, and not vote as the one that it was.
func TestScenarioWipedVoterRejoins(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		wiped, other := w.Others(leader)[0], w.Others(leader)[1]
		w.Must(1, leader, "k", "1", 5*time.Second)
		old := wiped.Replica()
		wiped.Wipe()
		w.Require("a wiped disk is another replica", wiped.Replica() != old, "it is %d again", old)
		other.Crash(testkit.KeepPageCache) // of the three that knew, one is left
		wiped.Restart()
		outcome := w.Client(2).PutNow(leader, "k", "lost")
		w.Require("the wiped one does not count", outcome != testkit.OK, "one voter of three and a wiped one acknowledged a write")
		other.Restart()
		w.Must(1, other, "k", "3", 10*time.Second)
		voters(w, 30*time.Second, leader, other, wiped)
		read(w, wiped, "k", "3")
		lead(w, wiped)
		w.Must(1, wiped, "k", "4", 5*time.Second)
	})
}

// A disk that is wiped after the membership has noticed the death, or before, comes back either way, without an operator.
func TestScenarioWipedVoterRejoinsLate(t *testing.T) {
	for _, away := range []time.Duration{0, 100 * time.Millisecond, 2 * time.Second, 12 * time.Second} {
		t.Run(away.String(), func(t *testing.T) {
			play(t, testkit.Scenario{}, func(w *testkit.World) {
				leader := formed(w)
				wiped, other := w.Others(leader)[0], w.Others(leader)[1]
				wiped.Wipe()
				w.RunFor(away)
				wiped.Restart()
				voters(w, 40*time.Second, leader, other, wiped)
			})
		})
	}
}

// A second machine with the certificate and id of a living node is a mistake: it must not take the place of the first, nor of
// its votes.
func TestScenarioClonedID(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		w.RunFor(3 * time.Second)
		original := w.Others(leader)[0]
		clone := original.Clone()
		clone.Restart()
		w.Holds("the original stays", 20*time.Second, func(v testkit.View) error {
			if m := v.Member(leader, original.NodeID()); m != nil && m.GetAddress() != original.Address() {
				return fmt.Errorf("node %d is said to live at %s", m.GetNodeId(), m.GetAddress())
			}
			return nil
		})
		voters(w, time.Second, w.Node(1), w.Node(2), w.Node(3))
		w.Require("the clone belongs to nothing", clone.Disk().Identity().ClusterID == "", "it belongs to %s", clone.Disk().Identity().ClusterID)
		w.Must(1, original, "k", "1", 5*time.Second)
		clone.Crash(testkit.KeepPageCache)
	})
}

// A machine that takes over the id of a dead one takes its vote; should the dead one come back with its old disk, it counts no
// more and disturbs nobody.
func TestScenarioReusedID(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		dead, other := w.Others(leader)[0], w.Others(leader)[1]
		dead.Crash(testkit.KeepPageCache)
		w.RunFor(12 * time.Second)
		heir := dead.Clone()
		heir.Restart()
		voters(w, 40*time.Second, leader, other, heir)
		w.Must(1, heir, "k", "1", 5*time.Second)
		dead.Restart()
		calm(w, 10*time.Second)
		voters(w, time.Second, leader, other, heir)
		w.Must(1, heir, "k", "2", 5*time.Second)
		dead.Crash(testkit.KeepPageCache)
		w.Heal(leader.ID(), other.ID(), heir.ID())
	})
}

// A node with a good certificate that says it lives where a member lives that is down: until the membership has declared that one dead,
// nobody takes it for its resident; after that the address is free.
func TestScenarioClaimedAddress(t *testing.T) {
	claims := false
	configure := func(id int, cfg *node.Config) {
		if id == 4 && claims {
			cfg.Advertise = "n3:9093"
		}
	}
	play(t, testkit.Scenario{Nodes: 4, Configure: configure}, func(w *testkit.World) {
		formed(w)
		together(w, 10*time.Second)
		claims = true
		defer func() { claims = false }()
		w.Node(3).Crash(testkit.KeepPageCache)
		w.Node(4).Restart()
		witnesses := []*testkit.Node{w.Node(1), w.Node(2)}
		resident := func(by *testkit.Node) (known bool) {
			answer, err := by.Ask(actors.NameRemote, &remote.GetStatus{}, time.Second)
			w.Require("the remote tells how its peers are", err == nil, "%v", err)
			for _, p := range answer.(*remote.Status).Peers {
				known = known || p.Address == "n3:9093" && p.Info != nil && p.Info.NodeID == 4
			}
			return known
		}
		refused := 0 // looks at which the address was still its member's
		for open := len(witnesses); open > 0; w.RunFor(100 * time.Millisecond) {
			open = 0
			for _, by := range witnesses {
				if (testkit.View{World: w}).Member(by, 3).GetState() == membership.State_STATE_DEAD {
					continue
				}
				open++
				refused++
				w.Require("a member's address is its own", !resident(by), "node %d has node 4 there", by.ID())
			}
		}
		w.Require("it was looked at meanwhile", refused > 10, "only %d times", refused)
		w.Await("the address of a dead member is free", 15*time.Second, func(testkit.View) error {
			if !resident(w.Node(1)) || !resident(w.Node(2)) {
				return errors.New("node 4 is not taken")
			}
			return nil
		})
		claims = false
		w.Node(4).Restart()
		w.RunFor(time.Second)
		w.Node(3).Restart()
		together(w, 30*time.Second)
	})
}
