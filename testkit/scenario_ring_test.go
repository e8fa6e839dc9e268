package testkit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/actors/partition"
	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/ringactor"
	"github.com/hupe1980/rivven-cluster/testkit"
)

const grace = 4 * time.Second

func shortGrace(_ int, cfg *node.Config) { cfg.Partitioning.FailoverGrace = grace }

// topic makes one and waits until all of its partitions have leaders.
func topic(w *testkit.World, name string, partitions uint32) {
	until(w, "the topic is made", 20*time.Second, func() error {
		answer, err := w.Node(1).Ask(actors.NameRing, &partition.CreateTopic{Name: name, Partitions: partitions, ReplicationFactor: 3}, 3*time.Second)
		if _, err = partition.Reply[*partition.TopicCreated](answer, err); err == nil {
			return nil
		}
		for p := range partitions {
			if (testkit.View{World: w}).Table().Partition(name, p).GetLeader() == 0 {
				return fmt.Errorf("partition %d has no leader: %w", p, err)
			}
		}
		return nil
	})
}

// led returns the leader epochs of the partitions that a node leads.
func led(w *testkit.World, id uint64) map[string]uint64 {
	out := make(map[string]uint64)
	for p := range (testkit.View{World: w}).Table().Partitions() {
		if p.GetLeader() == id {
			out[fmt.Sprintf("%s/%d", p.GetTopic(), p.GetPartition())] = p.GetLeaderEpoch()
		}
	}
	return out
}

// moved wants every one of those partitions led by another node in a higher epoch.
func moved(from uint64, before map[string]uint64) func(testkit.View) error {
	return func(v testkit.View) error {
		for p := range v.Table().Partitions() {
			name := fmt.Sprintf("%s/%d", p.GetTopic(), p.GetPartition())
			epoch, was := before[name]
			if was && (p.GetLeader() == from || p.GetLeader() == 0 || p.GetLeaderEpoch() <= epoch) {
				return fmt.Errorf("%s is led by node %d in epoch %d", name, p.GetLeader(), p.GetLeaderEpoch())
			}
		}
		return nil
	}
}

func unmoved(before map[string]uint64, by uint64) func(testkit.View) error {
	return func(v testkit.View) error {
		for p := range v.Table().Partitions() {
			if _, was := before[fmt.Sprintf("%s/%d", p.GetTopic(), p.GetPartition())]; was && p.GetLeader() != by {
				return fmt.Errorf("%s/%d moved to node %d", p.GetTopic(), p.GetPartition(), p.GetLeader())
			}
		}
		return nil
	}
}

// A node that leads partitions dies: they stay its own for the grace period, and then belong to others in higher epochs.
func TestScenarioPartitionLeaderDies(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5, Configure: shortGrace}, func(w *testkit.World) {
		formed(w)
		together(w, 10*time.Second)
		topic(w, "orders", 12)
		for _, victim := range []*testkit.Node{w.Node(5), w.Node(2)} {
			before := led(w, victim.NodeID())
			w.Require("it leads some", len(before) > 0, "none")
			victim.Crash(testkit.KeepPageCache)
			var noticed time.Duration
			w.On(testkit.Match{Kind: "declared dead", Node: victim.ID()}, func(testkit.Event) {
				if noticed == 0 {
					noticed = w.Now()
				}
			})
			w.RunUntil(func() bool { return noticed > 0 }, 20*time.Second)
			w.Require("its death is noticed", noticed > 0, "it is not")
			w.Holds("nothing moves within the grace period", noticed+grace-time.Second-w.Now(), unmoved(before, victim.NodeID()))
			w.Await("all of it moves after that", 10*time.Second, moved(victim.NodeID(), before))
			victim.Restart()
			together(w, 20*time.Second)
			w.RunFor(5 * time.Second) // leaders are evened out
		}
	})
}

// A node that is back within the grace period keeps its partitions, in higher epochs, for its former life may still be writing.
func TestScenarioPartitionLeaderRestarts(t *testing.T) {
	play(t, testkit.Scenario{Configure: shortGrace}, func(w *testkit.World) {
		formed(w)
		together(w, 10*time.Second)
		topic(w, "orders", 9)
		n := w.Node(3)
		before := led(w, n.NodeID())
		w.Require("it leads some", len(before) > 0, "none")
		n.Restart()
		w.Await("it leads on in higher epochs", 20*time.Second, func(v testkit.View) error {
			now := led(w, n.NodeID())
			for name, epoch := range before {
				if now[name] <= epoch {
					return fmt.Errorf("%s: epoch %d, it was %d", name, now[name], epoch)
				}
			}
			return nil
		})
	})
}

