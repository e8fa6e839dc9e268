package testkit_test

import (
	"fmt"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/testkit"
)

// A network that repeats a vote must not multiply it: one of five voters and its candidate are no majority.
func TestScenarioDuplicatedVoteResponse(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5}, func(w *testkit.World) {
		leader := formed(w)
		repeated := 0
		w.On(testkit.Match{Message: (*raftactor.Step)(nil), Actor: metaActor}, func(e testkit.Event) {
			step := e.Message.(*raftactor.Step)
			for _, m := range step.GetMessages() {
				if t := m.GetType(); (t == raftpb.MsgVoteResp || t == raftpb.MsgPreVoteResp) && e.From != 0 && repeated < 400 {
					repeated++
					w.Node(e.Node).Deliver(w.Node(e.From), metaActor, step)
					return
				}
			}
		})
		others := w.Others(leader)
		_, term := w.Leader()
		w.Net().Partition([]int{leader.ID()}, []int{others[0].ID(), others[1].ID()}, []int{others[2].ID()}, []int{others[3].ID()})
		w.Holds("no minority elects", 5*time.Second, func(testkit.View) error {
			if n, now := w.Leader(); now != term {
				return fmt.Errorf("node %d leads term %d", n.ID(), now)
			}
			return nil
		})
		w.Require("votes were repeated", repeated > 10, "%d", repeated)
		w.Net().MendAll()
		w.AwaitLeader(10 * time.Second)
	})
}

// Figure 8 of the Raft paper: an entry of an earlier term that a majority holds is not committed by that; a leader that counts
// it loses it to a candidate with a later term.
func TestScenarioFigure8(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5}, func(w *testkit.World) {
		s1 := formed(w)
		others := w.Others(s1)
		s2, s3, s4, s5 := others[0], others[1], others[2], others[3]

		// (a) s1 leads and replicates to s2 alone, more than one append can carry.
		w.Net().Partition([]int{s1.ID(), s2.ID()}, []int{s3.ID(), s4.ID(), s5.ID()})
		old := s1.Disk().State(meta).LastIndex
		try(s1, 40, 60<<10)
		w.Await("both have the entries", 2*time.Second, func(testkit.View) error {
			if one, two := s1.Disk().State(meta).LastIndex, s2.Disk().State(meta).LastIndex; min(one, two) < old+40 {
				return fmt.Errorf("they end at %d and %d", one, two)
			}
			return nil
		})
		s1.Crash(testkit.LoseUnsynced)
		s2.Crash(testkit.LoseUnsynced)

		// (b) another leads a later term and keeps its first entry to itself.
		frozen := false
		votes := make(map[[2]uint64]int)
		onStep(w, func(to, _ *testkit.Node, m *raftpb.Message) {
			if frozen || m.GetType() != raftpb.MsgVoteResp || m.GetReject() {
				return
			}
			won := [2]uint64{uint64(to.ID()), m.GetTerm()}
			if votes[won]++; votes[won] == 2 {
				frozen = true
				for _, n := range []*testkit.Node{s3, s4, s5} {
					n.Disk().Stall(n != to)
				}
			}
		})
		b := w.AwaitLeader(10*time.Second, s3.ID(), s4.ID(), s5.ID())
		_, term := w.Leader()
		w.Await("its entry is durable with itself alone", 2*time.Second, func(testkit.View) error {
			if last := b.Disk().State(meta).LastIndex; b.Disk().Term(meta, last) != term {
				return fmt.Errorf("it ends at %d", last)
			}
			return nil
		})
		b.Crash(testkit.LoseUnsynced)
		var rest []*testkit.Node
		for _, n := range []*testkit.Node{s3, s4, s5} {
			if n != b {
				n.Crash(testkit.LoseUnsynced)
				n.Restart()
				rest = append(rest, n)
			}
		}

		// (c) s1 or s2 leads again and replicates the old entries; it dies when a majority has them, before its own.
		w.Net().MendAll()
		s1.Restart()
		s2.Restart()
		died := false
		onStep(w, func(to, from *testkit.Node, m *raftpb.Message) {
			index := m.GetIndex()
			if died || m.GetType() != raftpb.MsgAppResp || m.GetReject() || index <= old || index > old+40 || from != rest[0] && from != rest[1] {
				return
			}
			died = true
			s1.Crash(testkit.LoseUnsynced)
			s2.Crash(testkit.LoseUnsynced)
		})
		w.RunUntil(func() bool { return died }, 10*time.Second)
		w.Require("old entries reached a majority", died, "nobody acknowledged them")

		// (d) the one of the later term overwrites them, unless an entry of the dead leader's own term had come with them.
		b.Restart()
		c := w.AwaitLeader(10*time.Second, b.ID(), rest[0].ID(), rest[1].ID())
		w.Must(1, c, "k", "1", 5*time.Second)
		w.Sometimes("entries that a majority held are overwritten", c == b)
		w.Require("the last leader's log counts", c != b || b.Disk().Term(meta, old+1) >= term, "index %d has term %d", old+1, b.Disk().Term(meta, old+1))
		s1.Restart()
		s2.Restart()
		read(w, s1, "k", "1")
	})
}

