package testkit_test

import (
	"fmt"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
	"github.com/hupe1980/rivven-cluster/testkit"
)

// stallOnVictory freezes the disks of all others at the moment when a candidate gets the vote that makes it leader, so that
// nothing of its term is committed while its heartbeats are answered. It works once.
func stallOnVictory(w *testkit.World) {
	done := false
	onStep(w, func(to, from *testkit.Node, m *raftpb.Message) {
		if done || m.GetType() != raftpb.MsgVoteResp || m.GetReject() {
			return
		}
		done = true
		from.Disk().Stall(true)
	})
}

// A new leader does not know what is committed before an entry of its own term is: a read index that it gives earlier misses
// writes that its predecessor acknowledged.
func TestScenarioStaleReadBeforeFirstCommit(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		others := w.Others(leader)
		stallOnVictory(w)
		acknowledged := false
		w.Client(1).Put(leader, "k", "1", func(o testkit.Outcome) {
			acknowledged = o == testkit.OK
			leader.Crash(testkit.LoseUnsynced) // before the others hear that it is committed
		})
		w.RunUntil(func() bool { return !leader.Up() }, 3*time.Second)
		w.Require("the write is acknowledged", acknowledged, "it was not")
		next := w.AwaitLeader(10*time.Second, others[0].ID(), others[1].ID())
		for _, n := range others {
			value, outcome := w.Client(2).GetNow(n, "k")
			w.Require("no stale read", outcome != testkit.OK || value == "1", "node %d reads %q", n.ID(), value)
		}
		commit := next.Status().GetCommit()
		w.Require("the leader's term has no commit yet", next.Disk().Term(meta, commit) < next.Status().GetTerm(), "it has")
		for _, n := range others {
			n.Disk().Stall(false)
		}
		read(w, next, "k", "1")
	})
}

// A leader that was stopped for longer than an election wakes with reads in its queue and believes itself leader still: it must
// not answer them from a state that its successor has changed.
func TestScenarioPausedLeaderReads(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		w.Must(1, leader, "k", "1", 5*time.Second)
		leader.Pause(2 * time.Second)
		others := w.Others(leader)
		next := w.AwaitLeader(2*time.Second, others[0].ID(), others[1].ID())
		w.Must(1, next, "k", "2", time.Second)
		asked := 0
		for id := 2; id < 8; id++ {
			asked++
			w.Client(id).Get(leader, "k", func(testkit.Outcome) { asked-- })
		}
		w.Require("it sleeps still", leader.Paused(), "node %d woke", leader.ID())
		w.RunUntil(func() bool { return asked == 0 }, 5*time.Second)
		w.Require("reads end", asked == 0, "%d do not", asked)
		read(w, leader, "k", "2")
	})
}

// A read index whose id is used again by a later life of the same replica is answered by the late answer to the earlier one
// (etcd#20418): ids must be new for ever, and an answer to an earlier life is nobody's.
func TestScenarioDuplicatedReadIDs(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		follower := w.Others(leader)[0]
		seen := make(map[string]int)
		lives := 0
		onStep(w, func(_, from *testkit.Node, m *raftpb.Message) {
			if m.GetType() != raftpb.MsgReadIndex {
				return
			}
			id := string(m.GetEntries()[0].GetData())
			life, known := seen[id]
			w.Require("a read id is never used by two lives", !known || life == lives || from != follower, "node %d uses %x again", from.ID(), id)
			seen[id] = lives
		})
		var late *raftactor.Step
		w.On(testkit.Match{Message: (*raftactor.Step)(nil), Node: follower.ID()}, func(e testkit.Event) {
			step := e.Message.(*raftactor.Step)
			for _, m := range step.GetMessages() {
				if m.GetType() == raftpb.MsgReadIndexResp && late == nil {
					late = step
				}
			}
		})
		w.Must(1, leader, "k", "0", 5*time.Second)
		for i := 1; i <= 3; i++ {
			late = nil
			read(w, follower, "k", fmt.Sprint(i-1))
			w.Require("a read index was answered", late != nil, "no answer seen")
			follower.Crash(testkit.KeepPageCache)
			lives++
			w.Must(1, leader, "k", fmt.Sprint(i), 5*time.Second)
			follower.Restart()
			until(w, "it is back", 5*time.Second, func() error {
				if follower.Status().GetLeader() == nil {
					return fmt.Errorf("it knows no leader")
				}
				return nil
			})
			asked := true
			w.Client(2).Get(follower, "k", func(testkit.Outcome) { asked = false })
			for range 5 {
				follower.Deliver(leader, metaActor, late)
			}
			w.RunUntil(func() bool { return !asked }, 5*time.Second)
			read(w, follower, "k", fmt.Sprint(i))
		}
		w.Require("the follower asked for read indexes", len(seen) >= 3, "%d", len(seen))
	})
}

// What is applied and how far must come back together: a retried command is applied once, whatever crashed in between, also
// where a snapshot was just taken, and none that was acknowledged is missing.
func TestScenarioApplyAndIndexNotAtomic(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		formed(w)
		applied := make(map[string]uint64)
		var session *consensus.Session
		until(w, "a session is opened", 10*time.Second, func() error {
			var err error
			session, err = consensus.Reply[*consensus.Session](w.Node(1).Ask(metaActor, &consensus.OpenSession{}, 2*time.Second))
			return err
		})
		for i := 1; i <= 12; i++ {
			key := fmt.Sprintf("once%d", i)
			propose := consensus.NewProposeOnce(session.GetId(), uint64(i), &metadata.SetConfig{Key: key, Value: []byte("x")})
			victim := w.Node(1 + i%3)
			armed := true
			w.On(testkit.Match{Actor: metaActor + "/apply", Node: victim.ID(), Kind: "turn"}, func(testkit.Event) {
				if armed {
					armed = false
					victim.Crash(testkit.CrashKind(i % 3))
				}
			})
			if i%2 == 0 {
				victim.Request(metaActor, &consensus.TakeSnapshot{}, time.Second, func(any, error) {})
			}
			var index uint64
			until(w, "the command is acknowledged", 15*time.Second, func() error {
				n := w.Node(1 + (i+int(w.Now()/time.Millisecond))%3)
				changed, err := consensus.Result[*metadata.ConfigChanged](n.Ask(metaActor, propose, time.Second))
				if !victim.Up() {
					victim.Restart()
				}
				index = changed.GetRevision()
				return err
			})
			armed = false
			if !victim.Up() {
				victim.Restart()
			}
			applied[key] = index
		}
		for _, n := range w.Nodes() {
			for key, index := range applied {
				until(w, "the key is there", 10*time.Second, func() error {
					entry, err := consensus.Result[*metadata.ConfigEntry](n.Ask(metaActor, consensus.NewQuery(&metadata.GetConfig{Key: key}), 2*time.Second))
					if err == nil {
						w.Require("a retry is applied once", entry.GetRevision() == index, "node %d has %s of index %d, its proposer was told %d", n.ID(), key, entry.GetRevision(), index)
					}
					return err
				})
			}
		}
	})
}
