package swim

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// subject is a core under test with a few peers, driven by hand.
type subject struct {
	*Core
	t   *testing.T
	now time.Duration
}

func newSubject(t *testing.T, cfg Config, peers ...uint64) *subject {
	t.Helper()
	self := record(1)
	c, err := New(cfg, self, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	s := &subject{Core: c, t: t}
	c.Start(0)
	for _, id := range peers {
		s.hear(id, &Gossip{Updates: []Update{aliveUpdate(id, 1, 0)}})
	}
	return s
}

func (s *subject) hear(from uint64, msg Message) Output {
	return s.Receive(s.now, Peer{ID: from, Address: address(from)}, msg)
}

func (s *subject) gossip(from uint64, u ...Update) Output { return s.hear(from, &Gossip{Updates: u}) }

// pass lets time go by, tick by tick, and gathers what came out.
func (s *subject) pass(d time.Duration) Output {
	var all Output
	for end := s.now + d; ; {
		due := s.timers.due()
		if due < 0 || due > end {
			s.now = end
			return all
		}
		s.now = max(s.now, due)
		out := s.Tick(s.now)
		all.Sends = append(all.Sends, out.Sends...)
		all.Events = append(all.Events, out.Events...)
		all.Resolve = append(all.Resolve, out.Resolve...)
	}
}

func (s *subject) is(id uint64, want State) {
	s.t.Helper()
	m, ok := s.Member(id)
	if !ok {
		s.t.Fatalf("node %d is not known, want %v", id, want)
	}
	if m.State != want {
		s.t.Fatalf("node %d is %v, want %v", id, m.State, want)
	}
}

func aliveUpdate(id, generation, incarnation uint64) Update {
	r := record(id)
	r.Generation, r.Incarnation = generation, incarnation
	return Update{ID: id, Generation: generation, Incarnation: incarnation, State: Alive, Record: &r}
}

func leftUpdate(id, generation, incarnation uint64) Update {
	u := aliveUpdate(id, generation, incarnation)
	u.State, u.Record.Left = Left, true
	return u
}

func accusation(id uint64, state State, generation, incarnation uint64, accusers ...uint64) Update {
	return Update{ID: id, Generation: generation, Incarnation: incarnation, State: state, Accusers: accusers}
}

// find returns the messages of one type among sends, with their receivers.
func find[M Message](out Output) (found []M, to []uint64) {
	for _, s := range out.Sends {
		if m, ok := s.Message.(M); ok {
			found, to = append(found, m), append(to, s.To.ID)
		}
	}
	return found, to
}

func kinds(out Output) string {
	var all []string
	for _, e := range out.Events {
		all = append(all, e.Kind.String())
	}
	return strings.Join(all, " ")
}

// What follows each statement about node 2, which is known alive in generation 5
// with incarnation 3.
func TestPrecedence(t *testing.T) {
	for _, c := range []struct {
		name   string
		first  State // state before the statement
		hears  Update
		want   State
		events string
	}{
		{"suspected at its incarnation", Alive, accusation(2, Suspect, 5, 3), Suspect, "suspected"},
		{"suspected at an older incarnation", Alive, accusation(2, Suspect, 5, 2), Alive, ""},
		{"suspected in an older generation", Alive, accusation(2, Suspect, 4, 9), Alive, ""},
		{"accused above what is known", Alive, accusation(2, Dead, 5, 4), Alive, ""},
		{"dead at its incarnation", Alive, accusation(2, Dead, 5, 3), Dead, "failed"},
		{"dead at an older incarnation", Alive, accusation(2, Dead, 5, 2), Alive, ""},
		{"refuted", Suspect, aliveUpdate(2, 5, 4), Alive, "recovered"},
		{"not refuted by the same incarnation", Suspect, aliveUpdate(2, 5, 3), Suspect, ""},
		{"dead after suspicion", Suspect, accusation(2, Dead, 5, 3), Dead, "failed"},
		{"alive again", Dead, aliveUpdate(2, 5, 4), Alive, "recovered"},
		{"a stale alive does not resurrect", Dead, aliveUpdate(2, 5, 3), Dead, ""},
		{"a dead one is not suspected", Dead, accusation(2, Suspect, 5, 3), Dead, ""},
		{"restarted", Alive, aliveUpdate(2, 6, 0), Alive, "joined"},
		{"restarted after death", Dead, aliveUpdate(2, 6, 0), Alive, "joined"},
		{"left", Alive, leftUpdate(2, 5, 4), Left, "departed"},
		{"left after all", Dead, leftUpdate(2, 5, 4), Left, "departed"},
		{"one that left is not dead", Left, accusation(2, Dead, 5, 4), Left, ""},
		{"one that left does not come back", Left, aliveUpdate(2, 5, 3), Left, ""},
		{"one that left restarts", Left, aliveUpdate(2, 6, 0), Alive, "joined"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSubject(t, DefaultLAN(), 3, 4)
			s.gossip(3, aliveUpdate(2, 5, 3))
			switch c.first {
			case Suspect, Dead:
				s.gossip(3, accusation(2, c.first, 5, 3))
			case Left:
				s.gossip(3, leftUpdate(2, 5, 4))
			}
			s.is(2, c.first)
			out := s.gossip(3, c.hears)
			s.is(2, c.want)
			if got := kinds(out); got != c.events {
				t.Errorf("events %q, want %q", got, c.events)
			}
			s.check(t)
		})
	}
}

