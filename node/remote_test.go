package node_test

import (
	"testing"

	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/remote"
)

// What the configuration says of the network is what the remote does.
func TestRemoteFollowsTheConfiguration(t *testing.T) {
	f := newFleet(t, 1)
	for name, c := range map[string]struct {
		change func(*node.Config)
		shared bool
		rate   int
	}{
		"a port of its own":     {func(cfg *node.Config) { cfg.Gossip.BindPort = freePort(t) }, false, 0},
		"any port":              {func(cfg *node.Config) { cfg.Gossip.BindPort = node.AnyPort }, false, 0},
		"the main one":          {func(cfg *node.Config) { cfg.Gossip.BindPort = f.ports[0] }, true, 0},
		"a limit on large data": {func(cfg *node.Config) { cfg.Remote.BulkRate = 512 }, false, 512 << 10},
	} {
		cfg := f.config(0)
		c.change(&cfg)
		n, err := f.tryStart(cfg)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if shared := n.GossipAddress() == n.Address(); shared != c.shared {
			t.Errorf("%s: gossip at %s, all else at %s", name, n.GossipAddress(), n.Address())
		}
		status, err := remote.GetRemote(n.System()).Status(t.Context())
		if err != nil || status.BulkRate != c.rate {
			t.Errorf("%s: %+v, %v", name, status, err)
		}
		if err := n.Shutdown(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
