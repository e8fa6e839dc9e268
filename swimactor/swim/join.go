package swim

import (
	"slices"
	"time"
)

// Bounds of what a configuration may name.
const (
	seedsMax         = 64
	seedAddressesMax = 64
	// joinedPauseMult times JoinIntervalMax is the pause between attempts at
	// seeds that were never reached once this node has joined through others.
	joinedPauseMult = 3
)

// seed is a name that was configured, and whether everybody behind it is known.
type seed struct {
	name string
	met  bool
}

// Join names the seeds, replacing earlier ones, and starts trying: Output.Resolve
// asks for their addresses, Resolved gives them. A seed is tried, with growing
// pauses, until whoever lives there is a member; a node that is left alone
// starts over. Seeds beyond the 64th are ignored.
func (c *Core) Join(now time.Duration, seeds []string) Output {
	c.seeds = nil
	for _, name := range seeds {
		if len(c.seeds) < seedsMax && !slices.ContainsFunc(c.seeds, func(s *seed) bool { return s.name == name }) {
			c.seeds = append(c.seeds, &seed{name: name})
		}
	}
	c.joinPause = c.cfg.JoinInterval
	c.timers.cancel(c.joinTimer)
	c.tryJoin(now)
	return c.done()
}

// tryJoin asks for the addresses of the seeds that are still wanted.
func (c *Core) tryJoin(now time.Duration) {
	c.joinTimer = nil
	if c.leave != nil || len(c.seeds) == 0 {
		return
	}
	alone := len(c.live) == 0
	for _, s := range c.seeds {
		if alone || !s.met {
			c.out.Resolve = append(c.out.Resolve, s.name)
		}
	}
	pause := c.joinPause
	c.joinPause = min(2*c.joinPause, c.cfg.JoinIntervalMax)
	if !alone {
		pause = joinedPauseMult * c.cfg.JoinIntervalMax
	}
	c.joinTimer = c.timers.add(now+c.jitter(pause), false, c.tryJoin)
}

// Resolved says where a seed of Output.Resolve is; none if it could not be
// found. A name may stand for several nodes: all of them are contacted. A peer
// whose id is not known has the id 0.
func (c *Core) Resolved(now time.Duration, name string, peers []Peer) Output {
	for _, s := range c.seeds {
		if s.name == name && c.leave == nil {
			c.contact(now, s, peers)
		}
	}
	return c.done()
}

func (c *Core) contact(now time.Duration, s *seed, peers []Peer) {
	s.met = len(peers) > 0
	for i, p := range peers {
		if i == seedAddressesMax {
			break
		}
		if p.ID == c.me.rec.ID || p.Address == c.me.rec.Address {
			continue
		}
		if m, known := c.byID[p.ID]; known && m.state.live() {
			continue
		}
		s.met = false
		c.startSync(now, p, true)
	}
}

// joined follows every synchronisation that came to its end: should this node
// be left alone later, it starts with short pauses again.
func (c *Core) joined() {
	if len(c.live) > 0 {
		c.joinPause = c.cfg.JoinInterval
	}
}
