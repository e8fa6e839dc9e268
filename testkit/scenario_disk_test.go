package testkit_test

import (
	"errors"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
	"github.com/hupe1980/rivven-cluster/testkit"
)

// A sync that failed may have dropped what it was to write, and the next one succeeds without it: a store must not
// trust its disk again in that life, and the node stops.
func TestScenarioFsyncErrorThenSuccess(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		failed := false
		w.On(testkit.Match{Message: (*logstore.Written)(nil), Node: leader.ID()}, func(e testkit.Event) {
			if e.Message.(*logstore.Written).Err != nil && !failed {
				failed = true
				leader.Disk().MendSync()
			}
		})
		w.On(testkit.Match{Kind: "durable", Node: leader.ID()}, func(testkit.Event) {
			w.Require("a failed sync is final", !failed || !leader.Up(), "node %d wrote again in the same life", leader.ID())
		})
		leader.Disk().FailSync()
		w.Client(1).PutNow(leader, "k", "1")
		w.RunFor(100 * time.Millisecond)
		w.Require("the sync failed", failed, "no write failed")
		w.Must(2, w.Others(leader)[0], "k", "2", 5*time.Second)
		_, err := leader.Ask(metaActor, &consensus.GetStatus{}, time.Second)
		w.Require("the node stops", errors.Is(err, actors.ErrDeadLetter), "it answers: %v", err)
		failed = false // a new life may trust its disk
		leader.Restart()
		read(w, leader, "k", "2")
	})
}

// A vote that leaves before it is durable is given twice when the voter crashes in between, and one term gets two leaders.
func TestScenarioCrashBetweenVoteAndSync(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5}, func(w *testkit.World) {
		formed(w)
		armed, crashes := true, 0
		onStep(w, func(_, from *testkit.Node, m *raftpb.Message) {
			if armed && m.GetType() == raftpb.MsgVoteResp && !m.GetReject() && from.Up() {
				armed = false
				crashes++
				from.Crash(testkit.LoseUnsynced)
				w.At(w.Now()+5*time.Millisecond, from.Restart)
			}
		})
		for range 4 {
			leader := w.AwaitLeader(10 * time.Second)
			armed = true
			isolateFor(w, leader, 600*time.Millisecond)
		}
		w.Require("voters crashed", crashes >= 3, "%d times", crashes)
	})
}

// What a follower acknowledged it must still have after it lost its unsynced writes, or a partition that leaves only it
// and a replica that never had the entry loses a write that a client was told of.
func TestScenarioUnsyncedSuffixLostAndPartition(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		b, c := w.Others(leader)[0], w.Others(leader)[1]
		w.Net().Isolate(c.ID())
		b.Disk().Stall(true)
		outcome := w.Client(1).PutNow(leader, "k", "1")
		w.Require("no quorum has it durable", outcome != testkit.OK, "the write was acknowledged")
		b.Crash(testkit.LoseUnsynced)
		w.Net().MendAll()
		w.Net().Isolate(leader.ID())
		b.Restart()
		next := w.AwaitLeader(10*time.Second, b.ID(), c.ID())
		w.Must(2, next, "k", "2", 5*time.Second)
		w.Net().MendAll()
		read(w, leader, "k", "2")
	})
}

// A leader whose disk is full must make room for one that can write, and be of use again when there is space, without a restart.
func TestScenarioDiskFullOnLeader(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		w.On(testkit.Match{Kind: "restart"}, func(e testkit.Event) { w.Require("nobody restarts", false, "node %d", e.Node) })
		model := leader.Disk().Model()
		full := model
		full.Quota = 1
		leader.Disk().SetModel(full)
		w.Client(1).PutNow(leader, "k", "1")
		other := w.Others(leader)[0]
		w.Must(2, other, "k", "2", 5*time.Second)
		now, _ := w.Leader()
		w.Require("the full node does not lead", now != leader, "node %d leads", leader.ID())
		leader.Disk().SetModel(model)
		read(w, leader, "k", "2")
		w.Await("it catches up", 10*time.Second, testkit.Agreed)
		w.Require("it did not halt", leader.Status().GetHalted() == "", "%s", leader.Status().GetHalted())
	})
}

// A disk that stands still holds back what its node promises, not the others: the cluster goes on, and what it acknowledged
// meanwhile is there when the frozen leader has lost all it had not synced.
func TestScenarioFrozenDiskOnLeader(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		leader.Disk().Stall(true)
		w.Must(1, leader, "k", "1", 10*time.Second)
		until(w, "leadership moves to a disk that works", time.Second, func() error {
			if now, _ := w.Leader(); now == nil || now == leader {
				return errors.New("not yet")
			}
			return nil
		})
		w.RunFor(5 * time.Second)
		w.Must(2, w.Others(leader)[0], "k", "2", 10*time.Second)
		leader.Crash(testkit.LoseUnsynced)
		w.RunFor(time.Second)
		read(w, w.Others(leader)[0], "k", "2")
		leader.Restart()
		read(w, leader, "k", "2")
	})
}

