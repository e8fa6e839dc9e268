package swim

import "time"

// heard notes that a message came in.
func (c *Core) heard(now time.Duration) {
	c.lastHeard = max(c.lastHeard, now)
	c.missed = 0
	if c.isolated {
		c.isolated = false
		c.withdrawAccusations(now)
		c.restartSuspicions(now)
		c.emit(Event{Kind: Reconnected, Member: c.me.view()})
	}
}

// withdrawAccusations drops the suspicions that rest on nothing but what this
// node could not hear.
func (c *Core) withdrawAccusations(now time.Duration) {
	for _, m := range c.live {
		if s := m.suspicion; s != nil && len(s.accusers) == 1 && s.accusers[0] == c.me.rec.ID {
			c.setState(now, m, Alive, Recovered)
		}
	}
}

// restartSuspicions gives everybody who is still suspected the whole time again:
// what would have refuted it could not be heard.
func (c *Core) restartSuspicions(now time.Duration) {
	for _, m := range c.suspects {
		s := m.suspicion
		s.start, s.checked, s.appealed = now, false, false
		c.timers.cancel(s.timer)
		s.timer = c.timers.add(now+s.timeout(), true, func(at time.Duration) { c.condemn(at, m) })
	}
}

// checkIsolation asks whether the silence of others is rather this node's
// deafness: nobody was heard for IsolationPeriods though somebody was asked. An
// isolated node goes on probing and judging for itself, though confirmations
// hasten no verdict; it spreads no accusation, because it may still be heard by
// those that it can't hear.
func (c *Core) checkIsolation(now time.Duration) {
	quiet := now - c.lastHeard
	if c.isolated || c.missed == 0 || quiet < time.Duration(c.cfg.IsolationPeriods)*c.cfg.ProtocolPeriod {
		return
	}
	c.isolated = true
	for _, q := range []*broadcasts{c.queue, c.large} {
		q.retain(func(u *Update) bool { return u.Record != nil })
	}
	c.emit(Event{Kind: Isolated, Member: c.me.view()})
}
