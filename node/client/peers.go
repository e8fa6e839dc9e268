package client

import "context"

// Peers returns the connections of the node that answers.
func (c *Client) Peers(ctx context.Context) (*Peers, error) {
	return get[Peers](ctx, c, "/v1/peers", nil)
}

// Peers are the nodes that one node exchanges messages with, as its connections see them.
type Peers struct {
	Self        uint64 `json:"self"`        // id of the node that answered
	Connections int    `json:"connections"` // that others dialed
	HalfOpen    int    `json:"half_open"`   // those of them that have not said who they are
	Peers       []Peer `json:"peers"`       // by address
}

// Peer is one of them. Counters began with the process of the node that answered.
type Peer struct {
	ID          uint64               `json:"id"` // 0 where it never answered
	Name        string               `json:"name"`
	Address     string               `json:"address"`
	Generation  uint64               `json:"generation"` // of its process
	State       PeerState            `json:"state"`
	Failures    int                  `json:"failures"`   // attempts that failed since it was last connected
	LastError   string               `json:"last_error"` // of the last attempt that failed or session that was lost
	Reconnects  uint64               `json:"reconnects"`
	RTTMicros   int64                `json:"rtt_us"` // smoothed; 0 where no connection stands
	PacketsSent uint64               `json:"packets_sent"`
	PacketsLost uint64               `json:"packets_lost"`
	WatchesOut  int                  `json:"watches_out"` // of its actors
	WatchesIn   int                  `json:"watches_in"`  // of this node's actors
	Classes     map[string]PeerClass `json:"classes"`     // by delivery class
}

// PeerClass is what one delivery class carried.
type PeerClass struct {
	SentMessages     uint64            `json:"sent_messages"`
	SentBytes        uint64            `json:"sent_bytes"`
	ReceivedMessages uint64            `json:"received_messages"`
	ReceivedBytes    uint64            `json:"received_bytes"`
	QueuedBytes      int               `json:"queued_bytes"`
	QueuedBytesMax   int               `json:"queued_bytes_max"`
	Dropped          map[string]uint64 `json:"dropped"` // messages by reason
}

// PeerState is how far a node's own connection to a peer is.
type PeerState string

// The states of a peer.
const (
	PeerIdle       PeerState = "idle"
	PeerConnecting PeerState = "connecting"
	PeerConnected  PeerState = "connected"
	PeerLeaving    PeerState = "leaving"
	PeerDown       PeerState = "down"
)
