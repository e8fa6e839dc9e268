package swim

// Peer is a node as the carrier knows it: an authenticated id (0 if not known
// yet) and the main address that messages to it go to.
type Peer struct {
	ID      uint64
	Address string
}

// Message is what travels between cores; the types of this file are all there
// are. Messages are immutable once sent or received.
type Message interface{ isMessage() }

type (
	// Ping asks the target for an Ack on the path it came on. A process of
	// another generation answers with Mismatch.
	Ping struct {
		Seq        uint64
		Target     uint64
		Generation uint64
		Stream     bool // came over the main connection
		Updates    []Update
	}

	// Ack answers Ping, directly or through a helper.
	Ack struct {
		Seq     uint64
		Digest  uint64 // of the sender's live members
		Updates []Update
	}

	// Mismatch answers a Ping that was meant for another generation, with the
	// record of who lives there now.
	Mismatch struct {
		Seq    uint64
		Record *Record
	}

	// PingReq asks a helper to ping the target and to relay its Ack.
	PingReq struct {
		Seq        uint64
		Target     uint64
		Generation uint64
		Updates    []Update
	}

	// Nack says that the helper is well but has no ack of the target yet.
	Nack struct{ Seq uint64 }

	// Gossip spreads updates.
	Gossip struct{ Updates []Update }

	// SyncRequest opens a synchronisation.
	SyncRequest struct {
		Cluster string
		Digest  uint64
		Join    bool // send everything: the sender knows next to nobody
		Self    *Record
		// Certificate proves Self.
		Certificate []byte
	}

	// SyncEqual answers SyncRequest when the digests agree.
	SyncEqual struct{ Digest uint64 }

	// SyncBuckets answers SyncRequest when the digests differ.
	SyncBuckets struct{ Digests []uint64 }

	// SyncSummary lists the sender's members in the buckets that differ.
	SyncSummary struct {
		Buckets []uint32
		Entries []Summary
	}

	// Summary is one member in short.
	Summary struct {
		ID          uint64
		Generation  uint64
		Incarnation uint64
		State       State
	}

	// SyncRecords carries what the receiver lacks and asks for what the sender
	// lacks.
	SyncRecords struct {
		Updates []Update
		Wants   []uint64
		Last    bool // no further part follows
		// Certificates prove those of the records whose certificates the receiver may lack.
		Certificates [][]byte
	}

	// LeaveNotice is a farewell that wants an answer.
	LeaveNotice struct {
		Seq    uint64
		Record *Record
	}

	// LeaveAck answers LeaveNotice.
	LeaveAck struct{ Seq uint64 }

	// ConflictNotice tells both sides that two directories use one node id.
	ConflictNotice struct {
		Holder  *Record
		Refused *Record
	}
)

func (*Ping) isMessage()           {}
func (*Ack) isMessage()            {}
func (*Mismatch) isMessage()       {}
func (*PingReq) isMessage()        {}
func (*Nack) isMessage()           {}
func (*Gossip) isMessage()         {}
func (*SyncRequest) isMessage()    {}
func (*SyncEqual) isMessage()      {}
func (*SyncBuckets) isMessage()    {}
func (*SyncSummary) isMessage()    {}
func (*SyncRecords) isMessage()    {}
func (*LeaveNotice) isMessage()    {}
func (*LeaveAck) isMessage()       {}
func (*ConflictNotice) isMessage() {}

// Path says how a message is carried.
type Path uint8

const (
	// Datagram may be lost or reordered; at most PacketBytes.
	Datagram Path = iota + 1
	// Stream is the main connection: reliable while it stands, in order.
	Stream
)

func (p Path) String() string {
	if p == Datagram {
		return "datagram"
	}
	return "stream"
}

// Send is an effect: hand Message to the carrier.
type Send struct {
	To      Peer
	Path    Path
	Message Message
}
