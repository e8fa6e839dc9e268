package raftactor

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

func TestLeaderCrashKeepsWhatWasAcknowledged(t *testing.T) {
	w := cluster(t, 11, 3)
	for round := range 5 {
		leader := w.leader()
		for i := range 10 {
			leader.set(fmt.Sprintf("k%d", i), fmt.Sprintf("%d", round))
		}
		crashedAt := w.now
		leader.crash()
		next := w.leader()
		if next == leader {
			t.Fatal("a dead node leads")
		}
		if took := w.now - crashedAt; took > time.Second {
			t.Fatalf("round %d: %v without a leader", round, took)
		}
		for i := range 10 {
			if got := next.get(fmt.Sprintf("k%d", i)); got != fmt.Sprintf("%d", round) {
				t.Fatalf("round %d: k%d = %q", round, i, got)
			}
		}
		leader.start(peersOf(w.nodes))
		w.agree(w.nodes...)
	}
}

func TestAllProcessesRestartFromTheirStores(t *testing.T) {
	w := cluster(t, 12, 3)
	for i := range 20 {
		w.leader().set(fmt.Sprintf("k%d", i), "v")
	}
	want := w.leader().machine.dump()
	for _, n := range w.nodes {
		n.crash()
	}
	for _, n := range w.nodes {
		n.start(nil)
	}
	if got := w.leader().get("k19"); got != "v" {
		t.Fatalf("k19 = %q", got)
	}
	w.agree(w.nodes...)
	if got := w.nodes[0].machine.dump(); got != want {
		t.Fatalf("after the restart %s, before %s", got, want)
	}
}

// A lone voter acknowledges with its commit index not yet on disk: the read after the restart waits for the new term's.
func TestReadAfterRestartWaitsForTheTermsFirstCommit(t *testing.T) {
	w := cluster(t, 13, 1)
	for round := range 10 {
		w.nodes[0].set("a", fmt.Sprint(round))
		w.nodes[0].crash()
		w.nodes[0].start(nil)
		if got := w.nodes[0].get("a"); got != fmt.Sprint(round) {
			t.Fatalf("stale read after restart: %q, want %d", got, round)
		}
	}
}

func TestActorAloneRestarts(t *testing.T) {
	w := cluster(t, 14, 3)
	for round, n := range []*node{w.leader(), w.followers()[0]} {
		n.set("a", fmt.Sprint(round))
		pending := n.ask(consensus.NewPropose(text("set b %d", round)))
		n.deliver(n.group, &actor.MessageEnvelope{Message: &poison{}})
		w.until("an answer to what was under way", 5*time.Second, func() bool { return pending.got != nil })
		w.leader()
		n.set("c", fmt.Sprint(round))
		if got := n.get("c"); got != fmt.Sprint(round) {
			t.Fatalf("c = %q", got)
		}
		w.agree(w.nodes...)
	}
}

// poison makes the group actor panic: its method is called where the message's answer is taken apart.
type poison struct{}

func (*poison) of() uint64 { panic("poisoned") }

func TestResponsesToAnEarlierStartAreDropped(t *testing.T) {
	w := cluster(t, 15, 3)
	leader := w.leader()
	leader.set("a", "1")
	late := true
	w.delay = func(_, to int, m proto.Message) time.Duration {
		if s, ok := m.(*Step); ok && late && to == leader.id && s.GetMessages()[0].GetType() == raftpb.MsgAppResp {
			late = false
			return 200 * time.Millisecond
		}
		return 0
	}
	a := leader.ask(consensus.NewPropose(text("set a 2")))
	w.run(5 * time.Millisecond)
	leader.deliver(leader.group, &actor.MessageEnvelope{Message: &poison{}})
	w.run(time.Second)
	w.leader()
	w.agree(w.nodes...)
	if late || leader.metrics.of("messages_stale_total") == 0 || a.got == nil {
		t.Fatalf("late %v, stale %d, answer %v", late, leader.metrics.of("messages_stale_total"), a.got)
	}
}

func TestApplyPanicHaltsTheGroupAndNamesTheCommand(t *testing.T) {
	for _, command := range []proto.Message{text("panic"), text("halt"), durationpb.New(1)} {
		w := cluster(t, 16, 3)
		leader := w.leader()
		leader.set("a", "1")
		last := leader.status().GetLastIndex()
		a := leader.ask(consensus.NewPropose(command))
		w.until("halt", 5*time.Second, func() bool {
			for _, n := range w.nodes {
				if n.status().GetHalted() == "" {
					return false
				}
			}
			return true
		})
		name := string(command.ProtoReflect().Descriptor().FullName())
		for _, n := range w.nodes {
			if s := n.status(); !strings.Contains(s.GetHalted(), fmt.Sprintf("index %d", last+1)) || !strings.Contains(s.GetHalted(), name) {
				t.Fatalf("node %d says %q, want index %d and %s", n.id, s.GetHalted(), last+1, name)
			}
			code(t, n.propose("set a 2"), consensus.ErrHalted)
			code(t, n.await(consensus.NewQuery(text("a"))), consensus.ErrHalted)
		}
		w.until("the proposer's answer", time.Second, func() bool { return a.got != nil })
		code(t, a.got, consensus.ErrUnknownOutcome)
		// It halts again at the same place after a restart, and never comes to a panic of the process.
		w.nodes[0].crash()
		w.nodes[0].start(nil)
		w.run(5 * time.Second)
		w.nodes[1].crash()
		w.nodes[1].start(nil)
		w.until("halt after restart", 5*time.Second, func() bool { return w.nodes[0].status().GetHalted() != "" })
	}
}

