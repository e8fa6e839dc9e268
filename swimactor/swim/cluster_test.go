package swim

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func formed(t *testing.T, seed uint64, cfg Config, count int) *network {
	t.Helper()
	n := newNetwork(t, seed)
	n.cluster(cfg, count)
	took := n.until(30*time.Second, "all know all", n.agree)
	t.Logf("%d nodes formed in %v", count, took)
	return n
}

func TestColdStartThroughOneSeed(t *testing.T) {
	for _, c := range []struct {
		count int
		limit time.Duration
	}{{2, 2 * time.Second}, {3, 2 * time.Second}, {32, 3 * time.Second}, {300, 5 * time.Second}} {
		n := newNetwork(t, 7)
		n.cluster(DefaultLAN(), c.count)
		t.Logf("N=%d: %v", c.count, n.until(c.limit, "all know all", n.agree))
		for _, nd := range n.up() {
			if got := nd.count(Joined, 0); got != c.count-1 {
				t.Errorf("node %d saw %d joins of %d", nd.id, got, c.count-1)
			}
		}
	}
}

func TestDetection(t *testing.T) {
	for _, count := range []int{3, 32, 100} {
		n := formed(t, 3, DefaultLAN(), count)
		n.run(30 * time.Second)
		n.nodes[2].down = true
		first := n.until(20*time.Second, "somebody notices", func() bool { return n.seen(Failed, 2) > 0 })
		all := n.until(5*time.Second, "all know", func() bool { return n.everywhere(2, Dead) })
		t.Logf("N=%d: first %v, all %v", count, first, first+all)
		if n.seen(Failed, 0) != count-1 {
			t.Errorf("N=%d: %d failures reported, want %d", count, n.seen(Failed, 0), count-1)
		}
	}
}

func TestSteadyLoadIsFlat(t *testing.T) {
	for _, count := range []int{10, 100} {
		n := formed(t, 5, DefaultLAN(), count)
		n.run(60 * time.Second)
		packetsBefore, streamsBefore := n.packets, n.streams
		n.run(60 * time.Second)
		perNode := float64(n.packets-packetsBefore) / 60 / float64(count)
		if perNode > 2.001 {
			t.Errorf("N=%d: %.3f packets per node-second, want at most 2", count, perNode)
		}
		if s := float64(n.streams-streamsBefore) / 60 / float64(count); s > 0.1 {
			t.Errorf("N=%d: %.3f stream messages per node-second, want at most 0.1", count, s)
		}
	}
}

func TestLossRaisesNoFalseAlarm(t *testing.T) {
	n := formed(t, 11, DefaultLAN(), 60)
	n.loss = 0.10
	n.run(5 * time.Minute)
	if f := n.seen(Failed, 0); f != 0 {
		t.Errorf("%d members declared dead at 10 %% loss", f)
	}
	t.Logf("suspicions: %d", n.seen(Suspected, 0))
	n.loss = 0
	n.until(30*time.Second, "agreement", n.agree)
}

func TestBlockedDatagramsAreNotDeath(t *testing.T) {
	n := formed(t, 12, DefaultLAN(), 8)
	n.noUDP = func(from, to uint64) bool { return from == 3 || to == 3 }
	n.run(2 * time.Minute)
	if f := n.seen(Failed, 0); f != 0 {
		t.Errorf("%d members declared dead though streams work", f)
	}
	if n.nodes[1].core.Stats().ProbesByStream == 0 {
		t.Error("no probe was answered over the main connection")
	}
}

func TestStalledNodeAccusesNobody(t *testing.T) {
	n := formed(t, 13, DefaultLAN(), 20)
	for range 10 {
		n.nodes[4].paused = true
		n.run(3 * time.Second)
		n.nodes[4].resume()
		n.run(64 * time.Millisecond)
	}
	n.run(20 * time.Second)
	for id := uint64(1); id <= 20; id++ {
		if id != 4 && n.seen(Failed, id) > 0 {
			t.Errorf("node %d was declared dead because node 4 stalled", id)
		}
	}
	if n.nodes[4].core.Stats().Stalls == 0 {
		t.Error("the stall went unnoticed")
	}
	n.until(60*time.Second, "agreement", n.agree)
}

