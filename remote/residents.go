package remote

import (
	"fmt"
	"sync"

	"github.com/hupe1980/rivven-cluster/actors"
)

// residents is whom the membership knows to live at each main address. It has a row for each of its members at most, and outlives the
// sessions, so that an address is its member's also while nobody speaks to it.
type residents struct {
	mu    sync.RWMutex
	at    map[string]uint64 // node by address
	homes map[uint64]home   // by node
}

// home is where a member lives.
type home struct{ address, gossip string }

// moveIn settles a member at an address; the one where it lived before is free.
func (r *residents) moveIn(node uint64, at home) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at, r.homes = make(map[string]uint64), make(map[uint64]home)
	}
	if old := r.homes[node].address; r.at[old] == node {
		delete(r.at, old)
	}
	r.at[at.address], r.homes[node] = node, at
}

// moveOut is a member's death or departure: whoever comes to its address next may have it.
func (r *residents) moveOut(node uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, known := r.homes[node]; known {
		delete(r.homes, node)
		if r.at[old.address] == node {
			delete(r.at, old.address)
		}
	}
}

// hear takes what the membership says.
func (r *residents) hear(v *actors.PeerVerdict) {
	if v.Alive {
		r.moveIn(v.NodeID, home{v.Address, v.GossipAddress})
	} else {
		r.moveOut(v.NodeID)
	}
}

// of returns the member that lives at an address, 0 where the membership knows of none.
func (r *residents) of(address string) uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.at[address]
}

// gossipOf returns who lives at an address and where it takes datagrams; an empty address where the membership does not say.
func (r *residents) gossipOf(address string) (node uint64, gossip string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	node = r.at[address]
	return node, r.homes[node].gossip
}

// claims says why a node may not have the address that its Hello names: this node's own, or one where the membership knows another
// member that is neither dead nor gone. A good certificate says which node somebody is, not where it lives.
func (c *core) claims(h *Hello) *CloseError {
	self := c.self.Load()
	if h.NodeId != self.NodeID && h.Address == self.Address {
		return &CloseError{Code: CodeAddress, Reason: fmt.Sprintf("node %d says that it lives at %s, and that is node %d", h.NodeId, h.Address, self.NodeID)}
	}
	if resident := c.residents.of(h.Address); resident != 0 && resident != h.NodeId {
		return &CloseError{Code: CodeAddress, Reason: fmt.Sprintf(
			"node %d says that it lives at %s, where the membership knows node %d: it may once that one is dead or has left", h.NodeId, h.Address, resident)}
	}
	return nil
}