func TestVoteLeavesOnlyAfterItIsDurable(t *testing.T) {
	w := newWorld(t, 18)
	for range 3 {
		w.newNode()
	}
	durable := map[int]uint64{} // term on disk, by node
	for _, n := range w.nodes {
		n.store.hook = func(batch []logstore.GroupWrite) {
			for _, b := range batch {
				if b.HardState != nil {
					durable[n.id] = b.HardState.GetTerm()
				}
			}
		}
	}
	votes := 0
	w.filter = func(from, _ int, m proto.Message) bool {
		if s, ok := m.(*Step); ok {
			for _, r := range s.GetMessages() {
				switch r.GetType() {
				case raftpb.MsgVote, raftpb.MsgVoteResp, raftpb.MsgAppResp:
					votes++
					if r.GetTerm() > durable[from] {
						t.Errorf("node %d sent %v of term %d, durable is %d", from, r.GetType(), r.GetTerm(), durable[from])
					}
				}
			}
		}
		return true
	}
	for _, n := range w.nodes {
		n.start(peersOf(w.nodes))
	}
	w.leader().set("a", "1")
	w.leader().crash()
	w.leader()
	if votes == 0 {
		t.Fatal("nothing was seen")
	}
}

func TestFullDiskStartsOverWhenThereIsSpace(t *testing.T) {
	w := cluster(t, 19, 3)
	leader := w.leader()
	leader.set("a", "1")
	leader.store.fail = logstore.ErrNoSpace
	a := leader.ask(consensus.NewPropose(text("set a 2")))
	w.until("an answer", 5*time.Second, func() bool { return a.got != nil })
	w.until("another leader", 5*time.Second, func() bool {
		for _, n := range w.nodes {
			if n != leader && n.status().GetRole() == consensus.Role_ROLE_LEADER {
				return true
			}
		}
		return false
	})
	leader.store.fail = nil
	w.leader()
	leader.set("a", "3")
	w.agree(w.nodes...)
	if leader.metrics.of("reopened_total") == 0 {
		t.Fatal("the replica did not start over")
	}
}

// TestFrozenDiskYieldsLeadership: a leader that can't write applies nothing and answers nobody, although the others commit.
func TestFrozenDiskYieldsLeadership(t *testing.T) {
	w := cluster(t, 23, 3)
	frozen := w.leader()
	frozen.set("a", "1")
	w.agree(w.nodes...)
	frozen.store.delay = time.Hour
	frozen.ask(consensus.NewPropose(text("set a 2")))
	var next *node
	w.until("another leader", 5*time.Second, func() bool {
		for _, n := range w.nodes {
			if n != frozen && n.status().GetRole() == consensus.Role_ROLE_LEADER {
				next = n
			}
		}
		return next != nil
	})
	next.set("a", "3")
	w.run(10 * time.Second)
	if next.status().GetRole() != consensus.Role_ROLE_LEADER {
		t.Fatal("leadership did not stay where the disk works")
	}
	frozen.crash()
	frozen.store.delay, frozen.store.last = 0, 0
	frozen.start(nil)
	w.agree(w.nodes...)
}

func TestFailedStoreHaltsAndAcknowledgesNothing(t *testing.T) {
	w := cluster(t, 20, 3)
	leader := w.leader()
	leader.store.fail = errors.New("fsync: input/output error")
	a := leader.ask(consensus.NewPropose(text("set a 2")))
	w.until("halt", 5*time.Second, func() bool { return strings.Contains(leader.status().GetHalted(), "input/output error") })
	if _, ok := a.got.(*consensus.Failed); !ok {
		t.Fatalf("answer %T %v", a.got, a.got)
	}
	if err, ok := leader.gaveUp.(error); !ok || !errors.Is(err, actors.ErrFatal) {
		t.Fatalf("supervision was told %v", leader.gaveUp)
	}
	leader.crash()
	w.leader()
}

// damaged says that the disk lies about the log.
type damaged struct {
	logstore.Store
	on bool
}

func (d *damaged) Entries(group string, lo, hi, most uint64) ([]*raftpb.Entry, error) {
	if d.on {
		return nil, &logstore.DamageError{Group: group, Index: lo, Detail: "checksum"}
	}
	return d.Store.Entries(group, lo, hi, most)
}

