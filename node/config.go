package node

import (
	"maps"
	"slices"
	"time"
)

// AdminOff as AdminSettings.Bind switches the admin API off, for programs that embed a node and serve
// their own.
const AdminOff = "off"

// AnyPort as GossipSettings.BindPort lets the system pick a free port; port 0 means the default there.
const AnyPort = -1

// Config says who a node is, whom it talks to, and where it keeps its state. The zero value of every
// field but ID means the default that the field names; EnsureDefaults fills them in and Validate checks
// the whole. Config is a plain value: Clone it before sharing it between goroutines that change it.
//
// LoadConfig reads one from YAML and the environment; the YAML key of each field stands in brackets.
type Config struct {
	// ID is the node's number in the cluster, never 0. It is a label for people and certificates: it must
	// be unique among the members, and the node's certificate must carry it. Required. In YAML "auto"
	// takes the ordinal of a StatefulSet host name plus one, so that "rivven-0" is node 1. [node_id]
	ID uint64

	// Name is the cluster's name and the SPIFFE trust domain of its certificates: 1 to 63 of a-z, 0-9,
	// '.', '_', '-'. Default "rivven". [name]
	Name string

	// NodeName is what people call this node. Default: the host's name. [node_name]
	NodeName string

	// Bind is the host:port that the remote listens on (QUIC, so UDP). Default "0.0.0.0:9093". [bind_address]
	Bind string

	// Advertise is the host:port at which the other nodes reach this one, unique in the cluster. Default:
	// Bind where that names a host; else the host's name where hosts_file has it or it resolves to more
	// than loopback, else the address of the first usable interface, each with Bind's port. [advertise_address]
	Advertise string

	// DataDir holds all that the node must not lose; one directory serves one node.
	// Default "rivven-data/node<id>". [data_dir]
	DataDir string

	// Zone is the failure domain that replicas are spread over, such as an availability zone or a rack;
	// empty means none. Members see it as the tag "zone". [zone]
	Zone string

	// Rack is a smaller failure domain within the zone, for people and for apps; empty means none. Members
	// see it as the tag "rack". [rack]
	Rack string

	// Tags are told to all members, for people and for placement: at most 2 KiB over all keys and values. The
	// tag "version" is the build's where it is not set here. [tags]
	Tags map[string]string

	// Peers are the nodes that form the cluster at its first start, as "host:port" or "id@host:port". This
	// node itself may be among them. None, and no Gossip.KnownPeers either, makes the node bootstrap
	// alone. [raft.peers]
	Peers []string

	// HostsFile is a file in the format of /etc/hosts that is asked before the system's resolver.
	// Default: none. [hosts_file]
	HostsFile string

	Raft         RaftSettings
	Remote       RemoteSettings
	Gossip       GossipSettings
	Partitioning PartitioningSettings
	TLS          TLSSettings
	Admin        AdminSettings
	Log          LogSettings
}

// RaftSettings time every Raft group of the node. All members should agree on them.
type RaftSettings struct {
	// ElectionTimeoutMin and ElectionTimeoutMax bound how long a follower waits for its leader before it
	// stands for election. Raft draws from [Min, 2·Min), so a Max other than 2·Min is accepted with a
	// warning. Raise both where round trips come near a third of Min. Default 150 ms and 300 ms; where
	// only one is given the other follows from it. [raft.election_timeout_min_ms, raft.election_timeout_max_ms]
	ElectionTimeoutMin time.Duration
	ElectionTimeoutMax time.Duration

	// Heartbeat is how often a leader reports to its followers, at most half of ElectionTimeoutMin.
	// Default: a third of ElectionTimeoutMin, at most 50 ms. [raft.heartbeat_interval_ms]
	Heartbeat time.Duration

	// SnapshotThreshold is how many applied log entries call for a new snapshot. Lower means a shorter
	// log and faster restarts, higher means less writing. Default 10,000. [raft.snapshot_threshold]
	SnapshotThreshold uint64

	// TargetVoters is how many nodes vote on the metadata, odd and at most 7: newcomers become voters up to it, the others stay
	// learners. More survive more failures for slower writes. Default: 3, or 5 where the cluster began with five nodes or more;
	// AutopilotOff leaves the membership to the operator. [raft.target_voters]
	TargetVoters int

	// DeadVoterGrace is how long a voter may be silent before a learner takes its place; without one it stays. A learner is
	// removed after ten times as long. Default 1 min. [raft.dead_voter_grace_ms]
	DeadVoterGrace time.Duration
}

// AutopilotOff as the target leaves the voters to the operator.
const AutopilotOff = -1

