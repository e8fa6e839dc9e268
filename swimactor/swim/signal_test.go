package swim

import (
	"testing"
	"time"
)

// pings counts the direct probes of a member among what came out.
func pings(out Output, id uint64) (n int) {
	for _, s := range out.Sends {
		if p, ok := s.Message.(*Ping); ok && s.Path == Datagram && p.Target == id {
			n++
		}
	}
	return n
}

// calm is a subject whose every probe is answered, at a time when none is under way.
func calm(t *testing.T, peers ...uint64) *subject {
	t.Helper()
	s := newSubject(t, DefaultLAN(), peers...)
	s.calmFor(20 * time.Second)
	return s
}

// calmFor answers every ping at once until d has passed, and says how many there were of each member.
func (s *subject) calmFor(d time.Duration) map[uint64]int {
	count := make(map[uint64]int)
	for end := s.now + d; s.timers.due() <= end; {
		s.now = max(s.now, s.timers.due())
		s.ackAll(s.Tick(s.now), count)
	}
	return count
}

func (s *subject) ackAll(out Output, count map[uint64]int) {
	for _, send := range out.Sends {
		if p, ok := send.Message.(*Ping); ok {
			count[p.Target]++
			s.ackAll(s.hear(send.To.ID, &Ack{Seq: p.Seq}), count)
		}
	}
}

func TestLostConnectionIsProbedAtOnce(t *testing.T) {
	s := calm(t, 2, 3, 4, 5, 6, 7, 8)
	s.now += 10 * time.Millisecond
	out := s.PeerLost(s.now, 5, 1)
	if pings(out, 5) != 1 {
		t.Fatalf("no ping went out: %+v", out.Sends)
	}
	s.is(5, Alive) // a signal is no verdict
	out = s.pass(s.cfg.ProtocolPeriod)
	if len(out.Events) != 1 || out.Events[0].Kind != Suspected || out.Events[0].Member.Record.ID != 5 {
		t.Fatalf("a missed probe is to make it a suspect: %+v", out.Events)
	}
}

func TestLostConnectionToWhoAnswersIsNoSuspicion(t *testing.T) {
	s := calm(t, 2, 3, 4)
	s.ackAll(s.PeerLost(s.now, 3, 1), make(map[uint64]int))
	s.calmFor(10 * time.Second)
	s.is(3, Alive)
	if s.Stats().Suspicions != 0 || s.Stats().SignalsLost != 1 {
		t.Errorf("%+v", s.Stats())
	}
}

// A link that comes and goes, and then every link at once, take at most every other round and add at most one a period.
func TestFlappingLinksDoNotMultiplyProbes(t *testing.T) {
	const minute = time.Minute
	flap := func(ids ...uint64) map[uint64]int {
		s := calm(t, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
		count := make(map[uint64]int)
		for end := s.now + minute; s.now < end; s.now += 10 * time.Millisecond {
			for _, id := range ids {
				s.ackAll(s.PeerLost(s.now, id, 1), count)
				s.ackAll(s.PeerBack(s.now, id, 1), count)
			}
			for id, n := range s.calmFor(10 * time.Millisecond) {
				count[id] += n
			}
			if len(s.hints) > hintsMax {
				t.Fatalf("%d members wait", len(s.hints))
			}
		}
		return count
	}
	total := func(count map[uint64]int) (sum int) {
		for _, n := range count {
			sum += n
		}
		return sum
	}
	quiet := total(flap())
	one := flap(2)
	if got := total(one); got > quiet+13 {
		t.Errorf("%d probes while one link flaps, %d in quiet", got, quiet)
	}
	all := flap(2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
	if got := total(all); got > 2*quiet+1 {
		t.Errorf("%d probes while all links flap, %d in quiet", got, quiet)
	}
	crowd := flap(2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
	if crowd[13] == 0 {
		t.Errorf("a member whose link is well is not probed any more: %v", crowd)
	}
}

func TestSignalsThatAreNoNews(t *testing.T) {
	s := calm(t, 2, 3)
	s.gossip(2, aliveUpdate(4, 5, 0))
	for what, signal := range map[string]func() Output{
		"a peer that is no member":          func() Output { return s.PeerLost(s.now, 99, 1) },
		"itself":                            func() Output { return s.PeerLost(s.now, 1, 1) },
		"a connection to an earlier life":   func() Output { return s.PeerLost(s.now, 4, 4) },
		"an earlier life":                   func() Output { return s.PeerBack(s.now, 4, 4) },
		"a well member that is connected":   func() Output { return s.PeerBack(s.now, 2, 1) },
		"a stranger that connected":         func() Output { return s.PeerBack(s.now, 99, 7) },
		"itself, as another node claims it": func() Output { return s.PeerBack(s.now, 1, 9) },
	} {
		if out := signal(); len(out.Sends) != 0 || len(out.Events) != 0 {
			t.Errorf("%s: %+v", what, out)
		}
	}
}

func TestNewProcessIsAskedForItsRecord(t *testing.T) {
	s := calm(t, 2, 3, 4, 5, 6)
	out := s.PeerBack(s.now, 4, 2)
	if pings(out, 4) != 1 {
		t.Fatalf("not asked: %+v", out.Sends)
	}
	ping := out.Sends[0].Message.(*Ping)
	later := record(4)
	later.Generation = 2
	out = s.hear(4, &Mismatch{Seq: ping.Seq, Record: &later})
	if m, _ := s.Member(4); m.Record.Generation != 2 || m.State != Alive {
		t.Errorf("%+v after %+v", m, out)
	}
	s.now += 2 * s.cfg.ProtocolPeriod
	if out = s.PeerBack(s.now, 4, 2); len(out.Sends) != 0 {
		t.Errorf("asked for a process that is known: %+v", out.Sends)
	}
}

func TestSuspectThatIsBackIsProbedAtOnce(t *testing.T) {
	s := calm(t, 2, 3, 4, 5, 6)
	s.gossip(2, accusation(4, Suspect, 1, 0, 2))
	s.urgent = nil
	s.PeerLost(s.now, 4, 1) // uses up the pause of the other kind
	s.calmFor(2 * s.cfg.ProtocolPeriod)
	s.gossip(2, aliveUpdate(4, 1, 1), accusation(4, Suspect, 1, 1, 2))
	s.urgent = nil
	if out := s.PeerBack(s.now, 4, 1); pings(out, 4) != 1 {
		t.Errorf("a suspect is back and not probed: %+v", out.Sends)
	}
}

func TestDeadThatIsBackIsAsked(t *testing.T) {
	s := calm(t, 2, 3, 4)
	s.gossip(2, accusation(4, Dead, 1, 0, 2))
	s.is(4, Dead)
	out := s.PeerBack(s.now, 4, 1)
	syncs := 0
	for _, send := range out.Sends {
		if _, ok := send.Message.(*SyncRequest); ok && send.To.ID == 4 {
			syncs++
		}
	}
	if pings(out, 4) != 1 || syncs != 1 {
		t.Fatalf("%d pings and %d synchronisations: %+v", pings(out, 4), syncs, out.Sends)
	}
	s.is(4, Dead) // its own word brings it back, not the carrier's
	if out := s.PeerBack(s.now, 4, 1); len(out.Sends) != 0 {
		t.Errorf("asked again at once: %+v", out.Sends)
	}
}

func TestLeavingNodeHeedsNoSignal(t *testing.T) {
	s := calm(t, 2, 3)
	s.Leave(s.now)
	if out := s.PeerLost(s.now, 2, 1); pings(out, 2) != 0 {
		t.Errorf("%+v", out.Sends)
	}
}
