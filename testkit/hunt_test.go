package testkit_test

import (
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/testkit"
)

var lossy = testkit.NetModel{
	Latency: testkit.Dist{Min: 200 * time.Microsecond, Tail: 300 * time.Microsecond, Max: 30 * time.Millisecond},
	Loss:    0.01, Dup: 0.005, Reorder: 0.01,
}

// TestHunt has scenarios that press on one part each. They pass; package mutants breaks the code and wants them to fail.
func TestHunt(t *testing.T) {
	if testing.Short() {
		t.Skip("several whole clusters")
	}
	for name, scenario := range map[string]testkit.Scenario{
		"mixed": mixedHunt(),
	} {
		t.Run(name, func(t *testing.T) { testkit.Run(t, scenario) })
	}
}

// mixedHunt has all faults and all kinds of load at once.
func mixedHunt() testkit.Scenario {
	return testkit.Scenario{
		Nodes: 5, For: 30 * time.Second, Chaos: testkit.Mixed, Net: lossy,
		Setup: func(w *testkit.World) {
			w.Load(4, 10, 20)
			w.Sessions(4, 20)
			w.Traffic(20)
			w.Linearizable(testkit.KVModel)
			afterwards(w)
		},
	}
}

func afterwards(w *testkit.World) {
	w.Eventually("writes go through again", 20*time.Second, testkit.Progress(20))
	w.Eventually("all members see each other", 60*time.Second, testkit.Seen)
	w.Eventually("all replicas agree", 20*time.Second, testkit.Agreed)
}
