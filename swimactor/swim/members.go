package swim

import (
	"slices"
	"time"
)

// member is one row of the table. Its place in the order of statements is
// (rec.Generation, rec.Incarnation, state).
type member struct {
	rec *Record
	// certificate proved rec; nil without Config.Authority.
	certificate []byte
	state       State
	since       time.Duration
	rtt         time.Duration
	replaces    string
	suspicion   *suspicion
	accusers    []uint64 // who declared it dead
	expiry      *timer   // dead and left ones are forgotten then

	liveIndex int // in Core.live, −1 if not there
	deadIndex int // in Core.dead, −1 if not there
	hashed    uint64

	fetchedAt  time.Duration // its record was last asked for
	fetched    bool
	conflicted string // directory id of the last refused claimant

	hint hint
}

// digestBuckets is part of the wire format.
const digestBuckets = 64

// table is all that a core knows of members, this node included.
type table struct {
	byID    map[uint64]*member
	buckets [digestBuckets][]*member // every member, by id
	digests [digestBuckets]uint64    // of live members
	digest  uint64
	equals  int       // acks in a row that showed this very table
	live    []*member // alive and suspect, without this node
	dead    []*member
}

func newTable() table { return table{byID: make(map[uint64]*member)} }

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func bucketOf(id uint64) int { return int(mix(id) % digestBuckets) }

// insert adds a row.
func (t *table) insert(m *member) {
	m.liveIndex, m.deadIndex = -1, -1
	t.byID[m.rec.ID] = m
	b := bucketOf(m.rec.ID)
	t.buckets[b] = append(t.buckets[b], m)
}

// remove forgets a row.
func (t *table) remove(m *member) {
	t.unlist(m)
	t.rehash(m, false)
	delete(t.byID, m.rec.ID)
	b := bucketOf(m.rec.ID)
	if i := slices.Index(t.buckets[b], m); i >= 0 {
		last := len(t.buckets[b]) - 1
		t.buckets[b][i] = t.buckets[b][last]
		t.buckets[b][last] = nil
		t.buckets[b] = t.buckets[b][:last]
	}
}

// unlist takes a row out of live and dead.
func (t *table) unlist(m *member) {
	if i := m.liveIndex; i >= 0 {
		last := len(t.live) - 1
		t.live[i] = t.live[last]
		t.live[i].liveIndex = i
		t.live[last] = nil
		t.live = t.live[:last]
		m.liveIndex = -1
	}
	if i := m.deadIndex; i >= 0 {
		last := len(t.dead) - 1
		t.dead[i] = t.dead[last]
		t.dead[i].deadIndex = i
		t.dead[last] = nil
		t.dead = t.dead[:last]
		m.deadIndex = -1
	}
}

// list puts a row where its state belongs.
func (t *table) list(m *member) {
	switch {
	case m.state.live() && m.liveIndex < 0:
		t.unlist(m)
		m.liveIndex = len(t.live)
		t.live = append(t.live, m)
	case m.state == Dead && m.deadIndex < 0:
		t.unlist(m)
		m.deadIndex = len(t.dead)
		t.dead = append(t.dead, m)
	case m.state == Left:
		t.unlist(m)
	}
}

// rehash brings the digests in line with a row: they cover the generation and
// incarnation of every record whose owner counts as live.
func (t *table) rehash(m *member, live bool) {
	var h uint64
	if live {
		h = mix(mix(mix(m.rec.ID)^m.rec.Generation) ^ m.rec.Incarnation)
	}
	change := h ^ m.hashed
	if change != 0 {
		t.equals = 0 // earlier acks say nothing of this
	}
	m.hashed = h
	t.digest ^= change
	t.digests[bucketOf(m.rec.ID)] ^= change
}

// liveCount is the number of live members, this node included.
func (c *Core) liveCount() int { return len(c.live) + 1 }

// view copies a row for the outside.
func (m *member) view() Member {
	return Member{Record: m.rec, State: m.state, Since: m.since, RTT: m.rtt}
}

// Members returns everybody known, this node included, by node id: live ones,
// dead ones until DeadRetention, left ones until LeftRetention. O(N log N).
func (c *Core) Members() []Member {
	all := make([]Member, 0, len(c.byID))
	for _, bucket := range c.buckets {
		for _, m := range bucket {
			all = append(all, m.view())
		}
	}
	slices.SortFunc(all, func(a, b Member) int {
		if a.Record.ID < b.Record.ID {
			return -1
		}
		return 1
	})
	return all
}

// Member returns one member.
func (c *Core) Member(id uint64) (Member, bool) {
	m, ok := c.byID[id]
	if !ok {
		return Member{}, false
	}
	return m.view(), true
}

// Self returns this node's own row.
func (c *Core) Self() Member { return c.me.view() }

// setState moves another member to a state, keeps lists, digests and expiry
// in line, and tells the world. A move to the state it is in does nothing.
func (c *Core) setState(now time.Duration, m *member, to State, kind EventKind) {
	if m.state == to {
		return
	}
	if to != Suspect {
		c.acquit(m)
	}
	m.state, m.since, m.accusers = to, now, nil
	c.list(m)
	c.rehash(m, to.live())
	c.timers.cancel(m.expiry)
	switch to {
	case Dead:
		c.stats.Failures++
		m.expiry = c.timers.add(now+c.cfg.DeadRetention, false, func(time.Duration) { c.forget(m) })
	case Left:
		m.expiry = c.timers.add(now+c.cfg.LeftRetention, false, func(time.Duration) { c.forget(m) })
	}
	c.emit(Event{Kind: kind, Member: m.view()})
}

// forget drops a member for good.
func (c *Core) forget(m *member) {
	c.acquit(m)
	c.timers.cancel(m.expiry)
	c.queue.drop(m.rec.ID)
	c.large.drop(m.rec.ID)
	c.remove(m)
}

// randomLive returns up to k distinct live members that pass keep (nil: all),
// by sampling: a few draws more than k, never a scan.
func (c *Core) randomLive(k int, keep func(*member) bool) []*member {
	if len(c.live) == 0 {
		return nil
	}
	picked := make([]*member, 0, k)
	if len(c.live) <= 2*k {
		for _, i := range c.rng.Perm(len(c.live)) {
			if m := c.live[i]; len(picked) < k && (keep == nil || keep(m)) {
				picked = append(picked, m)
			}
		}
		return picked
	}
	for tries := 0; len(picked) < k && tries < 4*k; tries++ {
		m := c.live[c.rng.IntN(len(c.live))]
		if !slices.Contains(picked, m) && (keep == nil || keep(m)) {
			picked = append(picked, m)
		}
	}
	return picked
}
