package swim

import "time"

// contestsMax bounds the node ids that are looked into at the same time.
const contestsMax = 64

// contestants is about how many members of a cluster look into a claim that
// they heard from a third: a holder is not pinged by thousands at once.
const contestants = 8

// contest is the question whether the holder of a node id still answers, asked
// because another directory claims the id.
type contest struct {
	claim *Record
	seq   uint64
}

// contest judges a record that has a known node id but another directory. While
// the holder answers, it is refused and both are told. It is taken over when
// the holder is dead or has left, when a peer found the holder gone
// (Update.Replaces), or when the claimant itself answers at the holder's
// address. An older generation wins only when the holder is dead or has left
// and the claimant comes itself: it was there first, out of sight for a while,
// and nobody else is left under its id. Silence decides nothing: then the
// failure detector does, and the claimant tries again.
func (c *Core) contest(now time.Duration, from Peer, m *member, u *Update) bool {
	claim := u.Record
	if claim.Generation <= m.rec.Generation || !u.State.live() {
		switch {
		case !u.State.live():
		case !m.state.live() && (from.ID == u.ID || u.Replaces == m.rec.Directory):
			return c.replace(now, from, m, u)
		case from.ID == u.ID:
			c.refuse(m, claim)
		}
		return false
	}
	if !m.state.live() || u.Replaces == m.rec.Directory {
		return c.replace(now, from, m, u)
	}
	if _, running := c.contests[u.ID]; running || len(c.contests) >= contestsMax || c.leave != nil {
		return false
	}
	if from.ID != u.ID && c.rng.IntN(c.liveCount()) >= contestants {
		return false
	}
	if _, ok := c.believe(now, m, claim); !ok {
		return false
	}
	ct := &contest{claim: claim}
	c.contests[u.ID] = ct
	holder := m.rec
	ct.seq = c.ask(now+c.cfg.ProtocolPeriod, []uint64{u.ID}, func(at time.Duration, by Peer, a answer) {
		c.close(ct.seq)
		delete(c.contests, u.ID)
		switch a.kind {
		case acked:
			c.refuse(m, claim)
		case mismatched:
			c.succeed(at, by, m, a.record)
		}
	})
	ping := &Ping{Seq: ct.seq, Target: holder.ID, Generation: holder.Generation}
	c.send(holder.Peer(), Datagram, ping, 0)
	c.send(holder.Peer(), Stream, &Ping{Seq: ct.seq, Target: holder.ID, Generation: holder.Generation, Stream: true}, 0)
	return false
}

// succeed takes note of who answers at a member's address: a later process of
// the same directory, or of another one that took its place. It says whether
// the member is the better for it.
func (c *Core) succeed(now time.Duration, from Peer, m *member, r *Record) bool {
	if r.ID != m.rec.ID || r.Generation <= m.rec.Generation {
		return false
	}
	u := &Update{ID: r.ID, Generation: r.Generation, Incarnation: r.Incarnation, State: Alive, Record: r}
	if r.Directory != m.rec.Directory {
		u.Replaces = m.rec.Directory
	}
	return c.apply(now, from, u, gossiped)
}

// replace takes over the record of another directory.
func (c *Core) replace(now time.Duration, from Peer, m *member, u *Update) bool {
	claim := *u
	claim.Replaces = m.rec.Directory
	return c.renew(now, from, m, &claim, synced)
}

// refuse tells both sides, and this node's own subscribers once a claimant.
func (c *Core) refuse(m *member, claim *Record) {
	notice := &ConflictNotice{Holder: m.rec, Refused: claim}
	c.send(m.rec.Peer(), Stream, notice, 0)
	c.send(claim.Peer(), Stream, notice, 0)
	if m.conflicted != claim.Directory {
		m.conflicted = claim.Directory
		c.stats.Conflicts++
		c.emit(Event{Kind: Conflict, Member: m.view(), Other: claim})
	}
}

// onConflictNotice reports what a peer found, on the side that it concerns.
func (c *Core) onConflictNotice(msg *ConflictNotice) {
	holder, refused := msg.Holder, msg.Refused
	if holder == nil || refused == nil || holder.ID != c.me.rec.ID || refused.ID != c.me.rec.ID ||
		holder.Validate() != nil || refused.Validate() != nil {
		c.stats.Refused.Malformed++
		return
	}
	other := holder
	if holder.Directory == c.me.rec.Directory {
		other = refused
	}
	if other.Directory == c.me.rec.Directory || c.me.conflicted == other.Directory {
		return
	}
	c.me.conflicted = other.Directory
	c.stats.Conflicts++
	c.emit(Event{Kind: Conflict, Member: Member{Record: holder, State: Alive, Since: c.me.since}, Other: refused})
}

// reportImpostor reports a record or an accusation (then r is nil) that names
// this node's id but not this process.
func (c *Core) reportImpostor(r *Record) {
	c.stats.Refused.Impostor++
	if r == nil || c.me.conflicted == r.Directory {
		return
	}
	c.me.conflicted = r.Directory
	c.stats.Conflicts++
	c.emit(Event{Kind: Conflict, Member: c.me.view(), Other: r})
}

// receiveAsMe handles messages under this node's own id: its own, through an
// alias among the seeds, or those of another process with the same certificate.
func (c *Core) receiveAsMe(from Peer, msg Message) {
	if notice, ok := msg.(*ConflictNotice); ok {
		c.onConflictNotice(notice)
		return
	}
	req, ok := msg.(*SyncRequest)
	if !ok || req.Self == nil || req.Self.ID != c.me.rec.ID || req.Self.Validate() != nil {
		return
	}
	if req.Self.Directory == c.me.rec.Directory && req.Self.Generation == c.me.rec.Generation {
		return
	}
	c.reportImpostor(req.Self)
	c.send(from, Stream, &ConflictNotice{Holder: c.me.rec, Refused: req.Self}, 0)
}
