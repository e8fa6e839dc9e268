package testkit_test

import (
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
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
			reaches(w)
			w.Load(4, 10, 20)
			w.Linearizable(testkit.KVModel)
			w.Eventually("writes go through again", 20*time.Second, testkit.Progress(20))
			w.Eventually("all members see each other", 60*time.Second, testkit.Seen)
			w.Eventually("all replicas agree", 20*time.Second, testkit.Agreed)
		},
	})
}

// reaches names the states that the chaos must lead to now and then, or it tests less than it says.
func reaches(w *testkit.World) {
	hit := func(name string, m testkit.Match) {
		w.Sometimes(name, false)
		w.On(m, func(testkit.Event) { w.Sometimes(name, true) })
	}
	hit("a snapshot reached a follower", testkit.Match{Message: (*logstore.SnapshotSent)(nil), Where: func(e testkit.Event) bool {
		return e.Message.(*logstore.SnapshotSent).Err == nil
	}})
	hit("a group restored a snapshot", testkit.Match{Message: (*consensus.Restored)(nil), Where: func(e testkit.Event) bool {
		return e.Message.(*consensus.Restored).Index > 0
	}})
	hit("a member was declared dead", testkit.Match{Message: (*membership.Failed)(nil)})
	hit("a member that was declared dead came back", testkit.Match{Message: (*membership.Recovered)(nil)})
	steps := func(name string, fits func(*raftpb.Message) bool) {
		hit(name, testkit.Match{Message: (*raftactor.Step)(nil), Where: func(e testkit.Event) bool {
			return slices.ContainsFunc(e.Message.(*raftactor.Step).GetMessages(), fits)
		}})
	}
	steps("a pre-vote was refused", func(m *raftpb.Message) bool { return m.GetType() == raftpb.MsgPreVoteResp && m.GetReject() })
	steps("an append did not fit the log", func(m *raftpb.Message) bool { return m.GetType() == raftpb.MsgAppResp && m.GetReject() })
}