func TestDamagedLogHaltsTheReplicaAndNamesTheIndex(t *testing.T) {
	w := cluster(t, 27, 3)
	leader, lag := w.leader(), w.followers()[0]
	d := &damaged{Store: leader.store.Store}
	leader.store.Store = d
	w.isolate(lag)
	for i := range 5 {
		leader.set("a", fmt.Sprint(i))
	}
	d.on = true
	w.heal()
	w.until("halt", 5*time.Second, func() bool { return strings.Contains(leader.status().GetHalted(), "damage at index") })
	if n := leader.metrics.of("rivven_actor_failures_total"); n != 0 {
		t.Fatalf("%d panics", n)
	}
	next := w.leaderBeside(leader)
	next.set("a", "after")
}

// leaderBeside returns who leads in that node's place.
func (w *world) leaderBeside(gone *node) *node {
	var next *node
	w.until("another leader", 5*time.Second, func() bool {
		for _, n := range w.nodes {
			if n != gone && n.sys != nil && n.status().GetRole() == consensus.Role_ROLE_LEADER {
				next = n
			}
		}
		return next != nil
	})
	return next
}

func TestLeaderCrashInTheMiddleOfAJointChange(t *testing.T) {
	for seed := range uint64(10) {
		w := cluster(t, 200+seed, 3)
		fourth := w.newNode()
		fourth.start(nil)
		leader, out := w.leader(), w.followers()[0]
		leader.insist(&consensus.ChangeMembership{Changes: []*consensus.Change{{Kind: consensus.ChangeKind_CHANGE_KIND_ADD_LEARNER, Peer: fourth.peer().wire()}}})
		w.until("the learner to catch up", 5*time.Second, func() bool { return fourth.status().GetApplied() == leader.status().GetApplied() })
		leader.ask(&consensus.ChangeMembership{Changes: []*consensus.Change{
			{Kind: consensus.ChangeKind_CHANGE_KIND_PROMOTE, Peer: fourth.peer().wire()},
			{Kind: consensus.ChangeKind_CHANGE_KIND_REMOVE, Peer: out.peer().wire()}}})
		w.run(time.Duration(w.rng.Int64N(int64(3 * time.Millisecond))))
		leader.crash()
		w.run(time.Second)
		leader.start(nil)
		next := w.leader()
		next.set("a", "1")
		w.until("a plain configuration", 10*time.Second, func() bool {
			return len(w.leader().status().GetVoters()) == 3
		})
		w.leader().set("a", "2")
	}
}

func TestHaltedGroupLeavesTheNodesOtherGroupsAlone(t *testing.T) {
	w := cluster(t, 28, 3)
	first := map[*node]*actor.PID{}
	for _, n := range w.nodes {
		first[n] = n.group
		cfg := n.cfg
		cfg.Group = "other"
		cfg.Machine = func() consensus.Machine { return newKV(nil) }
		props, err := Props(cfg)
		if err != nil {
			t.Fatal(err)
		}
		n.group = n.spawn(props)
	}
	clear(w.leaders) // they were the first group's
	w.leader().set("a", "1")
	for _, n := range w.nodes {
		n.askPID(first[n], consensus.NewPropose(text("panic")))
	}
	w.run(2 * time.Second)
	for _, n := range w.nodes {
		a := n.askPID(first[n], &consensus.GetStatus{})
		w.until("status", 0, func() bool { return a.got != nil })
		if a.got.(*consensus.Status).GetHalted() == "" {
			t.Fatalf("node %d: the first group goes on", n.id)
		}
		n.set("a", "2")
		if got := n.get("a"); got != "2" {
			t.Fatalf("node %d: a = %q", n.id, got)
		}
	}
}

func TestFailureOfTheMachinesActorIsTheGroups(t *testing.T) {
	fail := 2
	w := cluster(t, 29, 3, func(c *Config) {
		machine := c.Machine
		c.Machine = func() consensus.Machine {
			if fail > 0 {
				fail--
				panic("no machine today")
			}
			return machine()
		}
	})
	w.leader().set("a", "1")
	w.agree(w.nodes...)
	if fail != 0 {
		t.Fatal("the factory was not asked again")
	}
}

func TestLostSnapshotFileHaltsTheReplica(t *testing.T) {
	w := cluster(t, 30, 3, small)
	for i := range 50 {
		w.leader().set("a", fmt.Sprint(i))
	}
	lost := w.followers()[0]
	w.agree(w.nodes...)
	w.run(time.Second)
	lost.crash()
	lost.files = logstore.NewSnapshotMemory()
	lost.start(nil, small)
	w.until("halt", 5*time.Second, func() bool { return strings.Contains(lost.status().GetHalted(), "can't be restored") })
	w.leader().set("a", "after")
}