func TestPartitionHeals(t *testing.T) {
	for _, c := range []struct {
		count int
		split uint64
	}{{2, 1}, {3, 1}, {16, 8}, {32, 16}, {30, 29}} {
		n := formed(t, 17, DefaultLAN(), c.count)
		n.cut = n.halves(c.split)
		n.run(2 * time.Minute)
		if n.agree() {
			t.Fatal("the partition went unnoticed")
		}
		n.cut = nil
		t.Logf("%d/%d: healed in %v", c.split, c.count, n.until(60*time.Second, "healed", n.agree))
	}
}

func TestDeafNodeReportsItself(t *testing.T) {
	for _, count := range []int{3, 12} {
		n := formed(t, 19, DefaultLAN(), count)
		n.cut = func(_, to uint64) bool { return to == 2 }
		n.until(15*time.Second, "isolated", func() bool { return n.nodes[2].count(Isolated, 0) > 0 })
		n.run(40 * time.Second)
		for id := uint64(1); id <= uint64(count); id++ {
			if id == 2 {
				continue
			}
			for _, nd := range n.up() {
				if nd.id != 2 && nd.count(Failed, id) > 0 {
					t.Errorf("N=%d: node %d believed the deaf node that %d is dead", count, nd.id, id)
				}
			}
		}
		n.cut = nil
		n.until(60*time.Second, "back together", n.agree)
		if n.nodes[2].count(Reconnected, 0) != 1 {
			t.Error("no Reconnected")
		}
	}
}

func TestRestartSupersedesAtOnce(t *testing.T) {
	n := formed(t, 23, DefaultLAN(), 10)
	again := record(3)
	again.Generation = 2
	n.add(DefaultLAN(), again, "seed")
	n.until(5*time.Second, "the new generation everywhere", func() bool {
		for _, nd := range n.up() {
			if m, _ := nd.core.Member(3); m.Record == nil || m.Record.Generation != 2 || m.State != Alive {
				return false
			}
		}
		return n.agree()
	})
	if f := n.seen(Failed, 3); f != 0 {
		t.Errorf("a quick restart was reported as %d failures", f)
	}
}

func TestMassRestart(t *testing.T) {
	n := formed(t, 29, DefaultLAN(), 20)
	for id := uint64(1); id <= 20; id++ {
		again := record(id)
		again.Generation = 2
		n.add(DefaultLAN(), again, "seed")
	}
	n.until(10*time.Second, "agreement", n.agree)
}

func TestActorRestartWithinOneGeneration(t *testing.T) {
	n := formed(t, 31, DefaultLAN(), 5)
	for i := range 3 {
		nd := n.nodes[2]
		out, err := nd.core.UpdateTags(n.now, map[string]string{"step": string(rune('a' + i))})
		if err != nil {
			t.Fatal(err)
		}
		nd.apply(out)
		n.run(2 * time.Second)
	}
	n.add(DefaultLAN(), record(2), "seed")
	n.until(10*time.Second, "agreement", n.agree)
	if m, _ := n.nodes[5].core.Member(2); m.Record.Incarnation <= 3 || len(m.Record.Tags) != 0 {
		t.Errorf("the restarted actor's record is not the latest: %+v", m.Record)
	}
}

func TestTagsReachEverybody(t *testing.T) {
	n := formed(t, 37, DefaultLAN(), 32)
	big := make([]byte, 1900)
	for i := range big {
		big[i] = 'x'
	}
	for _, tags := range []map[string]string{{"zone": "a"}, {"zone": "b", "big": string(big)}} {
		out, err := n.nodes[9].core.UpdateTags(n.now, tags)
		if err != nil {
			t.Fatal(err)
		}
		n.nodes[9].apply(out)
		took := n.until(2*time.Second, "tags everywhere", func() bool {
			for _, nd := range n.up() {
				if m, _ := nd.core.Member(9); m.Record.Tags["zone"] != tags["zone"] {
					return false
				}
			}
			return true
		})
		t.Logf("%d bytes in %v", len(tags["big"]), took)
	}
}

