package remote

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

const (
	// findsMax bounds the look-ups that are under way.
	findsMax = 256
	// foundMax bounds the addresses that one name contributes.
	foundMax = 64
)

// find is a look-up under way.
type find struct {
	address string
	asker   *actor.PID
}

func (m *manager) onLookup(ctx actor.Context, msg *actors.Lookup) {
	finder, can := m.core.transport.(Finder)
	host, _, err := net.SplitHostPort(msg.Address)
	switch _, literal := netip.ParseAddr(host); {
	case err != nil:
		ctx.Respond(&actors.LookedUp{Address: msg.Address, Err: fmt.Errorf("looking %s up: %w", msg.Address, err)})
	case literal == nil || !can:
		ctx.Respond(&actors.LookedUp{Address: msg.Address, Addresses: []string{msg.Address}})
	case len(m.finds) >= findsMax:
		ctx.Respond(&actors.LookedUp{Address: msg.Address, Err: fmt.Errorf("looking %s up: %d look-ups are under way", msg.Address, findsMax)})
	default:
		m.found++
		m.finds[m.found] = &find{msg.Address, ctx.Sender()}
		finder.Find(m.found, msg.Address)
	}
}

func (m *manager) onFound(ctx actor.Context, msg *found) {
	f := m.finds[msg.find]
	if f == nil {
		return
	}
	delete(m.finds, msg.find)
	answer := &actors.LookedUp{Address: f.address, Err: msg.err}
	if msg.err == nil {
		answer.Addresses = slices.Compact(slices.Sorted(slices.Values(msg.addresses)))
		answer.Addresses = answer.Addresses[:min(len(answer.Addresses), foundMax)]
		if len(answer.Addresses) <= 1 {
			answer.Addresses = []string{f.address}
		}
	}
	if f.asker != nil {
		ctx.Send(f.asker, answer)
	}
}