// calm requires that for d nobody else is elected.
func calm(w *testkit.World, d time.Duration) {
	leader, term := w.Leader()
	w.Holds("nobody disturbs the leader", d, func(testkit.View) error {
		if n, now := w.Leader(); now != term {
			return fmt.Errorf("node %d leads term %d after node %d in term %d", n.ID(), now, leader.ID(), term)
		}
		return nil
	})
}

// A follower that was away must not come back with a term that deposes a leader that all others hear.
func TestScenarioDisruptiveRejoin(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		away := w.Others(leader)[0]
		w.Net().Isolate(away.ID())
		calm(w, 6*time.Second)
		w.Must(1, leader, "k", "1", 5*time.Second)
		w.Net().MendAll()
		calm(w, 5*time.Second)
		read(w, away, "k", "1")
		w.Require("the leader stayed", leader.Status().GetRole() == consensus.Role_ROLE_LEADER, "it is %v", leader.Status().GetRole())
	})
}

// A leader that was cut off steps down by itself, acknowledges nothing meanwhile, and comes back as a follower without
// deposing its successor.
func TestScenarioExLeaderRejoins(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		other := w.Others(leader)[0]
		w.Net().Isolate(leader.ID())
		outcome := w.Client(1).PutNow(leader, "k", "lost")
		w.Require("a leader without a quorum acknowledges nothing", outcome != testkit.OK, "it did")
		role := leader.Status().GetRole()
		w.Require("it stepped down", role != consensus.Role_ROLE_LEADER, "it is %v", role)
		w.Must(2, other, "k", "2", 5*time.Second)
		w.Net().MendAll()
		calm(w, 5*time.Second)
		read(w, leader, "k", "2")
	})
}

// Cloudflare, November 2020: a follower that can't reach the leader, but the third one, must not depose it again and again.
func TestScenarioPartialPartition(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		cut, between := w.Others(leader)[0], w.Others(leader)[1]
		w.Net().Cut(leader.ID(), cut.ID())
		w.Net().Cut(cut.ID(), leader.ID())
		calm(w, 10*time.Second)
		w.Must(1, leader, "k", "1", 3*time.Second)
		w.Must(1, between, "k", "2", 3*time.Second)
	})
}

// Links that work in one direction alone: a leader that is heard and hears nobody must give way, and one follower that hears
// nobody must not depose it.
func TestScenarioDeafLeader(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		others := w.Others(leader)
		for _, n := range others {
			w.Net().Cut(n.ID(), leader.ID())
		}
		w.AwaitLeader(15*time.Second, others[0].ID(), others[1].ID())
		w.Must(1, others[0], "k", "1", 10*time.Second)
		w.Net().MendAll()
		read(w, leader, "k", "1")

		leader, _ = w.Leader()
		deaf := w.Others(leader)[0]
		for _, n := range w.Others(deaf) {
			w.Net().Cut(n.ID(), deaf.ID())
		}
		calm(w, 5*time.Second)
	})
}

// A mesh of five in which only the middle one reaches a majority, and the leader is another: the middle one must come to lead, and
// stay.
func TestScenarioPartialMesh(t *testing.T) {
	play(t, testkit.Scenario{Nodes: 5}, func(w *testkit.World) {
		leader := formed(w)
		middle := w.Others(leader)[0]
		for _, a := range w.Nodes() {
			for _, b := range w.Nodes() {
				if a != b && a != middle && b != middle {
					w.Net().Cut(a.ID(), b.ID())
				}
			}
		}
		w.AwaitLeader(10*time.Second, middle.ID())
		w.Must(1, middle, "k", "1", 5*time.Second)
		calm(w, 10*time.Second)
		w.Must(1, w.Others(middle)[1], "k", "2", 5*time.Second)
	})
}

