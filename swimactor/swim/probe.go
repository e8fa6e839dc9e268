package swim

import "time"

// urgentMax bounds the probes out of turn that wait.
const urgentMax = 8

// probe is one round of the failure detector under way: first a direct ping,
// then, when that is missed, helpers and a ping over the main connection.
type probe struct {
	m         *member
	sentAt    time.Duration
	timeoutAt time.Duration
	endAt     time.Duration
	direct    uint64 // question
	stream    uint64
	indirect  uint64
	helpers   int
	nacks     int
	doubts    []*suspicion // that the ping told of
}

// enrol gives a member a random place in what is left of this round.
func (c *Core) enrol(m *member) {
	if len(c.order)-c.next > 2*len(c.live) {
		return // flapping members wait for the next round
	}
	c.order = append(c.order, m)
	last := len(c.order) - 1
	at := c.next + c.rng.IntN(last-c.next+1)
	c.order[last], c.order[at] = c.order[at], c.order[last]
}

// target picks whom to probe: whose connection gave a signal, then a second
// opinion if one is wanted, else the next of the shuffled round.
func (c *Core) target() *member {
	if m := c.hintedTarget(); m != nil {
		return m
	}
	for len(c.urgent) > 0 {
		id := c.urgent[0]
		c.urgent = c.urgent[1:]
		if m, ok := c.byID[id]; ok && m.state == Suspect {
			return m
		}
	}
	for range 2 {
		for c.next < len(c.order) {
			m := c.order[c.next]
			c.order[c.next] = nil
			c.next++
			if m.liveIndex >= 0 {
				return m
			}
		}
		c.order = append(c.order[:0], c.live...)
		c.rng.Shuffle(len(c.order), func(i, j int) { c.order[i], c.order[j] = c.order[j], c.order[i] })
		c.next = 0
	}
	return nil
}

func (c *Core) nextRound(at time.Duration) { c.round = c.timers.add(at, true, c.probeNext) }

// probeNext starts a round.
func (c *Core) probeNext(now time.Duration) {
	m := c.target()
	if m == nil {
		c.nextRound(now + c.cfg.ProtocolPeriod)
		return
	}
	p := &probe{
		m:         m,
		sentAt:    now,
		timeoutAt: now + c.awareness.scale(c.cfg.ProbeTimeout),
		endAt:     now + c.awareness.scale(c.cfg.ProtocolPeriod),
	}
	c.probe = p
	c.stats.Probes++
	// The direct question outlives ProbeTimeout: a late ack is still an ack.
	p.direct = c.ask(p.endAt, []uint64{m.rec.ID}, func(at time.Duration, from Peer, a answer) { c.onProbeAnswer(at, p, from, a, p.direct) })
	doubts, of := c.doubts(m.rec.ID)
	p.doubts = of
	updates, bytes := c.passengers(m.rec.ID, doubts)
	c.send(m.rec.Peer(), Datagram, &Ping{Seq: p.direct, Target: m.rec.ID, Generation: m.rec.Generation, Updates: updates}, bytes)
	c.timers.add(p.timeoutAt, true, func(at time.Duration) { c.probeIndirectly(at, p) })
}

// probeIndirectly follows a missed ping.
func (c *Core) probeIndirectly(now time.Duration, p *probe) {
	if c.probe != p {
		return
	}
	c.stats.ProbesMissed++
	target := p.m.rec
	p.stream = c.ask(p.endAt, []uint64{target.ID}, func(at time.Duration, from Peer, a answer) { c.onProbeAnswer(at, p, from, a, p.stream) })
	c.send(target.Peer(), Stream, &Ping{Seq: p.stream, Target: target.ID, Generation: target.Generation, Stream: true}, 0)

	helpers := c.randomLive(c.cfg.IndirectProbes, func(m *member) bool { return m != p.m && m.state == Alive })
	if len(helpers) == 0 {
		return
	}
	ids := make([]uint64, len(helpers))
	for i, h := range helpers {
		ids[i] = h.rec.ID
	}
	p.helpers = len(helpers)
	p.indirect = c.ask(p.endAt, ids, func(at time.Duration, from Peer, a answer) { c.onProbeAnswer(at, p, from, a, p.indirect) })
	for _, h := range helpers {
		updates, bytes := c.passengers(h.rec.ID, nil)
		c.send(h.rec.Peer(), Datagram, &PingReq{Seq: p.indirect, Target: target.ID, Generation: target.Generation, Updates: updates}, bytes)
	}
}

