package raftactor

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

func (n *node) propose(format string, args ...any) any {
	n.w.t.Helper()
	return n.await(consensus.NewPropose(text(format, args...)))
}

// insist asks until the answer is not that there was no effect for want of a leader.
func (n *node) insist(m any) any {
	n.w.t.Helper()
	for range 100 {
		res := n.await(m)
		f, ok := res.(*consensus.Failed)
		if !ok || f.GetCode() != consensus.Code_CODE_NOT_LEADER && f.GetCode() != consensus.Code_CODE_DROPPED {
			return res
		}
		n.w.run(10 * time.Millisecond)
	}
	n.w.t.Fatalf("node %d finds no leader for %T\n%s", n.id, m, n.w.describe())
	return nil
}

// set proposes until it is acknowledged; what had no effect is tried again.
func (n *node) set(key, value string) {
	n.w.t.Helper()
	if _, err := consensus.Result[*wrapperspb.StringValue](n.insist(consensus.NewPropose(text("set %s %s", key, value))), nil); err != nil {
		n.w.t.Fatalf("set %s on node %d: %v\n%s", key, n.id, err, n.w.describe())
	}
}

func (n *node) get(key string) string {
	n.w.t.Helper()
	v, err := consensus.Result[*wrapperspb.StringValue](n.await(consensus.NewQuery(text("%s", key))), nil)
	if err != nil {
		n.w.t.Fatalf("get %s on node %d: %v\n%s", key, n.id, err, n.w.describe())
	}
	return v.GetValue()
}

func code(t testing.TB, res any, want error) *consensus.Failed {
	t.Helper()
	f, ok := res.(*consensus.Failed)
	if !ok || !errors.Is(f.AsError(), want) {
		t.Fatalf("answer %T %v, want %v", res, res, want)
	}
	return f
}

func TestGroupElectsALeaderAndCommits(t *testing.T) {
	w := cluster(t, 1, 3)
	leader := w.leader()
	leader.set("a", "1")
	if got := leader.get("a"); got != "1" {
		t.Fatalf("a = %q", got)
	}
	w.agree(w.nodes...)
}

func TestEveryReplicaForwardsOneHop(t *testing.T) {
	w := cluster(t, 2, 3)
	for i, f := range w.followers() {
		f.set("a", "x")
		for _, n := range w.nodes {
			if got := n.get("a"); got != "x" {
				t.Fatalf("round %d, node %d: a = %q", i, n.id, got)
			}
		}
		hop := consensus.NewPropose(text("set a y"))
		hop.Forwarded = true
		failed := code(t, f.await(hop), consensus.ErrNotLeader)
		if failed.GetLeader().GetNodeId() != uint64(w.leader().id) {
			t.Fatalf("hint %v, leader is node %d", failed.GetLeader(), w.leader().id)
		}
	}
}

func TestQueryFromAFollowerSeesWhatWasAcknowledgedBefore(t *testing.T) {
	w := cluster(t, 3, 3)
	leader, f := w.leader(), w.followers()[0]
	for i := range 50 {
		leader.set("a", string(rune('A'+i%26)))
		if got := f.get("a"); got != string(rune('A'+i%26)) {
			t.Fatalf("round %d: stale %q", i, got)
		}
	}
	w.isolate(f)
	leader.set("a", "new")
	a := f.ask(consensus.NewQuery(text("a")))
	stale := f.await(consensus.NewStaleQuery(text("a")))
	if v, err := consensus.Result[*wrapperspb.StringValue](stale, nil); err != nil || v.GetValue() == "new" {
		t.Fatalf("stale query of a cut-off follower: %v %v", v, err)
	}
	w.run(time.Second)
	if a.got != nil {
		t.Fatalf("a cut-off follower answered %v", a.got)
	}
	w.heal()
	w.until("the query's answer", 5*time.Second, func() bool { return a.got != nil })
	if v, err := consensus.Result[*wrapperspb.StringValue](a.got, nil); err != nil || v.GetValue() != "new" {
		t.Fatalf("query after healing: %v %v", v, err)
	}
}

func TestReadIndexCoversWhatWasAcknowledged(t *testing.T) {
	w := cluster(t, 4, 3)
	for i := range 10 {
		res, err := consensus.Reply[*consensus.Proposed](w.leader().insist(consensus.NewPropose(text("set a %d", i))), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range w.nodes {
			read, err := consensus.Reply[*consensus.ReadIndexed](n.await(&consensus.ReadIndex{}), nil)
			if err != nil || read.GetIndex() < res.GetIndex() {
				t.Fatalf("node %d: %v %v, acknowledged was %d", n.id, read, err, res.GetIndex())
			}
		}
	}
}

func TestProposalsWaitForAnElectionAndForATransfer(t *testing.T) {
	w := cluster(t, 5, 3)
	old := w.leader()
	followers := w.followers()
	old.crash()
	w.until("a follower without a leader", 2*time.Second, func() bool { return followers[0].status().GetLeader() == nil })
	if _, ok := followers[0].propose("set a 1").(*consensus.Proposed); !ok {
		t.Fatal("a proposal during the election failed")
	}
	old.start(nil)
	w.followers()
	w.agree(w.nodes...)
	leader := w.leader()
	moved := leader.ask(&consensus.TransferLeadership{})
	during := leader.ask(consensus.NewPropose(text("set a 2")))
	w.until("both answers", 2*time.Second, func() bool { return moved.got != nil && during.got != nil })
	if _, ok := during.got.(*consensus.Proposed); !ok {
		t.Fatalf("a proposal during the transfer: %v", during.got)
	}
	for _, n := range w.nodes {
		if n != leader && n.sys != nil {
			w.isolate(n)
		}
	}
	w.run(time.Second)
	at := w.now
	code(t, leader.propose("set a 3"), consensus.ErrNotLeader)
	if took := w.now - at; took < 500*time.Millisecond || took > time.Second {
		t.Fatalf("gave up after %v", took)
	}
}

// A planned transfer under load costs nobody an error, whichever node was asked.
func TestTransferUnderLoadLosesNothing(t *testing.T) {
	w := cluster(t, 6, 3)
	w.followers()
	var all []*answer
	var more func()
	stop := false
	more = func() {
		if !stop {
			for _, n := range w.nodes {
				all = append(all, n.ask(consensus.NewPropose(text("add n"))))
			}
			w.at(300*time.Microsecond, more)
		}
	}
	more()
	for range 5 {
		w.run(20 * time.Millisecond)
		if _, err := consensus.Reply[*consensus.LeadershipTransferred](w.leader().await(&consensus.TransferLeadership{}), nil); err != nil {
			t.Fatal(err)
		}
	}
	stop = true
	w.run(2 * time.Second)
	for i, a := range all {
		if _, ok := a.got.(*consensus.Proposed); !ok {
			t.Fatalf("proposal %d of %d: %v", i, len(all), a.got)
		}
	}
	if got := len(w.leader().get("n")); got != len(all) {
		t.Fatalf("%d proposals, applied %d times", len(all), got)
	}
}
