package swim

import (
	"strings"
	"testing"
	"time"
)

// answered lets time go by while peers ack every ping, with a digest.
func (s *subject) answered(d time.Duration, digest func() uint64) Output {
	var all Output
	for end := s.now + d; s.now < end; {
		out := s.pass(10 * time.Millisecond)
		all.Sends = append(all.Sends, out.Sends...)
		for _, sent := range out.Sends {
			if ping, ok := sent.Message.(*Ping); ok {
				back := s.hear(sent.To.ID, &Ack{Seq: ping.Seq, Digest: digest()})
				all.Sends = append(all.Sends, back.Sends...)
			}
		}
	}
	return all
}

func TestDeathInASynchronisationIsASuspicion(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3)
	u := aliveUpdate(2, 1, 0)
	u.State = Dead
	s.hear(3, &SyncRecords{Updates: []Update{u}, Last: true})
	s.is(2, Suspect)
	s.gossip(2, aliveUpdate(2, 1, 1))
	s.is(2, Alive)
}

func TestDifferingDigestStartsASynchronisation(t *testing.T) {
	cfg := DefaultLAN()
	cfg.SyncInterval = time.Hour
	s := newSubject(t, cfg, 2, 3, 4)
	same := func() uint64 { return s.digest }
	other := func() uint64 { return s.digest + 1 }
	if reqs, _ := find[*SyncRequest](s.answered(2*time.Second, other)); len(reqs) != 0 {
		t.Error("a difference that gossip still explains started a synchronisation")
	}
	if reqs, _ := find[*SyncRequest](s.answered(time.Minute, same)); len(reqs) != 0 {
		t.Error("equal digests started a synchronisation")
	}
	if reqs, _ := find[*SyncRequest](s.answered(2*time.Second, other)); len(reqs) != 1 {
		t.Errorf("%d synchronisations, want one at once", len(reqs))
	}
	reqs, _ := find[*SyncRequest](s.answered(2*time.Minute, other))
	if len(reqs) < 3 || len(reqs) > 6 {
		t.Errorf("%d synchronisations in two minutes of a difference that stays, want 3 to 6 with growing pauses", len(reqs))
	}
}

func TestWhoSynchronisesHearsWhatIsSaidOfIt(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3)
	s.gossip(3, accusation(2, Dead, 1, 0))
	self := record(2)
	records, to := find[*SyncRecords](s.hear(2, &SyncRequest{Digest: s.digest, Self: &self}))
	if len(records) != 1 || to[0] != 2 || records[0].Updates[0].ID != 2 || records[0].Updates[0].State != Dead {
		t.Errorf("the dead one heard %+v", records)
	}
}

func TestManyDifferencesAreNotGossipedOn(t *testing.T) {
	list := func(from, count uint64) *SyncRecords {
		m := &SyncRecords{Last: true}
		for id := from; id < from+count; id++ {
			m.Updates = append(m.Updates, aliveUpdate(id, 1, 0))
		}
		return m
	}
	s := newSubject(t, DefaultLAN())
	s.hear(2, list(100, bulkUpdates+1))
	if n := s.queue.len(); n != 0 {
		t.Errorf("%d of many records are gossiped on", n)
	}
	s.hear(2, list(200, bulkUpdates))
	if n := s.queue.len(); n != bulkUpdates {
		t.Errorf("%d of few records are gossiped on, want %d", n, bulkUpdates)
	}
}

func TestMismatchHandsTheIDOver(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2)
	pings, _ := find[*Ping](s.pass(s.cfg.ProtocolPeriod))
	fresh := record(2)
	fresh.Directory, fresh.Generation = "fresh", 2
	if got := kinds(s.hear(2, &Mismatch{Seq: pings[0].Seq, Record: &fresh})); got != "joined" {
		t.Errorf("events %q, want joined", got)
	}
	if s.probe != nil {
		t.Error("the probe goes on though somebody answered")
	}
	updates, _ := s.queue.pick(nil, 1000, 4)
	handed := false
	for _, u := range updates {
		handed = handed || u.ID == 2 && u.Replaces == "directory-0002"
	}
	if !handed {
		t.Errorf("others are not told whom the fresh directory replaces: %+v", updates)
	}
}

func TestReplacementIsBelievedAtOnce(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3)
	u := aliveUpdate(2, 2, 0)
	u.Record.Directory = "fresh"
	if got := kinds(s.gossip(3, u)); got != "" {
		t.Errorf("another directory was taken over unasked: %q", got)
	}
	u.Replaces = "directory-0002"
	if got := kinds(s.gossip(3, u)); got != "joined" {
		t.Errorf("events %q, want joined", got)
	}
	if m, _ := s.Member(2); m.Record.Directory != "fresh" {
		t.Errorf("directory %q", m.Record.Directory)
	}
}

func TestFewLookIntoAClaimHeardFromAThird(t *testing.T) {
	s := newSubject(t, DefaultLAN())
	for id := uint64(2); id < 402; id++ {
		s.gossip(2, aliveUpdate(id, 1, 0))
	}
	pinged := 0
	for id := uint64(100); id < 150; id++ {
		u := aliveUpdate(id, 2, 0)
		u.Record.Directory = "claimant"
		if pings, _ := find[*Ping](s.gossip(2, u)); len(pings) > 0 {
			pinged++
		}
	}
	if pinged > 5 {
		t.Errorf("1 of 401 members looked into %d of 50 claims", pinged)
	}
	claim := record(200)
	claim.Directory, claim.Generation = "claimant", 2
	if pings, _ := find[*Ping](s.hear(200, &SyncRequest{Join: true, Self: &claim})); len(pings) != 2 {
		t.Error("who hears it from the claimant looks into it always")
	}
}

