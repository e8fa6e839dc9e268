package testkit_test

import (
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/testkit"
)

// TestCluster runs five whole nodes through random and event-triggered faults, heals, and wants everybody back, agreed, and going on;
// what clients saw must be linearizable.
func TestCluster(t *testing.T) {
	testkit.Run(t, testkit.Scenario{
		Nodes: 5, For: 30 * time.Second, Chaos: testkit.Mixed,
		Net: testkit.NetModel{
			Latency: testkit.Dist{Min: 200 * time.Microsecond, Tail: 300 * time.Microsecond, Max: 30 * time.Millisecond},
			Loss:    0.01, Dup: 0.005, Reorder: 0.01,
		},
		// Small, so that replicas that were away need a snapshot.
		Configure: func(_ int, cfg *node.Config) { cfg.Raft.SnapshotThreshold = 40 },
		Setup: func(w *testkit.World) {
			w.Load(4, 10, 20)
			w.Linearizable(testkit.KVModel)
			w.Eventually("writes go through again", 20*time.Second, testkit.Progress(20))
			w.Eventually("all members see each other", 60*time.Second, testkit.Seen)
			w.Eventually("all replicas agree", 20*time.Second, testkit.Agreed)
		},
	})
}
