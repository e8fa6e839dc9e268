package raftactor

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// Peer is one replica of a group and where its node lives.
type Peer struct {
	NodeID  uint64
	Replica uint64 // actors.ReplicaID of the node's directory
	Address string // the node's main address
}

// Config is one replica of one group.
type Config struct {
	// Group names the group; its actor is raft/<group> on every node. At most 128 bytes, no slash.
	Group string
	// NodeID and Replica are this node's; both zero take them from the store's identity.
	NodeID  uint64
	Replica uint64
	// Peers are the group's first voters, this replica among them and the same list on each. They are written where
	// the store knows nothing of the group, and ignored where it does. Without them a replica that the store doesn't
	// know waits until a leader adds it.
	Peers []Peer

	// ElectionTimeoutMin is how long a follower waits for its leader. etcd raft draws the wait from [min, 2·min), so
	// a maximum other than 2·min is not honoured: it is accepted with a warning. Default 150 ms and 300 ms.
	ElectionTimeoutMin, ElectionTimeoutMax time.Duration
	// HeartbeatInterval is how often a leader shows itself; below ElectionTimeoutMin/2. Default 50 ms.
	HeartbeatInterval time.Duration

	// RestAfter is how long nothing must have happened before the group rests: it is ticked no more and sends no heartbeats, until
	// a request, a message or the loss of a peer wakes it. At least two heartbeat intervals; negative: never. Default 1 s.
	RestAfter time.Duration

	// SnapshotThreshold is how many entries are applied before the next snapshot; SnapshotTrailing is how many entries
	// below it stay in the log, so that a replica that is a little behind needs no snapshot. Default 10,000 and 1,000.
	SnapshotThreshold, SnapshotTrailing uint64

	// Machine makes a fresh state machine, at each start of the group.
	Machine func() consensus.Machine
	// Store is the node's log store.
	Store logstore.Handle
	// Membership is the membership actor, where there is one: its members keep the peers' addresses current.
	Membership *actor.PID
	// Ticks is the timer of all groups. Default the local actor "ticks".
	Ticks *actor.PID

	// MaxCommandBytes bounds one command, encoded; a larger one is refused with CODE_TOO_LARGE. Default 1 MiB.
	MaxCommandBytes int
	// MaxPending bounds, each on its own, the proposals that wait for their result, those that were forwarded, and
	// the reads that wait. Over it a request is refused with CODE_BUSY. Default 16,384.
	MaxPending int
	// MaxSizePerMsg, MaxInflightMsgs, MaxInflightBytes are the flow control towards one follower; MaxUncommittedSize
	// bounds the entries that wait for a quorum. Default 1 MiB, 256, 16 MiB, 64 MiB: what is in flight to one node shares the
	// remote's 64 MiB of appends that wait for it.
	MaxSizePerMsg, MaxInflightBytes, MaxUncommittedSize uint64
	MaxInflightMsgs                                     int
	// RequestTimeout bounds a forwarded request and a read. Default 10 s.
	RequestTimeout time.Duration
}

const (
	maxGroupName    = 128
	maxCommandBytes = 3 << 20 // an append frame is at most 4 MiB
)

