package swim

import (
	"fmt"
	"testing"
)

// fault checks what must hold between any two inputs and returns what doesn't.
func (c *Core) fault() error {
	var digests [digestBuckets]uint64
	live, dead, rows := 0, 0, 0
	for b, bucket := range c.buckets {
		for _, m := range bucket {
			rows++
			id := m.rec.ID
			if c.byID[id] != m || bucketOf(id) != b {
				return fmt.Errorf("node %d is filed wrongly", id)
			}
			if m.state.live() {
				digests[b] ^= mix(mix(mix(id)^m.rec.Generation) ^ m.rec.Incarnation)
			}
			if (m.suspicion != nil) != (m.state == Suspect) {
				return fmt.Errorf("node %d is %v, suspicion %v", id, m.state, m.suspicion != nil)
			}
			if m == c.me {
				continue
			}
			if s := m.suspicion; s != nil && (s.index >= len(c.suspects) || c.suspects[s.index] != m) {
				return fmt.Errorf("node %d stands at %d among the suspects", id, s.index)
			}
			if m.state.live() != (m.liveIndex >= 0) || m.liveIndex >= 0 && c.live[m.liveIndex] != m {
				return fmt.Errorf("node %d, %v, stands at %d among the live", id, m.state, m.liveIndex)
			}
			if (m.state == Dead) != (m.deadIndex >= 0) || m.deadIndex >= 0 && c.dead[m.deadIndex] != m {
				return fmt.Errorf("node %d, %v, stands at %d among the dead", id, m.state, m.deadIndex)
			}
			if m.state.live() {
				live++
			} else if m.state == Dead {
				dead++
			}
			if !m.state.live() && (m.expiry == nil || m.expiry.index < 0) && !c.gone && c.leave == nil {
				return fmt.Errorf("node %d, %v, is never forgotten", id, m.state)
			}
			if m.state == Suspect && m.suspicion.timer.index < 0 && !c.gone && c.leave == nil {
				return fmt.Errorf("the suspicion of node %d never ends", id)
			}
		}
	}
	var all uint64
	for b, d := range digests {
		all ^= d
		if d != c.digests[b] {
			return fmt.Errorf("digest of bucket %d is off", b)
		}
	}
	switch {
	case all != c.digest:
		return fmt.Errorf("the digest is off")
	case live != len(c.live) || dead != len(c.dead) || rows != len(c.byID):
		return fmt.Errorf("%d rows, %d live, %d dead; lists have %d, %d, %d", rows, live, dead, len(c.byID), len(c.live), len(c.dead))
	case c.relays > relaysMax || len(c.contests) > contestsMax || len(c.urgent) > urgentMax:
		return fmt.Errorf("%d relays, %d contests, %d urgent probes", c.relays, len(c.contests), len(c.urgent))
	case rows > c.cfg.MembersMax:
		return fmt.Errorf("%d members", rows)
	}
	return nil
}

func (c *Core) check(t testing.TB) {
	t.Helper()
	if err := c.fault(); err != nil {
		t.Fatal(err)
	}
}

// follower folds events as a subscriber does and reports those out of order.
type follower map[uint64]State

func (f follower) follow(e Event) error {
	id, was := e.Member.Record.ID, f[e.Member.Record.ID]
	now := was
	switch e.Kind {
	case Joined:
		now = Alive
	case Updated:
		if was == 0 {
			return fmt.Errorf("node %d updated before it joined", id)
		}
	case Suspected:
		if was != Alive {
			return fmt.Errorf("node %d suspected while %v", id, was)
		}
		now = Suspect
	case Failed:
		if was == 0 || was == Dead {
			return fmt.Errorf("node %d failed while %v", id, was)
		}
		now = Dead
	case Departed:
		if was == 0 || was == Left {
			return fmt.Errorf("node %d departed while %v", id, was)
		}
		now = Left
	case Recovered:
		if was != Suspect && was != Dead {
			return fmt.Errorf("node %d recovered while %v", id, was)
		}
		now = Alive
	}
	f[id] = now
	return nil
}

// agrees says where a view folded from events differs from the core's.
func (f follower) agrees(c *Core) error {
	for _, m := range c.Members() {
		if m.Record.ID != c.me.rec.ID && f[m.Record.ID] != m.State {
			return fmt.Errorf("node %d is %v by events and %v in the table", m.Record.ID, f[m.Record.ID], m.State)
		}
	}
	return nil
}
