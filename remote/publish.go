package remote

import (
	"strconv"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

const (
	publishInterval = 5 * time.Second
	// Beyond so many nodes in the life of a process the others share one label, so that metrics stay bounded.
	publishedNodesMax = 512
	otherNodes        = "other"
)

// nodeMetrics are the instruments of one peer, labelled with its node id. They follow the peer's status every few seconds, so that a
// message costs nothing more for them.
type nodeMetrics struct {
	sent, received, sentBytes, receivedBytes [actors.Classes]actors.Counter
	queued                                   [actors.Classes]actors.Gauge
	reconnects, packetsSent, packetsLost     actors.Counter
	rtt                                      actors.Gauge
	// dropped are made with the first message of a class that a reason takes: most never are.
	dropped [actors.Classes][drops]actors.Counter
	drops   func(actors.Class, drop) actors.Counter
}

func newNodeMetrics(m actors.Metrics, node string) *nodeMetrics {
	n := &nodeMetrics{
		reconnects:  m.Counter("rivven_remote_peer_reconnects_total", "Sessions with a node after its first.", "node", node),
		packetsSent: m.Counter("rivven_remote_peer_sent_packets_total", "Packets sent to a node.", "node", node),
		packetsLost: m.Counter("rivven_remote_peer_lost_packets_total", "Packets to a node that were lost.", "node", node),
		rtt:         m.Gauge("rivven_remote_peer_rtt_seconds", "Smoothed round trip of the main connection to a node; 0 where none stands.", "node", node),
	}
	n.drops = func(class actors.Class, why drop) actors.Counter {
		return m.Counter("rivven_remote_peer_dropped_messages_total", "Messages to a node that went to dead letters.",
			"node", node, "class", class.String(), "reason", why.String())
	}
	for class := actors.Class(0); class < actors.Classes; class++ {
		label := class.String()
		n.sent[class] = m.Counter("rivven_remote_peer_sent_messages_total", "Messages handed to a connection to a node.", "node", node, "class", label)
		n.received[class] = m.Counter("rivven_remote_peer_received_messages_total", "Messages that came from a node.", "node", node, "class", label)
		n.sentBytes[class] = m.Counter("rivven_remote_peer_sent_bytes_total", "Bytes of frames handed to a connection to a node.", "node", node, "class", label)
		n.receivedBytes[class] = m.Counter("rivven_remote_peer_received_bytes_total", "Bytes of frames that came from a node.", "node", node, "class", label)
		n.queued[class] = m.Gauge("rivven_remote_peer_queued_bytes", "Bytes that wait for a connection to a node.", "node", node, "class", label)
	}
	return n
}

// publish adds what changed between two statuses of a peer.
func (n *nodeMetrics) publish(was, is *PeerStatus) {
	n.reconnects.Add(since(was.Reconnects, is.Reconnects))
	n.packetsSent.Add(since(was.PacketsSent, is.PacketsSent))
	n.packetsLost.Add(since(was.PacketsLost, is.PacketsLost))
	n.rtt.Set(is.RTT.Seconds())
	for class := range is.Classes {
		a, b := &was.Classes[class], &is.Classes[class]
		n.sent[class].Add(since(a.SentMessages, b.SentMessages))
		n.received[class].Add(since(a.ReceivedMessages, b.ReceivedMessages))
		n.sentBytes[class].Add(since(a.SentBytes, b.SentBytes))
		n.receivedBytes[class].Add(since(a.ReceivedBytes, b.ReceivedBytes))
		n.publishDrops(actors.Class(class), a, b) //nolint:gosec // five of them
		n.queued[class].Set(float64(b.QueuedBytes))
	}
}

func (n *nodeMetrics) publishDrops(class actors.Class, was, is *ClassStatus) {
	for why := range drops {
		more := since(was.Dropped[why.String()], is.Dropped[why.String()])
		if more == 0 {
			continue
		}
		if n.dropped[class][why] == nil {
			n.dropped[class][why] = n.drops(class, why)
		}
		n.dropped[class][why].Add(more)
	}
}

// since is 0 for a number that went back, as that of lost packets may.
func since(was, is uint64) uint64 { return is - min(was, is) }

// DroppedMessages is their number over all reasons.
func (s *ClassStatus) DroppedMessages() uint64 {
	var sum uint64
	for _, n := range s.Dropped {
		sum += n
	}
	return sum
}

// packetCounts are the packets of all connections of one kind.
type packetCounts struct{ ended, published uint64 }

// publishKinds shows what each kind of connection costs.
func (m *manager) publishKinds() {
	var open [kinds]int
	var sent [kinds]uint64
	for _, id := range m.connIDs() {
		if c := m.conns[id]; c.peer != nil {
			open[c.conn.Kind()]++
			sent[c.conn.Kind()] += pathOf(c.conn).PacketsSent
		}
	}
	for kind := range m.packets {
		p := &m.packets[kind]
		m.core.metrics.open[kind].Set(float64(open[kind]))
		m.core.metrics.packets[kind].Add(since(p.published, p.ended+sent[kind]))
		p.published = max(p.published, p.ended+sent[kind])
	}
}

func (m *manager) publishLater(ctx actor.Context) {
	m.publishing = m.core.env.After(publishInterval, ctx.Self(), &publishTick{})
}

// publishMetrics brings the instruments of every peer up to date. Peers that never said who they are have none.
func (m *manager) publishMetrics(ctx actor.Context) {
	m.publishKinds()
	paths := m.paths()
	for _, p := range m.core.peers.all() {
		info := p.facts.info.Load()
		if info == nil || p.alias.Load() != nil || p.self.Load() {
			continue
		}
		is := p.status(paths[p])
		was := p.published
		if was == nil {
			was = &PeerStatus{}
		}
		m.core.nodeMetricsOf(info.NodeID).publish(was, &is)
		is.PacketsLost = max(is.PacketsLost, was.PacketsLost) // the transport takes back what arrives after all
		p.published = &is
	}
	m.publishLater(ctx)
}

// nodeMetricsOf is called in the turns of the actor "remote" alone.
func (c *core) nodeMetricsOf(node uint64) *nodeMetrics {
	label := strconv.FormatUint(node, 10)
	if c.nodes[label] == nil && len(c.nodes) >= publishedNodesMax {
		label = otherNodes
	}
	n := c.nodes[label]
	if n == nil {
		n = newNodeMetrics(c.instruments, label)
		c.nodes[label] = n
	}
	return n
}
