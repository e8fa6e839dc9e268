package placement

// Status is what the cluster knows of a node.
type Status uint8

const (
	// Failed nodes hold what they hold, but leave in-sync sets and lose leadership.
	// It is the zero value, so that a node nobody vouches for gets nothing.
	Failed Status = iota
	// Left nodes went for good; they are treated like Failed ones.
	Left
	// Unreachable nodes are within their grace period: they keep what they have and get nothing new.
	Unreachable
	// Alive nodes may get replicas and leadership.
	Alive
)

// String returns the status in lower case.
func (s Status) String() string {
	switch s {
	case Failed:
		return "failed"
	case Left:
		return "left"
	case Unreachable:
		return "unreachable"
	case Alive:
		return "alive"
	}
	return "unknown"
}

// MaxWeight of a node.
const MaxWeight = 1 << 16

// MaxReplicationFactor of a partition.
const MaxReplicationFactor = 16

// Node is one entry of the committed registry.
type Node struct {
	ID     uint64 // never 0
	Zone   string // nodes without one share the zone ""
	Weight uint32 // share of the load, 0…MaxWeight; 0 takes nothing new
	Status Status
	Drain  bool // takes nothing new and gives its leadership away
}

func (n *Node) eligible() bool { return n.Status == Alive && !n.Drain && n.Weight > 0 }

// gone says that the node's replicas can't be counted on.
func (n *Node) gone() bool { return n.Status == Failed || n.Status == Left }

// Partition is one entry of the committed table, or with empty Replicas one that is to be assigned.
type Partition struct {
	Topic             string
	Index             uint32
	ReplicationFactor int // 1…MaxReplicationFactor; read only for new partitions
	MinISR            int // the in-sync set never shrinks below it
	Leader            uint64
	Replicas          []uint64
	ISR               []uint64
	// ImmediateSync says that replicas hold no data to catch up with: they are in sync once alive.
	ImmediateSync bool
	// UncleanElection lets a replica outside the in-sync set lead when nothing else is left.
	UncleanElection bool
	// LeaderRestarted says that the leader is another process than the one that was elected.
	LeaderRestarted bool
}

// Config of a run.
type Config struct {
	// BalanceLeaders moves leaders between live in-sync replicas until they are even.
	BalanceLeaders bool
}

// Reason says why a move is planned.
type Reason uint8

const (
	// Assign gives a new partition its replicas and leader.
	Assign Reason = iota + 1
	// ReplicaFailed takes gone replicas out of the in-sync set.
	ReplicaFailed
	// ReplicaSynced puts live replicas into the in-sync set.
	ReplicaSynced
	// LeaderFailed elects an in-sync replica because the leader is gone.
	LeaderFailed
	// UncleanElection elects a replica that was not in sync, for none was alive.
	UncleanElection
	// LeaderRestarted elects the same node again, so that the epoch fences its former process.
	LeaderRestarted
	// LeaderDrained moves leadership off a draining node.
	LeaderDrained
	// LeaderBalance moves leadership to even out the load.
	LeaderBalance
)

// String returns the reason as it is shown to operators.
func (r Reason) String() string {
	switch r {
	case Assign:
		return "assign new partition"
	case ReplicaFailed:
		return "replica failed"
	case ReplicaSynced:
		return "replica is back in sync"
	case LeaderFailed:
		return "leader failed"
	case UncleanElection:
		return "unclean election"
	case LeaderRestarted:
		return "leader restarted"
	case LeaderDrained:
		return "leader drains"
	case LeaderBalance:
		return "balance leaders"
	}
	return "unknown"
}

// urgency orders a plan: a caller that can make only some of the moves gives partitions leaders first. Moves of one
// partition are made in this order anyway.
func (r Reason) urgency() int {
	switch r {
	case LeaderFailed, UncleanElection, LeaderRestarted:
		return 0
	case LeaderDrained:
		return 2
	case LeaderBalance:
		return 3
	}
	return 1
}

// Move is one change of one partition. Replicas, ISR and Leader are the state
// after it; the leader comes first in Replicas of an Assign.
type Move struct {
	Topic    string
	Index    uint32
	Reason   Reason
	Replicas []uint64
	ISR      []uint64
	Leader   uint64
}

// Stuck names a partition that needs help which the nodes at hand can't give.
type Stuck struct {
	Topic string
	Index uint32
	Cause string
}

// Plan is the result of Solve. Moves are in the order in which they are to be
// made, the most urgent first; a partition may appear more than once.
type Plan struct {
	Moves []Move
	Stuck []Stuck
	// Digest of the table that all moves lead to, equal to Digest of that table.
	Digest uint64
}