// A tail that a crash tore off was promised to nobody: the replica cuts it and goes on by itself, every time.
func TestScenarioTornTail(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		formed(w)
		w.Load(3, 3, 60)
		for i := range 9 {
			n := w.Node(1 + i%3)
			n.Disk().Stall(true)
			w.RunFor(100 * time.Millisecond)
			n.Crash(testkit.TornTail)
			w.RunFor(200 * time.Millisecond)
			n.Restart()
			w.Await("it is back", 10*time.Second, testkit.Agreed)
			w.Require("it did not halt", n.Status().GetHalted() == "", "%s", n.Status().GetHalted())
		}
	})
}

// damaged tells of a follower whose disk lies: it must not start on it, the others go on, and wiped it is rebuilt from them.
func damaged(t *testing.T, damage func(w *testkit.World, n *testkit.Node)) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		for i := range 20 {
			w.Must(1, leader, "k", string(rune('a'+i)), 5*time.Second)
		}
		w.Await("the log is everywhere", 5*time.Second, testkit.Agreed)
		n := w.Others(leader)[0]
		damage(w, n)
		applied := n.Disk().State(meta)
		n.Restart()
		w.Must(1, leader, "k", "more", 5*time.Second)
		w.RunFor(3 * time.Second)
		w.Require("damage is not papered over", n.Disk().State(meta).LastIndex == applied.LastIndex, "the log grew from %d to %d", applied.LastIndex, n.Disk().State(meta).LastIndex)
		w.Require("a replica on a damaged disk takes no part", n.Status().GetRole() == consensus.Role_ROLE_UNSPECIFIED, "it is %v", n.Status().GetRole())
		n.Wipe()
		n.Restart()
		read(w, n, "k", "more")
		until(w, "it votes again", 20*time.Second, func() error {
			if voters := replicas(leader.Status().GetVoters()); len(voters) != 3 || !voters[n.Replica()] {
				return errors.New("not yet")
			}
			return nil
		})
	})
}

// Damage before the tail may hide entries that were acknowledged: cutting the log there, as for a torn tail, would lose them.
func TestScenarioMidLogDamage(t *testing.T) {
	damaged(t, func(_ *testkit.World, n *testkit.Node) { n.Disk().RotEntry(meta, n.Disk().State(meta).LastIndex-10) })
}

// A hard state that can't be read may hold a vote: going on without it would vote twice.
func TestScenarioHardStateDamage(t *testing.T) {
	damaged(t, func(_ *testkit.World, n *testkit.Node) { n.Disk().RotHardState(meta) })
}

// A damaged snapshot must not become the state of a machine, its own or another's.
func TestScenarioSnapshotDamage(t *testing.T) {
	damaged(t, func(w *testkit.World, n *testkit.Node) {
		taken, err := consensus.Reply[*consensus.SnapshotTaken](n.Ask(metaActor, &consensus.TakeSnapshot{}, time.Second))
		w.Require("a snapshot is taken", err == nil, "%v", err)
		n.Disk().RotSnapshot(meta, taken.GetIndex())
	})
}

// With a sound snapshot before the damaged one, and the log since, a replica needs nobody's help.
func TestScenarioDamagedSnapshotFallsBack(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		n := w.Others(leader)[0]
		var newest uint64
		for _, value := range []string{"1", "2"} {
			w.Must(1, leader, "k", value, 5*time.Second)
			w.Await("it is everywhere", 5*time.Second, testkit.Agreed)
			taken, err := consensus.Reply[*consensus.SnapshotTaken](n.Ask(metaActor, &consensus.TakeSnapshot{}, time.Second))
			w.Require("a snapshot is taken", err == nil && taken.GetIndex() > newest, "%v, %v", taken, err)
			newest = taken.GetIndex()
		}
		n.Crash(testkit.KeepPageCache)
		n.Disk().RotSnapshot(meta, newest)
		n.Restart()
		read(w, n, "k", "2")
		w.Require("it did not halt", n.Status().GetHalted() == "", "%s", n.Status().GetHalted())
	})
}

// Damage that a running leader meets when it reads its log for a follower must not reach that follower.
func TestScenarioLogDamageOnLeader(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		n := w.Others(leader)[0]
		n.Crash(testkit.KeepPageCache)
		last := leader.Disk().State(meta).LastIndex
		fill(w, leader, 20, 100)
		leader.Disk().RotEntry(meta, last+5)
		n.Restart()
		w.Must(1, w.Others(leader)[1], "k", "1", 10*time.Second)
		w.Await("the follower is served", 10*time.Second, func(v testkit.View) error {
			if a, b := v.Applied(n, meta), v.Applied(w.Others(leader)[1], meta); a != b || a == 0 {
				return errors.New("behind")
			}
			return nil
		})
		leader.Wipe()
		leader.Restart()
		read(w, leader, "k", "1")
	})
}
