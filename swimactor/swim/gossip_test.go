package swim

import (
	"testing"
	"time"
)

// News cross a quiet cluster in latencies, not in intervals: the first round of
// everybody who hears of it goes out at once.
func TestFirstGossipRoundGoesAtOnce(t *testing.T) {
	n := formed(t, 43, DefaultLAN(), 100)
	n.run(30 * time.Second)
	out, err := n.nodes[9].core.UpdateTags(n.now, map[string]string{"zone": "a"})
	if err != nil {
		t.Fatal(err)
	}
	n.nodes[9].apply(out)
	reached := func() int {
		count := 0
		for _, nd := range n.up() {
			if m, _ := nd.core.Member(9); m.Record.Tags["zone"] == "a" {
				count++
			}
		}
		return count
	}
	n.run(n.nodes[9].core.cfg.GossipInterval / 2)
	if got := reached(); got < 80 {
		t.Errorf("%d of 100 members know the news before a second round, want most", got)
	}
	n.until(time.Second, "everybody knows", func() bool { return reached() == 100 })
}

// However much news there is, rounds are GossipInterval apart.
func TestGossipRoundsKeepTheirInterval(t *testing.T) {
	n := formed(t, 47, DefaultLAN(), 10)
	n.run(30 * time.Second)
	c := n.nodes[4].core
	var rounds []time.Duration
	for i := range 40 {
		out, err := c.UpdateTags(n.now, map[string]string{"i": string(rune('a' + i))})
		if err != nil {
			t.Fatal(err)
		}
		before := c.nextGossip
		n.nodes[4].apply(out)
		for range 5 {
			n.run(10 * time.Millisecond)
			if c.nextGossip != before {
				before = c.nextGossip
				rounds = append(rounds, c.nextGossip-c.cfg.GossipInterval)
			}
		}
	}
	if len(rounds) < 5 {
		t.Fatalf("%d rounds in two seconds of news", len(rounds))
	}
	for i, at := range rounds[1:] {
		if gap := at - rounds[i]; gap < c.cfg.GossipInterval {
			t.Errorf("two rounds are %v apart, want %v", gap, c.cfg.GossipInterval)
		}
	}
}

// Records of the living that every ack shows to be known are not spread to the end; accusations are.
func TestWhatEverybodyKnowsIsNotSpread(t *testing.T) {
	const count = 300
	n := newNetwork(t, 53)
	n.cluster(DefaultLAN(), count)
	n.until(5*time.Second, "all know all", n.agree)
	seed := n.nodes[1].core
	if seed.queue.len() < count/2 {
		t.Fatalf("the seed has %d records to spread: too few to show anything", seed.queue.len())
	}
	n.run((equalsEnough + 1) * DefaultLAN().ProtocolPeriod)
	for _, nd := range n.up() {
		if left := nd.core.queue.len(); left > 0 {
			t.Errorf("node %d still spreads %d records that all acks show to be known", nd.id, left)
		}
	}
	seed.queue.put(Update{ID: 7, Generation: 1, State: Dead, Accusers: []uint64{2}})
	seed.queue.put(Update{ID: 8, Generation: 1, State: Alive, Replaces: "directory-0008"})
	seed.queue.put(Update{ID: 9, Generation: 1, State: Alive})
	for range equalsEnough {
		seed.compareDigest(n.now, Peer{ID: 2}, &Ack{Digest: seed.digest})
	}
	if seed.queue.len() != 2 || seed.queue.byID[9] != nil {
		t.Errorf("%d updates are left, want the death and the replacement", seed.queue.len())
	}
}

// Acks that showed an equal table before news came say nothing of the news: a refutation in a quiet cluster is spread to the end.
func TestEarlierAcksCutNoNewsShort(t *testing.T) {
	s := newSubject(t, DefaultLAN(), 2, 3, 4)
	for range 3 * equalsEnough {
		s.compareDigest(s.now, Peer{ID: 2}, &Ack{Digest: s.digest})
	}
	s.gossip(2, aliveUpdate(4, 1, 1))
	for n := range equalsEnough {
		if s.queue.byID[4] == nil {
			t.Fatalf("%d acks that knew the news kept it from being spread", n)
		}
		s.compareDigest(s.now, Peer{ID: 3}, &Ack{Digest: s.digest})
	}
	if s.queue.byID[4] != nil {
		t.Error("what ten acks showed to be known is still spread")
	}
}
