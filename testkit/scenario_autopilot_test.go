package testkit_test

import (
	"fmt"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/testkit"
)

// impatient replaces a dead voter after a few seconds, and forgets a dead learner after 50.
func impatient(_ int, cfg *node.Config) { cfg.Raft.DeadVoterGrace = 5 * time.Second }

// membersAre waits until those nodes vote, and those learn.
func membersAre(w *testkit.World, limit time.Duration, voting, learning []*testkit.Node) {
	until(w, "the members are as they should be", limit, func() error {
		leader, _ := w.Leader()
		if !leader.Up() {
			return fmt.Errorf("node %d, the last leader, is down", leader.ID())
		}
		st := leader.Status()
		voters, learners := replicas(st.GetVoters()), replicas(st.GetLearners())
		if len(voters) != len(voting) || len(learners) != len(learning) {
			return fmt.Errorf("%d voters and %d learners, want %d and %d", len(voters), len(learners), len(voting), len(learning))
		}
		for _, n := range voting {
			if !voters[n.Replica()] {
				return fmt.Errorf("node %d does not vote", n.ID())
			}
		}
		for _, n := range learning {
			if !learners[n.Replica()] {
				return fmt.Errorf("node %d does not learn", n.ID())
			}
		}
		return nil
	})
}

// Of those who join a lone node, the first become voters up to three, and the others stay learners.
func TestScenarioNewcomersBecomeVotersUpToTheTarget(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 1}, func(w *testkit.World) {
		first := formed(w)
		b, c := joined(w, first), joined(w, first)
		membersAre(w, 20*time.Second, []*testkit.Node{first, b, c}, nil)
		d := joined(w, first)
		w.RunFor(10 * time.Second)
		membersAre(w, 0, []*testkit.Node{first, b, c}, []*testkit.Node{d})
	})
}

// A voter that stays away past the grace is replaced by the learner, in one joint change; it comes back as a learner itself.
func TestScenarioDeadVoterIsReplaced(t *testing.T) {
	play(t, testkit.Scenario{Configure: impatient}, func(w *testkit.World) {
		leader := formed(w)
		spare := joined(w, leader)
		dead, other := w.Others(leader, spare)[0], w.Others(leader, spare)[1]
		dead.Crash(testkit.LoseUnsynced)
		w.RunFor(4 * time.Second)
		membersAre(w, 0, []*testkit.Node{leader, dead, other}, []*testkit.Node{spare})
		membersAre(w, 20*time.Second, []*testkit.Node{leader, spare, other}, nil)
		w.Must(1, leader, "k", "1", 5*time.Second)

		dead.Restart()
		membersAre(w, 30*time.Second, []*testkit.Node{leader, spare, other}, []*testkit.Node{dead})
		read(w, dead, "k", "1")
	})
}

// Without anybody to take its place a dead voter stays one: the number of voters doesn't shrink by itself.
func TestScenarioDeadVoterWithoutReplacementStays(t *testing.T) {
	play(t, testkit.Scenario{Configure: impatient}, func(w *testkit.World) {
		leader := formed(w)
		others := w.Others(leader)
		others[0].Crash(testkit.KeepPageCache)
		w.RunFor(time.Minute)
		membersAre(w, 0, []*testkit.Node{leader, others[0], others[1]}, nil)
		// And it is replaced as soon as there is somebody.
		spare := joined(w, leader)
		membersAre(w, 20*time.Second, []*testkit.Node{leader, spare, others[1]}, nil)
		others[0].Restart()
		membersAre(w, 30*time.Second, []*testkit.Node{leader, spare, others[1]}, []*testkit.Node{others[0]})
	})
}