func TestUnknownMembersCannotFail(t *testing.T) {
	s := newSubject(t, DefaultLAN())
	s.gossip(3, accusation(2, Dead, 1, 0), leftUpdate(4, 1, 1))
	if len(s.Members()) != 1 {
		t.Errorf("members: %v", s.Members())
	}
}

// An accusation above the record that is known counts only with that record: a
// higher Dead then advances the incarnation, and a stale Alive is powerless.
func TestAccusationAboveTheRecordFetchesIt(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3)
	wants, to := find[*SyncRecords](s.gossip(3, accusation(2, Dead, 1, 7)))
	if len(wants) != 1 || to[0] != 3 || len(wants[0].Wants) != 1 || wants[0].Wants[0] != 2 {
		t.Fatalf("asked %v for %v", to, wants)
	}
	if again, _ := find[*SyncRecords](s.gossip(4, accusation(2, Dead, 1, 7))); len(again) != 0 {
		t.Error("asked twice within a period")
	}
	u := aliveUpdate(2, 1, 7)
	u.State = Dead
	s.hear(3, &SyncRecords{Updates: []Update{u}, Last: true})
	s.is(2, Suspect) // by way of a synchronisation, so that it may refute
	s.gossip(3, accusation(2, Dead, 1, 7))
	s.is(2, Dead)
	s.gossip(3, aliveUpdate(2, 1, 6))
	s.is(2, Dead)
}

func TestRefutation(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3)
	s.gossip(2, accusation(1, Suspect, 1, 0))
	if got := s.Self(); got.Record.Incarnation != 1 || got.State != Alive {
		t.Fatalf("self: %+v", got.Record)
	}
	if s.Stats().Awareness != 1 {
		t.Error("being suspected says nothing about one's health")
	}
	for name, u := range map[string]Update{
		"old":        accusation(1, Dead, 1, 0),
		"generation": accusation(1, Dead, 0, 9),
		"made up":    accusation(1, Dead, 1, 1<<61),
	} {
		s.gossip(2, u)
		if got := s.Self().Record.Incarnation; got != 1 {
			t.Errorf("%s: incarnation %d", name, got)
		}
	}
	acks, _ := find[*Ack](s.hear(2, &Ping{Seq: 1, Target: 1, Generation: 1, Updates: []Update{accusation(1, Suspect, 1, 1)}}))
	if len(acks) != 1 || len(acks[0].Updates) == 0 || acks[0].Updates[0].Incarnation != 2 && acks[0].Updates[len(acks[0].Updates)-1].Incarnation != 2 {
		t.Errorf("the ack does not carry the refutation: %+v", acks)
	}
}

