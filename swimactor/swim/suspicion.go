package swim

import (
	"math"
	"slices"
	"time"
)

// suspicion is a running accusation: its timeout shrinks with every member
// that comes to the same conclusion independently.
type suspicion struct {
	start    time.Duration
	min, max time.Duration
	wanted   int      // confirmations that bring the timeout to min (K)
	accusers []uint64 // the first accuser and those that confirmed
	timer    *timer
	index    int  // in Core.suspects
	checked  bool // a member that heard of it from this node knew no better
	appealed bool // nobody had answered when it ran out: others are asked
}

// confirm adds an accuser; false if it is known or no more are needed.
func (s *suspicion) confirm(accuser uint64) bool {
	if len(s.accusers) > s.wanted || slices.Contains(s.accusers, accuser) {
		return false
	}
	s.accusers = append(s.accusers, accuser)
	return true
}

// timeout is max(min, max − (max−min)·ln(C+1)/ln(K+1)).
func (s *suspicion) timeout() time.Duration {
	if s.wanted < 1 {
		return s.min
	}
	c := float64(len(s.accusers) - 1)
	shrink := math.Log(c+1) / math.Log(float64(s.wanted)+1)
	return max(s.min, s.max-time.Duration(float64(s.max-s.min)*shrink))
}

// suspicionBounds gives min, max and K for a cluster of n live members.
func (c *Config) suspicionBounds(n int) (low, high time.Duration, wanted int) {
	low = time.Duration(float64(c.SuspectTimeout) * math.Log10(math.Max(float64(n), 10)) / 2)
	high = low * time.Duration(c.SuspicionMaxMult)
	if n-2 >= c.SuspicionConfirmations {
		wanted = c.SuspicionConfirmations
	}
	return low, high, wanted
}

// accuse starts a suspicion of a live member, or adds accusers to the one that
// runs. Accusers that are news are spread.
func (c *Core) accuse(now time.Duration, m *member, accusers []uint64) {
	news := false
	if m.suspicion == nil {
		low, high, wanted := c.cfg.suspicionBounds(c.liveCount())
		m.suspicion = &suspicion{start: now, min: low, max: high, wanted: wanted, index: len(c.suspects)}
		c.suspects = append(c.suspects, m)
		for _, a := range accusers {
			m.suspicion.confirm(a)
		}
		m.suspicion.timer = c.timers.add(now+m.suspicion.timeout(), true, func(at time.Duration) { c.condemn(at, m) })
		c.stats.Suspicions++
		c.setState(now, m, Suspect, Suspected)
		c.askForSecondOpinion(m)
		news = true
	} else {
		for _, a := range accusers {
			if m.suspicion.confirm(a) {
				news = true
				c.stats.Confirmations++
			}
		}
		if news {
			c.timers.move(m.suspicion.timer, max(now, m.suspicion.start+m.suspicion.timeout()))
		}
	}
	if news && !c.isolated {
		c.spread(now, m)
	}
}

// askForSecondOpinion puts a suspect at the head of this node's probes with
// the probability that lets about 2K members of the cluster do so: the
// suspicion is confirmed, or refuted, within a period or two instead of when
// the shuffled rounds happen to come by.
func (c *Core) askForSecondOpinion(m *member) {
	if len(c.urgent) >= urgentMax {
		return
	}
	if c.rng.IntN(max(c.liveCount(), 1)) < 2*c.cfg.SuspicionConfirmations {
		c.urgent = append(c.urgent, m.rec.ID)
	}
}

// doubtsMax bounds the suspicions that a ping carries beside what spreads.
const doubtsMax = 8

// doubts picks suspicions for a ping, in turn: whoever knows better says so in
// its ack, so that a refutation that passed this node by is made up for before
// the suspicion runs out, at the cost of no packet.
func (c *Core) doubts(to uint64) (doubts []Update, of []*suspicion) {
	if c.isolated {
		return nil, nil
	}
	for range min(len(c.suspects), doubtsMax) {
		c.nextDoubt++
		m := c.suspects[c.nextDoubt%len(c.suspects)]
		if m.rec.ID != to {
			doubts, of = append(doubts, statement(m, false)), append(of, m.suspicion)
		}
	}
	return doubts, of
}

// appeal asks the suspect and some others before the verdict, where no member
// that heard of the suspicion from this node has answered yet. It says whether
// there is anybody to ask.
func (c *Core) appeal(now time.Duration, m *member) bool {
	others := c.randomLive(max(c.cfg.IndirectProbes, 1), func(o *member) bool { return o != m && o.state == Alive })
	if len(others) == 0 {
		return false
	}
	s := m.suspicion
	s.appealed = true
	asked := []uint64{m.rec.ID}
	for _, o := range others {
		asked = append(asked, o.rec.ID)
	}
	var seq uint64
	seq = c.ask(now+c.cfg.ProbeTimeout, asked, func(at time.Duration, from Peer, a answer) {
		if a.kind == acked && m.suspicion == s && from.ID != m.rec.ID {
			c.close(seq)
			s.checked = true
			c.condemn(at, m)
		}
	})
	var doubt []Update
	if !c.isolated {
		doubt = []Update{statement(m, false)}
	}
	for _, o := range append(others, m) {
		updates, bytes := c.passengers(o.rec.ID, doubt)
		c.send(o.rec.Peer(), Datagram, &Ping{Seq: seq, Target: o.rec.ID, Generation: o.rec.Generation, Updates: updates}, bytes)
	}
	return true
}

// condemn ends a suspicion that nobody refuted.
func (c *Core) condemn(now time.Duration, m *member) {
	if m.state != Suspect {
		return
	}
	if s := m.suspicion; !s.checked && !s.appealed && c.appeal(now, m) {
		s.timer = c.timers.add(now+c.cfg.ProbeTimeout, true, func(at time.Duration) { c.condemn(at, m) })
		return
	}
	c.checkIsolation(now)
	if s := m.suspicion; c.isolated && s.wanted > 0 && now < s.start+s.max {
		c.timers.cancel(s.timer)
		s.timer = c.timers.add(s.start+s.max, true, func(at time.Duration) { c.condemn(at, m) })
		return
	}
	accusers := m.suspicion.accusers
	c.setState(now, m, Dead, Failed)
	m.accusers = accusers
	if !c.isolated {
		c.spread(now, m)
	}
}

// acquit drops a suspicion.
func (c *Core) acquit(m *member) {
	s := m.suspicion
	if s == nil {
		return
	}
	c.timers.cancel(s.timer)
	last := len(c.suspects) - 1
	c.suspects[s.index] = c.suspects[last]
	c.suspects[s.index].suspicion.index = s.index
	c.suspects[last] = nil
	c.suspects = c.suspects[:last]
	m.suspicion = nil
}
