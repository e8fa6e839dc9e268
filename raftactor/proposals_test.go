package raftactor

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/membership"
)

func TestRefusalReachesTheProposerAndLeavesTheState(t *testing.T) {
	w := cluster(t, 17, 3)
	for _, n := range w.nodes {
		if f := code(t, n.propose("refuse"), consensus.ErrRefused); f.GetReason() != "no" {
			t.Fatalf("reason %q", f.GetReason())
		}
	}
}

func TestSessionAppliesOnceAcrossRetriesAndLeaders(t *testing.T) {
	w := cluster(t, 21, 3)
	s, err := consensus.Reply[*consensus.Session](w.followers()[0].insist(&consensus.OpenSession{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	add := consensus.NewProposeOnce(s.GetId(), 1, text("add n"))
	first, err := consensus.Reply[*consensus.Proposed](w.leader().insist(add), nil)
	if err != nil {
		t.Fatal(err)
	}
	refuse := consensus.NewProposeOnce(s.GetId(), 2, text("refuse"))
	code(t, w.leader().insist(refuse), consensus.ErrRefused)

	w.leader().crash()
	for i, n := range w.nodes {
		if n.sys == nil {
			n.start(nil)
		}
		w.leader()
		w.agree(w.nodes...)
		again, err := consensus.Reply[*consensus.Proposed](n.insist(add), nil)
		if err != nil || !proto.Equal(again, first) {
			t.Fatalf("retry %d: %v %v, first was %v", i, again, err, first)
		}
		code(t, n.insist(refuse), consensus.ErrRefused)
	}
	// The table is in snapshots too.
	for _, n := range w.nodes {
		if _, err := consensus.Reply[*consensus.SnapshotTaken](n.insist(&consensus.TakeSnapshot{}), nil); err != nil {
			t.Fatal(err)
		}
		n.crash()
		n.start(nil)
		w.leader()
	}
	again, err := consensus.Reply[*consensus.Proposed](w.leader().insist(add), nil)
	if err != nil || !proto.Equal(again, first) {
		t.Fatalf("retry after restart from snapshots: %v %v, first was %v", again, err, first)
	}
	if got := w.leader().get("n"); got != "+" {
		t.Fatalf("applied %d times", len(got))
	}
	code(t, w.leader().insist(consensus.NewProposeOnce(99999, 1, text("add n"))), consensus.ErrUnknownOutcome)
	if got := w.leader().get("n"); got != "+" {
		t.Fatal("a command of an unknown session was applied")
	}
}

func TestLostLeadershipSaysUnknown(t *testing.T) {
	w := cluster(t, 22, 3)
	leader := w.leader()
	w.isolate(leader)
	a := leader.ask(consensus.NewPropose(text("set a 1")))
	w.until("an answer", 5*time.Second, func() bool { return a.got != nil })
	code(t, a.got, consensus.ErrUnknownOutcome)
	code(t, leader.propose("set a 1"), consensus.ErrNotLeader)
	r := leader.ask(consensus.NewQuery(text("a")))
	w.until("the read's end", 5*time.Second, func() bool { return r.got != nil })
	code(t, r.got, consensus.ErrReadTimeout)
}

func TestLimitsAreTyped(t *testing.T) {
	w := cluster(t, 23, 3, func(c *Config) { c.MaxCommandBytes, c.MaxPending, c.MaxUncommittedSize = 1000, 8, 600 })
	leader := w.leader()
	code(t, leader.propose("set a %s", strings.Repeat("x", 2000)), consensus.ErrTooLarge)
	code(t, leader.await(&consensus.Propose{}), consensus.ErrInvalid)
	code(t, leader.await(consensus.NewProposeOnce(1, 0, text("add n"))), consensus.ErrInvalid)
	var all []*answer
	for range 20 {
		all = append(all, leader.ask(consensus.NewPropose(text("set a %s", strings.Repeat("x", 200)))))
	}
	w.run(time.Second)
	busy, done := 0, 0
	for _, a := range all {
		if f, ok := a.got.(*consensus.Failed); ok && errors.Is(f.AsError(), consensus.ErrBusy) {
			busy++
		} else if _, ok := a.got.(*consensus.Proposed); ok {
			done++
		} else {
			t.Fatalf("answer %T %v", a.got, a.got)
		}
	}
	if done == 0 || done > 8 || busy != 20-done {
		t.Fatalf("%d done, %d busy", done, busy)
	}
	leader.set("a", "after")
}

func TestSubscribersGetEventsInOrder(t *testing.T) {
	w := cluster(t, 24, 3)
	n := w.followers()[0]
	n.set("a", "0")
	w.agree(w.nodes...)
	a := n.ask(&consensus.Subscribe{})
	for i := range 5 {
		n.set("a", fmt.Sprint(i))
	}
	w.agree(w.nodes...)
	first, ok := a.all[0].(*consensus.Subscribed)
	if !ok {
		t.Fatalf("first event %T", a.all[0])
	}
	if l, ok := a.all[1].(*consensus.LeaderChanged); !ok || l.GetLeader() == nil {
		t.Fatalf("second event %T %v", a.all[1], a.all[1])
	}
	last, seen := first.GetApplied(), 0
	for _, e := range a.all[2:] {
		ap, ok := e.(*consensus.Applied)
		if !ok {
			t.Fatalf("event %T", e)
		}
		if ap.Entry.Index <= last {
			t.Fatalf("index %d after %d", ap.Entry.Index, last)
		}
		last = ap.Entry.Index
		if ap.Entry.Command.(*wrapperspb.StringValue).GetValue() != fmt.Sprintf("set a %d", seen) {
			t.Fatalf("event %d: %v", seen, ap.Entry.Command)
		}
		seen++
	}
	if seen != 5 {
		t.Fatalf("%d events", seen)
	}
}

// A subscriber outlives the actor's restart: it is told that the state went back, and gets every entry since.
func TestSubscribersOutliveARestartOfTheActor(t *testing.T) {
	w := cluster(t, 25, 3)
	n := w.leader()
	n.set("a", "0")
	a := n.ask(&consensus.Subscribe{})
	n.deliver(n.group, &actor.MessageEnvelope{Message: &poison{}})
	w.run(time.Second)
	n.set("a", "1")
	w.agree(w.nodes...)
	var kinds []string
	state := map[string]string{"a": "0"}
	for _, e := range a.all {
		switch e := e.(type) {
		case *consensus.Restored:
			state = map[string]string{}
			kinds = append(kinds, fmt.Sprint("restored ", e.Index))
		case *consensus.Applied:
			word := strings.Fields(e.Entry.Command.(*wrapperspb.StringValue).GetValue())
			state[word[1]] = word[2]
			kinds = append(kinds, fmt.Sprint("applied ", state["a"]))
		case *consensus.LeaderChanged:
			kinds = append(kinds, fmt.Sprint("leader ", e.GetLeader() != nil))
		}
	}
	text := strings.Join(kinds, ", ")
	if !strings.Contains(text, "leader true, leader false") || !strings.Contains(text, "restored 1") || !strings.HasSuffix(text, "applied 0, applied 1") {
		t.Fatal(text)
	}
}

func TestMembershipMovesTheAddress(t *testing.T) {
	w := cluster(t, 26, 3)
	moved := w.followers()[0]
	moved.crash()
	moved.address = "elsewhere:9093"
	moved.start(nil)
	for _, n := range w.nodes {
		if n != moved {
			n.deliver(n.group, &membership.Joined{Member: &membership.Member{
				NodeId: uint64(moved.id), DirectoryId: moved.dir[:], Address: moved.address}})
		}
	}
	w.leader().set("a", "1")
	w.until("the moved replica to follow", 5*time.Second, func() bool { return moved.status().GetApplied() == w.leader().status().GetApplied() })
	moved.set("a", "2")
}