// RemoteSettings bound what the messages between nodes take from the network.
type RemoteSettings struct {
	// BulkRate limits what snapshots and other large state take on the way to each peer, in KiB per second, at least
	// 64. Set it where they would crowd out other programs; within the node they hold nothing up. Default: no limit.
	// [remote.bulk_kib_per_second]
	BulkRate int
}

// GossipSettings tune membership and failure detection.
type GossipSettings struct {
	// BindPort is the UDP port of probes and gossip, on the host of Bind; the port of Bind itself shares
	// its socket, AnyPort picks a free one. Default 7946. [gossip.bind_port]
	BindPort int

	// KnownPeers are the gossip addresses of any members, as "host:port" or "id@host:port", that a node
	// asks to join. A name with several addresses contributes them all. [gossip.known_peers]
	KnownPeers []string

	// Profile sets all times of the protocol that no other key does: "lan" suits one data centre with round
	// trips of a few ms, "wan" several regions with round trips up to 500 ms and more loss, "local" one
	// machine. All members should have the same. Default "lan". [gossip.profile]
	Profile string

	// ProtocolPeriod is the time between two probes, each of one member. The first member suspects a dead
	// one after about 1.6 periods, and each sends 2/ProtocolPeriod datagrams a second; a probe counts as
	// missed after a half of it (wan 0.6, local 0.4). Shorter finds deaths sooner for more packets, and takes
	// stalls for them sooner. Default 1 s, wan 5 s, local 500 ms. [gossip.protocol_period_ms]
	ProtocolPeriod time.Duration

	// SuspectTimeout is how long a suspect may take to refute before it counts as failed, in a cluster of
	// 100 and once three others confirmed the suspicion, at least ProtocolPeriod. With N members and C
	// confirmations it is max(min, 6·min − 5·min·ln(C+1)/ln(4)), where min = SuspectTimeout·log10(max(N, 10))/2.
	// Longer where healthy nodes stand still for seconds; shorter finds deaths sooner. Default 5 s, wan 30 s,
	// local 3 s, and 5 periods where that is longer. [gossip.suspect_timeout_ms]
	SuspectTimeout time.Duration
}

// PartitioningSettings say how partitions are spread over the members.
type PartitioningSettings struct {
	// VirtualNodes is the number of points that each member has on the hash ring, 1 to 4096. More spread
	// keys more evenly for more memory. Default 128. [partitioning.virtual_nodes]
	VirtualNodes int

	// ReplicationFactor is how many replicas a partition gets where its topic does not say, 1 to 15. A topic that wants
	// more replicas than there are members is refused. Default 3. [partitioning.replication_factor]
	ReplicationFactor int

	// FailoverGrace is how long a failed member may take to come back before its partitions move.
	// Default 15 s. [partitioning.failover_grace_ms]
	FailoverGrace time.Duration
}

// TLSSettings are the PEM files of the node's mutual TLS. They are read when the node starts and again
// on reload.
type TLSSettings struct {
	CA   string // the cluster's CA certificate. Default <data_dir>/tls/ca.pem [tls.ca]
	Cert string // the node's certificate. Default <data_dir>/tls/node.pem [tls.cert]
	Key  string // its private key. Default <data_dir>/tls/node.key [tls.key]
}

// TLSFiles names the three PEM files of a node: the CA's certificate, its own and its key.
func TLSFiles(ca, cert, key string) TLSSettings {
	return TLSSettings{CA: ca, Cert: cert, Key: key}
}

// AdminSettings say where the HTTP API is served.
type AdminSettings struct {
	// Bind is the host:port of the admin API; AdminOff serves none. On an address other than loopback it
	// is served over TLS only and TokenFile is required. Default "127.0.0.1:9094". [admin.bind_address]
	Bind string

	// HealthBind is a host:port that serves nothing but /livez, /readyz and /metrics, in the clear, for
	// kubelets and Prometheus. Default: none. [admin.health_address]
	HealthBind string

	// TokenFile holds the bearer token that requests to the admin API must show. Default: none. [admin.token_file]
	TokenFile string
}

// LogSettings say what the node program logs. A node that is embedded logs to the logger it is given.
type LogSettings struct {
	Level  string // debug, info, warn or error. Default info [log.level]
	Format string // json or console. Default json [log.format]
}

// Clone returns a copy that shares no memory with c.
func (c Config) Clone() Config {
	c.Tags = maps.Clone(c.Tags)
	c.Peers = slices.Clone(c.Peers)
	c.Gossip.KnownPeers = slices.Clone(c.Gossip.KnownPeers)
	return c
}
