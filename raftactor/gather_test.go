package raftactor

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

// stream proposes so many values at the leader, one each interval, and returns when all are applied there.
func (w *world) stream(values int, every, most time.Duration) {
	w.t.Helper()
	n := w.leader()
	answers := make([]*answer, values)
	for i := range answers {
		w.at(time.Duration(i)*every, func() { answers[i] = n.ask(consensus.NewPropose(text("set k%d v", i))) })
	}
	w.until("the answers", time.Duration(values)*every+most, func() bool {
		for _, a := range answers {
			if a == nil || a.got == nil {
				return false
			}
		}
		return true
	})
	for i, a := range answers {
		if _, ok := a.got.(*consensus.Proposed); !ok {
			w.t.Fatalf("proposal %d: %v", i, a.got)
		}
	}
}

// What is proposed during a write waits for its end and goes together: one append to each follower and one write.
func TestProposalsDuringAWriteGoTogether(t *testing.T) {
	const values, every = 100, 20 * time.Microsecond
	w := cluster(t, 92, 3)
	leader := w.leader()
	before, appends := leader.store.syncs, 0
	w.filter = func(from, _ int, m proto.Message) bool {
		if s, ok := m.(*Step); ok && from == leader.id {
			for _, m := range s.GetMessages() {
				if len(m.GetEntries()) > 0 {
					appends++
				}
			}
		}
		return true
	}
	w.stream(values, every, 10*syncLatency)
	rounds := int(values*every/syncLatency) + 2
	if syncs := leader.store.syncs - before; syncs > rounds || appends > 2*rounds {
		t.Fatalf("%d writes and %d appends for what was proposed during %d syncs", syncs, appends, rounds)
	}
	w.agree(w.nodes...)
}

// What a leader holds when it loses leadership goes to the next one: it never entered the log.
func TestProposalsHeldByAnOldLeaderReachTheNext(t *testing.T) {
	w := cluster(t, 93, 3)
	old := w.leader()
	old.store.delay = time.Minute // it hands over
	first := old.ask(consensus.NewPropose(text("set a v")))
	w.run(time.Millisecond)
	held := old.ask(consensus.NewPropose(text("set b v")))
	w.until("the next leader's answer", 5*time.Second, func() bool { return held.got != nil })
	if _, ok := held.got.(*consensus.Proposed); !ok || w.leader() == old {
		t.Fatalf("held: %v, first: %v", held.got, first.got)
	}
}
