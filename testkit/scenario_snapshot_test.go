package testkit_test

import (
	"fmt"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/testkit"
)

// behind is more entries than a log keeps below its snapshot.
const behind = 1300

// compact takes a snapshot on a node, which drops the older part of its log.
func compact(w *testkit.World, n *testkit.Node) {
	_, err := consensus.Reply[*consensus.SnapshotTaken](n.Ask(metaActor, &consensus.TakeSnapshot{}, 5*time.Second))
	w.Require("a snapshot is taken", err == nil, "%v", err)
}

// A follower whose next entry is compacted away gets the state as a snapshot, whole, and goes on from it.
func TestScenarioCompactedAwayFollower(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		away := w.Others(leader)[0]
		away.Crash(testkit.LoseUnsynced)
		last := away.Disk().State(meta).LastIndex
		w.Must(1, leader, "k", "1", 5*time.Second)
		fill(w, leader, behind, 10)
		compact(w, leader)
		w.Require("the log is compacted", leader.Disk().State(meta).FirstIndex > last+1, "it begins at %d", leader.Disk().State(meta).FirstIndex)
		away.Restart()
		read(w, away, "k", "1")
		installed := away.Disk().State(meta).Snapshot.Index
		w.Require("it got a snapshot", installed > last, "it stands on index %d", installed)
		w.Must(1, away, "k", "2", 5*time.Second)
		away.Restart()
		read(w, away, "k", "2")
	})
}

// A snapshot that conflicts with a follower's log discards that log (hashicorp/raft#697): entries that nobody committed must not
// stay behind it, nor come back.
func TestScenarioSnapshotConflictsWithLog(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		old := formed(w)
		others := w.Others(old)
		w.Net().Isolate(old.ID())
		try(old, 30, 10)
		w.RunFor(100 * time.Millisecond)
		before := old.Disk().State(meta)
		w.Require("a suffix that nobody else has", before.LastIndex > others[0].Disk().State(meta).LastIndex+10, "it ends at %d", before.LastIndex)
		next := w.AwaitLeader(10*time.Second, others[0].ID(), others[1].ID())
		fill(w, next, behind, 10)
		compact(w, next)
		w.Must(1, next, "k", "1", 5*time.Second)
		w.Net().MendAll()
		read(w, old, "k", "1")
		after := old.Disk().State(meta)
		w.Require("the conflicting log is gone", after.FirstIndex > before.LastIndex, "it begins at %d, the old suffix ended at %d", after.FirstIndex, before.LastIndex)
		old.Crash(testkit.LoseUnsynced)
		old.Restart()
		read(w, old, "k", "1")
	})
}

// A group begins with an empty snapshot that carries the configuration alone: replicas that have no other one must start from it
// again, and one that was not in it must not be given it, for it would not know itself.
func TestScenarioEmptySnapshot(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		w.Must(1, leader, "k", "1", 5*time.Second)
		for _, n := range w.Nodes() {
			n.Crash(testkit.LoseUnsynced)
		}
		for _, n := range w.Nodes() {
			n.Restart()
			w.Require("the first snapshot is the only one", n.Disk().State(meta).Snapshot.Index == 1, "node %d stands on %d", n.ID(), n.Disk().State(meta).Snapshot.Index)
		}
		read(w, leader, "k", "1")
		joined := w.AddNode()
		onStep(w, func(to, _ *testkit.Node, m *raftpb.Message) {
			if m.GetType() == raftpb.MsgSnap && to == joined {
				state := m.GetSnapshot().GetMetadata().GetConfState()
				w.Require("a snapshot names its receiver", contains(state.GetLearners(), to.Replica()), "learners are %v", state.GetLearners())
			}
		})
		joined.Restart()
		read(w, joined, "k", "1")
		joined.Restart()
		read(w, joined, "k", "1")
	})
}

func contains(list []uint64, x uint64) bool {
	for _, v := range list {
		if v == x {
			return true
		}
	}
	return false
}

// A snapshot is stepped only when its data is there, whole: a receiver that dies at any point of it starts again from what it had.
func TestScenarioCrashWhileInstallingSnapshot(t *testing.T) {
	for _, kind := range []testkit.CrashKind{testkit.KeepPageCache, testkit.LoseUnsynced, testkit.TornTail} {
		t.Run(kind.String(), func(t *testing.T) {
			play(t, testkit.Scenario{}, func(w *testkit.World) {
				leader := formed(w)
				away := w.Others(leader)[0]
				away.Crash(kind)
				fill(w, leader, behind, 100)
				compact(w, leader)
				w.Must(1, leader, "k", "1", 5*time.Second)
				points := map[string]bool{}
				for _, name := range []string{"snapshots", metaActor, metaActor + "/apply", "store"} {
					w.On(testkit.Match{Kind: "turn", Node: away.ID(), Actor: name}, func(e testkit.Event) {
						what := fmt.Sprintf("%s %T", name, e.Message)
						if snapshotMatters(e) && !points[what] {
							points[what] = true
							away.Crash(kind)
							w.At(w.Now()+20*time.Millisecond, away.Restart)
						}
					})
				}
				away.Restart()
				read(w, away, "k", "1")
				w.Require("it died while it installed", len(points) >= 3, "at %v", points)
			})
		})
	}
}

// snapshotMatters picks the messages of an installation.
func snapshotMatters(e testkit.Event) bool {
	switch fmt.Sprintf("%T", e.Message) {
	case "*raftactor.verify", "*raftactor.verified", "*raftactor.restore", "*raftactor.restored", "*logstore.Offer", "*logstore.Chunk":
		return true
	}
	return false
}

// A sender or a link that fails in the middle of a snapshot must be reported to Raft, which sends it again: a follower must not
// wait for ever.
func TestScenarioSnapshotSenderDies(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		away := w.Others(leader)[0]
		away.Crash(testkit.LoseUnsynced)
		fill(w, leader, behind, 100)
		w.RunFor(200 * time.Millisecond) // the others learn what is committed
		for _, n := range w.Others(away) {
			compact(w, n)
		}
		cuts := 0
		w.On(testkit.Match{Kind: "turn", Node: away.ID(), Actor: "snapshots"}, func(e testkit.Event) {
			if e.From != 0 && cuts < 2 {
				cuts++
				if cuts == 1 {
					w.Node(e.From).Crash(testkit.LoseUnsynced)
					w.At(w.Now()+2*time.Second, w.Node(e.From).Restart)
					return
				}
				from := e.From
				w.Net().Isolate(from)
				w.At(w.Now()+time.Second, w.Net().MendAll)
			}
		})
		away.Restart()
		w.RunUntil(func() bool { return cuts == 2 }, 30*time.Second)
		w.Require("a snapshot was sent twice", cuts == 2, "%d times", cuts)
		w.RunFor(3 * time.Second)
		w.Must(1, leader, "k", "1", 10*time.Second)
		read(w, away, "k", "1")
	})
}
