package raftactor

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

func small(c *Config) { c.SnapshotThreshold, c.SnapshotTrailing = 20, 5 }

func TestSnapshotsAreTakenAndTheLogIsCompacted(t *testing.T) {
	w := cluster(t, 31, 3, small)
	for i := range 100 {
		w.leader().set(fmt.Sprintf("k%d", i), "v")
	}
	w.agree(w.nodes...)
	w.run(time.Second)
	for _, n := range w.nodes {
		s := n.status()
		// The log goes back to the snapshot before, one threshold away.
		if s.GetSnapshotIndex() < 80 || s.GetFirstIndex() < s.GetSnapshotIndex()-25 || s.GetFirstIndex() > s.GetSnapshotIndex() {
			t.Fatalf("node %d: %v", n.id, s)
		}
		refs, _ := n.files.List("kv")
		if len(refs) == 0 || len(refs) > 3 {
			t.Fatalf("node %d keeps %d snapshots", n.id, len(refs))
		}
	}
	want := w.leader().machine.dump()
	for _, n := range w.nodes {
		n.crash()
		n.start(nil, small)
	}
	w.leader().set("k0", "v")
	w.agree(w.nodes...)
	if got := w.nodes[1].machine.dump(); got != want || w.nodes[1].machine.applied > 40 {
		t.Fatalf("restored %s with %d applied entries", got, w.nodes[1].machine.applied)
	}
}

func TestTakeSnapshotAnswersWithItsIndex(t *testing.T) {
	w := cluster(t, 32, 3)
	n := w.followers()[0]
	n.set("a", "1")
	w.agree(w.nodes...)
	for range 2 {
		s, err := consensus.Reply[*consensus.SnapshotTaken](n.await(&consensus.TakeSnapshot{}), nil)
		if err != nil || s.GetIndex() != n.status().GetApplied() {
			t.Fatalf("%v %v, applied %d", s, err, n.status().GetApplied())
		}
	}
}

func TestLaggingFollowerGetsTheDataFirst(t *testing.T) {
	w := cluster(t, 33, 3, small)
	lag := w.followers()[0]
	events := lag.ask(&consensus.Subscribe{})
	w.isolate(lag)
	for i := range 100 {
		w.leader().set(fmt.Sprintf("k%d", i), "v")
	}
	w.run(time.Second)
	var completed, stepped time.Duration
	w.filter = func(from, to int, m proto.Message) bool {
		switch m := m.(type) {
		case *logstore.Complete:
			completed = w.now
		case *Step:
			for _, r := range m.GetMessages() {
				if r.GetSnapshot() != nil && to == lag.id {
					stepped = w.now
				}
			}
		}
		return true
	}
	w.heal()
	w.until("the follower to catch up", 20*time.Second, func() bool { return lag.status().GetApplied() >= 100 })
	w.agree(w.nodes...)
	if completed == 0 || stepped < completed {
		t.Fatalf("data complete at %v, message at %v", completed, stepped)
	}
	restored := false
	for _, e := range events.all {
		if r, ok := e.(*consensus.Restored); ok && r.Index > 50 {
			restored = true
		}
	}
	if !restored || lag.machine.applied > 60 {
		t.Fatalf("restored %v, applied %d entries one by one", restored, lag.machine.applied)
	}
	lag.set("after", "1")
	lag.crash()
	lag.start(nil, small)
	w.agree(w.nodes...)
}

func TestSnapshotWithoutItsDataIsNotStepped(t *testing.T) {
	w := cluster(t, 34, 3, small)
	lag := w.followers()[0]
	w.isolate(lag)
	for i := range 60 {
		w.leader().set(fmt.Sprintf("k%d", i), "v")
	}
	// Files vanish between the transfer and the message.
	w.filter = func(_, to int, m proto.Message) bool {
		if s, ok := m.(*Step); ok && to == lag.id && s.GetMessages()[0].GetSnapshot() != nil && w.now < 5*time.Second {
			refs, _ := lag.files.List("kv")
			for _, r := range refs {
				_ = lag.files.Remove(r)
			}
		}
		return true
	}
	w.heal()
	w.until("refusal", 5*time.Second, func() bool { return lag.metrics.of("messages_refused_total/snapshot_data") > 0 })
	if s := lag.status(); s.GetSnapshotIndex() > 40 || s.GetHalted() != "" {
		t.Fatalf("installed without data: %v", s)
	}
	w.filter = nil
	w.until("the follower to catch up", 20*time.Second, func() bool { return lag.status().GetApplied() >= 60 })
	w.agree(w.nodes...)
}

