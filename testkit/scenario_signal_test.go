package testkit_test

import (
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/remote"
	"github.com/hupe1980/rivven-cluster/swimactor/swim"
	"github.com/hupe1980/rivven-cluster/testkit"
)

// Where the machine of a node that was killed tells its peers so, they all begin to probe it at once rather than when it is its turn:
// within a period and a half each of them has missed a ping of its own. With nine members the turns of all would take up to nine.
func TestScenarioResetConnectionsAreProbedAtOnce(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 9}, func(w *testkit.World) {
		formed(w)
		together(w, 10*time.Second)
		w.RunFor(5 * time.Second)
		dead := w.Node(9)
		nobodyElseDies(w, dead)
		dead.Crash(testkit.KeepPageCache)
		dead.ResetConns()
		w.Await("somebody suspects it", 1500*time.Millisecond, func(v testkit.View) error {
			return seenAs(dead, membership.State_STATE_SUSPECT)(v)
		})
		dead.Restart()
		together(w, 10*time.Second)
	})
}

// The same of the protocol alone, with the signal and without it: every member accuses in its own right, so that suspicion is confirmed
// and short, and the death is known sooner in each of the seeds together.
func TestDetectionBeginsWithTheSignal(t *testing.T) {
	first, count := swimSeeds(t, 5)
	detect := func(seed uint64, signal bool) (began, known time.Duration) {
		w := newSwimWorld(t, seed)
		w.startAll(9)
		w.run(10 * time.Second)
		dead := w.at(9)
		killed := w.now
		w.noDeath(9)
		w.onSend = func(m *swimMember, s swim.Send, _ []byte) {
			if p, ok := s.Message.(*swim.Ping); ok && p.Target == 9 && began == 0 {
				began = w.now - killed + 1
			}
		}
		dead.down = true
		if signal {
			for _, m := range w.up() {
				w.after(time.Millisecond, func() { m.perform(m.core.PeerLost(m.clock(), 9, 1)) })
			}
		}
		known = w.await(30*time.Second, "all know of the death", func() string {
			for _, m := range w.up() {
				if row, _ := m.core.Member(9); row.State != swim.Dead {
					return "somebody does not"
				}
			}
			return ""
		})
		return began, known
	}
	var with, without time.Duration
	for seed := first; seed < first+uint64(count); seed++ {
		began, known := detect(seed, true)
		if began > 2*time.Millisecond {
			t.Errorf("seed %d: the first probe began after %v", seed, began)
		}
		with += known
		_, known = detect(seed, false)
		without += known
	}
	if with >= without {
		t.Errorf("%d seeds: known after %v with the signal, %v without", count, with, without)
	}
	t.Logf("%d seeds, nine members: all know of a death after %v with the signal, %v without", count, with/time.Duration(count), without/time.Duration(count))
}

// Members that have nothing to say to each other hold no connection but those of probes: the mesh that forms with a cluster goes, but for
// the leader's.
func TestScenarioIdleMembersPart(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 9}, func(w *testkit.World) {
		formed(w)
		together(w, 20*time.Second)
		connected := func(n *testkit.Node) (count int) {
			answer, err := n.Ask(actors.NameRemote, &remote.GetStatus{}, time.Second)
			status, ok := answer.(*remote.Status)
			w.Require("the remote says how it is", ok, "%v", err)
			if !ok {
				return 0
			}
			for _, p := range status.Peers {
				if p.State == remote.PeerConnected {
					count++
				}
			}
			return count
		}
		w.RunFor(time.Minute)
		sum := 0
		for _, n := range w.Nodes() {
			sum += connected(n)
		}
		// The leader and each of its followers; now and then two synchronise.
		w.Require("the mesh is gone", sum <= 3*9, "%d of %d connections stand", sum, 9*8)
	})
}
