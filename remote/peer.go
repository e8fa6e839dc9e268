package remote

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// peer is what there is of one address whether or not a session stands: queues, watches and waiting requests. The
// actor remote/<address> moves it; senders and lanes use it from any goroutine.
type peer struct {
	core     *core
	address  string
	out      [actors.Classes]*outbox
	in       [actors.Classes]inCounts
	facts    peerFacts
	watches  watches
	requests requests
	// blank is set while only bootstrap may talk to the peer.
	blank atomic.Bool
	// blocked is set while messages are turned away because the node that lives here is blocked.
	blocked atomic.Bool
	// alias is the peer that really lives here, found out by Hello; self says that it is this node.
	alias atomic.Pointer[peer]
	self  atomic.Bool
	gone  atomic.Bool
	// process is what PIDs of this address resolve to.
	process process
	// published is the status that the peer's metrics stand for; the manager's own.
	published *PeerStatus
	// used is set by every message that is turned away, so that a peer nobody wants can be forgotten.
	used atomic.Bool
}

func newPeer(c *core, address string) *peer {
	p := &peer{core: c, address: address}
	p.process.core, p.process.address = c, address
	for class := range p.out {
		p.out[class] = &outbox{peer: p, class: actors.Class(class), limit: c.limits.queued(actors.Class(class))}
	}
	return p
}

// final follows aliases; two are never in a row for long, and a loop is never made.
func (p *peer) final() *peer {
	for next := p.alias.Load(); next != nil; next = p.alias.Load() {
		p = next
	}
	return p
}

// peerTable finds peers by address.
type peerTable struct {
	core      *core
	mu        sync.RWMutex
	byAddress map[string]*peer
	refusing  bool
	full      limitedLog
	strangers strangers
}

func (t *peerTable) find(address string) *peer {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byAddress[address]
}

// get finds or makes a peer; nil beyond the limit.
func (t *peerTable) get(address string) *peer {
	if p := t.find(address); p != nil {
		return p
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.byAddress[address]; p != nil {
		return p
	}
	if len(t.byAddress) >= t.core.limits.Peers {
		return nil
	}
	if t.byAddress == nil {
		t.byAddress = make(map[string]*peer)
	}
	p := newPeer(t.core, address)
	if t.refusing {
		for _, o := range p.out {
			o.refuse(true)
		}
	}
	t.byAddress[address] = p
	return p
}

func (t *peerTable) remove(p *peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byAddress[p.address] == p {
		delete(t.byAddress, p.address)
	}
	p.gone.Store(true)
	for _, other := range t.byAddress {
		other.alias.CompareAndSwap(p, nil)
	}
}

// all returns the peers in the order of their addresses.
func (t *peerTable) all() []*peer {
	t.mu.RLock()
	defer t.mu.RUnlock()
	addresses := make([]string, 0, len(t.byAddress))
	for address := range t.byAddress {
		addresses = append(addresses, address)
	}
	slices.Sort(addresses)
	peers := make([]*peer, len(addresses))
	for i, address := range addresses {
		peers[i] = t.byAddress[address]
	}
	return peers
}

// refuseAll turns everything away for good.
func (t *peerTable) refuseAll() {
	t.mu.Lock()
	t.refusing = true
	t.mu.Unlock()
	for _, p := range t.all() {
		t.core.refuse(p, actors.Datagram, dropStopping)
		t.core.giveUp(p, dropStopping)
	}
}

// giveUp turns away what waits for a peer and what comes from now on, but datagrams, and tells watchers.
func (c *core) giveUp(p *peer, why drop) {
	for class := actors.Class(0); class < actors.Classes; class++ {
		if class != actors.Datagram {
			c.refuse(p, class, why)
		}
	}
	c.endWatches(p)
}

func (c *core) refuse(p *peer, class actors.Class, why drop) {
	for _, it := range p.out[class].refuse(true) {
		c.dead(p, class, &it, why)
	}
}

// endWatches tells every watcher here that the peer's address is gone.
func (c *core) endWatches(p *peer) {
	for _, w := range p.watches.outgoing(false) {
		c.terminate(p, w.watcher, w.target, actor.TerminatedReason_AddressTerminated)
	}
}

// dropIncoming removes the watches that a dead peer held here.
func (c *core) dropIncoming(p *peer) {
	for _, w := range p.watches.takeIncoming() {
		c.deliverSystem(w.target, &actor.Unwatch{Watcher: actor.NewPID(p.address, w.watcher)})
	}
}

// failRequests answers everybody here who still waits for the peer.
func (c *core) failRequests(p *peer) {
	for _, id := range p.requests.take() {
		process, ok := c.system.ProcessRegistry.GetLocal(id)
		if !ok {
			continue
		}
		func() {
			defer c.recovered(id)
			process.SendUserMessage(c.system.NewLocalPID(id), &actor.DeadLetterResponse{})
		}()
	}
}
