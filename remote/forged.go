package remote

import "github.com/asynkron/protoactor-go/actor"

// forged says why a message may not come under a sender's name; "" is that it may. Whoever forwards a message keeps its
// sender, so an address other than the peer's own is nothing wrong in itself. But an answer to a reserved name there,
// or here, would come from whom that name trusts; and addresses that nobody knows must not fill the table of peers.
func (in *inbox) forged(sender *actor.PID) string {
	if sender == nil || sender.Address == in.from.Address {
		return ""
	}
	if in.core.reserved.of(sender.Id) != nil {
		return "its sender is a reserved name of another node than the peer"
	}
	if sender.Address != in.address && in.core.peers.find(sender.Address) == nil && in.core.peers.crowded() {
		return "its sender's address is unknown, and so are many"
	}
	return ""
}

// crowded reports whether so many addresses are known that the rest is kept for those that this node turns to itself and
// for those that come in.
func (t *peerTable) crowded() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.byAddress) > t.core.limits.Peers/2
}
