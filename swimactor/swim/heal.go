package swim

import "time"

// heal tries a random dead member with probability dead/alive, by datagram and
// by stream: the two halves of a partition meet again, and the attempts of the
// whole cluster stay at about one an interval for each dead member.
func (c *Core) heal(now time.Duration) {
	c.timers.add(now+c.jitter(c.cfg.HealInterval), false, c.heal)
	if len(c.dead) == 0 || c.rng.IntN(c.liveCount()) >= len(c.dead) {
		return
	}
	m := c.dead[c.rng.IntN(len(c.dead))]
	c.stats.HealAttempts++
	// The datagram carries the news of its death, which it refutes; the ack
	// starts a synchronisation because the digests differ.
	c.healBy(now, m, Datagram)
	c.startSync(now, m.rec.Peer(), false)
}

func (c *Core) healBy(now time.Duration, m *member, path Path) {
	var seq uint64
	seq = c.ask(now+c.cfg.ProtocolPeriod, []uint64{m.rec.ID}, func(at time.Duration, from Peer, a answer) {
		c.close(seq)
		switch a.kind {
		case acked:
			c.startSync(at, from, false)
		case mismatched:
			c.succeed(at, from, m, a.record)
		}
	})
	updates, bytes := c.passengers(m.rec.ID, nil)
	c.send(m.rec.Peer(), path, &Ping{Seq: seq, Target: m.rec.ID, Generation: m.rec.Generation, Updates: updates}, bytes)
}
