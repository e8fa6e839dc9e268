package swim

import "time"

// relaysMax bounds the pings for others that are under way.
const relaysMax = 256

// onPingReq pings on behalf of another node. The nack goes out before the
// asking node gives its verdict, so that it can tell a dead target from dead
// helpers.
func (c *Core) onPingReq(now time.Duration, from Peer, msg *PingReq) {
	c.applyAll(now, from, msg.Updates, gossiped)
	m, known := c.byID[msg.Target]
	if !known || m == c.me {
		c.send(from, Datagram, &Nack{Seq: msg.Seq}, 0)
		return
	}
	if c.relays >= relaysMax {
		c.stats.Refused.RelaysFull++
		return
	}
	c.relays++
	c.stats.Relays++
	nack := c.timers.add(now+c.cfg.nackAfter(), false, func(time.Duration) {
		c.send(from, Datagram, &Nack{Seq: msg.Seq}, 0)
	})
	var seq uint64
	seq = c.ask(now+c.cfg.ProtocolPeriod, []uint64{msg.Target}, func(_ time.Duration, _ Peer, a answer) {
		if a.kind == nacked || a.kind == mismatched {
			return
		}
		c.relays--
		c.timers.cancel(nack)
		if a.kind == acked {
			c.close(seq)
			c.send(from, Datagram, &Ack{Seq: msg.Seq}, 0)
		}
	})
	c.send(m.rec.Peer(), Datagram, &Ping{Seq: seq, Target: msg.Target, Generation: msg.Generation}, 0)
}
