package testkit_test

import (
	"fmt"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
	"github.com/hupe1980/rivven-cluster/testkit"
)

// The named scenarios: each tells one story on whole nodes, step by step, and fails where the bug that it guards against is there.

const meta = actors.GroupMeta

var metaActor = actors.RaftName(meta)

// play runs the script for each seed. Behind it the faults end: every node that is up must then write, agree with the others
// and have answered linearizably all along; the kit's own invariants hold at every step.
func play(t *testing.T, s testkit.Scenario, script func(*testkit.World)) {
	t.Helper()
	s.For = time.Millisecond
	s.Setup = func(w *testkit.World) {
		w.Linearizable(testkit.KVModel)
		w.Eventually("every node writes again", 30*time.Second, everyoneWrites())
		w.Eventually("all replicas agree", 30*time.Second, testkit.Agreed)
		script(w)
	}
	testkit.Run(t, s)
}

// everyoneWrites tries, node by node, until each that is up has written once.
func everyoneWrites() func(testkit.View) error {
	type progress struct {
		next int
		busy bool
	}
	worlds := make(map[*testkit.World]*progress)
	return func(v testkit.View) error {
		p := worlds[v.World]
		if p == nil {
			p = &progress{}
			worlds[v.World] = p
		}
		nodes := v.Nodes()
		for p.next < len(nodes) && !nodes[p.next].Up() {
			p.next++
		}
		if p.next == len(nodes) {
			return nil
		}
		if n := nodes[p.next]; !p.busy {
			p.busy = true
			v.Client(90).Put(n, "after", fmt.Sprint(n.ID()), func(o testkit.Outcome) {
				if o == testkit.OK {
					p.next++
				}
				v.At(v.Now()+50*time.Millisecond, func() { p.busy = false })
			})
		}
		return fmt.Errorf("node %d did not write yet", nodes[p.next].ID())
	}
}

// formed waits until the cluster has a leader and everybody knows the first write.
func formed(w *testkit.World) *testkit.Node {
	leader := w.AwaitLeader(10 * time.Second)
	w.Must(0, leader, "formed", "yes", 5*time.Second)
	w.Await("all replicas know the first write", 5*time.Second, testkit.Agreed)
	return leader
}

// lead moves the leadership to a node.
func lead(w *testkit.World, n *testkit.Node) {
	until(w, "leadership is handed over", 10*time.Second, func() error {
		leader, _ := w.Leader()
		if leader == n {
			return nil
		}
		_, err := leader.Ask(metaActor, &consensus.TransferLeadership{ToReplica: n.Replica()}, time.Second)
		return fmt.Errorf("node %d does not lead: %w", n.ID(), err)
	})
}

// until asks f now and then; unlike Await's, f may itself ask and wait.
func until(w *testkit.World, name string, limit time.Duration, f func() error) {
	end := w.Now() + limit
	var err error
	for {
		if err = f(); err == nil {
			return
		}
		before := w.Now()
		w.RunFor(100 * time.Millisecond)
		if w.Now() >= end || w.Now() == before {
			break
		}
	}
	w.Require(name, false, "not within %v: %v", limit, err)
}

// onStep calls f for each Raft message of the metadata that a node is about to handle.
func onStep(w *testkit.World, f func(to, from *testkit.Node, m *raftpb.Message)) {
	w.On(testkit.Match{Message: (*raftactor.Step)(nil), Actor: metaActor}, func(e testkit.Event) {
		for _, m := range e.Message.(*raftactor.Step).GetMessages() {
			if e.From != 0 {
				f(w.Node(e.Node), w.Node(e.From), m)
			}
		}
	})
}

// isolateFor cuts a node off from all others for a while.
func isolateFor(w *testkit.World, n *testkit.Node, d time.Duration) {
	w.Net().Isolate(n.ID())
	w.RunFor(d)
	w.Net().MendAll()
}

// fill writes many entries at once through a node and waits for all of them.
func fill(w *testkit.World, n *testkit.Node, entries, bytes int) {
	ended := 0
	for range entries {
		n.Request(metaActor, consensus.NewPropose(&metadata.SetConfig{Key: "fill", Value: make([]byte, bytes)}), 10*time.Second, func(any, error) { ended++ })
	}
	w.Require("the log is filled", w.RunUntil(func() bool { return ended == entries }, 15*time.Second), "%d of %d answered", ended, entries)
}

// try sends writes that nobody waits for.
func try(n *testkit.Node, entries, bytes int) {
	for range entries {
		n.Request(metaActor, consensus.NewPropose(&metadata.SetConfig{Key: "fill", Value: make([]byte, bytes)}), 10*time.Second, func(any, error) {})
	}
}

// change asks for a change of the members until it is made.
func change(w *testkit.World, at *testkit.Node, limit time.Duration, changes ...*consensus.Change) *consensus.MembershipChanged {
	var done *consensus.MembershipChanged
	until(w, "the membership is changed", limit, func() error {
		var err error
		done, err = consensus.Reply[*consensus.MembershipChanged](at.Ask(metaActor, &consensus.ChangeMembership{Changes: changes}, 3*time.Second))
		return err
	})
	return done
}

func replicas(peers []*consensus.Peer) map[uint64]bool {
	out := make(map[uint64]bool, len(peers))
	for _, p := range peers {
		out[p.GetReplica()] = true
	}
	return out
}

// read wants a value of a key, linearizably, through a node, and tries until it is answered at all.
func read(w *testkit.World, n *testkit.Node, key, want string) {
	until(w, "a read is answered", 10*time.Second, func() error {
		got, outcome := w.Client(91).GetNow(n, key)
		if outcome != testkit.OK {
			return fmt.Errorf("outcome %d", outcome)
		}
		w.Require("a read is not stale", got == want, "node %d reads %s=%q, want %q", n.ID(), key, got, want)
		return nil
	})
}
