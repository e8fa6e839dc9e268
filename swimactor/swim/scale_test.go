package swim

import (
	"fmt"
	"testing"
	"time"
)

// Hundreds of nodes start at once through one seed, and the load of each is that
// of a small cluster.
func TestHundredsOfMembers(t *testing.T) {
	if testing.Short() {
		t.Skip("a few seconds of simulation")
	}
	const count = 400
	n := newNetwork(t, 71)
	n.cluster(DefaultLAN(), count)
	took := n.until(5*time.Second, "all know all", func() bool {
		return n.nodes[count].core.liveCount() == count && n.agree()
	})
	n.run(time.Minute)
	packets, streams := n.packets, n.streams
	n.run(20 * time.Second)
	perNode := func(sent int) float64 { return float64(sent) / 20 / count }
	t.Logf("formed in %v; %.3f packets and %.3f stream messages per node-second", took, perNode(n.packets-packets), perNode(n.streams-streams))
	if load := perNode(n.packets - packets); load > 2.05 {
		t.Errorf("%.3f packets per node-second, want at most 2.05", load)
	}
}

// One node's work for a ping from a member and for its own probes, by the size
// of the cluster: flat.
func BenchmarkPeriod(b *testing.B) {
	for _, count := range []uint64{10, 1000, 5000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			n := newNetwork(b, 1)
			cfg := DefaultLAN()
			c := n.add(cfg, record(1)).core
			for id := uint64(2); id <= count; id++ {
				u := aliveUpdate(id, 1, 0)
				c.Receive(0, Peer{ID: 2, Address: address(2)}, &Gossip{Updates: []Update{u}})
			}
			c.queue.retain(func(*Update) bool { return false })
			now := time.Duration(0)
			b.ReportAllocs()
			for b.Loop() {
				now += cfg.ProtocolPeriod
				for _, s := range c.Tick(now).Sends {
					if ping, ok := s.Message.(*Ping); ok {
						c.Receive(now, s.To, &Ack{Seq: ping.Seq, Digest: c.digest})
					}
				}
				c.Receive(now, Peer{ID: 2, Address: address(2)}, &Ping{Seq: 1, Target: 1, Generation: 1})
			}
		})
	}
}
