package swim

import "time"

// Stats counts since the core was made; the last six fields are readings.
type Stats struct {
	Probes          uint64 // direct pings of this node's own rounds
	ProbesAcked     uint64 // answered directly; LastRTT is of the latest
	ProbesMissed    uint64 // no ack within ProbeTimeout
	ProbesFailed    uint64 // no ack at all
	ProbesByStream  uint64 // only the ping over the main connection came through
	ProbesByHelpers uint64 // only a helper's ping came through
	Nacks           uint64
	Relays          uint64 // pings made for others
	Suspicions      uint64
	Confirmations   uint64
	Refutations     uint64
	Failures        uint64
	Stalls          uint64 // Tick came too late by ProbeTimeout or more
	Syncs           uint64 // synchronisations opened by this node
	SyncsDiffering  uint64 // of those, answered with a difference
	HealAttempts    uint64
	SignalsLost     uint64 // lost connections that made a member be probed
	SignalsBack     uint64 // processes that showed themselves to the carrier and were asked for
	Conflicts       uint64
	LargeUpdates    uint64 // updates sent on streams because of their size
	Verifications   uint64 // signatures checked
	SignFailures    uint64 // own records that could not be signed and were not published

	Refused Refused

	SentDatagrams uint64
	SentStreams   uint64
	SentBytes     uint64 // datagrams, by the size estimate
	Received      uint64

	LastRTT   time.Duration
	Awareness int
	Queued    int // updates that still spread
	Live      int // this node included
	Dead      int
	Isolated  bool
}

// Refused counts what was not believed.
type Refused struct {
	Malformed  uint64 // fields missing, out of range or above their limit
	Cluster    uint64 // another cluster's
	Unverified uint64 // unsigned, or Config.Authority said no
	Unasked    uint64 // answers to no question of ours, or from the wrong node
	TableFull  uint64 // MembersMax reached
	RelaysFull uint64 // more than 256 pings for others under way
	Impostor   uint64 // claims to be this node, or a later process of it
}

// Stats returns the counters as they stand.
func (c *Core) Stats() Stats {
	s := c.stats
	s.Awareness = c.awareness.score
	s.Queued = c.queue.len() + c.large.len()
	s.Live = c.liveCount()
	s.Dead = len(c.dead)
	s.Isolated = c.isolated
	return s
}
