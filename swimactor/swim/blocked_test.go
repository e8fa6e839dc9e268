package swim

import (
	"testing"
	"time"
)

// Whoever is blocked for long and let through for a moment, again and again, declares nobody dead who is well, and nobody
// believes its accusations: the anomaly of the Lifeguard paper, with a quarter of all members blocked at the same time.
func TestBlockedMembersCondemnNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("a few seconds of simulation")
	}
	for seed := uint64(4); seed < 7; seed++ {
		n := formed(t, seed, DefaultLAN(), 64)
		n.run(30 * time.Second)
		blocked := make(map[uint64]bool)
		for _, i := range n.rng.Perm(64)[:16] {
			blocked[uint64(i)+1] = true
		}
		for range 6 {
			var held []func()
			n.hold = func(id uint64, do func()) bool {
				if blocked[id] {
					held = append(held, do)
				}
				return blocked[id]
			}
			n.run(16400 * time.Millisecond)
			n.hold = nil
			for _, do := range held {
				do()
			}
			n.run(64 * time.Millisecond)
		}
		n.run(time.Minute)
		for id := uint64(1); id <= 64; id++ {
			if f := n.seen(Failed, id); !blocked[id] && f > 0 {
				t.Errorf("seed %d: %d members declared node %d dead, which is well", seed, f, id)
			}
		}
	}
}

// A suspicion that a second accuser joined rests on what could not be heard, too: heard again, the suspect has the whole time to refute.
func TestReconnectedNodeRestartsSuspicions(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3, 4, 5, 6, 7)
	s.gossip(3, accusation(2, Suspect, 1, 0, 3, 4, 5))
	m := s.byID[2]
	for !s.isolated {
		s.pass(s.cfg.ProtocolPeriod / 10)
	}
	s.is(2, Suspect)
	s.pass(m.suspicion.max / 2)
	s.is(2, Suspect)
	s.gossip(3, accusation(7, Suspect, 1, 0, 3))
	if s.isolated || m.suspicion.start != s.now {
		t.Fatalf("isolated %v, the suspicion runs since %v at %v", s.isolated, m.suspicion.start, s.now)
	}
	s.pass(m.suspicion.min / 2)
	s.is(2, Suspect)
	s.check(t)
}

// A confirmation after a stall does not take back the time that the stall gave.
func TestConfirmationKeepsThePostponement(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3, 4, 5, 6, 7)
	s.gossip(3, accusation(2, Suspect, 1, 0, 3, 4))
	sp := s.byID[2].suspicion
	start := sp.start
	s.now += 10 * time.Second
	s.Tick(s.now)
	s.gossip(5, accusation(2, Suspect, 1, 0, 5, 6))
	if sp.start < start+9*time.Second || sp.timer.at < s.now {
		t.Errorf("the suspicion of %v runs since %v after a stall of 10 s", start, sp.start)
	}
	s.is(2, Suspect)
}
