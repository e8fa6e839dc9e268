package testkit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/testkit"
)

// nobodyElseDies fails the seed where anybody but those is declared dead.
func nobodyElseDies(w *testkit.World, but ...*testkit.Node) {
	w.On(testkit.Match{Kind: "declared dead"}, func(e testkit.Event) {
		for _, n := range but {
			if n.ID() == e.Node {
				return
			}
		}
		w.Require("the living are not declared dead", false, "node %d by node %d", e.Node, e.From)
	})
}

// seenAs wants every node that is up, but the one itself, to have a member in that state.
func seenAs(n *testkit.Node, state membership.State) func(testkit.View) error {
	return func(v testkit.View) error {
		for _, by := range v.Nodes() {
			if by == n || !by.Up() {
				continue
			}
			if got := v.Member(by, n.NodeID()).GetState(); got != state {
				return fmt.Errorf("node %d sees node %d as %v", by.ID(), n.ID(), got)
			}
		}
		return nil
	}
}

// together waits until everybody sees everybody.
func together(w *testkit.World, limit time.Duration) {
	w.Await("all members see each other", limit, testkit.Seen)
}

// A node that died is found by everybody within a bound, and nobody else with it.
func TestScenarioGenuineDeath(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5}, func(w *testkit.World) {
		formed(w)
		together(w, 5*time.Second)
		dead := w.Node(5)
		nobodyElseDies(w, dead)
		dead.Crash(testkit.KeepPageCache)
		w.Await("everybody knows of the death", 15*time.Second, seenAs(dead, membership.State_STATE_DEAD))
		dead.Restart()
		together(w, 10*time.Second)
	})
}

// A node that stood still for longer than suspicion lasts is declared dead, refutes that when it wakes, and takes nobody for dead
// because it heard nothing while it slept.
func TestScenarioPauseLongerThanSuspicion(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5}, func(w *testkit.World) {
		formed(w)
		together(w, 5*time.Second)
		slow := w.Node(4)
		nobodyElseDies(w, slow)
		slow.Pause(25 * time.Second)
		w.Await("it is declared dead", 24*time.Second, seenAs(slow, membership.State_STATE_DEAD))
		w.RunUntil(func() bool { return !slow.Paused() }, 30*time.Second)
		w.Await("it refutes", 10*time.Second, testkit.Seen)
	})
}

// A link that is cut in one direction alone, or between two alone, kills nobody: others vouch for both.
func TestScenarioAsymmetricCut(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5}, func(w *testkit.World) {
		leader := formed(w)
		together(w, 5*time.Second)
		nobodyElseDies(w)
		others := w.Others(leader)
		w.Net().Cut(others[0].ID(), others[1].ID())
		w.RunFor(20 * time.Second)
		w.Net().Cut(others[1].ID(), others[0].ID())
		w.Net().Cut(others[2].ID(), others[1].ID())
		w.RunFor(20 * time.Second)
		w.Net().MendAll()
		together(w, 10*time.Second)
	})
}

// Two halves that took each other for dead find each other again once the network lets them, without anybody's help.
func TestScenarioHalvesPartAndMeet(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 4}, func(w *testkit.World) {
		formed(w)
		together(w, 5*time.Second)
		w.Net().Partition([]int{1, 2}, []int{3, 4})
		w.Await("each half takes the other for dead", 40*time.Second, func(v testkit.View) error {
			for _, pair := range [][2]int{{1, 3}, {1, 4}, {2, 3}, {2, 4}, {3, 1}, {3, 2}, {4, 1}, {4, 2}} {
				if state := v.Member(w.Node(pair[0]), uint64(pair[1])).GetState(); state != membership.State_STATE_DEAD {
					return fmt.Errorf("node %d sees node %d as %v", pair[0], pair[1], state)
				}
			}
			return nil
		})
		w.RunFor(30 * time.Second)
		w.Net().MendAll()
		together(w, 60*time.Second)
	})
}

// All machines lose power at once and come back: nobody is a ghost of its former life, and the cluster goes on with what was durable.
func TestScenarioMassRestart(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5}, func(w *testkit.World) {
		leader := formed(w)
		together(w, 5*time.Second)
		w.Must(1, leader, "k", "1", 5*time.Second)
		for round := range 3 {
			for _, n := range w.Nodes() {
				n.Crash(testkit.LoseUnsynced)
			}
			w.RunFor(time.Duration(round) * 8 * time.Second)
			for _, n := range w.Nodes() {
				n.Restart()
				w.RunFor(time.Duration(round) * 100 * time.Millisecond)
			}
			together(w, 20*time.Second)
			for _, n := range w.Nodes() {
				read(w, n, "k", "1")
			}
		}
	})
}

// A node that leaves is told apart from one that died, also where every fifth datagram is lost.
func TestScenarioLeaveUnderLoss(t *testing.T) {
	model := testkit.NetModel{Latency: testkit.Dist{Min: 200 * time.Microsecond, Tail: 300 * time.Microsecond}, Loss: 0.2}
	play(t, testkit.Scenario{Nodes: 5, Net: model}, func(w *testkit.World) {
		formed(w)
		together(w, 15*time.Second)
		leaving := w.Node(5)
		nobodyElseDies(w)
		_, err := leaving.Ask(actors.NameSwim, &membership.Leave{}, 15*time.Second)
		w.Require("the leave is confirmed", err == nil, "%v", err)
		leaving.Crash(testkit.KeepPageCache)
		w.Await("everybody knows that it left", 15*time.Second, seenAs(leaving, membership.State_STATE_LEFT))
		w.Holds("nobody takes it for dead", 10*time.Second, seenAs(leaving, membership.State_STATE_LEFT))
		leaving.Restart()
		together(w, 20*time.Second)
	})
}