func TestLeaveIsConfirmed(t *testing.T) {
	n := formed(t, 41, DefaultLAN(), 10)
	n.loss = 0.25
	leaver := n.nodes[6]
	leaver.apply(leaver.core.Leave(n.now))
	n.until(5*time.Second, "leave done", func() bool { return leaver.count(LeaveDone, 6) == 1 })
	if got := leaver.events[len(leaver.events)-1].Confirmed; got < 3 {
		t.Errorf("%d members confirmed, want 3", got)
	}
	leaver.down = true
	n.until(10*time.Second, "left everywhere", func() bool { return n.everywhere(6, Left) })
	if f := n.seen(Failed, 6) + n.seen(Suspected, 6); f != 0 {
		t.Errorf("the leaver was suspected or failed %d times", f)
	}
	again := record(6)
	again.Generation = 2
	n.add(DefaultLAN(), again, "seed")
	n.until(10*time.Second, "back at once", n.agree)
}

func TestLeaveAloneAndUnheard(t *testing.T) {
	n := newNetwork(t, 43)
	alone := n.add(DefaultLAN(), record(1))
	alone.apply(alone.core.Leave(n.now))
	if alone.count(LeaveDone, 1) != 1 {
		t.Error("a node alone has nobody to wait for")
	}
	n = formed(t, 43, DefaultLAN(), 3)
	n.cut = func(_, _ uint64) bool { return true }
	leaver := n.nodes[2]
	leaver.apply(leaver.core.Leave(n.now))
	n.run(DefaultLAN().LeaveTimeout)
	if leaver.count(LeaveDone, 2) != 1 {
		t.Error("an unheard leave does not end at its deadline")
	}
	if out := leaver.core.Tick(n.now + time.Hour); out.Wake >= 0 || len(out.Sends) > 0 {
		t.Error("a node that left goes on acting")
	}
}

func TestAnotherDirectoryUnderTheSameID(t *testing.T) {
	n := formed(t, 47, DefaultLAN(), 6)
	twin := record(3)
	twin.Directory, twin.Generation, twin.Address = "other", 9, "elsewhere:9093"
	core, err := New(DefaultLAN(), twin, n.rng)
	if err != nil {
		t.Fatal(err)
	}
	// The twin runs beside the holder, so it has a key of its own.
	nd := &node{net: n, id: 103, core: core, wake: -1}
	n.nodes[103], n.order = nd, append(n.order, 103)
	nd.apply(core.Start(n.now))
	nd.apply(core.Join(n.now, []string{"seed"}))
	n.run(time.Minute)
	if nd.count(Conflict, 3) == 0 || n.nodes[3].count(Conflict, 3) == 0 || n.nodes[1].count(Conflict, 3) == 0 {
		t.Errorf("conflict reported to twin %d, holder %d, contact %d times",
			nd.count(Conflict, 3), n.nodes[3].count(Conflict, 3), n.nodes[1].count(Conflict, 3))
	}
	for id := uint64(1); id <= 6; id++ {
		if m, _ := n.nodes[id].core.Member(3); m.Record.Directory == "other" || m.State != Alive {
			t.Fatalf("node %d gave the id away", id)
		}
	}
	n.nodes[3].down = true
	n.until(60*time.Second, "the twin takes over once the holder is dead", func() bool {
		for _, id := range []uint64{1, 2, 4, 5, 6} {
			if m, _ := n.nodes[id].core.Member(3); m.Record.Directory != "other" || m.State != Alive {
				return false
			}
		}
		return true
	})
}

func TestWipedDirectoryAtTheSameAddress(t *testing.T) {
	n := formed(t, 53, DefaultLAN(), 8)
	wiped := record(4)
	wiped.Directory, wiped.Generation = "fresh", 2
	n.add(DefaultLAN(), wiped, "seed")
	n.until(10*time.Second, "the fresh directory everywhere", func() bool {
		for _, nd := range n.up() {
			if m, _ := nd.core.Member(4); m.Record == nil || m.Record.Directory != "fresh" {
				return false
			}
		}
		return n.agree()
	})
	if n.seen(Conflict, 0) != 0 {
		t.Error("a wiped node that came back is no conflict")
	}
}

