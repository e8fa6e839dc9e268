package raftactor

import (
	"fmt"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

func TestLagClock(t *testing.T) {
	const ms = time.Millisecond
	var c lagClock
	if got := c.lag(5, 9, 100*ms); got != 0 {
		t.Fatalf("it knows nothing and says %v", got)
	}
	for i := range uint64(100) {
		c.note(1+10*i, time.Duration(i)*100*ms)
	}
	for _, q := range []struct {
		match uint64
		want  time.Duration
	}{{1000, 0}, {999, 100 * ms}, {990, 100 * ms}, {989, 200 * ms}, {500, 5000 * ms}, {0, 10000 * ms}} {
		if got := c.lag(q.match, 1000, 10000*ms); got != q.want {
			t.Errorf("behind %d: %v, want %v", q.match, got, q.want)
		}
	}
	c.note(501, 20000*ms) // replaces what followed
	if got := c.lag(600, 1000, 20100*ms); got != 100*ms {
		t.Errorf("of entries that were replaced: %v", got)
	}
	for i := range uint64(10_000) {
		c.note(1000+i, 30000*ms+time.Duration(i)*lagEvery)
	}
	if len(c.samples) > lagSamples {
		t.Fatalf("%d samples", len(c.samples))
	}
	want := 9000 * lagEvery
	now := 30000*ms + 10_000*lagEvery
	if got := c.lag(1999, 11_000, now); got < want || got > want+20*want/100 {
		t.Errorf("long ago: %v, want about %v", got, want)
	}
}

func (s *slowStore) LogBytes(group string) uint64 {
	if sized, ok := s.Store.(logstore.Sized); ok {
		return sized.LogBytes(group)
	}
	return 0
}

func (s *slowStore) Size() logstore.Size { return logstore.Size{} }

func TestStatusTellsHowFarAFollowerIsBehind(t *testing.T) {
	w := cluster(t, 61, 3, small)
	leader, away := w.leader(), w.followers()[0]
	leader.set("a", "1")
	w.agree(w.nodes...)
	w.isolate(away)
	for i := range 30 {
		leader.set("b", fmt.Sprint(i))
	}
	w.run(2 * time.Second)
	s := leader.status()
	seen := 0
	for _, p := range s.GetProgress() {
		seen++
		behind := p.GetPeer().GetReplica() == away.replica()
		if behind && (p.GetLagEntries() < 30 || p.GetLagEntries() > 40 || p.GetLagMs() < 1900 || p.GetLagMs() > 3000) || !behind && (p.GetLagEntries() != 0 || p.GetLagMs() != 0) {
			t.Errorf("%v", p)
		}
	}
	if seen != 3 || s.GetLogBytes() == 0 || s.GetSnapshotBytes() == 0 || s.GetSnapshotAgeMs() < 1900 || s.GetSnapshotAgeMs() > 3000 || s.GetWriteMs() != 0 {
		t.Fatalf("%v", s)
	}
	if s := away.status(); s.GetSnapshotAgeMs() != -1 || len(s.GetProgress()) != 0 {
		t.Fatalf("%v", s)
	}
}

// A write that hangs longer than the election timeout moves leadership to a voter whose disk works.
func TestLeadershipMovesAwayFromAFrozenDisk(t *testing.T) {
	w := cluster(t, 62, 3)
	leader := w.leader()
	leader.set("a", "1")
	leader.store.delay = time.Minute
	pending := leader.ask(consensus.NewPropose(text("set a 2")))
	w.run(100 * time.Millisecond)
	if s := leader.status(); s.GetWriteMs() < 90 || s.GetRole() != consensus.Role_ROLE_LEADER {
		t.Fatalf("%v", s)
	}
	w.until("another leader", 300*time.Millisecond, func() bool {
		for _, n := range w.nodes {
			if n != leader && n.status().GetRole() == consensus.Role_ROLE_LEADER {
				return true
			}
		}
		return false
	})
	if leader.metrics.of("yielded_total") == 0 {
		t.Fatal("leadership moved for another reason")
	}
	other := w.leaderBeside(leader)
	if got := other.get("a"); got != "2" {
		t.Fatalf("a = %q: what the others had on disk is committed", got)
	}
	leader.store.delay = 0
	w.until("an answer", 5*time.Second, func() bool { return pending.got != nil })
}

// Where all disks are slow, handing over would help nobody.
func TestLeadershipStaysWhereAllDisksAreSlow(t *testing.T) {
	w := cluster(t, 63, 3)
	leader := w.leader()
	leader.set("a", "1")
	for _, n := range w.nodes {
		n.store.delay = 400 * time.Millisecond
	}
	for i := range 5 {
		leader.set("a", fmt.Sprint(i))
	}
	if w.leader() != leader || leader.metrics.of("yielded_total") != 0 {
		t.Fatalf("leadership moved %d times between disks that are equally slow", leader.metrics.of("yielded_total"))
	}
}
