package testkit_test

import (
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/testkit"
)

// TestClusterThatRests does the same to a cluster that hardly anybody uses: its group falls asleep between two requests, and faults
// meet it in its sleep.
func TestClusterThatRests(t *testing.T) {
	testkit.Run(t, testkit.Scenario{
		Nodes: 5, For: 30 * time.Second, Chaos: testkit.Mixed,
		Net: testkit.NetModel{
			Latency: testkit.Dist{Min: 200 * time.Microsecond, Tail: 300 * time.Microsecond, Max: 30 * time.Millisecond},
			Loss:    0.005,
		},
		Configure: func(_ int, cfg *node.Config) { cfg.Raft.SnapshotThreshold = 10 },
		Setup: func(w *testkit.World) {
			w.Load(3, 5, 0.5)
			w.Linearizable(testkit.KVModel)
			w.Sometimes("its leader rests", false)
			for at := time.Second; at < 30*time.Second; at += time.Second {
				w.At(at, func() {
					for _, n := range w.Nodes() {
						n.Request(metaActor, &consensus.GetStatus{}, time.Second, func(answer any, _ error) {
							st, ok := answer.(*consensus.Status)
							w.Sometimes("its leader rests", ok && st.GetResting() && st.GetRole() == consensus.Role_ROLE_LEADER)
						})
					}
				})
			}
			w.Eventually("writes go through again", 60*time.Second, testkit.Progress(2))
			w.Eventually("all members see each other", 60*time.Second, testkit.Seen)
			w.Eventually("all replicas agree", 20*time.Second, testkit.Agreed)
		},
	})
}