func TestOtherClusterIsRefused(t *testing.T) {
	n := newNetwork(t, 59)
	a, b := DefaultLAN(), DefaultLAN()
	a.ClusterID, b.ClusterID = "a", "b"
	n.add(a, record(1))
	n.add(b, record(2), "seed")
	n.run(30 * time.Second)
	if n.nodes[1].core.liveCount() != 1 || n.nodes[2].core.liveCount() != 1 {
		t.Error("two clusters merged")
	}
	if n.nodes[1].core.Stats().Refused.Cluster == 0 {
		t.Error("the refusal was not counted")
	}
}

func TestSeedWithSeveralAddressesAndLateStart(t *testing.T) {
	n := newNetwork(t, 61)
	all := func(string) []Peer {
		return []Peer{{Address: address(1)}, {Address: address(2)}, {Address: address(3)}}
	}
	for id := uint64(1); id <= 3; id++ {
		n.add(DefaultLAN(), record(id), "headless").seeds = all
		n.run(time.Minute)
	}
	n.until(time.Second, "agreement", n.agree)
}

func TestSameSeedSameTrace(t *testing.T) {
	trace := func() uint64 {
		n := newNetwork(t, 67)
		n.loss = 0.05
		n.cluster(DefaultLAN(), 20)
		n.run(20 * time.Second)
		n.nodes[5].down = true
		n.cut = n.halves(9)
		n.run(40 * time.Second)
		n.cut = nil
		n.run(40 * time.Second)
		return n.hash
	}
	if a, b := trace(), trace(); a != b {
		t.Errorf("traces differ: %x, %x", a, b)
	}
}

// After any faults that end, all views agree within 60 s: the nodes that run see
// exactly each other. Invariants hold and events are in order all along.
func TestFaultsHeal(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		count := rapid.IntRange(2, 12).Draw(rt, "nodes")
		n := newNetwork(rt, rapid.Uint64().Draw(rt, "seed"))
		n.checked, n.allSeeds = true, true
		n.cluster(DefaultLAN(), count)
		n.run(5 * time.Second)
		generation := uint64(1)
		id := func(what string) uint64 { return uint64(rapid.IntRange(1, count).Draw(rt, what)) }
		for range rapid.IntRange(1, 5).Draw(rt, "faults") {
			switch rapid.SampledFrom([]string{"loss", "split", "oneway", "noudp", "pause", "kill", "restart", "leave", "tags", "calm"}).Draw(rt, "fault") {
			case "loss":
				n.loss = float64(rapid.IntRange(0, 50).Draw(rt, "percent")) / 100
			case "split":
				n.cut = n.halves(id("split"))
			case "oneway":
				deaf := id("deaf")
				n.cut = func(_, to uint64) bool { return to == deaf }
			case "pause":
				n.nodes[id("paused")].paused = true
			case "restart":
				generation++
				again := record(id("restarted"))
				again.Generation = generation
				n.add(DefaultLAN(), again, "seed")
			case "kill":
				n.nodes[id("killed")].down = true
			case "leave":
				nd := n.nodes[id("leaver")]
				nd.handle(func() { nd.apply(nd.core.Leave(n.now)) })
			case "noudp":
				blocked := id("blocked")
				n.noUDP = func(from, to uint64) bool { return from == blocked || to == blocked }
			case "tags":
				nd := n.nodes[id("tagged")]
				tags := map[string]string{"t": rapid.StringN(0, 10, 1800).Draw(rt, "tag")}
				nd.handle(func() {
					out, _ := nd.core.UpdateTags(n.now, tags)
					nd.apply(out)
				})
			case "calm":
				n.loss, n.cut, n.noUDP = 0, nil, nil
			}
			n.run(time.Duration(rapid.IntRange(1, 60).Draw(rt, "seconds")) * time.Second)
		}
		n.loss, n.cut, n.noUDP = 0, nil, nil
		for _, nd := range n.up() {
			if nd.paused {
				nd.resume()
			}
		}
		start := n.now
		for !n.agree() {
			if n.now-start > time.Minute {
				rt.Fatalf("views still differ a minute after the last fault")
			}
			n.run(100 * time.Millisecond)
		}
	})
}
