package testkit

import (
	"fmt"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/membership"
)

// What a cluster must come back to when the faults are over, for [World.Eventually].

// Agreed: every node that is up has applied the same metadata as far as the furthest one.
func Agreed(v View) error {
	g := v.observed.group(actors.GroupMeta)
	for _, n := range v.nodes {
		s := v.observed.seats[n]
		if !n.up {
			continue
		}
		if s == nil || s.life != n.life || s.applied[g.name] < g.last {
			have := uint64(0)
			if s != nil {
				have = s.applied[g.name]
			}
			return fmt.Errorf("node %d applied %d of %d", n.id, have, g.last)
		}
	}
	return nil
}

// Seen: every node that is up sees every node that is up alive, and no other.
func Seen(v View) error {
	for _, n := range v.nodes {
		s := v.observed.seats[n]
		if !n.up {
			continue
		}
		for _, other := range v.nodes {
			var state membership.State
			if s != nil && s.life == n.life {
				state = s.members[uint64(other.certified)].GetState()
			}
			if alive := state == membership.State_STATE_ALIVE; alive != other.up {
				return fmt.Errorf("node %d sees node %d as %v", n.id, other.id, state)
			}
		}
	}
	return nil
}

// Progress returns an expectation that clients got so many more operations through than when it was first asked.
func Progress(more int) func(View) error {
	began := make(map[*World]int)
	return func(v View) error {
		done := 0
		for _, c := range v.clients {
			done += c.ended[OK]
		}
		if _, known := began[v.World]; !known {
			began[v.World] = done
		}
		if got := done - began[v.World]; got < more {
			return fmt.Errorf("%d operations of %d since", got, more)
		}
		return nil
	}
}