// The leader of the change dies in the middle of it: its successor ends the joint configuration, and replaces the dead leader too once
// somebody can take its place.
func TestScenarioLeaderDiesWhileItReplacesAVoter(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5, Configure: impatient}, func(w *testkit.World) {
		leader := formed(w)
		spare := joined(w, leader)
		others := w.Others(leader, spare)
		died := false
		onStep(w, func(_, from *testkit.Node, m *raftpb.Message) {
			for _, e := range m.GetEntries() {
				if !died && from == leader && m.GetType() == raftpb.MsgApp && e.GetType() == raftpb.EntryConfChangeV2 {
					died = true
					leader.Crash(testkit.LoseUnsynced)
				}
			}
		})
		others[0].Crash(testkit.KeepPageCache)
		w.RunUntil(func() bool { return died }, 30*time.Second)
		w.Require("the leader died in it", died, "it did not")
		w.AwaitLeader(10*time.Second, others[1].ID(), others[2].ID(), others[3].ID(), spare.ID())
		until(w, "the spare one votes", 30*time.Second, func() error {
			next, _ := w.Leader()
			st := next.Status()
			if voters := replicas(st.GetVoters()); len(voters) != 5 || !voters[spare.Replica()] {
				return fmt.Errorf("%d voters, the spare one: %v", len(voters), voters[spare.Replica()])
			}
			return nil
		})
		w.Must(1, others[1], "k", "1", 10*time.Second)
		others[0].Restart()
		leader.Restart()
		until(w, "all are members again", time.Minute, func() error {
			next, _ := w.Leader()
			if st := next.Status(); len(st.GetVoters()) != 5 || len(st.GetLearners()) != 1 {
				return fmt.Errorf("%d voters and %d learners", len(st.GetVoters()), len(st.GetLearners()))
			}
			return nil
		})
	})
}

// A learner that doesn't come back is forgotten, and taken in again if it does after all.
func TestScenarioDeadLearnerIsForgotten(t *testing.T) {
	play(t, testkit.Scenario{Configure: impatient}, func(w *testkit.World) {
		leader := formed(w)
		voting := append(w.Others(leader), leader)
		gone := joined(w, leader)
		gone.Crash(testkit.KeepPageCache)
		w.RunFor(40 * time.Second)
		membersAre(w, 0, voting, []*testkit.Node{gone})
		membersAre(w, 30*time.Second, voting, nil)
		gone.Restart()
		membersAre(w, 30*time.Second, voting, []*testkit.Node{gone})
	})
}

// All voters began in one zone: the first learner of another gets one of their votes.
func TestScenarioVotersSpreadOverZones(t *testing.T) {
	zoned := func(i int, cfg *node.Config) {
		cfg.Zone = "a"
		if i > 3 {
			cfg.Zone = "b"
		}
	}
	play(t, testkit.Scenario{Configure: zoned}, func(w *testkit.World) {
		leader := formed(w)
		far := joined(w, leader)
		until(w, "a vote moves", 20*time.Second, func() error {
			st := leader.Status()
			if voters := replicas(st.GetVoters()); len(voters) != 3 || !voters[far.Replica()] || !voters[leader.Replica()] {
				return fmt.Errorf("voters %v", st.GetVoters())
			}
			return nil
		})
		calm(w, 10*time.Second)
	})
}

// Changes that make no sense are refused with the reason, by whichever node is asked, and change nothing.
func TestScenarioRefusedMembershipChangesAreReported(t *testing.T) {
	play(t, testkit.Scenario{Configure: byHand}, func(w *testkit.World) {
		leader := formed(w)
		learner := joined(w, leader)
		index := leader.Status().GetLastIndex()
		for _, n := range w.Nodes() {
			for _, c := range []*consensus.Change{
				addition(leader), addition(learner), promotion(leader), demotion(learner),
				{Kind: consensus.ChangeKind_CHANGE_KIND_PROMOTE, Peer: &consensus.Peer{NodeId: 9, Replica: 9, Address: "n9:9093"}},
				{Kind: consensus.ChangeKind_CHANGE_KIND_REMOVE, Peer: &consensus.Peer{NodeId: 9, Replica: 9, Address: "n9:9093"}},
				{Kind: consensus.ChangeKind_CHANGE_KIND_ADD_LEARNER, Peer: &consensus.Peer{Replica: 9}},
				{Peer: learner.Peer()},
			} {
				answer, err := n.Ask(metaActor, &consensus.ChangeMembership{Changes: []*consensus.Change{c}}, 3*time.Second)
				failed, ok := answer.(*consensus.Failed)
				w.Require("it is refused", err == nil && ok && failed.GetCode() == consensus.Code_CODE_INVALID && failed.GetMessage() != "",
					"%s through node %d: %v %v", c, n.ID(), answer, err)
			}
		}
		w.Require("nothing is written", leader.Status().GetLastIndex() == index, "the log went from %d to %d", index, leader.Status().GetLastIndex())
	})
}