// onProbeAnswer handles what comes back on any of a probe's three questions.
func (c *Core) onProbeAnswer(now time.Duration, p *probe, from Peer, a answer, seq uint64) {
	if c.probe != p {
		return
	}
	switch a.kind {
	case acked:
		switch seq {
		case p.direct:
			c.measure(p.m, now-p.sentAt)
			for _, s := range p.doubts {
				s.checked = true
			}
		case p.stream:
			c.stats.ProbesByStream++
		default:
			c.stats.ProbesByHelpers++
		}
		c.endProbe(p)
		c.awareness.add(-1)
	case nacked:
		c.stats.Nacks++
		p.nacks++
	case mismatched:
		if c.succeed(now, from, p.m, a.record) {
			c.endProbe(p)
		}
	case silence:
		if seq == p.direct {
			c.failProbe(now, p)
		}
	}
}

// failProbe ends a probe that nobody answered. Nacks that are missing, too,
// speak against this node's own health.
func (c *Core) failProbe(now time.Duration, p *probe) {
	c.endProbe(p)
	c.stats.ProbesFailed++
	c.missed++
	if p.helpers == 0 {
		c.awareness.add(1)
	} else {
		c.awareness.add(max(p.helpers-p.nacks, 0))
	}
	c.checkIsolation(now)
	if p.m.state.live() && p.m.liveIndex >= 0 {
		c.accuse(now, p.m, []uint64{c.me.rec.ID})
	}
}

// endProbe withdraws what is still asked; the next round starts a period after
// this one started.
func (c *Core) endProbe(p *probe) {
	c.probe = nil
	c.close(p.direct)
	c.close(p.stream)
	c.close(p.indirect)
	c.nextRound(p.endAt)
}

// measure smooths the round trip time with weight 1/8, as TCP does.
func (c *Core) measure(m *member, rtt time.Duration) {
	c.stats.ProbesAcked++
	c.stats.LastRTT = rtt
	if m.rtt == 0 {
		m.rtt = rtt
	} else {
		m.rtt += (rtt - m.rtt) / 8
	}
}

// onPing answers for this process only.
func (c *Core) onPing(now time.Duration, from Peer, msg *Ping) {
	c.applyAll(now, from, msg.Updates, gossiped)
	path := Datagram
	if msg.Stream {
		path = Stream
	}
	switch me := c.me.rec; {
	case msg.Target != me.ID:
		c.stats.Refused.Unasked++
	case msg.Generation != me.Generation:
		bytes := me.bytes()
		if bytes > c.budget() {
			path = Stream
		}
		c.send(from, path, &Mismatch{Seq: msg.Seq, Record: me}, bytes)
	default:
		updates, bytes := c.passengers(from.ID, c.corrections(msg.Updates))
		c.send(from, path, &Ack{Seq: msg.Seq, Digest: c.digest, Updates: updates}, bytes)
	}
}

// onAck hands the ack to its question, and follows a digest that differs while
// nothing is on its way that could explain it.
func (c *Core) onAck(now time.Duration, from Peer, msg *Ack) {
	c.applyAll(now, from, msg.Updates, gossiped)
	c.answer(now, from, msg.Seq, answer{kind: acked})
	if msg.Digest != 0 {
		c.compareDigest(now, from, msg)
	}
}
