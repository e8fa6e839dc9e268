package swim

import (
	"slices"
	"testing"
)

// A refutation that passed a node by reaches it with the ack of the next ping, because the ping tells of the suspicion.
func TestPingTellsOfSuspicionsAndAckCorrects(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3, 4, 5, 6)
	s.gossip(3, accusation(2, Suspect, 1, 0, 3))
	s.queue = newBroadcasts() // all of that has spread
	tells := func(ping *Ping) bool {
		return slices.ContainsFunc(ping.Updates, func(u Update) bool { return u.ID == 2 && u.State == Suspect })
	}
	var ping *Ping
	var asked uint64
	for ping == nil {
		pings, to := find[*Ping](s.pass(s.cfg.ProbeTimeout))
		for i, p := range pings {
			if p.Target != 2 && !p.Stream {
				ping, asked = p, to[i]
			}
		}
	}
	if !tells(ping) {
		t.Fatalf("the ping of node %d does not tell of the suspicion: %+v", asked, ping.Updates)
	}

	better := newSubject(t, DefaultLAN(), 2, 3)
	better.gossip(2, aliveUpdate(2, 1, 1))
	better.queue = newBroadcasts()
	acks, _ := find[*Ack](better.hear(3, &Ping{Seq: 1, Target: 1, Generation: 1, Updates: ping.Updates}))
	better.is(2, Alive)
	if len(acks) != 1 || !slices.ContainsFunc(acks[0].Updates, func(u Update) bool { return u.ID == 2 && u.State == Alive && u.Incarnation == 1 && u.Record != nil }) {
		t.Fatalf("the ack does not correct: %+v", acks)
	}
	s.hear(asked, &Ack{Seq: ping.Seq, Updates: acks[0].Updates})
	s.is(2, Alive)
	if len(s.suspects) != 0 {
		t.Errorf("%d suspects are left", len(s.suspects))
	}
	s.check(t)
}

// Before a verdict of which no member has heard from this node, some are asked, and the suspect too; the first that knows no better
// brings the verdict, and one that does prevents it.
func TestVerdictIsCheckedWithOthers(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer []Update
		want   State
	}{
		{"nobody knows better", nil, Dead},
		{"one knows better", []Update{aliveUpdate(2, 1, 1)}, Alive},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSubject(t, DefaultLAN(), 2, 3, 4, 5, 6)
			s.gossip(3, accusation(2, Suspect, 1, 0, 3))
			m := s.byID[2]
			var asked []uint64
			var pings []*Ping
			for len(asked) == 0 && m.state == Suspect {
				before := m.suspicion.appealed
				out := s.pass(s.cfg.ProbeTimeout / 10)
				if m.state == Suspect && m.suspicion.appealed && !before {
					pings, asked = find[*Ping](out)
				}
			}
			last := len(pings) - 1
			if last < 3 || !slices.Contains(asked, 2) {
				t.Fatalf("before the verdict %v were asked, want three others and the suspect", asked)
			}
			s.is(2, Suspect)
			i := slices.IndexFunc(asked, func(id uint64) bool { return id != 2 && pings[slices.Index(asked, id)].Seq == pings[last].Seq })
			s.hear(asked[i], &Ack{Seq: pings[i].Seq, Updates: test.answer})
			s.is(2, test.want)
			s.check(t)
		})
	}
}

// Where nobody answers, the verdict comes all the same, one probe timeout later.
func TestVerdictComesWhereNobodyAnswers(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3, 4, 5, 6)
	s.gossip(3, accusation(2, Suspect, 1, 0, 3))
	sp := s.byID[2].suspicion
	for s.byID[2].suspicion == sp && !sp.appealed {
		s.gossip(4) // a member is heard, so that this one is not isolated
		s.pass(s.cfg.ProbeTimeout / 10)
	}
	s.is(2, Suspect)
	s.pass(s.cfg.ProbeTimeout)
	s.is(2, Dead)
	s.check(t)
}

// A node whose id another directory held while it was out of sight comes back once that one is gone, though its own process is older.
func TestOriginalComesBackAfterItsTwin(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3)
	twin := aliveUpdate(2, 9, 0)
	twin.Record.Directory, twin.Replaces = "twin", "directory-0002"
	s.gossip(3, twin)
	original := record(2)
	s.hear(2, &SyncRequest{Join: true, Self: &original})
	if m, _ := s.Member(2); m.Record.Directory != "twin" {
		t.Fatal("an older process takes the id from one that is alive")
	}
	s.gossip(3, accusation(2, Dead, 9, 0, 3))
	s.gossip(3, aliveUpdate(2, 1, 0))
	if m, _ := s.Member(2); m.Record.Directory != "twin" {
		t.Fatal("hearsay of an older process takes the id from one that is dead")
	}
	if got := kinds(s.hear(2, &SyncRequest{Join: true, Self: &original})); got != "joined" {
		t.Fatalf("events %q, want joined", got)
	}
	if m, _ := s.Member(2); m.Record.Directory != "directory-0002" || m.State != Alive {
		t.Fatalf("%v under %q", m.State, m.Record.Directory)
	}
	// What is said of the twin doesn't count any more.
	s.gossip(3, accusation(2, Dead, 9, 0, 3))
	s.is(2, Alive)
	s.check(t)
}

// Whoever is told that its id's later holder is dead shows itself.
func TestOriginalShowsItself(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2)
	if requests, to := find[*SyncRequest](s.hear(2, &Ping{Seq: 1, Target: 1, Generation: 9, Updates: []Update{accusation(1, Dead, 9, 0, 2)}})); len(requests) != 1 || to[0] != 2 {
		t.Errorf("%d synchronisations with %v, want one with node 2", len(requests), to)
	}
}
