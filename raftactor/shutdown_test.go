package raftactor

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

// stopGroup stops the group's actor alone; the node goes on.
func (n *node) stopGroup() {
	n.deliver(n.group, &actor.Stop{})
	n.w.run(10 * time.Millisecond)
}

// busyMachine holds the state machine's actor, as a slow command does.
func (n *node) busyMachine() {
	pid := n.sys.NewLocalPID(actors.RaftName("kv") + "/apply")
	process, _ := n.sys.ProcessRegistry.GetLocal(pid.Id)
	process.SendSystemMessage(pid, &actor.SuspendMailbox{})
	n.w.run(0)
}

// ended checks that each got one answer at the stop, of that kind.
func ended(t *testing.T, want error, some ...*answer) {
	t.Helper()
	for i, a := range some {
		if len(a.all) != 1 {
			t.Fatalf("request %d got %v", i, a.all)
		}
		code(t, a.got, want)
	}
}

func pending(t *testing.T, some ...*answer) {
	t.Helper()
	for i, a := range some {
		if a.got != nil {
			t.Fatalf("request %d has its answer already: %v", i, a.got)
		}
	}
}

// A leader that stops answers all who wait: what is in the log may still be committed, the rest had no effect.
func TestStoppingLeaderAnswersAllWhoWait(t *testing.T) {
	w := cluster(t, 601, 3)
	leader := w.leader()
	w.isolate(leader)
	inLog := leader.ask(consensus.NewPropose(text("set a 1")))
	read, index := leader.ask(consensus.NewQuery(text("a"))), leader.ask(&consensus.ReadIndex{})
	change := leader.ask(&consensus.ChangeMembership{Changes: []*consensus.Change{
		{Kind: consensus.ChangeKind_CHANGE_KIND_REMOVE, Peer: &consensus.Peer{Replica: w.followers()[0].replica()}}}})
	w.run(5 * time.Millisecond)
	held := leader.ask(consensus.NewPropose(text("set a 2"))) // within the turn that the stop comes in
	pending(t, inLog, read, index, change, held)
	leader.stopGroup()
	ended(t, consensus.ErrUnknownOutcome, inLog, change)
	ended(t, consensus.ErrShuttingDown, read, index)
	if held.got == nil {
		t.Fatal("what came as the stop did got no answer")
	}
}

// A follower that stops while there is no leader, or that waits for one's answer.
func TestStoppingFollowerAnswersAllWhoWait(t *testing.T) {
	w := cluster(t, 602, 3)
	n := w.followers()[0]
	w.filter = func(_, _ int, m proto.Message) bool { _, forwarded := m.(*consensus.Propose); return !forwarded }
	forwarded := []*answer{n.ask(consensus.NewPropose(text("set a 1"))), n.ask(consensus.NewPropose(text("set a 2")))}
	w.run(20 * time.Millisecond)
	pending(t, forwarded...)
	n.stopGroup()
	ended(t, consensus.ErrUnknownOutcome, forwarded...)

	w = cluster(t, 603, 3)
	n = w.followers()[0]
	for _, other := range w.nodes {
		if other != n {
			other.crash()
		}
	}
	w.until("no leader", 2*time.Second, func() bool { return n.status().GetLeader() == nil })
	parked, read := n.ask(consensus.NewPropose(text("set a 1"))), n.ask(consensus.NewQuery(text("a")))
	w.run(20 * time.Millisecond)
	pending(t, parked, read)
	n.stopGroup()
	ended(t, consensus.ErrShuttingDown, parked, read)
}

func TestStoppingReplicaAnswersWhomItsMachineKeepsWaiting(t *testing.T) {
	w := cluster(t, 604, 3)
	n := w.followers()[0]
	n.set("a", "1")
	n.busyMachine()
	stale := consensus.NewStaleQuery(text("a"))
	asked := []*answer{n.ask(stale), n.ask(consensus.NewQuery(text("a"))), n.ask(stale)}
	w.run(50 * time.Millisecond)
	pending(t, asked...)
	n.stopGroup()
	ended(t, consensus.ErrShuttingDown, asked...)
}

func TestStoppingReplicaThatIsStartingAnswers(t *testing.T) {
	w := cluster(t, 605, 3)
	n := w.followers()[0]
	n.crash()
	n.store.delay = time.Hour
	n.start(nil)
	early := []*answer{n.ask(consensus.NewPropose(text("set a 1"))), n.ask(consensus.NewQuery(text("a")))}
	w.run(20 * time.Millisecond)
	pending(t, early...)
	n.stopGroup()
	ended(t, consensus.ErrShuttingDown, early...)
}

// Queries that the state machine has not come to count as reads that wait, stale ones too.
func TestQueriesToABusyMachineAreBounded(t *testing.T) {
	w := cluster(t, 606, 3, func(c *Config) { c.MaxPending = 8 })
	n := w.followers()[0]
	n.set("a", "1")
	n.busyMachine()
	var all []*answer
	for range 12 {
		all = append(all, n.ask(consensus.NewStaleQuery(text("a"))))
	}
	linear := n.ask(consensus.NewQuery(text("a")))
	w.run(50 * time.Millisecond)
	pending(t, all[:8]...)
	ended(t, consensus.ErrBusy, append(all[8:], linear)...)
	if got := n.metrics.of("busy_total"); got != 5 {
		t.Fatalf("%d counted", got)
	}
	process, _ := n.sys.ProcessRegistry.GetLocal(actors.RaftName("kv") + "/apply")
	process.SendSystemMessage(n.sys.NewLocalPID(actors.RaftName("kv")+"/apply"), &actor.ResumeMailbox{})
	w.run(50 * time.Millisecond)
	for _, a := range all[:8] {
		if _, ok := a.got.(*consensus.Answer); !ok {
			t.Fatalf("%v", a.got)
		}
	}
	if got := n.get("a"); got != "1" {
		t.Fatalf("after the queue was worked off: %q", got)
	}
}
