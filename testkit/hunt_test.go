package testkit_test

import (
	"fmt"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/ringactor"
	"github.com/hupe1980/rivven-cluster/swimactor"
	"github.com/hupe1980/rivven-cluster/testkit"
)

// TestHunt has scenarios that press on one part each. They pass; package mutants breaks the code and wants them to fail.
func TestHunt(t *testing.T) {
	if testing.Short() {
		t.Skip("several whole clusters")
	}
	t.Run("mixed", func(t *testing.T) { testkit.Run(t, mixedHunt()) })
	t.Run("answers", func(t *testing.T) { testkit.Run(t, answersHunt()) })
	t.Run("lanes", func(t *testing.T) { testkit.Run(t, lanesHunt()) })
	t.Run("watches", func(t *testing.T) { testkit.Run(t, watchesHunt()) })
	t.Run("members", func(t *testing.T) { testkit.Run(t, membersHunt()) })
	t.Run("founding", func(t *testing.T) { testkit.Run(t, foundingHunt()) })
	t.Run("forger", func(t *testing.T) { testkit.Run(t, forgerHunt()) })
	t.Run("liar", func(t *testing.T) { testkit.Run(t, liarHunt()) })
	t.Run("owners", func(t *testing.T) { testkit.Run(t, ownersHunt()) })
}

var lossy = testkit.NetModel{
	Latency: testkit.Dist{Min: 200 * time.Microsecond, Tail: 300 * time.Microsecond, Max: 30 * time.Millisecond},
	Loss:    0.01, Dup: 0.005, Reorder: 0.01,
}

func afterwards(w *testkit.World) {
	w.Eventually("all members see each other", 60*time.Second, testkit.Seen)
	w.Eventually("all replicas agree", 20*time.Second, testkit.Agreed)
}

// mixedHunt has all faults and all kinds of load at once.
func mixedHunt() testkit.Scenario {
	return testkit.Scenario{
		Nodes: 5, For: 30 * time.Second, Chaos: testkit.Mixed, Net: lossy,
		Configure: func(_ int, cfg *node.Config) { cfg.Raft.SnapshotThreshold = 40 },
		Setup: func(w *testkit.World) {
			w.Load(4, 10, 20)
			w.Sessions(4, 20)
			w.Traffic(20)
			w.Linearizable(testkit.KVModel)
			w.Eventually("writes go through again", 20*time.Second, testkit.Progress(20))
			afterwards(w)
		},
	}
}

// answersHunt ends the leader right after a write came to it, before a majority can have it.
func answersHunt() testkit.Scenario {
	return testkit.Scenario{
		Nodes: 5, For: 20 * time.Second, Net: lossy,
		Setup: func(w *testkit.World) {
			w.Load(4, 5, 50)
			w.Linearizable(testkit.KVModel)
			r := w.Rand("answers")
			calm := time.Duration(0) // until then nobody ends
			w.On(testkit.Match{Message: (*consensus.Propose)(nil), Actor: actors.RaftName(actors.GroupMeta)}, func(e testkit.Event) {
				leader, _ := w.Leader()
				if w.Now() < calm || leader == nil || leader.ID() != e.Node || r.IntN(5) > 0 {
					return
				}
				calm = w.Now() + 2*time.Second
				w.At(w.Now()+100*time.Microsecond, func() { leader.Crash(testkit.KeepPageCache) })
				w.At(w.Now()+time.Second, leader.Restart)
			})
			w.Eventually("writes go through again", 20*time.Second, testkit.Progress(20))
			afterwards(w)
		},
	}
}

// lanesHunt breaks and renews connections under much traffic.
func lanesHunt() testkit.Scenario {
	return testkit.Scenario{
		Nodes: 3, For: 40 * time.Second, Net: lossy,
		Chaos: testkit.Plan{Cut: time.Second, Flap: 10 * time.Second, Pause: 5 * time.Second, Crash: 8 * time.Second},
		Setup: func(w *testkit.World) {
			w.Traffic(200)
			// Longer than a connection without a sign of life lasts, and shorter than a member takes to be given up.
			w.At(5*time.Second, func() { w.Net().Cut(1, 2) })
			w.At(17*time.Second, func() { w.Net().Mend(1, 2) })
			afterwards(w)
		},
	}
}

