package remote

import (
	"sync/atomic"

	"github.com/hupe1980/rivven-cluster/actors"
)

// peerFacts are what a session and the manager note for whoever asks how a peer is.
type peerFacts struct {
	state                    atomic.Uint32 // a PeerState
	failures                 atomic.Int64
	reconnects               atomic.Uint64
	info                     atomic.Pointer[actors.PeerInfo]
	lastError                atomic.Pointer[string]
	packetsSent, packetsLost atomic.Uint64 // of connections that ended
}

func (f *peerFacts) failed(err error) {
	f.failures.Add(1)
	f.lost(err)
}

func (f *peerFacts) lost(err error) {
	text := quoteless(err.Error())
	f.lastError.Store(&text)
}

func (f *peerFacts) connected() { f.failures.Store(0) }

// keepPath adds what was measured of a connection that ended.
func (f *peerFacts) keepPath(path PathStats) {
	f.packetsSent.Add(path.PacketsSent)
	f.packetsLost.Add(path.PacketsLost)
}

// inCounts count what a peer sent in one class.
type inCounts struct{ messages, bytes, heartbeats atomic.Uint64 }

func (c *inCounts) add(messages, bytes uint64) {
	c.messages.Add(messages)
	c.bytes.Add(bytes)
}