func TestAwarenessScalesAndIsBounded(t *testing.T) {
	a := awareness{max: 7}
	a.add(-3)
	if a.score != 0 || a.scale(time.Second) != time.Second {
		t.Errorf("score %d", a.score)
	}
	a.add(20)
	if a.score != 7 || a.scale(time.Second) != 8*time.Second {
		t.Errorf("score %d, a second is %v", a.score, a.scale(time.Second))
	}
}

func TestSuspicionTimeout(t *testing.T) {
	cfg := DefaultLAN()
	low, high, wanted := cfg.suspicionBounds(100)
	if low != 5*time.Second || high != 30*time.Second || wanted != 3 {
		t.Fatalf("%v…%v, %d", low, high, wanted)
	}
	if _, _, k := cfg.suspicionBounds(4); k != 0 {
		t.Errorf("of 4 members %d should confirm", k)
	}
	s := suspicion{min: low, max: high, wanted: wanted, accusers: []uint64{1}}
	last := s.timeout()
	if last != high {
		t.Errorf("unconfirmed: %v", last)
	}
	for id := uint64(2); id <= 4; id++ {
		if !s.confirm(id) || s.confirm(id) {
			t.Errorf("accuser %d does not count exactly once", id)
		}
		if now := s.timeout(); now >= last {
			t.Errorf("%d confirmations: %v, not below %v", id-1, now, last)
		} else {
			last = now
		}
	}
	if last != low || s.confirm(5) {
		t.Errorf("fully confirmed: %v", last)
	}
}

func TestConfirmationsAreIndependentAndSpread(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3, 4, 5, 6)
	s.gossip(3, accusation(2, Suspect, 1, 0, 3))
	unconfirmed := s.byID[2].suspicion.timer.at
	s.gossip(4, accusation(2, Suspect, 1, 0, 3))
	if s.byID[2].suspicion.timer.at != unconfirmed {
		t.Error("the same accuser counted twice")
	}
	s.gossip(4, accusation(2, Suspect, 1, 0, 4))
	if s.byID[2].suspicion.timer.at >= unconfirmed {
		t.Error("a second accuser changed nothing")
	}
	gossip, _ := find[*Gossip](s.pass(s.cfg.GossipInterval))
	for _, g := range gossip {
		for _, u := range g.Updates {
			if u.ID == 2 && len(u.Accusers) != 2 {
				t.Errorf("spread with accusers %v, want both", u.Accusers)
			}
		}
	}
	s.gossip(4, accusation(2, Suspect, 1, 0, 77, 78, 79, 80))
	if len(s.byID[2].suspicion.accusers) != 2 {
		t.Error("accusers that nobody knows counted")
	}
}

func TestProbeAsksHelpersAndStreamTogether(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3, 4, 5, 6)
	out := s.pass(s.cfg.ProtocolPeriod + s.cfg.ProbeTimeout - 1)
	pings, to := find[*Ping](out)
	target := to[0]
	if pings[0].Stream || s.probe == nil {
		t.Fatalf("the first ping: %+v", pings[0])
	}
	if s.probe.helpers == 0 {
		out = s.pass(s.probe.timeoutAt - s.now)
	}
	requests, helpers := find[*PingReq](out)
	if len(requests) != 3 {
		t.Fatalf("%d helpers were asked, want 3", len(requests))
	}
	for _, h := range helpers {
		if h == target {
			t.Error("the target was asked to help")
		}
	}
	streams := 0
	pings, _ = find[*Ping](out)
	for _, p := range pings {
		if p.Stream && p.Target == target {
			streams++
		}
	}
	if streams != 1 {
		t.Errorf("%d pings over the main connection, want 1", streams)
	}
	// All helpers say they are well but heard nothing: that is no fault of ours.
	for _, h := range helpers {
		s.hear(h, &Nack{Seq: requests[0].Seq})
	}
	s.pass(s.cfg.ProtocolPeriod)
	s.is(target, Suspect)
	if got := s.Stats(); got.Nacks != 3 || got.ProbesFailed != 1 {
		t.Errorf("stats: %+v", got)
	}
	s.check(t)
}

