package swim

import "time"

// leave is this node's farewell under way.
type leave struct {
	confirmed map[uint64]struct{}
	wanted    int
	retry     *timer
	deadline  *timer
}

// leaveRetries is the number of attempts that fit into LeaveTimeout.
const leaveRetries = 10

// Leave says farewell: members are told, again and again, until
// LeaveConfirmations of them (or all, if fewer live) confirmed or LeaveTimeout
// has passed. Then LeaveDone is emitted and the core takes no more part; to
// come back, make a new one with a higher generation. A second call does
// nothing.
func (c *Core) Leave(now time.Duration) Output {
	if c.leave != nil || c.gone {
		return c.done()
	}
	c.leave = &leave{confirmed: make(map[uint64]struct{}), wanted: min(c.cfg.LeaveConfirmations, len(c.live))}
	c.timers.clear()
	c.gossipTimer, c.probe, c.questions = nil, nil, make(map[uint64]*question)
	rec := c.me.rec.clone()
	rec.Left = true
	rec.Incarnation++
	if c.publish(now, rec) != nil || c.leave.wanted == 0 {
		c.finishLeave()
		return c.done()
	}
	c.leave.deadline = c.timers.add(now+c.cfg.LeaveTimeout, false, func(time.Duration) { c.finishLeave() })
	c.sayFarewell(now)
	return c.done()
}

// Gone says whether this node's leave is over.
func (c *Core) Gone() bool { return c.gone }

// sayFarewell tells random members that have not confirmed yet, each on both
// paths.
func (c *Core) sayFarewell(now time.Duration) {
	open := func(m *member) bool { _, ok := c.leave.confirmed[m.rec.ID]; return !ok }
	for _, m := range c.randomLive(c.cfg.LeaveConfirmations+1, open) {
		seq := c.ask(now+c.cfg.LeaveTimeout, []uint64{m.rec.ID}, func(_ time.Duration, from Peer, a answer) {
			if a.kind == acked && c.leave != nil {
				c.confirmLeave(from.ID)
			}
		})
		notice := &LeaveNotice{Seq: seq, Record: c.me.rec}
		if bytes := c.me.rec.bytes(); bytes <= c.budget() {
			c.send(m.rec.Peer(), Datagram, notice, bytes)
		}
		c.send(m.rec.Peer(), Stream, notice, 0)
	}
	c.leave.retry = c.timers.add(now+max(c.cfg.LeaveTimeout/leaveRetries, time.Millisecond), false, c.sayFarewell)
}

func (c *Core) confirmLeave(by uint64) {
	c.leave.confirmed[by] = struct{}{}
	if len(c.leave.confirmed) >= c.leave.wanted {
		c.finishLeave()
	}
}

func (c *Core) finishLeave() {
	if c.gone {
		return
	}
	c.gone = true
	c.timers.clear()
	c.questions = nil
	c.emit(Event{Kind: LeaveDone, Member: c.me.view(), Confirmed: len(c.leave.confirmed)})
}

// onLeaveNotice takes note and confirms: only the owner may say farewell.
func (c *Core) onLeaveNotice(now time.Duration, from Peer, msg *LeaveNotice) {
	r := msg.Record
	if r == nil || r.ID != from.ID || !r.Left {
		c.stats.Refused.Malformed++
		return
	}
	c.apply(now, from, &Update{ID: r.ID, Generation: r.Generation, Incarnation: r.Incarnation, State: Left, Record: r}, gossiped)
	if m, known := c.byID[r.ID]; !known || m.state == Left {
		c.send(from, Stream, &LeaveAck{Seq: msg.Seq}, 0)
		c.send(from, Datagram, &LeaveAck{Seq: msg.Seq}, 0)
	}
}