// watchesHunt lets connections end under watches, and nothing else: a node that starts anew would settle what was lost.
func watchesHunt() testkit.Scenario {
	return testkit.Scenario{
		Nodes: 3, For: 40 * time.Second, Net: lossy,
		Setup: func(w *testkit.World) {
			w.Traffic(50)
			// As long as a connection without a sign of life lasts: the next attempt, which comes at once, finds the link mended.
			for i := range 3 {
				at := time.Duration(2+12*i) * time.Second
				from, to := 1+i, 1+(i+1)%3
				w.At(at, func() { w.Net().Cut(from, to) })
				w.At(at+10*time.Second+100*time.Microsecond, func() { w.Net().Mend(from, to) })
			}
			afterwards(w)
		},
	}
}

// membersHunt cuts members off for less time than it takes to be declared dead, and lets one of them stay away for longer.
func membersHunt() testkit.Scenario {
	return testkit.Scenario{
		Nodes: 5, For: 145 * time.Second, Net: lossy,
		Setup: func(w *testkit.World) {
			r := w.Rand("members")
			for i := range 4 {
				away := 1 + r.IntN(5)
				at := 10*time.Second + time.Duration(i)*20*time.Second
				w.At(at, func() { w.Net().Isolate(away) })
				w.At(at+1500*time.Millisecond+time.Duration(r.Int64N(int64(2*time.Second))), w.Net().MendAll)
			}
			gone := w.Node(1 + r.IntN(5))
			w.At(20*time.Second, func() { gone.Crash(testkit.LoseUnsynced) })
			w.At(65*time.Second, func() { gone.Restart() })
			// Who slept while a member died wakes up with old words about it.
			for i := range 3 {
				at := 76*time.Second + time.Duration(i)*22*time.Second
				dies, sleeps := w.Node(1+i), w.Node(3+i)
				w.At(at, func() { sleeps.Pause(12 * time.Second) })
				w.At(at+200*time.Millisecond, func() { dies.Crash(testkit.LoseUnsynced) })
				w.At(at+18*time.Second, func() { dies.Restart() })
			}
			afterwards(w)
		},
	}
}

// foundingHunt starts the nodes apart from each other: one cluster must come of it, and some disks are lost on the way.
func foundingHunt() testkit.Scenario {
	return testkit.Scenario{
		Nodes: 5, For: 25 * time.Second, Net: lossy,
		Setup: func(w *testkit.World) {
			r := w.Rand("founding")
			for at := time.Duration(0); at < 6*time.Second; at += 200*time.Millisecond + time.Duration(r.Int64N(int64(2*time.Second))) {
				var left, right []int
				for id := 1; id <= 5; id++ {
					if r.IntN(2) == 0 {
						left = append(left, id)
					} else {
						right = append(right, id)
					}
				}
				w.At(at, func() { w.Net().MendAll(); w.Net().Partition(left, right) })
			}
			w.At(8*time.Second, w.Net().MendAll)
			afterwards(w)
		},
	}
}

// forgerHunt has a member that speaks in its leader's name: it sends what the leader just sent once more, behind it, as one entry more.
func forgerHunt() testkit.Scenario {
	const forged = 1 // instance by which forgeries are told from the rest
	return testkit.Scenario{
		Nodes: 3, For: 10 * time.Second, Net: lossy,
		Setup: func(w *testkit.World) {
			w.Load(4, 10, 50)
			w.Linearizable(testkit.KVModel)
			r := w.Rand("forger")
			w.On(testkit.Match{Message: (*raftactor.Step)(nil)}, func(e testkit.Event) {
				step := e.Message.(*raftactor.Step)
				if e.From == 0 || step.GetInstance() == forged || r.IntN(20) > 0 {
					return
				}
				forger := w.Node(6 - e.Node - e.From)
				for _, m := range step.GetMessages() {
					if m.GetType() != raftpb.MsgApp || len(m.GetEntries()) == 0 {
						continue
					}
					last := m.GetEntries()[len(m.GetEntries())-1]
					forgery := &raftpb.Message{
						Type: m.Type, To: m.To, From: m.From, Term: m.Term, LogTerm: last.Term, Index: last.Index,
						Entries: []*raftpb.Entry{{Type: last.Type, Term: m.Term, Index: new(last.GetIndex() + 1), Data: last.Data}},
					}
					actors.Send(actors.Append, forger.System().Root, w.Node(e.Node).PID(e.Actor), &raftactor.Step{Instance: forged, Messages: []*raftpb.Message{forgery}})
				}
			})
			afterwards(w)
		},
	}
}