// A link that comes and goes faster than anybody gives up costs the cluster neither its leader nor its writes.
func TestScenarioFlappingLink(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		w.Net().Flap(leader.ID(), w.Others(leader)[0].ID(), 700*time.Millisecond, 12*time.Second)
		_, term := w.Leader()
		for i := range 12 {
			w.Must(1, w.Others(leader)[1], "k", fmt.Sprint(i), 3*time.Second)
			w.RunFor(time.Second)
		}
		_, now := w.Leader()
		w.Require("few elections", now <= term+1, "from term %d to %d", term, now)
	})
}

// Wall clocks that jump and clocks that run at different rates move neither leadership nor membership: nothing hangs on the time
// of day, and waits are counted on a clock that never jumps.
func TestScenarioClockJumpsAndSkew(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		w.On(testkit.Match{Kind: "declared dead"}, func(e testkit.Event) {
			w.Require("nobody is declared dead", false, "node %d by node %d", e.Node, e.From)
		})
		others := w.Others(leader)
		w.RunFor(3 * time.Second)
		leader.JumpClock(time.Hour)
		others[0].JumpClock(-time.Hour)
		others[0].Skew(50_000)
		others[1].Skew(-50_000)
		for i := range 5 {
			w.Must(1, w.Node(1+i%3), "k", fmt.Sprint(i), 3*time.Second)
			calm(w, 2*time.Second)
			leader.JumpClock(-2 * time.Hour)
			others[0].JumpClock(2 * time.Hour)
		}
	})
}

// aheadInTerm cuts a follower off and brings it to a term beyond all others', as though it had campaigned without asking first.
// It learns of the term as such replicas tell of theirs, from a refusal. Its log then falls behind by a write.
func aheadInTerm(w *testkit.World, leader, behind, other *testkit.Node) (term uint64) {
	var from, to uint64 // instances
	w.On(testkit.Match{Message: (*raftactor.Step)(nil), Actor: metaActor}, func(e testkit.Event) {
		switch e.From {
		case behind.ID():
			to = e.Message.(*raftactor.Step).GetInstance()
		case other.ID():
			from = e.Message.(*raftactor.Step).GetInstance()
		}
	})
	w.RunFor(time.Second)
	w.Net().Isolate(behind.ID())
	w.Must(1, leader, "k", "1", 5*time.Second)
	_, term = w.Leader()
	term += 5
	behind.Deliver(other, metaActor, &raftactor.Step{Instance: max(from, 1), ToInstance: to, Messages: []*raftpb.Message{{
		Type: raftpb.MsgPreVoteResp.Enum(), From: new(other.Replica()), To: new(behind.Replica()), Term: new(term), Reject: new(true)}}})
	w.Await("it believes the term", time.Second, func(testkit.View) error {
		if now := behind.Status().GetTerm(); now != term {
			return fmt.Errorf("it is in term %d, not %d", now, term)
		}
		return nil
	})
	return term
}

// Where some replicas ask before they campaign (PreVote) and others do not, one comes back with a term ahead of all and a log
// behind all. The leader must move to that term, or the one ahead would refuse it for ever.
func TestScenarioPreVoteMixed(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		behind, other := w.Others(leader)[0], w.Others(leader)[1]
		ahead := aheadInTerm(w, leader, behind, other)
		w.Net().MendAll()
		read(w, behind, "k", "1")
		_, term := w.Leader()
		w.Require("the leader's term is one that all believe", term >= ahead, "it is %d, one replica was in %d", term, ahead)
		calm(w, 5*time.Second)
	})
}

// The same where the leader dies before the one ahead is back: of the two that are left, one refuses the other for its term and
// is refused for its log. They must not wait for each other, and the one whose log is behind must not win.
func TestScenarioPreVoteMixedLeaderDies(t *testing.T) {
	play(t, testkit.Scenario{}, func(w *testkit.World) {
		leader := formed(w)
		behind, other := w.Others(leader)[0], w.Others(leader)[1]
		aheadInTerm(w, leader, behind, other)
		leader.Crash(testkit.LoseUnsynced)
		w.Net().MendAll()
		next := w.AwaitLeader(10*time.Second, behind.ID(), other.ID())
		w.Require("the one with the whole log leads", next == other, "node %d does", next.ID())
		read(w, behind, "k", "1")
		leader.Restart()
	})
}
