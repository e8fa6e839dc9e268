package remote

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
)

const (
	helloMagic = 0x52565652 // "RVVR"
	wireMin    = 1
	wireMax    = 1

	helloNameMax    = 255
	helloClusterMax = 128
)

func (c *core) hello() *Hello {
	self := c.self.Load()
	id := self.DirectoryID
	return &Hello{
		Magic: helloMagic, WireMin: wireMin, WireMax: wireMax,
		ClusterId: self.ClusterID, NodeId: self.NodeID, Name: self.Name, DirectoryId: id[:], Generation: self.Generation,
		Address: self.Address, GossipAddress: self.GossipAddress,
		Limits: &FrameLimits{
			StreamFrameBytesMax: streamFrameMax, BulkFrameBytesMax: bulkFrameMax, DatagramBytesMax: datagramMax,
			BulkMessageBytesMax: bulkMessageMax,
		},
	}
}

func encodeGreeting(g *Greeting) []byte {
	b, err := proto.Marshal(g)
	if err != nil {
		panic(fmt.Sprintf("remote: a greeting of this node's own can't be encoded: %v", err))
	}
	return b
}

// helloTo is what is said to whom was reached under an address.
func (c *core) helloTo(address string) *Hello {
	h := c.hello()
	h.Dialed = address
	return h
}

func helloGreeting(h *Hello) []byte {
	return encodeGreeting(&Greeting{Body: &Greeting_Hello{Hello: h}})
}

func ackGreeting(h *Hello) []byte {
	return encodeGreeting(&Greeting{Body: &Greeting_HelloAck{HelloAck: &HelloAck{Hello: h, Wire: wireMax}}})
}

func goAwayGreeting(code Code, reason string) []byte {
	return encodeGreeting(&Greeting{Body: &Greeting_GoAway{GoAway: &GoAway{Code: uint32(code), Reason: reason}}})
}

func goAwayAckGreeting() []byte {
	return encodeGreeting(&Greeting{Body: &Greeting_GoAwayAck{GoAwayAck: &GoAwayAck{}}})
}

func decodeGreeting(b []byte) (*Greeting, error) {
	var g Greeting
	if len(b) > greetingMax {
		return nil, &CloseError{Code: CodeFrameTooLarge, Reason: fmt.Sprintf("a greeting of %d bytes: at most %d", len(b), greetingMax)}
	}
	if err := proto.Unmarshal(b, &g); err != nil || g.Body == nil {
		return nil, protocolError("a greeting can't be read")
	}
	return &g, nil
}

// checkHello says who sent a Hello, or why there is no talking to it. certified is the node of its certificate.
func (c *core) checkHello(h *Hello, certified uint64) (*actors.PeerInfo, *CloseError) {
	if h == nil || h.Magic != helloMagic {
		return nil, protocolError("no Hello of this protocol")
	}
	if h.WireMin > wireMax || h.WireMax < wireMin || h.WireMin > h.WireMax {
		return nil, &CloseError{Code: CodeVersion, Reason: fmt.Sprintf("node %d speaks wire versions %d to %d, and this is %d to %d", h.NodeId, h.WireMin, h.WireMax, wireMin, wireMax)}
	}
	directory, ok := actors.IDFromBytes(h.DirectoryId)
	switch {
	case !ok:
		return nil, protocolError("a directory id of %d bytes", len(h.DirectoryId))
	case h.NodeId == 0 || h.Generation == 0:
		return nil, protocolError("node id and generation must not be 0")
	case len(h.Name) > helloNameMax || len(h.ClusterId) > helloClusterMax:
		return nil, protocolError("a name of %d bytes in a cluster id of %d: at most %d and %d", len(h.Name), len(h.ClusterId), helloNameMax, helloClusterMax)
	case checkAddress(h.Address) != nil:
		return nil, protocolError("%v", checkAddress(h.Address))
	case checkAddress(h.GossipAddress) != nil:
		return nil, protocolError("%v", checkAddress(h.GossipAddress))
	case len(h.Dialed) > addressMax:
		return nil, protocolError("an address of %d bytes", len(h.Dialed))
	case h.NodeId != certified:
		return nil, &CloseError{Code: CodeIdentity, Reason: fmt.Sprintf("it says that it is node %d, and its certificate names node %d", h.NodeId, certified)}
	}
	if refusal := c.blocks(h.NodeId); refusal != nil {
		return nil, refusal
	}
	self := c.self.Load()
	if h.ClusterId != "" && self.ClusterID != "" && h.ClusterId != self.ClusterID {
		return nil, &CloseError{Code: CodeCluster, Reason: fmt.Sprintf("node %d belongs to cluster %s, and node %d to %s", h.NodeId, quoteShort(h.ClusterId), self.NodeID, quoteShort(self.ClusterID))}
	}
	if refusal := c.claims(h); refusal != nil {
		return nil, refusal
	}
	if h.NodeId == self.NodeID && directory != self.DirectoryID {
		return nil, &CloseError{Code: CodeDuplicate, Reason: fmt.Sprintf("two nodes claim the id %d: directory %s at %s, and directory %s at %s", h.NodeId, directory, h.Address, self.DirectoryID, self.Address)}
	}
	return &actors.PeerInfo{
		NodeID: h.NodeId, Name: h.Name, ClusterID: h.ClusterId, DirectoryID: directory, Generation: h.Generation,
		Address: h.Address, GossipAddress: h.GossipAddress,
	}, nil
}

func (c *core) isSelf(info *actors.PeerInfo) bool {
	self := c.self.Load()
	return info.NodeID == self.NodeID && info.DirectoryID == self.DirectoryID
}

// logRefusal writes and announces why two nodes do not talk, once for each reason.
func (c *core) logRefusal(node uint64, remote string, err *CloseError) {
	c.metrics.refusedConns.add(err.Code)
	if c.refusals.first(node, remote, err.Code) {
		c.log.Warn("peer refused", refusalFields(node, remote, err)...)
		c.announce(&PeerRefusedEvent{NodeID: node, RemoteAddress: remote, Code: err.Code, Reason: err.Reason, ByPeer: err.Remote})
	}
}

func nodeName(node uint64) string { return fmt.Sprintf("node %d", node) }

// announced returns the largest frame of a class that both nodes take.
func announced(class actors.Class, limits *FrameLimits) int {
	theirs := limits.GetStreamFrameBytesMax()
	switch class {
	case actors.Bulk:
		theirs = limits.GetBulkFrameBytesMax()
	case actors.Datagram:
		theirs = limits.GetDatagramBytesMax()
	}
	if own := FrameLimit(class); theirs == 0 || int64(theirs) > int64(own) {
		return own
	}
	return int(theirs)
}