func TestMissingNacksLowerOwnHealth(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3, 4, 5, 6)
	s.pass(2*s.cfg.ProtocolPeriod + 1)
	if got := s.Stats().Awareness; got != 3 {
		t.Errorf("awareness %d after three silent helpers, want 3", got)
	}
}

func TestHelperAcksAndNacks(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3)
	pings, to := find[*Ping](s.hear(3, &PingReq{Seq: 9, Target: 2, Generation: 1}))
	if len(pings) != 1 || to[0] != 2 {
		t.Fatalf("pinged %v", to)
	}
	if acks, to := find[*Ack](s.hear(2, &Ack{Seq: pings[0].Seq})); len(acks) != 1 || to[0] != 3 || acks[0].Seq != 9 {
		t.Fatalf("relayed %v to %v", acks, to)
	}
	if nacks, _ := find[*Nack](s.pass(s.cfg.ProbeTimeout)); len(nacks) != 0 {
		t.Error("a nack after the ack")
	}
	s.hear(3, &PingReq{Seq: 10, Target: 2, Generation: 1})
	at := s.now
	for s.now < at+2*s.cfg.ProbeTimeout {
		if nacks, _ := find[*Nack](s.pass(time.Millisecond)); len(nacks) == 1 {
			break
		}
	}
	if took := s.now - at; took != s.cfg.ProbeTimeout*8/10 {
		t.Errorf("the nack came after %v, want 80 %% of %v", took, s.cfg.ProbeTimeout)
	}
	s.pass(2 * s.cfg.ProtocolPeriod)
	if s.relays != 0 {
		t.Errorf("%d relays never ended", s.relays)
	}
	if nacks, _ := find[*Nack](s.hear(3, &PingReq{Seq: 11, Target: 99})); len(nacks) != 1 {
		t.Error("a target that nobody knows is not answered at once")
	}
}

func TestRelaysAreBounded(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3)
	for seq := range uint64(relaysMax + 5) {
		s.hear(3, &PingReq{Seq: seq, Target: 2, Generation: 1})
	}
	if got := s.Stats().Refused.RelaysFull; got != 5 {
		t.Errorf("%d relays refused, want 5", got)
	}
}

func TestAnswersFromOthersDontCount(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3)
	out := s.pass(s.cfg.ProtocolPeriod)
	pings, to := find[*Ping](out)
	other := uint64(5) - to[0]
	s.hear(other, &Ack{Seq: pings[0].Seq})
	s.hear(other, &Ack{Seq: 1 << 50})
	if got := s.Stats(); got.ProbesAcked != 0 || got.Refused.Unasked != 2 {
		t.Errorf("stats: %+v", got)
	}
	s.hear(to[0], &Ack{Seq: pings[0].Seq})
	if s.Stats().ProbesAcked != 1 {
		t.Error("the right ack didn't count")
	}
}

func TestRoundRobinReachesEachOnceARound(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3, 4, 5, 6, 7)
	seen := make(map[uint64]int)
	for range 3 * 6 {
		m := s.target()
		seen[m.rec.ID]++
	}
	for id, n := range seen {
		if n != 3 {
			t.Errorf("node %d was probed %d times in 3 rounds", id, n)
		}
	}
	// A newcomer gets its place in the round under way.
	s.target()
	s.gossip(2, aliveUpdate(8, 1, 0))
	found := false
	for range 6 {
		found = found || s.target().rec.ID == 8
	}
	if !found {
		t.Error("the newcomer waits for the next round")
	}
}

func TestBuddyHearsOfItsSuspicionFirst(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3)
	for id := uint64(10); id < 60; id++ {
		s.gossip(3, aliveUpdate(id, 1, 0))
	}
	s.gossip(3, accusation(2, Suspect, 1, 0))
	acks, _ := find[*Ack](s.hear(2, &Ping{Seq: 5, Target: 1, Generation: 1}))
	if u := acks[0].Updates[0]; u.ID != 2 || u.State != Suspect {
		t.Errorf("the suspect hears first of %+v", u)
	}
	if n := DatagramBytes(acks[0].Updates); n > s.cfg.PacketBytes-s.cfg.EnvelopeBytes {
		t.Errorf("the ack has %d bytes", n)
	}
}