func TestCrashesDuringAnInstallLeaveAConsistentReplica(t *testing.T) {
	for seed := range uint64(20) {
		w := cluster(t, 100+seed, 3, small)
		lag := w.followers()[0]
		w.isolate(lag)
		for i := range 60 {
			w.leader().set(fmt.Sprintf("k%d", i), "v")
		}
		w.heal()
		for range 4 {
			w.run(time.Duration(w.rng.Int64N(int64(400 * time.Millisecond))))
			lag.crash()
			lag.start(nil, small)
		}
		w.until("the follower to catch up", 20*time.Second, func() bool { return lag.status().GetApplied() >= 60 })
		w.leader().set("a", "1")
		w.agree(w.nodes...)
	}
}

func TestLearnerJoinsIsPromotedAndRemoved(t *testing.T) {
	w := cluster(t, 35, 3, small)
	for i := range 50 {
		w.leader().set(fmt.Sprintf("k%d", i), "v")
	}
	fourth := w.newNode()
	fourth.start(nil, small)
	w.run(time.Second)
	if s := fourth.status(); s.GetTerm() != 0 {
		t.Fatalf("a replica that nobody added acts: %v", s)
	}
	change := func(via *node, changes ...*consensus.Change) *consensus.MembershipChanged {
		t.Helper()
		for range 50 {
			res := via.await(&consensus.ChangeMembership{Changes: changes})
			if m, ok := res.(*consensus.MembershipChanged); ok {
				return m
			}
			f := res.(*consensus.Failed)
			if f.GetCode() != consensus.Code_CODE_BUSY && f.GetCode() != consensus.Code_CODE_NOT_LEADER {
				t.Fatal(f)
			}
			w.run(20 * time.Millisecond)
		}
		t.Fatal("membership not changed")
		return nil
	}
	kind := func(k consensus.ChangeKind, n *node) *consensus.Change {
		return &consensus.Change{Kind: k, Peer: n.peer().wire()}
	}
	add, promote := consensus.ChangeKind_CHANGE_KIND_ADD_LEARNER, consensus.ChangeKind_CHANGE_KIND_PROMOTE
	demote, remove := consensus.ChangeKind_CHANGE_KIND_DEMOTE, consensus.ChangeKind_CHANGE_KIND_REMOVE

	code(t, w.leader().await(&consensus.ChangeMembership{Changes: []*consensus.Change{kind(promote, fourth)}}), consensus.ErrInvalid)
	code(t, w.leader().await(&consensus.ChangeMembership{}), consensus.ErrInvalid)
	if m := change(w.followers()[0], kind(add, fourth)); len(m.GetLearners()) != 1 || len(m.GetVoters()) != 3 {
		t.Fatalf("after adding: %v", m)
	}
	w.until("the learner to catch up", 10*time.Second, func() bool { return fourth.status().GetApplied() >= 52 })
	if s := fourth.status(); s.GetRole() != consensus.Role_ROLE_LEARNER {
		t.Fatalf("role %v", s.GetRole())
	}
	if got := fourth.get("k49"); got != "v" {
		t.Fatalf("the learner reads %q", got)
	}
	// One joint change: promote the newcomer and remove a voter.
	gone := w.followers()[0]
	if gone == fourth {
		gone = w.followers()[1]
	}
	m := change(w.leader(), kind(promote, fourth), kind(remove, gone))
	if len(m.GetVoters()) != 3 || len(m.GetLearners()) != 0 {
		t.Fatalf("after the joint change: %v", m)
	}
	w.run(3 * time.Second)
	if s := gone.status(); s.GetRole() == consensus.Role_ROLE_LEADER {
		t.Fatalf("the removed replica leads: %v", s)
	}
	term := w.leader().status().GetTerm()
	w.run(3 * time.Second)
	if now := w.leader().status().GetTerm(); now != term {
		t.Fatalf("the removed replica disturbs: term %d, then %d", term, now)
	}
	gone.crash()
	w.leader().set("a", "1")

	// The leader removes itself and steps down.
	old := w.leader()
	change(old, kind(remove, old))
	w.until("another leader", 10*time.Second, func() bool {
		for _, n := range w.nodes {
			if n != old && n.sys != nil && n.status().GetRole() == consensus.Role_ROLE_LEADER {
				return true
			}
		}
		return false
	})
	old.crash()
	w.leader().set("a", "2")
	change(w.leader(), kind(demote, w.followers()[0]))
	code(t, w.leader().await(&consensus.ChangeMembership{Changes: []*consensus.Change{kind(remove, w.leader())}}), consensus.ErrInvalid)
	w.leader().set("a", "3")
}

