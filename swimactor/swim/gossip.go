package swim

import "time"

// armGossip makes sure that a round comes while there is something to spread:
// at once where the last one is GossipInterval ago, so that news cross a quiet
// cluster in a few latencies instead of intervals. The number of rounds, and of
// times that an update goes out, is the same.
func (c *Core) armGossip(now time.Duration) {
	if c.gossipTimer == nil {
		c.gossipTimer = c.timers.add(max(now, c.nextGossip), false, c.gossip)
	}
}

// gossip sends one round: to each of GossipFanout random members a datagram
// full of the least sent updates, and those too large for that on a stream.
// A quiet node arms no timer.
func (c *Core) gossip(now time.Duration) {
	c.gossipTimer = nil
	c.nextGossip = now + c.cfg.GossipInterval
	if c.queue.len()+c.large.len() == 0 {
		return
	}
	limit := c.cfg.retransmitLimit(c.liveCount())
	for _, m := range c.randomLive(c.cfg.GossipFanout, nil) {
		updates, left := c.queue.pick(nil, c.budget(), limit)
		if len(updates) > 0 {
			c.send(m.rec.Peer(), Datagram, &Gossip{Updates: updates}, c.budget()-left)
		}
		if large, _ := c.large.pick(nil, syncPartBytes, limit); len(large) > 0 {
			c.stats.LargeUpdates += uint64(len(large))
			c.send(m.rec.Peer(), Stream, &Gossip{Updates: large}, 0)
		}
	}
	c.armGossip(now)
}

// passengers picks the updates that ride on a probe message to a node: first
// what it would want to refute (the buddy system), then the given ones, then
// the least sent.
func (c *Core) passengers(to uint64, first []Update) ([]Update, int) {
	budget := c.budget()
	var updates []Update
	if m, ok := c.byID[to]; ok && (m.state == Suspect || m.state == Dead) && !c.isolated {
		first = append([]Update{statement(m, false)}, first...)
	}
	for i := range first {
		if n := first[i].bytes(); n <= budget {
			budget -= n
			updates = append(updates, first[i])
		}
	}
	if c.queue.len() > 0 {
		updates, budget = c.queue.pick(updates, budget, c.cfg.retransmitLimit(c.liveCount()))
	}
	return updates, c.budget() - budget
}

// corrections answers the accusations that a ping brought and that this node
// knows to be out of date, with the record that refutes them.
func (c *Core) corrections(told []Update) []Update {
	var better []Update
	for i := range told {
		u := &told[i]
		m, known := c.byID[u.ID]
		if known && (u.State == Suspect || u.State == Dead) && m.state == Alive && len(better) < doubtsMax &&
			compareEpoch(u.Generation, u.Incarnation, m.rec.Generation, m.rec.Incarnation) < 0 {
			better = append(better, statement(m, true))
		}
	}
	return better
}
