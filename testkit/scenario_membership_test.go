package testkit_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/testkit"
)

// byHand leaves the membership to the test.
func byHand(_ int, cfg *node.Config) { cfg.Raft.TargetVoters = node.AutopilotOff }

func removal(n *testkit.Node) *consensus.Change {
	return &consensus.Change{Kind: consensus.ChangeKind_CHANGE_KIND_REMOVE, Peer: n.Peer()}
}

func demotion(n *testkit.Node) *consensus.Change {
	return &consensus.Change{Kind: consensus.ChangeKind_CHANGE_KIND_DEMOTE, Peer: n.Peer()}
}

func promotion(n *testkit.Node) *consensus.Change {
	return &consensus.Change{Kind: consensus.ChangeKind_CHANGE_KIND_PROMOTE, Peer: n.Peer()}
}

func addition(n *testkit.Node) *consensus.Change {
	return &consensus.Change{Kind: consensus.ChangeKind_CHANGE_KIND_ADD_LEARNER, Peer: n.Peer()}
}

// joined starts one more node and waits until it is a learner that has caught up.
func joined(w *testkit.World, leader *testkit.Node) *testkit.Node {
	n := w.AddNode()
	n.Restart()
	until(w, "it is a learner", 10*time.Second, func() error {
		if !replicas(leader.Status().GetLearners())[n.Replica()] {
			return errors.New("not yet")
		}
		return nil
	})
	read(w, n, "formed", "yes")
	return n
}

// A learner is no part of any quorum: with it a minority of voters commits nothing and elects nobody, and it never leads itself.
func TestScenarioNonVoterNeitherCountedNorElected(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		learner := joined(w, leader)
		others := w.Others(leader)
		others[0].Crash(testkit.KeepPageCache)
		others[1].Crash(testkit.KeepPageCache)
		outcome := w.Client(1).PutNow(leader, "k", "lost")
		w.Require("a learner commits nothing", outcome != testkit.OK, "the write was acknowledged by one voter of three and a learner")
		leader.Crash(testkit.KeepPageCache)
		_, term := w.Leader()
		w.Holds("a learner elects nobody", 4*time.Second, func(testkit.View) error {
			if n, now := w.Leader(); now != term {
				return fmt.Errorf("node %d leads term %d", n.ID(), now)
			}
			return nil
		})
		others[0].Restart()
		w.Holds("a voter and a learner elect nobody", 4*time.Second, func(testkit.View) error {
			if n, now := w.Leader(); now != term {
				return fmt.Errorf("node %d leads term %d", n.ID(), now)
			}
			return nil
		})
		w.Require("it is a learner still", learner.Status().GetRole() == consensus.Role_ROLE_LEARNER, "it is %v", learner.Status().GetRole())
		others[1].Restart()
		w.Must(2, others[0], "k", "2", 10*time.Second)
	})
}

// A change of the members counts when it is committed, and no sooner: neither one of a new leader that has committed nothing in
// its term, nor one in the log of a leader that was replaced, while its successor makes another (Ongaro's bug of 2015).
func TestScenarioMembershipChangeBeforeFirstCommit(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		x := joined(w, leader)
		y := joined(w, leader)
		others := w.Others(leader)

		w.Net().Isolate(leader.ID())
		leader.Request(metaActor, &consensus.ChangeMembership{Changes: []*consensus.Change{promotion(x)}}, time.Second, func(answer any, err error) {
			_, err = consensus.Reply[*consensus.MembershipChanged](answer, err)
			w.Require("a leader without a quorum changes nothing", err != nil, "it says that it did")
		})
		stallOnVictory(w)
		next := w.AwaitLeader(10*time.Second, others[0].ID(), others[1].ID())
		_, err := consensus.Reply[*consensus.MembershipChanged](next.Ask(metaActor, &consensus.ChangeMembership{Changes: []*consensus.Change{promotion(y)}}, 500*time.Millisecond))
		w.Require("no change without a commit", err != nil, "it was acknowledged")
		for _, n := range w.Nodes() {
			in := replicas(n.Status().GetVoters())
			w.Require("no change is in force", len(in) == 3 && !in[x.Replica()] && !in[y.Replica()], "node %d counts %d voters", n.ID(), len(in))
		}
		for _, n := range others {
			n.Disk().Stall(false)
		}
		until(w, "the successor's change is made", 15*time.Second, func() error {
			_, err := next.Ask(metaActor, &consensus.ChangeMembership{Changes: []*consensus.Change{promotion(y)}}, time.Second)
			if in := replicas(next.Status().GetVoters()); !in[y.Replica()] {
				return fmt.Errorf("%d voters: %w", len(in), err)
			}
			return nil
		})
		w.Net().MendAll()
		read(w, leader, "formed", "yes")
		until(w, "all have the successor's members", 10*time.Second, func() error {
			for _, n := range w.Nodes() {
				if in := replicas(n.Status().GetVoters()); len(in) != 4 || in[x.Replica()] || !in[y.Replica()] {
					return fmt.Errorf("node %d counts %d voters", n.ID(), len(in))
				}
			}
			return nil
		})
	})
}

