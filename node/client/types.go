package client

// Status is the state of a cluster as one node sees it.
type Status struct {
	ClusterID string        `json:"cluster_id"`
	Leader    uint64        `json:"leader"` // node id of the metadata group's leader, 0 where none is known
	Term      uint64        `json:"term"`
	Nodes     []Node        `json:"nodes"`  // by id
	Topics    []TopicStatus `json:"topics"` // by name
}

// Node is one member in a Status.
type Node struct {
	ID            uint64 `json:"id"`
	Name          string `json:"name"`
	Address       string `json:"address"`
	GossipAddress string `json:"gossip_address"`
	State         State  `json:"state"`
	RaftRole      Role   `json:"raft_role"`
	AppliedIndex  uint64 `json:"applied_index"` // of the metadata group; 0 where RaftRole is RoleUnknown
}

// TopicStatus is one topic in a Status.
type TopicStatus struct {
	Name       string      `json:"name"`
	Partitions []Partition `json:"partitions"`
}

// Partition says who serves one partition. Nodes are named by id.
type Partition struct {
	Partition   uint32   `json:"partition"`
	Leader      uint64   `json:"leader"` // 0: none
	LeaderEpoch uint64   `json:"leader_epoch"`
	Replicas    []uint64 `json:"replicas"`
	ISR         []uint64 `json:"isr"`
}

// State is how membership sees a node.
type State string

// The states of a node.
const (
	StateAlive   State = "alive"
	StateSuspect State = "suspect"
	StateDead    State = "dead"
	StateLeft    State = "left"
	StateUnknown State = "unknown"
)

// Role is what a node is in the Raft group of the cluster's metadata.
type Role string

// The roles of a node; RoleUnknown is that of one that did not answer in time.
const (
	RoleLeader       Role = "leader"
	RoleFollower     Role = "follower"
	RoleCandidate    Role = "candidate"
	RolePreCandidate Role = "pre_candidate"
	RoleLearner      Role = "learner"
	RoleUnknown      Role = "unknown"
)

// Members is the membership as one node sees it.
type Members struct {
	Self    uint64   `json:"self"` // id of the node that answered
	Members []Member `json:"members"`
}

// Member is one node of the membership.
type Member struct {
	ID            uint64            `json:"id"`
	Name          string            `json:"name"`
	Address       string            `json:"address"`
	GossipAddress string            `json:"gossip_address"`
	State         State             `json:"state"`
	Generation    uint64            `json:"generation"`  // of the process
	Incarnation   uint64            `json:"incarnation"` // rises when the node refutes a suspicion
	Tags          map[string]string `json:"tags"`
	RTTMicros     int64             `json:"rtt_us"` // of the last direct probe; 0 where none was answered yet
}

// Topic is one topic with its partitions.
type Topic struct {
	Name              string      `json:"name"`
	ID                string      `json:"id"` // hexadecimal; a topic created again under the name has another
	ReplicationFactor uint32      `json:"replication_factor"`
	Partitions        []Partition `json:"partitions"`
}

// Topics is one page of the topics, by name.
type Topics struct {
	Topics []Topic `json:"topics"`
	More   bool    `json:"more"` // ask again, after the last name
}

// CreateTopic is the request for a new topic.
type CreateTopic struct {
	Name              string `json:"name"` // 1 to 249 of a-z A-Z 0-9 . _ -
	Partitions        uint32 `json:"partitions"`
	ReplicationFactor uint32 `json:"replication_factor,omitempty"` // 0: the cluster's default
}

// Health is the answer of /livez and /readyz where all is well; otherwise it is an Error.
type Health struct {
	Status     string      `json:"status"` // "ok"
	Conditions []Condition `json:"conditions,omitempty"`
}

// Condition is one thing that a node needs to be ready.
type Condition struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}
