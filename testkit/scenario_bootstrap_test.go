package testkit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/testkit"
)

// oneCluster is an invariant: no two disks ever belong to different clusters.
func oneCluster(w *testkit.World) {
	clusters := make(map[string]int)
	w.Invariant("one cluster", func(v testkit.View) error {
		for _, n := range v.Nodes() {
			id := n.Disk().Identity().ClusterID
			if id == "" {
				continue
			}
			if clusters[id] = n.ID(); len(clusters) > 1 {
				return fmt.Errorf("nodes formed two: %v", clusters)
			}
		}
		return nil
	})
}

// Nodes may be started in any order and with any time in between: they wait for each other and form one cluster.
func TestScenarioBootstrapInAnyOrder(t *testing.T) {
	for _, gap := range []time.Duration{0, 300 * time.Millisecond, 7 * time.Second} {
		t.Run(gap.String(), func(t *testing.T) {
			play(t, testkit.Scenario{Nodes: 5}, func(w *testkit.World) {
				oneCluster(w)
				for _, n := range w.Nodes() {
					n.Crash(testkit.LoseUnsynced)
				}
				for i, k := range w.Rand("order").Perm(5) {
					if i == 4 {
						for _, n := range w.Nodes() {
							w.Require("nobody begins without the others", n.Disk().Identity().ClusterID == "", "node %d did", n.ID())
						}
					}
					w.Node(k + 1).Restart()
					w.RunFor(gap)
				}
				formed(w)
				together(w, 20*time.Second)
			})
		})
	}
}

// A node that dies at any point of the first start, and those that it was about to agree with, end in one cluster all the same.
func TestScenarioBootstrapCrashAtAnyPoint(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 3}, func(w *testkit.World) {
		oneCluster(w)
		random := w.Rand("points")
		for round := range 40 {
			next := random.IntN(60)
			stepped := 0
			w.On(testkit.Match{Kind: "turn"}, func(e testkit.Event) {
				if stepped++; stepped != next+1 {
					return
				}
				n := w.Node(e.Node)
				n.Crash(testkit.CrashKind(random.IntN(3)))
				w.At(w.Now()+time.Duration(random.IntN(5))*time.Millisecond, func() {
					if !n.Up() {
						n.Restart()
					}
				})
			})
			w.RunUntil(func() bool { return stepped > next }, time.Second)
			w.RunFor(time.Duration(random.IntN(1+round)) * 10 * time.Millisecond)
		}
		w.RunFor(100 * time.Millisecond)
		formed(w)
		together(w, 20*time.Second)
	})
}

// Wiped nodes that only see each other must wait for one that remembers: forming a second cluster would split the first.
func TestScenarioWipedMajorityFormsNoSecondCluster(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		oneCluster(w)
		leader := formed(w)
		others := w.Others(leader)
		w.Net().Isolate(leader.ID())
		for _, n := range others {
			n.Wipe()
			n.Restart()
		}
		w.RunFor(30 * time.Second)
		for _, n := range others {
			w.Require("wiped nodes wait", n.Disk().Identity().ClusterID == "", "node %d formed a cluster", n.ID())
		}
		w.Net().MendAll()
		w.RunFor(20 * time.Second)
		// A majority of the voters is lost: nobody may write, and that is an operator's to mend.
		outcome := w.Client(1).PutNow(leader, "k", "lost")
		w.Require("one voter of three writes nothing", outcome != testkit.OK, "it did")
		for _, n := range w.Nodes() {
			n.Crash(testkit.KeepPageCache)
		}
		w.Heal(-1)
	})
}
