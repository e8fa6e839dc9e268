package actors

import "fmt"

// Inbound wraps every message that another node sent to a reserved name. Peer is who the connection's certificate
// says it is; a Sender in the envelope is only a return address and proves nothing.
type Inbound struct {
	Peer    *PeerInfo
	Class   Class
	Message any
}

// PeerInfo is who lives at an address, as its Hello said and its certificate proved. Immutable.
type PeerInfo struct {
	NodeID      uint64
	Name        string
	ClusterID   string // empty while the node belongs to no cluster
	DirectoryID ID
	Generation  uint64 // of the process: max(stored + 1, Unix ms of its start)
	// Address is the main address, the one that PIDs carry. GossipAddress is a dial target only.
	Address       string
	GossipAddress string
}

// Replica is the Raft id of the peer's replicas.
func (p *PeerInfo) Replica() uint64 { return ReplicaID(p.DirectoryID) }

func (p *PeerInfo) String() string {
	return fmt.Sprintf("node %d (%s) at %s, directory %s", p.NodeID, p.Name, p.Address, p.DirectoryID)
}

// Resolve asks the actor "remote" who lives at an address; main and gossip addresses and their aliases all do.
// The answer is a *Resolved, always: within the remote's dial deadline, with Err where nobody answered.
// Local message.
type Resolve struct{ Address string }

// Lookup asks the actor "remote" what addresses a host:port stands for: a name may have several, as that of a
// Kubernetes headless service has, and each may be another node. The answer is a *LookedUp, always. Local message.
type Lookup struct{ Address string }

// LookedUp answers Lookup with at most 64 addresses, sorted, each fit for Resolve; the one asked for where it is a literal or
// the name has a single one. Without Err there is at least one.
type LookedUp struct {
	Address   string
	Addresses []string
	Err       error
}

// Resolved answers Resolve. Exactly one of Peer and Err is set.
type Resolved struct {
	Address string
	Peer    *PeerInfo
	Err     error
}

// SubscribePeers asks the actor "remote" for [PeerUp] and [PeerDown]: first a PeerUp for each connected peer, then
// changes, in order, until the subscriber stops; a restart of "remote" shows as PeerDown for all. Local message.
type SubscribePeers struct{}

// PeerUp says that a session with the peer stands. It comes again for a connected peer whose Hello changed, such as one that joined a
// cluster. A session also stands while its connection rests because nobody used it: what is sent opens it again.
type PeerUp struct{ Peer *PeerInfo }

// PeerDown says that the session is gone; what was in flight may or may not have arrived. That of a peer whose connection rests is told
// when it can't be opened again, or when the membership calls the peer dead.
type PeerDown struct {
	Peer   *PeerInfo
	Reason string
}

// PeerVerdict tells the actor "remote" what the membership knows, so that it stops or resumes dialing. It never
// closes a connection that is receiving. With GossipAddress, which may be empty, datagrams need no main connection
// to learn it from. Local message.
type PeerVerdict struct {
	NodeID        uint64
	Address       string
	GossipAddress string
	Alive         bool
}

// SetClusterID tells the actor "remote" which cluster this node belongs to from now on; Hellos carry it. It is set
// once, by bootstrap; another value later is refused with a panic of the remote. The answer is *ClusterIDSet.
// Local message.
type SetClusterID struct{ ClusterID string }

// ClusterIDSet answers SetClusterID.
type ClusterIDSet struct{}
