package swim

import (
	"errors"
	"fmt"
	"time"
)

// Config holds the protocol's parameters. Start from a profile (DefaultLAN,
// DefaultWAN, DefaultLocal) and change what has to differ; all nodes of a
// cluster should use the same values.
type Config struct {
	// ClusterID keeps clusters apart: a synchronisation that names another
	// cluster is refused. Empty accepts only the empty id.
	ClusterID string

	// ProtocolPeriod is the time between two probes; each probe asks one
	// member. First detection of a death takes about
	//
	//	1.6·ProtocolPeriod + suspicion time (see SuspectTimeout)
	//
	// Shorter detects sooner and sends more: 2/ProtocolPeriod packets a second.
	// It is multiplied by the awareness score + 1 (1…AwarenessMax+1) while this
	// node is itself unwell.
	ProtocolPeriod time.Duration

	// ProbeTimeout is the time after which a direct ping counts as missed and
	// helpers are asked. It should be above the 99th percentile of the round
	// trip time, and below ProtocolPeriod: the rest of the period is the
	// helpers' time. Scaled by awareness like ProtocolPeriod.
	ProbeTimeout time.Duration

	// IndirectProbes is the number of helpers asked after a missed ping (k in
	// the paper). A ping over the main connection goes out beside them.
	IndirectProbes int

	// SuspectTimeout is the time a fully confirmed suspicion lasts in a cluster
	// of 100; in general, with N live members,
	//
	//	min = SuspectTimeout · log10(max(N, 10)) / 2
	//	max = SuspicionMaxMult · min
	//	timeout = max(min, max − (max−min)·ln(C+1)/ln(K+1))
	//
	// with C independent confirmations of K = SuspicionConfirmations. Where
	// fewer than K+2 members live there is nobody to wait for, and min applies.
	SuspectTimeout time.Duration

	// SuspicionMaxMult is max/min above: how much longer an unconfirmed
	// suspicion lasts.
	SuspicionMaxMult int

	// SuspicionConfirmations is K above.
	SuspicionConfirmations int

	// AwarenessMax is the highest local health score (Lifeguard's S).
	AwarenessMax int

	// GossipInterval is the time between two gossip rounds while there is
	// something to spread; a quiet node sends none.
	GossipInterval time.Duration

	// GossipFanout is the number of members that one round reaches.
	GossipFanout int

	// RetransmitMult bounds how often one node sends one update:
	//
	//	limit = RetransmitMult · ⌈log10(max(N, ExpectedMembers)+1)⌉
	RetransmitMult int

	// ExpectedMembers is the size the cluster is going to have, 0 if unknown:
	// while a cluster forms, N is too small to compute the limit from.
	ExpectedMembers int

	// PacketBytes is the largest datagram the carrier takes, and EnvelopeBytes
	// what the carrier itself needs of that. Updates that don't fit go on
	// streams.
	PacketBytes   int
	EnvelopeBytes int

	// SyncInterval is the time between two synchronisations (push-pull) with a
	// random member, whatever N is; after one that found a difference the next
	// comes after ProtocolPeriod/2, doubling back to SyncInterval. Where the last
	// ack showed the same table, up to three in a row are left out: the digests,
	// with which a synchronisation begins, have been compared. Longer is cheaper;
	// what differs in spite of gossip is found by acks within a few periods
	// anyway, unless datagrams don't pass.
	SyncInterval time.Duration

	// JoinInterval is the time before an unanswered seed is tried again; it
	// doubles, jittered, to JoinIntervalMax, and never gives up.
	JoinInterval    time.Duration
	JoinIntervalMax time.Duration

	// HealInterval is the time between two attempts at a dead member, each made
	// with probability dead/alive, so that the cluster as a whole makes about
	// one attempt an interval for each dead member.
	HealInterval time.Duration

	// DeadRetention is how long a dead member is remembered and tried, at least
	// 24 h in the profiles. LeftRetention is how long one that left is
	// remembered, so that a late update cannot bring it back.
	DeadRetention time.Duration
	LeftRetention time.Duration

	// IsolationPeriods is the number of ProtocolPeriods without a message from
	// anybody, with a probe missed, after which this node takes itself for
	// isolated and accuses nobody in public.
	IsolationPeriods int

	// LeaveTimeout bounds a leave; LeaveConfirmations is the number of members
	// that should have confirmed it (fewer if fewer live).
	LeaveTimeout       time.Duration
	LeaveConfirmations int

	// MembersMax bounds the member table, dead ones included; further records
	// are refused and counted.
	MembersMax int

	// Authority signs this node's records and judges those of others before
	// they are believed. Nil leaves records unsigned and believes them: all
	// nodes of a cluster have one, or none has.
	Authority Authority
}

// DefaultLAN suits one data centre: round trips of at most a few milliseconds.
func DefaultLAN() Config {
	return Config{
		ProtocolPeriod:         time.Second,
		ProbeTimeout:           500 * time.Millisecond,
		IndirectProbes:         3,
		SuspectTimeout:         5 * time.Second,
		SuspicionMaxMult:       6,
		SuspicionConfirmations: 3,
		AwarenessMax:           7,
		GossipInterval:         200 * time.Millisecond,
		GossipFanout:           3,
		RetransmitMult:         4,
		PacketBytes:            1200,
		EnvelopeBytes:          128,
		SyncInterval:           30 * time.Second,
		JoinInterval:           time.Second,
		JoinIntervalMax:        10 * time.Second,
		HealInterval:           5 * time.Second,
		DeadRetention:          24 * time.Hour,
		LeftRetention:          10 * time.Minute,
		IsolationPeriods:       3,
		LeaveTimeout:           5 * time.Second,
		LeaveConfirmations:     3,
		MembersMax:             16384,
	}
}

