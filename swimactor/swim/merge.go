package swim

import "time"

// source says how a statement came here.
type source uint8

const (
	gossiped source = iota
	// synced: in a synchronisation, where a death may be old news: it then
	// counts as a suspicion, so that its subject can refute.
	synced
	// inBulk: as synced, one of so many that gossip is not the way to pass
	// them on.
	inBulk
)

// applyAll believes, or not, each of a peer's statements.
func (c *Core) applyAll(now time.Duration, from Peer, updates []Update, how source) {
	for i := range updates {
		c.apply(now, from, &updates[i], how)
	}
}

// apply believes, or not, one statement, and says whether it changed anything.
func (c *Core) apply(now time.Duration, from Peer, u *Update, how source) bool {
	if !u.wellFormed() {
		c.stats.Refused.Malformed++
		return false
	}
	if u.ID == c.me.rec.ID {
		c.hearOfMyself(now, from, u)
		return false
	}
	m, known := c.byID[u.ID]
	if !known {
		return c.meet(now, from, u, how)
	}
	if u.Record != nil && u.Record.Directory != m.rec.Directory {
		return c.contest(now, from, m, u)
	}
	switch order := compareEpoch(u.Generation, u.Incarnation, m.rec.Generation, m.rec.Incarnation); {
	case order < 0:
		return false
	case order > 0 && u.Record == nil:
		c.fetch(now, from, m)
		return false
	case order > 0:
		return c.renew(now, from, m, u, how)
	}
	return c.worsen(now, from, m, u, how)
}

// meet adds a member that wasn't known. Who is not known cannot fail or leave.
func (c *Core) meet(now time.Duration, from Peer, u *Update, how source) bool {
	if u.Record == nil || !u.State.live() {
		return false
	}
	if len(c.byID) >= c.cfg.MembersMax {
		c.stats.Refused.TableFull++
		return false
	}
	certificate, ok := c.believe(now, nil, u.Record)
	if !ok {
		return false
	}
	m := &member{rec: u.Record, certificate: certificate, state: Alive, since: now, replaces: u.Replaces}
	c.insert(m)
	c.list(m)
	c.rehash(m, true)
	c.enrol(m)
	c.emit(Event{Kind: Joined, Member: m.view()})
	if how != inBulk {
		c.spread(now, m)
	}
	if u.State == Suspect {
		c.accuse(now, m, c.accusersOf(from, u))
	}
	return true
}

// renew takes over a newer record, with the state that comes with it.
func (c *Core) renew(now time.Duration, from Peer, m *member, u *Update, how source) bool {
	certificate, ok := c.believe(now, m, u.Record)
	if !ok {
		return false
	}
	old, was := m.rec, m.state
	c.acquit(m)
	m.rec, m.certificate, m.fetched, m.accusers = u.Record, certificate, false, nil
	if u.Replaces != "" {
		m.replaces = u.Replaces
	}
	fresh := m.rec.Generation > old.Generation || m.rec.Directory != old.Directory
	switch {
	case u.State == Left:
		c.setState(now, m, Left, Departed)
	case u.State == Dead && (how == gossiped || !was.live()):
		c.setState(now, m, Dead, Failed)
		m.accusers = c.accusersOf(from, u)
	default:
		kind := Recovered
		if fresh || was == Left {
			kind = Joined
		}
		switch {
		case was != Alive:
			c.setState(now, m, Alive, kind)
			c.enrol(m)
		case fresh:
			c.emit(Event{Kind: Joined, Member: m.view()})
		case !sameContent(old, m.rec):
			c.emit(Event{Kind: Updated, Member: m.view()})
		}
	}
	c.rehash(m, m.state.live())
	if how != inBulk || m.state != Alive {
		c.spread(now, m)
	}
	if u.State == Suspect || u.State == Dead && m.state == Alive {
		c.accuse(now, m, c.accusersOf(from, u))
	}
	return true
}