// EnsureDefaults fills what is zero.
func (c *Config) EnsureDefaults() {
	setDefault(&c.ElectionTimeoutMin, 150*time.Millisecond)
	setDefault(&c.ElectionTimeoutMax, 2*c.ElectionTimeoutMin)
	setDefault(&c.HeartbeatInterval, 50*time.Millisecond)
	setDefault(&c.RestAfter, max(restAfter, 2*c.ElectionTimeoutMin))
	setDefault(&c.SnapshotThreshold, 10_000)
	setDefault(&c.SnapshotTrailing, 1_000)
	setDefault(&c.MaxCommandBytes, 1<<20)
	setDefault(&c.MaxPending, 16_384)
	setDefault(&c.MaxSizePerMsg, 1<<20)
	setDefault(&c.MaxInflightMsgs, 256)
	setDefault(&c.MaxInflightBytes, 16<<20)
	setDefault(&c.MaxUncommittedSize, 64<<20)
	setDefault(&c.RequestTimeout, 10*time.Second)
	if c.NodeID == 0 && c.Replica == 0 {
		if s, ok := c.Store.Reader.(interface{ Identity() logstore.Identity }); ok {
			id := s.Identity()
			c.NodeID, c.Replica = id.NodeID, actors.ReplicaID(id.DirectoryID)
		}
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate returns all faults at once.
func (c *Config) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(!validGroup(c.Group), "group %.140q: want 1 to %d letters, digits, '-', '_' or '.'", c.Group, maxGroupName)
	fault(c.NodeID == 0, "node id is zero: set NodeID, or a store that has an identity")
	fault(!validReplica(c.Replica), "replica id %d is reserved: use actors.ReplicaID of the node's directory", c.Replica)
	fault(c.Machine == nil, "machine is missing: set a factory")
	fault(c.Store.Writer == nil, "store has no writer: take the handle of the node's log store")
	fault(c.Store.Reader == nil, "store has no reader: take the handle of the node's log store")
	fault(c.Store.Snapshots == nil, "store has no snapshot actor: take the handle of the node's log store")
	fault(c.Store.Files == nil, "store has no snapshot files: take the handle of the node's log store")
	fault(c.HeartbeatInterval < time.Millisecond, "heartbeat interval %v: want at least 1ms", c.HeartbeatInterval)
	fault(c.ElectionTimeoutMin < 2*c.HeartbeatInterval, "election timeout minimum %v: want at least twice the heartbeat interval %v",
		c.ElectionTimeoutMin, c.HeartbeatInterval)
	fault(c.ElectionTimeoutMin > time.Minute, "election timeout minimum %v: want at most 1m", c.ElectionTimeoutMin)
	fault(c.ElectionTimeoutMax <= c.ElectionTimeoutMin, "election timeout maximum %v: want more than the minimum %v",
		c.ElectionTimeoutMax, c.ElectionTimeoutMin)
	fault(c.RestAfter >= 0 && c.RestAfter < 2*c.HeartbeatInterval, "rest after %v: want at least twice the heartbeat interval %v, or less than zero for never",
		c.RestAfter, c.HeartbeatInterval)
	fault(c.MaxCommandBytes < 0 || c.MaxCommandBytes > maxCommandBytes, "max command bytes %d: want at most %d", c.MaxCommandBytes, maxCommandBytes)
	fault(c.MaxPending < 0, "max pending %d: want more than 0", c.MaxPending)
	fault(c.MaxSizePerMsg > maxCommandBytes, "max size per message %d: want at most %d", c.MaxSizePerMsg, maxCommandBytes)
	fault(c.MaxInflightMsgs < 0, "max inflight messages %d: want more than 0", c.MaxInflightMsgs)
	fault(c.MaxInflightBytes < c.MaxSizePerMsg, "max inflight bytes %d: want at least max size per message %d", c.MaxInflightBytes, c.MaxSizePerMsg)
	fault(c.RequestTimeout < 0, "request timeout %v: want more than 0", c.RequestTimeout)
	faults = append(faults, c.validatePeers()...)
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("raft group %.140q: %w", c.Group, errors.Join(faults...))
}

func (c *Config) validatePeers() []error {
	var faults []error
	nodes, replicas := map[uint64]bool{}, map[uint64]bool{}
	for _, p := range c.Peers {
		switch {
		case p.NodeID == 0:
			faults = append(faults, fmt.Errorf("peer at %q: node id is zero", p.Address))
		case nodes[p.NodeID]:
			faults = append(faults, fmt.Errorf("peer node %d is listed twice", p.NodeID))
		case !validReplica(p.Replica):
			faults = append(faults, fmt.Errorf("peer node %d: replica id %d is reserved", p.NodeID, p.Replica))
		case replicas[p.Replica]:
			faults = append(faults, fmt.Errorf("peer node %d: replica id %d is listed twice", p.NodeID, p.Replica))
		case p.Address == "":
			faults = append(faults, fmt.Errorf("peer node %d: address is empty", p.NodeID))
		case p.NodeID == c.NodeID && p.Replica != c.Replica:
			faults = append(faults, fmt.Errorf("peer node %d is this node with replica id %d, but its directory's is %d", p.NodeID, p.Replica, c.Replica))
		}
		nodes[p.NodeID], replicas[p.Replica] = true, true
	}
	return faults
}

// tick is a tenth of a heartbeat: a coarser one leaves few election timeouts to choose from, and splits votes.
func (c *Config) tick() time.Duration { return max(c.HeartbeatInterval/10, time.Millisecond) }

func (c *Config) heartbeatTicks() int { return int(c.HeartbeatInterval / c.tick()) }

func (c *Config) electionTicks() int { return int(c.ElectionTimeoutMin / c.tick()) }

func validReplica(id uint64) bool { return id != 0 && id < math.MaxUint64-1 }

func validGroup(name string) bool {
	if name == "" || len(name) > maxGroupName || name == "." || name == ".." {
		return false
	}
	for _, r := range []byte(name) {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.') {
			return false
		}
	}
	return true
}
