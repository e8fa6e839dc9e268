package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// RaftNode is what one node has of Raft: its groups, and how its disk does.
type RaftNode struct {
	NodeID uint64   `json:"node_id"`
	Groups []string `json:"groups"` // by name
	Disk   RaftDisk `json:"disk"`
}

// RaftDisk is how the log store of a node does. Times are those of batches of writes, until they were durable.
type RaftDisk struct {
	FileBytes     uint64 `json:"file_bytes"` // 0: there is no file
	LiveBytes     uint64 `json:"live_bytes"` // of it, entries that some group still has
	QueuedBytes   uint64 `json:"queued_bytes"`
	InFlightMicro int64  `json:"in_flight_us"` // how long the batch on its way is; 0: none is
	Batches       uint64 `json:"batches"`      // since the start
	MedianMicro   int64  `json:"fsync_median_us"`
	P99Micro      int64  `json:"fsync_p99_us"`
	WorstMicro    int64  `json:"fsync_worst_us"` // of the last 1,024
	Error         string `json:"error,omitempty"`
}

// RaftGroup is one group, as its replicas on the nodes that answered see it.
type RaftGroup struct {
	Group    string        `json:"group"`
	Leader   uint64        `json:"leader"` // node id, 0 where none is known
	Term     uint64        `json:"term"`
	Replicas []RaftReplica `json:"replicas"` // by node id
}

// RaftReplica is one replica of a group. Of one that did not answer there is only what the leader knows.
type RaftReplica struct {
	NodeID        uint64 `json:"node_id"`
	Replica       string `json:"replica"` // decimal: it needs all 64 bits
	Address       string `json:"address"`
	Role          Role   `json:"role"`
	Voter         bool   `json:"voter"`
	Term          uint64 `json:"term"`
	Commit        uint64 `json:"commit"`
	Applied       uint64 `json:"applied"`
	FirstIndex    uint64 `json:"first_index"`
	LastIndex     uint64 `json:"last_index"`
	LogBytes      uint64 `json:"log_bytes"`
	SnapshotIndex uint64 `json:"snapshot_index"`
	SnapshotBytes uint64 `json:"snapshot_bytes"`
	SnapshotAgeMs int64  `json:"snapshot_age_ms"` // -1: before the node's start
	WriteMs       int64  `json:"write_ms"`        // how long its oldest write waits for the disk
	Halted        string `json:"halted,omitempty"`
	// Lag is what the leader knows of a follower; nil where no leader answered, and of the leader itself.
	Lag *RaftLag `json:"lag,omitempty"`
}

// RaftLag is how far a replica is behind its leader.
type RaftLag struct {
	Match        uint64 `json:"match"`   // its log is the leader's up to here
	Entries      uint64 `json:"entries"` // that it is not known to have
	Ms           int64  `json:"ms"`      // since the leader appended the oldest of them
	Active       bool   `json:"active"`  // heard of lately
	Snapshotting bool   `json:"snapshotting"`
}

// RaftTransferred is the answer to a transfer of leadership.
type RaftTransferred struct {
	Leader uint64 `json:"leader"` // node id
	Term   uint64 `json:"term"`
}

// RaftChange is what is done to a node's replica.
type RaftChange string

// The changes of a group's members. A newcomer is a learner first; one that is promoted votes.
const (
	RaftAddLearner RaftChange = "add-learner"
	RaftPromote    RaftChange = "promote"
	RaftDemote     RaftChange = "demote"
	RaftRemove     RaftChange = "remove"
)

// RaftMembers is the answer to a change of the members: node ids, as of an index of the log.
type RaftMembers struct {
	Index    uint64   `json:"index"`
	Voters   []uint64 `json:"voters"`
	Learners []uint64 `json:"learners"`
}

// RaftSnapshot is the answer to the request for a snapshot.
type RaftSnapshot struct {
	Index uint64 `json:"index"`
}

// Raft says what the node that answers has of Raft.
func (c *Client) Raft(ctx context.Context) (*RaftNode, error) {
	return get[RaftNode](ctx, c, "/v1/raft", nil)
}

// RaftGroup asks all members for their replicas of a group.
func (c *Client) RaftGroup(ctx context.Context, group string) (*RaftGroup, error) {
	return get[RaftGroup](ctx, c, "/v1/raft/"+segment(group), nil)
}

// TransferLeadership hands a group's leadership to a node's replica; 0 leaves the choice to the leader.
func (c *Client) TransferLeadership(ctx context.Context, group string, to uint64) (*RaftTransferred, error) {
	query := url.Values{}
	if to != 0 {
		query.Set("to", strconv.FormatUint(to, 10))
	}
	return send[RaftTransferred](ctx, c, call{method: http.MethodPost, path: "/v1/raft/" + segment(group) + "/transfer", query: query})
}

// TakeSnapshot makes the node that answers take a snapshot of its replica now.
func (c *Client) TakeSnapshot(ctx context.Context, group string) (*RaftSnapshot, error) {
	return send[RaftSnapshot](ctx, c, call{method: http.MethodPost, path: "/v1/raft/" + segment(group) + "/snapshot"})
}

// ChangeRaftMember changes what a node's replica is in a group. replica, in decimal, says which one where the node has several, of
// disks that it lost; else it is empty.
func (c *Client) ChangeRaftMember(ctx context.Context, group string, change RaftChange, node uint64, replica string) (*RaftMembers, error) {
	query := url.Values{"change": {string(change)}, "node": {strconv.FormatUint(node, 10)}}
	if replica != "" {
		query.Set("replica", replica)
	}
	return send[RaftMembers](ctx, c, call{method: http.MethodPost, path: "/v1/raft/" + segment(group) + "/members", query: query})
}