// worsen takes over a worse state at the epoch that is known already.
func (c *Core) worsen(now time.Duration, from Peer, m *member, u *Update, how source) bool {
	switch {
	case u.State == Suspect && m.state.live(), u.State == Dead && how != gossiped && m.state.live():
		c.accuse(now, m, c.accusersOf(from, u))
		return false
	case u.State <= m.state:
		return false
	case u.State == Dead:
		c.setState(now, m, Dead, Failed)
		m.accusers = c.accusersOf(from, u)
	case u.State == Left:
		certificate, ok := c.believe(now, m, u.Record)
		if !ok {
			return false
		}
		m.rec, m.certificate = u.Record, certificate
		c.setState(now, m, Left, Departed)
	}
	c.spread(now, m)
	return true
}

// accusersOf names those accusers that are members, or else who sent it.
func (c *Core) accusersOf(from Peer, u *Update) []uint64 {
	accusers := make([]uint64, 0, len(u.Accusers))
	for _, id := range u.Accusers {
		if m, known := c.byID[id]; known && id != u.ID && m.state != Left {
			accusers = append(accusers, id)
		}
	}
	if len(accusers) == 0 {
		accusers = append(accusers, from.ID)
	}
	return accusers
}

// hearOfMyself refutes what others say about this process, and reports whoever
// else goes by its id.
func (c *Core) hearOfMyself(now time.Duration, from Peer, u *Update) {
	me := c.me.rec
	if u.Record != nil && u.Record.Directory != me.Directory {
		c.reportImpostor(u.Record)
		return
	}
	switch {
	case u.Generation > me.Generation:
		c.reportImpostor(u.Record)
		if u.State == Dead || u.State == Left {
			// Whoever held this node's id elsewhere is gone: show oneself.
			c.startSync(now, from, false)
		}
		return
	case u.Generation < me.Generation || u.Incarnation < me.Incarnation:
		return
	case u.Incarnation == me.Incarnation && u.State == Alive, c.leave != nil:
		return
	}
	if u.Incarnation > me.Incarnation && !c.madeByMe(now, u.Record) {
		c.stats.Refused.Impostor++
		return
	}
	if u.State != Alive {
		c.awareness.add(1)
	}
	c.stats.Refutations++
	rec := me.clone()
	rec.Incarnation = u.Incarnation + 1
	_ = c.publish(now, rec) // counted
}

// madeByMe: only this node makes its incarnations: without the record of one that an earlier core made, it is made up.
func (c *Core) madeByMe(now time.Duration, r *Record) bool {
	if r == nil {
		return false
	}
	_, ok := c.believe(now, c.me, r)
	return ok
}

// fetch asks the sender of an accusation for the record that it rests on.
func (c *Core) fetch(now time.Duration, from Peer, m *member) {
	if m.fetched && now-m.fetchedAt < c.cfg.ProtocolPeriod {
		return
	}
	m.fetched, m.fetchedAt = true, now
	c.send(from, Stream, &SyncRecords{Wants: []uint64{m.rec.ID}, Last: true}, 0)
}

// statement is what this node says about a member; full adds the record where
// it isn't part of the statement anyway.
func statement(m *member, full bool) Update {
	u := Update{
		ID: m.rec.ID, Generation: m.rec.Generation, Incarnation: m.rec.Incarnation,
		State: m.state, Replaces: m.replaces,
	}
	if full || m.state == Alive || m.state == Left {
		u.Record = m.rec
	} else {
		u.Replaces = ""
	}
	switch {
	case m.suspicion != nil:
		u.Accusers = append([]uint64(nil), m.suspicion.accusers...)
	case m.state == Dead:
		u.Accusers = m.accusers
	}
	return u
}

// spread queues what this node now says about a member.
func (c *Core) spread(now time.Duration, m *member) {
	u := statement(m, false)
	c.queue.drop(u.ID)
	c.large.drop(u.ID)
	if u.bytes() > c.budget() {
		c.large.put(u)
	} else {
		c.queue.put(u)
	}
	c.armGossip(now)
}