// liarHunt has a member that tells the others of another one what that never said, or no longer says: that it moved, that it is dead in a
// future which only its own word could bring, what it said first.
func liarHunt() testkit.Scenario {
	return testkit.Scenario{
		Nodes: 4, For: 30 * time.Second, Net: lossy,
		Setup: func(w *testkit.World) {
			victim, liar := w.Node(1), w.Node(4)
			w.Invariant("swim: members live where they say", func(v testkit.View) error {
				for _, by := range v.Nodes() {
					if m := v.Member(by, victim.NodeID()); m != nil && m.GetAddress() != victim.Address() {
						return fmt.Errorf("node %d sees node %d at %s, and it lives at %s", by.ID(), victim.ID(), m.GetAddress(), victim.Address())
					}
				}
				return nil
			})
			var first, honest *swimactor.Record
			w.On(testkit.Match{Message: (*swimactor.Message)(nil)}, func(e testkit.Event) {
				if self := e.Message.(*swimactor.Message).GetMismatch().GetRecord(); self.GetId() == victim.NodeID() {
					if honest = self; first == nil {
						first = self
					}
				}
			})
			lie := func(change func(*swimactor.Update)) {
				if honest == nil {
					return
				}
				r := &swimactor.Record{
					Id: honest.GetId(), Directory: honest.GetDirectory(), Name: honest.GetName(), Generation: honest.GetGeneration(),
					Incarnation: honest.GetIncarnation() + 1000, Address: honest.GetAddress(), GossipAddress: honest.GetGossipAddress(),
					CertificateHash: honest.GetCertificateHash(), Signature: honest.GetSignature(),
				}
				u := &swimactor.Update{State: uint32(membership.State_STATE_ALIVE), Record: r}
				change(u)
				for i := 2; i < 4; i++ {
					w.Node(i).Deliver(liar, actors.NameSwim, gossip(u))
				}
			}
			for at := 22 * time.Second; at < 30*time.Second; at += time.Second {
				w.At(at, func() {
					victim.Deliver(liar, actors.NameSwim, &swimactor.Message{Body: &swimactor.Message_Ping{
						Ping: &swimactor.Ping{Seq: 1, Target: victim.NodeID(), Generation: 1}, // it answers with its record
					}})
				})
				w.At(at+500*time.Millisecond, func() {
					lie(func(u *swimactor.Update) { u.Record.Address = liar.Address() })
					lie(func(u *swimactor.Update) {
						u.State, u.Id, u.Generation, u.Incarnation, u.Record = uint32(membership.State_STATE_DEAD), u.Record.Id, u.Record.Generation, u.Record.Incarnation, nil
					})
					// An accusation makes the victim say something newer; what it said first comes once more.
					lie(func(u *swimactor.Update) {
						u.State, u.Id, u.Generation, u.Incarnation, u.Record = uint32(membership.State_STATE_SUSPECT), honest.Id, honest.Generation, honest.Incarnation, nil
					})
					lie(func(u *swimactor.Update) { u.Record = first })
				})
			}
			afterwards(w)
		},
	}
}

// ownersHunt has partition actors on nodes that come and go, and somebody who sends commands for epochs that are not.
func ownersHunt() testkit.Scenario {
	o := newOwners()
	return testkit.Scenario{
		Nodes: 5, For: 40 * time.Second, Net: lossy, Kinds: []ringactor.Kind{o.kind("cart", 12)},
		Chaos:     testkit.Plan{Crash: 5 * time.Second, Pause: 10 * time.Second, Partition: 15 * time.Second, Down: testkit.Dist{Min: 100 * time.Millisecond, Tail: 4 * time.Second, Max: 15 * time.Second}},
		Configure: func(_ int, cfg *node.Config) { cfg.Partitioning.FailoverGrace = 500 * time.Millisecond },
		Setup: func(w *testkit.World) {
			o.watch(w)
			o.intrude(w)
			afterwards(w)
			w.Eventually("every partition has its owner's actor", 30*time.Second, o.settled)
		},
	}
}
