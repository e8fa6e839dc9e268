package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/remote"
)

// What the configuration says of the network is what the remote does.
func TestRemoteFollowsTheConfiguration(t *testing.T) {
	f := newFleet(t, 1)
	for name, c := range map[string]struct {
		change func(*node.Config)
		shared bool
		rate   int
		idle   time.Duration
	}{
		"a port of its own":     {func(cfg *node.Config) { cfg.Gossip.BindPort = freePort(t) }, false, 0, 15 * time.Minute},
		"any port":              {func(cfg *node.Config) { cfg.Gossip.BindPort = node.AnyPort }, false, 0, 15 * time.Minute},
		"the main one":          {func(cfg *node.Config) { cfg.Gossip.BindPort = f.ports[0] }, true, 0, 15 * time.Minute},
		"a limit on large data": {func(cfg *node.Config) { cfg.Remote.BulkRate = 512 }, false, 512 << 10, 15 * time.Minute},
		"the default of probes": {func(cfg *node.Config) { cfg.Gossip.ProtocolPeriod, cfg.Gossip.SuspectTimeout = 0, 0 }, false, 0, 3 * 1024 * time.Second},
		"rare probes": {func(cfg *node.Config) {
			cfg.Gossip.ProtocolPeriod, cfg.Gossip.SuspectTimeout = 2*time.Second, 0
		}, false, 0, 3 * 2048 * time.Second},
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
		if err != nil || status.BulkRate != c.rate || status.DatagramIdle != c.idle {
			t.Errorf("%s: %+v, %v", name, status, err)
		}
		if err := n.Shutdown(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The admin API shows how a node's connections are, and who is gone.
func TestPeersOverTheAdminAPI(t *testing.T) {
	f := newFleet(t, 3)
	for i := range 3 {
		f.start(i)
	}
	f.ready(f.nodes...)
	c, err := client.New(client.Config{Addresses: []string{f.nodes[0].AdminAddress()}})
	if err != nil {
		t.Fatal(err)
	}
	states := func(want map[uint64]client.PeerState) func() error {
		return func() error {
			peers, err := c.Peers(t.Context())
			if err != nil {
				return err
			}
			for _, p := range peers.Peers {
				if state, ok := want[p.ID]; ok && (p.State == client.PeerConnected) != (state == client.PeerConnected) {
					return fmt.Errorf("node %d is %s: %s", p.ID, p.State, p.LastError)
				}
				control := p.Classes["control"]
				if p.State == client.PeerConnected && (control.SentMessages == 0 || control.ReceivedBytes == 0 || p.RTTMicros == 0 || p.PacketsSent == 0) {
					return fmt.Errorf("nothing was measured of node %d: %+v", p.ID, p)
				}
			}
			if len(peers.Peers) != len(want) || peers.Self != 1 {
				return fmt.Errorf("node %d has %d peers", peers.Self, len(peers.Peers))
			}
			return nil
		}
	}
	until(t, "two connections", 20*time.Second, states(map[uint64]client.PeerState{2: client.PeerConnected, 3: client.PeerConnected}))
	if err := f.nodes[2].Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "one is down", 20*time.Second, states(map[uint64]client.PeerState{2: client.PeerConnected, 3: client.PeerDown}))
}
