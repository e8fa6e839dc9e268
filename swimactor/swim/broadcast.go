package swim

import (
	"container/list"
	"math"
)

// broadcasts holds the updates that are still to be spread, at most one a
// member, by the number of times they went out: the least sent go first, the
// oldest first among equals.
type broadcasts struct {
	byID   map[uint64]*list.Element
	levels []*list.List
	picked []*list.Element
}

type broadcast struct {
	update Update
	bytes  int
	sent   int
}

// scanMax bounds how many updates that don't fit are skipped in one pick.
const scanMax = 16

func newBroadcasts() *broadcasts { return &broadcasts{byID: make(map[uint64]*list.Element)} }

func (b *broadcasts) len() int { return len(b.byID) }

func (b *broadcasts) level(n int) *list.List {
	for len(b.levels) <= n {
		b.levels = append(b.levels, list.New())
	}
	return b.levels[n]
}

// put queues an update and displaces what was queued for the same member.
func (b *broadcasts) put(u Update) {
	b.drop(u.ID)
	b.byID[u.ID] = b.level(0).PushBack(&broadcast{update: u, bytes: u.bytes()})
}

// drop forgets what is queued for a member.
func (b *broadcasts) drop(id uint64) {
	if e, ok := b.byID[id]; ok {
		b.level(e.Value.(*broadcast).sent).Remove(e)
		delete(b.byID, id)
	}
}

// pick appends updates to into while they fit into budget bytes, counts them as
// sent once more, and forgets those that reached the limit. It returns the
// budget left.
func (b *broadcasts) pick(into []Update, budget, limit int) ([]Update, int) {
	b.picked = b.picked[:0]
	skipped := 0
	for _, level := range b.levels {
		for e := level.Front(); e != nil && skipped < scanMax; e = e.Next() {
			entry := e.Value.(*broadcast)
			if entry.bytes > budget {
				skipped++
				continue
			}
			budget -= entry.bytes
			into = append(into, entry.update)
			b.picked = append(b.picked, e)
		}
	}
	for _, e := range b.picked {
		entry := e.Value.(*broadcast)
		b.level(entry.sent).Remove(e)
		entry.sent++
		if entry.sent >= limit {
			delete(b.byID, entry.update.ID)
			continue
		}
		b.byID[entry.update.ID] = b.level(entry.sent).PushBack(entry)
	}
	return into, budget
}

// retransmitLimit is RetransmitMult · ⌈log10(max(n, ExpectedMembers)+1)⌉.
func (c *Config) retransmitLimit(n int) int {
	return c.RetransmitMult * int(math.Ceil(math.Log10(float64(max(n, c.ExpectedMembers)+1))))
}

// retain drops the updates that keep doesn't want.
func (b *broadcasts) retain(keep func(*Update) bool) {
	for _, level := range b.levels {
		for e := level.Front(); e != nil; {
			next := e.Next()
			if u := &e.Value.(*broadcast).update; !keep(u) {
				level.Remove(e)
				delete(b.byID, u.ID)
			}
			e = next
		}
	}
}
