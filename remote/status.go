package remote

import (
	"context"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/live"
)

// GetStatus asks the actor "remote" for a *[Status]. Local message.
type GetStatus struct{}

// Status is what a remote knows about itself and its peers, at one moment. Counters began with the process. Local
// message.
type Status struct {
	Self     *actors.PeerInfo
	HalfOpen int // accepted connections without a Hello yet
	Accepted int // accepted connections
	BulkRate int // limit of the lane Bulk to each peer, in bytes per second; 0 is none
	// DatagramIdle is how long a datagram connection over QUIC may be idle; both sides' shorter one counts.
	DatagramIdle time.Duration
	Peers        []PeerStatus // by address, without aliases and this node itself
}

// PeerStatus is one peer in a Status.
type PeerStatus struct {
	Address    string           // that it is sent to
	Info       *actors.PeerInfo // its last Hello; nil where it never said one
	State      PeerState
	Failures   int           // attempts that failed since it was last connected
	LastError  string        // of the last attempt that failed or session that was lost; empty where there was none
	Reconnects uint64        // sessions after its first, without those that were renewed in good order
	RTT        time.Duration // smoothed, of its main connection; 0 where none stands or the transport does not measure
	// Packets of all its connections, lost ones among those that were sent; 0 where the transport does not measure.
	PacketsSent, PacketsLost uint64
	WatchesOut, WatchesIn    int // of its actors by ours, and the other way round
	Classes                  [actors.Classes]ClassStatus
}

// ClassStatus is what one class carried between this node and a peer.
type ClassStatus struct {
	SentMessages, SentBytes         uint64 // handed to a connection
	ReceivedMessages, ReceivedBytes uint64
	QueuedBytes, QueuedBytesMax     int
	Dropped                         map[string]uint64 // messages to dead letters by reason, those above 0; nil where there are none
}

// PeerState is how far this node's own connection to a peer is.
type PeerState uint8

// The states of a peer.
const (
	PeerIdle       PeerState = iota // nobody asked for a connection, or the membership called it dead
	PeerConnecting                  // dials or waits for its HelloAck
	PeerConnected
	PeerLeaving // one of the two said GoAway
	PeerDown    // the last attempt failed: a back-off goes on
)

func (s PeerState) String() string {
	switch s {
	case PeerIdle:
		return "idle"
	case PeerConnecting:
		return "connecting"
	case PeerConnected:
		return "connected"
	case PeerLeaving:
		return "leaving"
	case PeerDown:
		return "down"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

func (p phase) state() PeerState {
	switch p {
	case phaseDialing, phaseGreeting:
		return PeerConnecting
	case phaseUp:
		return PeerConnected
	case phaseFinishing:
		return PeerLeaving
	case phaseWaiting:
		return PeerDown
	}
	return PeerIdle
}

// Status asks the actor "remote"; ctx bounds the wait.
func (r *Remote) Status(ctx context.Context) (*Status, error) {
	if r.core == nil {
		return nil, fmt.Errorf("asking for the status: %w", ErrClosed)
	}
	res, err := live.Ask(ctx, r.system, r.manager, &GetStatus{})
	if err != nil {
		return nil, fmt.Errorf("asking for the status: %w", err)
	}
	status, ok := res.(*Status)
	if !ok {
		return nil, fmt.Errorf("asking for the status: unexpected answer %T", res)
	}
	return status, nil
}

// Measured is a Conn whose transport measures its path.
type Measured interface {
	Path() PathStats
}

// PathStats are what a transport measured of one connection.
type PathStats struct {
	RTT                      time.Duration // smoothed
	PacketsSent, PacketsLost uint64
}

func pathOf(c Conn) PathStats {
	if m, ok := c.(Measured); ok {
		return m.Path()
	}
	return PathStats{}
}

func (m *manager) onGetStatus(ctx actor.Context) {
	status := &Status{Self: m.core.self.Load(), HalfOpen: len(m.halfOpen), Accepted: m.accepted, BulkRate: m.core.bulkRate, DatagramIdle: m.core.datagramIdle}
	paths := m.paths()
	for _, p := range m.core.peers.all() {
		if p.alias.Load() == nil && !p.self.Load() {
			status.Peers = append(status.Peers, p.status(paths[p]))
		}
	}
	ctx.Respond(status)
}

// paths sums up what was measured of each peer's connections; the round trip is that of the main one, preferably dialed here.
func (m *manager) paths() map[*peer]PathStats {
	paths := make(map[*peer]PathStats)
	for _, id := range m.connIDs() {
		c := m.conns[id]
		if c.peer == nil {
			continue
		}
		sum, path := paths[c.peer], pathOf(c.conn)
		sum.PacketsSent += path.PacketsSent
		sum.PacketsLost += path.PacketsLost
		if c.conn.Kind() == KindMain && (!c.accepted || sum.RTT == 0) {
			sum.RTT = path.RTT
		}
		paths[c.peer] = sum
	}
	return paths
}

// status reads what senders, lanes and the session noted. open is of the connections that stand.
func (p *peer) status(open PathStats) PeerStatus {
	s := PeerStatus{
		Address: p.address, Info: p.facts.info.Load(), State: PeerState(p.facts.state.Load()), //nolint:gosec // stored from one
		Failures: int(p.facts.failures.Load()), Reconnects: p.facts.reconnects.Load(), RTT: open.RTT,
		PacketsSent: p.facts.packetsSent.Load() + open.PacketsSent, PacketsLost: p.facts.packetsLost.Load() + open.PacketsLost,
	}
	if reason := p.facts.lastError.Load(); reason != nil {
		s.LastError = *reason
	}
	s.WatchesOut, s.WatchesIn = p.watches.counts()
	for class, o := range p.out {
		s.Classes[class] = o.status()
		s.Classes[class].ReceivedMessages = p.in[class].messages.Load()
		s.Classes[class].ReceivedBytes = p.in[class].bytes.Load()
	}
	return s
}

func (o *outbox) status() ClassStatus {
	o.mu.Lock()
	s := ClassStatus{SentMessages: o.sentMessages, SentBytes: o.sentBytes, QueuedBytes: o.bytes, QueuedBytesMax: o.limit}
	o.mu.Unlock()
	for why := range o.drops {
		if n := o.drops[why].Load(); n > 0 {
			if s.Dropped == nil {
				s.Dropped = make(map[string]uint64)
			}
			s.Dropped[drop(why).String()] = n //nolint:gosec // an index of drops
		}
	}
	return s
}