func TestOlderGenerationOfAnotherDirectoryIsTold(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 3)
	s.gossip(3, aliveUpdate(2, 5, 0))
	late := record(2)
	late.Directory, late.Generation = "late clock", 4
	notices, _ := find[*ConflictNotice](s.hear(2, &SyncRequest{Join: true, Self: &late}))
	if len(notices) != 2 {
		t.Errorf("%d were told, want the holder and the claimant", len(notices))
	}
}

func TestLargeRecordAnswersOnAStream(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2)
	if _, err := s.UpdateTags(0, map[string]string{"big": strings.Repeat("x", 2000)}); err != nil {
		t.Fatal(err)
	}
	for _, sent := range s.hear(2, &Ping{Seq: 1, Target: 1, Generation: 99}).Sends {
		if _, ok := sent.Message.(*Mismatch); ok && sent.Path != Stream {
			t.Error("a record of 2000 bytes went into a datagram")
		}
	}
}

func TestSeedIsWantedUntilMet(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 5)
	s.Join(0, []string{"a", "a"})
	if len(s.seeds) != 1 {
		t.Errorf("a seed named twice counts %d times", len(s.seeds))
	}
	s.Resolved(0, "a", []Peer{{ID: 5, Address: address(5)}, {ID: 6, Address: address(6)}})
	if s.seeds[0].met {
		t.Error("node 6 behind the seed is not a member and no longer wanted")
	}
	s.gossip(5, aliveUpdate(6, 1, 0))
	s.Resolved(0, "a", []Peer{{ID: 5, Address: address(5)}, {ID: 6, Address: address(6)}})
	if !s.seeds[0].met {
		t.Error("everybody behind the seed is a member, and it is still wanted")
	}
}

func TestFarewellIsRepeated(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3, 4, 5)
	s.Leave(0)
	notices, to := find[*LeaveNotice](s.pass(2 * time.Second))
	if len(notices) < 8 {
		t.Fatalf("%d notices in two seconds without an answer", len(notices))
	}
	confirmed := make(map[uint64]bool)
	var events string
	for i := len(notices) - 1; i >= 0 && len(confirmed) < 3; i-- {
		if !confirmed[to[i]] {
			confirmed[to[i]] = true
			events += kinds(s.hear(to[i], &LeaveAck{Seq: notices[i].Seq}))
		}
	}
	if events != "leave-done" || !s.Gone() {
		t.Errorf("events %q after three confirmations", events)
	}
}

func TestOnlyTheOwnerSaysFarewell(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3)
	u := leftUpdate(2, 1, 1)
	if acks, _ := find[*LeaveAck](s.hear(3, &LeaveNotice{Seq: 1, Record: u.Record})); len(acks) != 0 {
		t.Error("node 3 said farewell for node 2")
	}
	s.is(2, Alive)
	if acks, _ := find[*LeaveAck](s.hear(2, &LeaveNotice{Seq: 1, Record: u.Record})); len(acks) != 2 {
		t.Errorf("%d confirmations, want one on each path", len(acks))
	}
	s.is(2, Left)
}

func TestHearingAgainWithdrawsAccusations(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3, 4)
	suspects := 0
	for s.now < time.Minute && (!s.isolated || suspects == 0) {
		s.pass(100 * time.Millisecond)
		suspects = 0
		for _, m := range s.live {
			if m.state == Suspect {
				suspects++
			}
		}
	}
	out := s.hear(2, &Nack{})
	recovered := strings.Count(kinds(out), "recovered")
	if suspects == 0 || recovered != suspects {
		t.Errorf("%d of %d suspicions were withdrawn", recovered, suspects)
	}
}

func TestStallIsNoDeafness(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3, 4)
	s.pass(2500 * time.Millisecond)
	if s.missed == 0 {
		t.Fatal("no probe was missed")
	}
	s.now += time.Minute
	s.Tick(s.now)
	s.checkIsolation(s.now)
	if s.isolated {
		t.Error("a node that was stalled takes itself for deaf")
	}
}

// Where acks show equal tables, one synchronisation in four opens a stream; where they don't, every one does.
func TestAcksSaveSynchronisations(t *testing.T) {
	const count, intervals = 10, 80
	n := formed(t, 59, DefaultLAN(), count)
	n.run(2 * time.Minute)
	began := n.streams
	n.run(intervals * DefaultLAN().SyncInterval)
	perInterval := float64(n.streams-began) / 2 / count / intervals // a request and its answer
	if perInterval < 0.2 || perInterval > 0.3 {
		t.Errorf("%.2f synchronisations an interval over streams, want a quarter", perInterval)
	}

	c := n.nodes[3].core
	c.equals, c.saved = 0, 0
	before := c.stats.Syncs
	c.syncNext(n.now)
	if c.stats.Syncs != before+1 {
		t.Error("a synchronisation was left out although the last ack showed another table")
	}
}
