package remote

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/live"
)

func TestLookupTellsAllAddressesOfAName(t *testing.T) {
	names := map[string][]string{"one": {"127.0.0.1"}, "three": {"10.0.0.3", "10.0.0.1", "::1", "10.0.0.1"}}
	for i := range 100 {
		names["many"] = append(names["many"], netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}).String())
	}
	n := startNode(t, 1, WithResolver(func(_ context.Context, host string) ([]netip.Addr, error) {
		var addrs []netip.Addr
		for _, a := range names[host] {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
		if addrs == nil {
			return nil, errors.New("no such host")
		}
		return addrs, nil
	}))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lookup := func(address string) *actors.LookedUp {
		res, err := live.Ask(ctx, n.ActorSystem, n.remote.manager, &actors.Lookup{Address: address})
		if err != nil {
			t.Fatal(err)
		}
		return res.(*actors.LookedUp)
	}
	for address, want := range map[string][]string{
		"10.0.0.9:1": {"10.0.0.9:1"}, // literal
		"one:1":      {"one:1"},      // the name stays: its address may change
		"three:1":    {"10.0.0.1:1", "10.0.0.3:1", "[::1]:1"},
	} {
		if got := lookup(address); got.Err != nil || !slices.Equal(got.Addresses, want) {
			t.Errorf("%s: %v, %v, want %v", address, got.Addresses, got.Err, want)
		}
	}
	if got := lookup("many:1"); len(got.Addresses) != foundMax {
		t.Errorf("%d addresses of one name, want %d", len(got.Addresses), foundMax)
	}
	for _, address := range []string{"nobody:1", "no port"} {
		if got := lookup(address); got.Err == nil || len(got.Addresses) != 0 {
			t.Errorf("%s: %+v", address, got)
		}
	}
}