// DefaultWAN suits members in several regions: round trips up to 500 ms, more
// loss. Detection takes about five times as long as with DefaultLAN.
func DefaultWAN() Config {
	c := DefaultLAN()
	c.ProtocolPeriod = 5 * time.Second
	c.ProbeTimeout = 3 * time.Second
	c.SuspectTimeout = 30 * time.Second
	c.GossipInterval = 500 * time.Millisecond
	c.GossipFanout = 4
	c.SyncInterval = 60 * time.Second
	c.JoinInterval = 2 * time.Second
	c.JoinIntervalMax = 30 * time.Second
	c.HealInterval = 10 * time.Second
	c.LeaveTimeout = 15 * time.Second
	return c
}

// DefaultLocal suits members on one machine: tests and development clusters.
func DefaultLocal() Config {
	c := DefaultLAN()
	c.ProtocolPeriod = 500 * time.Millisecond
	c.ProbeTimeout = 200 * time.Millisecond
	c.SuspectTimeout = 3 * time.Second
	c.GossipInterval = 100 * time.Millisecond
	c.SyncInterval = 15 * time.Second
	c.JoinInterval = 250 * time.Millisecond
	c.JoinIntervalMax = 2 * time.Second
	c.HealInterval = 2 * time.Second
	c.LeaveTimeout = 3 * time.Second
	return c
}

// WithProtocolPeriod returns the configuration with another ProtocolPeriod and
// ProbeTimeout in the same proportion to it.
func (c Config) WithProtocolPeriod(d time.Duration) Config {
	if c.ProtocolPeriod > 0 {
		c.ProbeTimeout = time.Duration(float64(c.ProbeTimeout) * float64(d) / float64(c.ProtocolPeriod))
	}
	c.ProtocolPeriod = d
	return c
}

const (
	packetBytesMin  = 512
	membersMaxLimit = 1 << 20
)

// Validate reports every fault at once, joined, each with its value.
func (c *Config) Validate() error {
	var errs []error
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"ProtocolPeriod", c.ProtocolPeriod}, {"ProbeTimeout", c.ProbeTimeout},
		{"SuspectTimeout", c.SuspectTimeout}, {"GossipInterval", c.GossipInterval},
		{"SyncInterval", c.SyncInterval}, {"JoinInterval", c.JoinInterval},
		{"HealInterval", c.HealInterval}, {"DeadRetention", c.DeadRetention},
		{"LeftRetention", c.LeftRetention}, {"LeaveTimeout", c.LeaveTimeout},
	} {
		if d.value < time.Millisecond {
			errs = append(errs, fmt.Errorf("swim: %s is %v: set it to 1ms or more", d.name, d.value))
		}
	}
	for _, n := range []struct {
		name      string
		value     int
		low, high int
	}{
		{"IndirectProbes", c.IndirectProbes, 0, 16},
		{"SuspicionMaxMult", c.SuspicionMaxMult, 1, 100},
		{"SuspicionConfirmations", c.SuspicionConfirmations, 0, accusersMax - 1},
		{"AwarenessMax", c.AwarenessMax, 0, 63},
		{"GossipFanout", c.GossipFanout, 1, 32},
		{"RetransmitMult", c.RetransmitMult, 1, 32},
		{"ExpectedMembers", c.ExpectedMembers, 0, membersMaxLimit},
		{"PacketBytes", c.PacketBytes, packetBytesMin, 65536},
		{"EnvelopeBytes", c.EnvelopeBytes, 0, c.PacketBytes / 2},
		{"IsolationPeriods", c.IsolationPeriods, 1, 1000},
		{"LeaveConfirmations", c.LeaveConfirmations, 1, 16},
		{"MembersMax", c.MembersMax, 2, membersMaxLimit},
	} {
		if n.value < n.low || n.value > n.high {
			errs = append(errs, fmt.Errorf("swim: %s is %d: set it to %d…%d", n.name, n.value, n.low, n.high))
		}
	}
	if c.ProbeTimeout >= c.ProtocolPeriod {
		errs = append(errs, fmt.Errorf("swim: ProbeTimeout %v is not below ProtocolPeriod %v: helpers would have no time to answer; lower the one or raise the other", c.ProbeTimeout, c.ProtocolPeriod))
	}
	if c.JoinIntervalMax < c.JoinInterval {
		errs = append(errs, fmt.Errorf("swim: JoinIntervalMax %v is below JoinInterval %v: raise it", c.JoinIntervalMax, c.JoinInterval))
	}
	if len(c.ClusterID) > clusterIDBytesMax {
		errs = append(errs, fmt.Errorf("swim: ClusterID has %d bytes: at most %d are allowed", len(c.ClusterID), clusterIDBytesMax))
	}
	return errors.Join(errs...)
}

// nackAfter is when a helper reports that it has no ack yet: at 80 % of the
// time the asking node has left for its helpers, so that the nack is there
// before the verdict.
func (c *Config) nackAfter() time.Duration {
	return min(c.ProbeTimeout, c.ProtocolPeriod-c.ProbeTimeout) * 8 / 10
}
