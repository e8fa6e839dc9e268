package remote

import (
	"maps"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

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
	if sender.Address != in.address && !in.core.peers.admits(sender.Address) {
		return "its sender's address is unknown, and so are many"
	}
	return ""
}

// strangers are addresses of senders that were not known when their message came, and may be answered soon.
type strangers struct {
	mu    sync.Mutex
	until time.Duration
	seen  map[string]struct{}
}

const strangersKept = 10 * time.Second

// admits reports whether a sender's address is known, or there is room for it: the other half of the table is for peers
// that this node turns to itself and for those that come in.
func (t *peerTable) admits(address string) bool {
	if t.find(address) != nil {
		return true
	}
	s := &t.strangers
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := t.core.env.Boot(); now >= s.until {
		s.until, s.seen = now+strangersKept, make(map[string]struct{})
	}
	if _, ok := s.seen[address]; ok {
		return true
	}
	if !t.roomFor(len(s.seen)) {
		maps.DeleteFunc(s.seen, func(known string, _ struct{}) bool { return t.find(known) != nil })
		if !t.roomFor(len(s.seen)) {
			return false
		}
	}
	s.seen[address] = struct{}{}
	return true
}

func (t *peerTable) roomFor(more int) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.byAddress)+more < t.core.limits.Peers/2
}