// A leader that removes itself counts no longer once that is committed, and what is left elects another; the removed one disturbs
// nobody, and can come back as a learner.
func TestScenarioRemovedLeaderAndReAdded(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5, Configure: byHand}, func(w *testkit.World) {
		removed := formed(w)
		others := w.Others(removed)
		change(w, removed, 10*time.Second, removal(removed))
		next := w.AwaitLeader(10*time.Second, others[0].ID(), others[1].ID(), others[2].ID(), others[3].ID())
		w.Must(1, next, "k", "1", 5*time.Second)
		until(w, "it is gone", 5*time.Second, func() error {
			if st := next.Status(); len(st.GetVoters()) != 4 || replicas(st.GetVoters())[removed.Replica()] {
				return fmt.Errorf("voters are %v", st.GetVoters())
			}
			return nil
		})
		calm(w, 5*time.Second)
		removed.Restart()
		calm(w, 5*time.Second)
		w.Require("it does not lead", removed.Status().GetRole() != consensus.Role_ROLE_LEADER, "it does")

		change(w, next, 10*time.Second, addition(removed))
		until(w, "it catches up", 10*time.Second, func() error {
			if a, b := removed.Status().GetApplied(), next.Status().GetApplied(); a < b {
				return fmt.Errorf("applied %d of %d", a, b)
			}
			return nil
		})
		change(w, next, 10*time.Second, promotion(removed))
		lead(w, removed)
		w.Must(1, removed, "k", "2", 5*time.Second)
	})
}

// A leader that dies while the group is in a joint configuration leaves it to its successor to end that: neither half alone may
// decide meanwhile, and nobody has to help.
func TestScenarioLeaderCrashInJointConfiguration(t *testing.T) {
	for at, name := range []string{"when the joint entry is sent", "when it is acknowledged", "when the end is sent"} {
		t.Run(name, func(t *testing.T) { crashInJoint(t, at) })
	}
}

func crashInJoint(t *testing.T, at int) {
	play(t, testkit.Scenario{Nodes: 5, Configure: byHand}, func(w *testkit.World) {
		leader := formed(w)
		others := w.Others(leader)
		a, b := others[0], others[1]
		entered, died := uint64(0), false
		die := func() {
			died = true
			leader.Crash(testkit.LoseUnsynced)
		}
		onStep(w, func(to, from *testkit.Node, m *raftpb.Message) {
			if died {
				return
			}
			for _, e := range m.GetEntries() {
				if from != leader || m.GetType() != raftpb.MsgApp || e.GetType() != raftpb.EntryConfChangeV2 {
					continue
				}
				if entered == 0 {
					entered = e.GetIndex()
				}
				if at == 0 && to == others[3] || at == 2 && e.GetIndex() > entered {
					die()
					return
				}
			}
			if at == 1 && to == leader && m.GetType() == raftpb.MsgAppResp && !m.GetReject() && entered != 0 && m.GetIndex() >= entered {
				die()
			}
		})
		leader.Request(metaActor, &consensus.ChangeMembership{Changes: []*consensus.Change{removal(a), demotion(b)}}, time.Second, func(any, error) {})
		w.RunUntil(func() bool { return died }, 5*time.Second)
		w.Require("the leader died in it", died, "it did not")
		next := w.AwaitLeader(10*time.Second, others[2].ID(), others[3].ID(), a.ID(), b.ID())
		w.Must(1, others[2], "k", "1", 10*time.Second)
		until(w, "the joint configuration ends", 10*time.Second, func() error {
			next, _ = w.Leader()
			st := next.Status()
			voters, learners := replicas(st.GetVoters()), replicas(st.GetLearners())
			made := len(voters) == 3 && !voters[a.Replica()] && !voters[b.Replica()] && learners[b.Replica()]
			undone := len(voters) == 5 && len(learners) == 0 && at == 0
			if !made && !undone {
				return fmt.Errorf("%d voters and %d learners", len(voters), len(learners))
			}
			return nil
		})
		leader.Restart()
		read(w, leader, "k", "1")
		if !replicas(others[2].Status().GetVoters())[a.Replica()] {
			change(w, others[2], 10*time.Second, addition(a)) // the checks at the end want everybody
		}
	})
}