// A death that is reported while the metadata has no leader must not be forgotten: the next leader acts on it.
func TestScenarioFailureReportedWithoutRaftLeader(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5, Configure: shortGrace}, func(w *testkit.World) {
		leader := formed(w)
		together(w, 10*time.Second)
		topic(w, "orders", 12)
		others := w.Others(leader)
		dead := others[0]
		before := led(w, dead.NodeID())
		w.Require("it leads some", len(before) > 0, "none")
		w.Net().Partition([]int{others[1].ID(), others[2].ID()}, []int{others[3].ID(), leader.ID()}, []int{dead.ID()})
		dead.Crash(testkit.KeepPageCache)
		w.Await("everybody knows of the death", 40*time.Second, seenAs(dead, membership.State_STATE_DEAD))
		w.RunFor(2 * grace)
		w.Require("nobody could act on it", unmoved(before, dead.NodeID())(testkit.View{World: w}) == nil, "partitions moved without a quorum")
		w.Net().MendAll()
		w.AwaitLeader(10*time.Second, leader.ID(), others[1].ID(), others[2].ID(), others[3].ID())
		w.Await("the next leader moves its partitions", 20*time.Second, moved(dead.NodeID(), before))
	})
}

// The controller itself dies, with partitions of its own: its successor counts the grace period from the death, not from its election.
func TestScenarioControllerDies(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5, Configure: shortGrace}, func(w *testkit.World) {
		controller := formed(w)
		together(w, 10*time.Second)
		topic(w, "orders", 12)
		before := led(w, controller.NodeID())
		w.Require("it leads some", len(before) > 0, "none")
		controller.Crash(testkit.KeepPageCache)
		w.Await("everybody knows of the death", 15*time.Second, seenAs(controller, membership.State_STATE_DEAD))
		next, _ := w.Leader()
		w.RunFor(grace / 2)
		next.Crash(testkit.KeepPageCache)
		w.AwaitLeader(10*time.Second, others(w, controller, next)...)
		w.Await("its successor's successor moves its partitions", grace/2+3*time.Second, moved(controller.NodeID(), before))
	})
}

func others(w *testkit.World, but ...*testkit.Node) []int {
	var out []int
	for _, n := range w.Others(but...) {
		out = append(out, n.ID())
	}
	return out
}

// owner is an app's actor of one partition: it notes who starts when, in which epoch.
type owner struct {
	note func(started bool)
}

func (o *owner) Receive(c actor.Context) {
	switch c.Message().(type) {
	case *actor.Started:
		o.note(true)
	case *actor.Stopped:
		o.note(false)
	}
}

// The actors of a kind run once for each partition and epoch, on the node that the table names, and follow the table when a
// node dies and comes back.
func TestScenarioPartitionActorsFollowTheTable(t *testing.T) {
	started := make(map[string]int)
	s := testkit.Scenario{Nodes: 4, Configure: shortGrace, Kinds: []ringactor.Kind{{
		Name: "counter", Partitions: 8, ReplicationFactor: 3,
		Props: func(id ringactor.Identity) *actor.Props {
			return actor.PropsFromProducer(func() actor.Actor {
				return &owner{note: func(on bool) {
					if on {
						started[fmt.Sprintf("%s in epoch %d", id.ActorID(), id.Epoch)]++
					}
				}}
			})
		},
	}}}
	play(t, s, func(w *testkit.World) {
		clear(started)
		w.Invariant("one owner in an epoch", func(testkit.View) error {
			for name, count := range started {
				if count > 1 {
					return fmt.Errorf("%s started %d times", name, count)
				}
			}
			return nil
		})
		running := func(v testkit.View) error {
			for p := range uint32(8) {
				at := v.Table().Partition("counter", p)
				name := fmt.Sprintf("%s in epoch %d", ringactor.Identity{Kind: "counter", Partition: p}.ActorID(), at.GetLeaderEpoch())
				if at.GetLeader() == 0 || !w.Node(int(at.GetLeader())).Up() || started[name] != 1 {
					return fmt.Errorf("partition %d is led by node %d in epoch %d and runs %d times", p, at.GetLeader(), at.GetLeaderEpoch(), started[name])
				}
			}
			return nil
		}
		formed(w)
		w.Await("all partitions run", 20*time.Second, running)
		for i := range 3 {
			n := w.Node(1 + i)
			n.Crash(testkit.LoseUnsynced)
			w.Await("others took over", 30*time.Second, running)
			n.Restart()
			together(w, 20*time.Second)
			w.Await("all partitions run", 20*time.Second, running)
		}
	})
}