func TestTransferMovesLeadership(t *testing.T) {
	w := cluster(t, 36, 3)
	for range 3 {
		w.leader().set("a", "1")
		w.agree(w.nodes...)
		old, via := w.leader(), w.followers()[0]
		at := w.now
		res, err := consensus.Reply[*consensus.LeadershipTransferred](via.await(&consensus.TransferLeadership{}), nil)
		if err != nil || res.GetLeader().GetReplica() == old.replica() {
			t.Fatalf("%v %v", res, err)
		}
		if took := w.now - at; took > 50*time.Millisecond {
			t.Fatalf("transfer took %v", took)
		}
		if now := w.leader(); now.replica() != res.GetLeader().GetReplica() {
			t.Fatalf("leader is node %d, answer says %v", now.id, res.GetLeader())
		}
	}
	w.isolate(w.followers()[0])
	code(t, w.leader().await(&consensus.TransferLeadership{ToReplica: 12345}), consensus.ErrInvalid)
	away := 0
	for i, n := range w.nodes {
		if w.cut[[2]int{n.id, w.leader().id}] {
			away = i
		}
	}
	code(t, w.leader().await(&consensus.TransferLeadership{ToReplica: w.nodes[away].replica()}), consensus.ErrDropped)
	w.leader().set("a", "2")
}

// A voter whose disk was lost comes back under its old replica id, which no honest node can: it must neither panic nor
// count as one that has what it acknowledged before.
func TestWipedVoterUnderItsOldIdIsRefused(t *testing.T) {
	w := cluster(t, 37, 3)
	for i := range 30 {
		w.leader().set(fmt.Sprintf("k%d", i), "v")
	}
	w.agree(w.nodes...)
	lost := w.followers()[0]
	lost.crash()
	w.leader().set("a", "1")
	lost.format()
	lost.start(nil)
	w.run(3 * time.Second)
	if lost.metrics.of("messages_refused_total/beyond_log") == 0 {
		t.Fatal("the guard met no commit beyond the log")
	}
	if lost.gaveUp != nil || lost.status() == nil || lost.status().GetCommit() > 1 {
		t.Fatalf("gave up %v, status %v", lost.gaveUp, lost.status())
	}
	// It returns as another replica instead.
	lost.crash()
	lost.wipe()
	lost.start(nil)
	var old *consensus.Peer
	for _, p := range w.leader().status().GetVoters() {
		if p.GetNodeId() == uint64(lost.id) {
			old = p
		}
	}
	if _, ok := w.leader().await(&consensus.ChangeMembership{Changes: []*consensus.Change{
		{Kind: consensus.ChangeKind_CHANGE_KIND_ADD_LEARNER, Peer: lost.peer().wire()}}}).(*consensus.MembershipChanged); !ok {
		t.Fatal("the new replica was not added")
	}
	w.until("the new replica to catch up", 10*time.Second, func() bool { return lost.status().GetApplied() > 30 })
	res := w.leader().await(&consensus.ChangeMembership{Changes: []*consensus.Change{
		{Kind: consensus.ChangeKind_CHANGE_KIND_PROMOTE, Peer: lost.peer().wire()},
		{Kind: consensus.ChangeKind_CHANGE_KIND_REMOVE, Peer: old}}})
	if m, ok := res.(*consensus.MembershipChanged); !ok || len(m.GetVoters()) != 3 {
		t.Fatalf("replacing the old replica: %v", res)
	}
	lost.set("a", "2")
	v, err := consensus.Result[*wrapperspb.StringValue](lost.await(consensus.NewQuery(text("a"))), nil)
	if err != nil || v.GetValue() != "2" {
		t.Fatal(v, err)
	}
	w.agree(w.nodes...)
}
