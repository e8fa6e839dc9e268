package swim

import (
	"slices"
	"time"
)

const (
	// hintsMax bounds the members that wait to be probed because of a signal.
	hintsMax = 8
	// hintPause is how many periods pass before another signal of the same kind
	// about the same member is listened to.
	hintPause = 5
)

// hint is what signals of the carrier asked of this node for one member.
type hint struct {
	lost, back time.Duration // neither kind is listened to before
	generation uint64        // the newest process that was looked for
}

// PeerLost says that the carrier's connection to a process of a member is
// gone. That is no verdict, only a reason to probe the member now rather than
// when its turn comes.
func (c *Core) PeerLost(now time.Duration, id, generation uint64) Output {
	if m := c.signalled(id); m != nil && m.state.live() && generation >= m.rec.Generation && c.mayHint(now, &m.hint.lost) {
		c.stats.SignalsLost++
		c.probeSoon(now, m)
	}
	return c.done()
}

// PeerBack says that a process of a member has shown the carrier who it is.
// Where this node suspects it, takes it for dead or knows an earlier process
// of it alone, the member is asked at once; otherwise that is no news.
func (c *Core) PeerBack(now time.Duration, id, generation uint64) Output {
	m := c.signalled(id)
	if m == nil || generation < m.rec.Generation {
		return c.done()
	}
	fresh := generation > m.rec.Generation && generation > m.hint.generation
	if !fresh && (m.state == Alive || m.state == Left || !c.mayHint(now, &m.hint.back)) {
		return c.done()
	}
	c.stats.SignalsBack++
	m.hint.generation = max(m.hint.generation, generation)
	if m.state.live() {
		c.probeSoon(now, m) // of a later process the answer is its record
	} else {
		c.healBy(now, m, Datagram)
		c.startSync(now, m.rec.Peer(), false)
	}
	return c.done()
}

// signalled finds the member that a signal is about, if there is one to ask.
func (c *Core) signalled(id uint64) *member {
	m := c.byID[id]
	if c.gone || c.leave != nil || m == c.me {
		return nil
	}
	return m
}

// mayHint keeps a link that comes and goes from asking for more than one probe
// of each kind in hintPause periods.
func (c *Core) mayHint(now time.Duration, notBefore *time.Duration) bool {
	if now < *notBefore {
		return false
	}
	*notBefore = now + hintPause*c.cfg.ProtocolPeriod
	return true
}

// probeSoon makes a member the target of the next round and begins that now,
// if none is under way and none was begun early for a period.
func (c *Core) probeSoon(now time.Duration, m *member) {
	if c.probe != nil && c.probe.m == m || slices.Contains(c.hints, m.rec.ID) || len(c.hints) >= hintsMax {
		return
	}
	c.hints = append(c.hints, m.rec.ID)
	if c.probe != nil || now < c.nextEarly {
		return
	}
	c.nextEarly = now + c.awareness.scale(c.cfg.ProtocolPeriod)
	c.timers.cancel(c.round)
	c.hinted = false
	c.probeNext(now)
}

// hintedTarget takes at most every other round, so that the rounds go on.
func (c *Core) hintedTarget() *member {
	if c.hinted {
		c.hinted = false
		return nil
	}
	for len(c.hints) > 0 {
		id := c.hints[0]
		c.hints = c.hints[1:]
		if m, ok := c.byID[id]; ok && m.state.live() && m.liveIndex >= 0 {
			c.hinted = true
			return m
		}
	}
	return nil
}
