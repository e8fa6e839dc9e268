package swimactor

import (
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/swimactor/swim"
)

func about[T interface{ GetMember() *membership.Member }](id uint64) func(T) bool {
	return func(e T) bool { return e.GetMember().GetNodeId() == id }
}

// three starts a cluster of three and a subscriber on each.
func three(t *testing.T, opts ...actors.Option) (*world, []*worldNode, []*probe) {
	t.Helper()
	w := newWorld(t)
	var nodes []*worldNode
	var probes []*probe
	for id := uint64(1); id <= 3; id++ {
		cfg := testConfig(id, "node1:9093", "2@node2:9093", "node3:9093")
		cfg.Tags = map[string]string{"zone": string(rune('a' + id))}
		n := w.start(cfg, opts...)
		p := n.probe()
		p.ask(&membership.Subscribe{})
		nodes, probes = append(nodes, n), append(probes, p)
	}
	w.until(10*time.Second, "all know all", func() bool {
		for _, p := range probes {
			if len(up(view(p))) != 3 {
				return false
			}
		}
		return true
	})
	return w, nodes, probes
}

// view folds all that a subscriber got.
func view(p *probe) membership.View {
	v := make(membership.View)
	for _, msg := range p.got {
		v.Apply(msg)
	}
	return v
}

func up(v membership.View) []uint64 {
	var ids []uint64
	for _, m := range v.Sorted() {
		if m.Up() {
			ids = append(ids, m.GetNodeId())
		}
	}
	return ids
}

func TestThreeNodesSeeEachOther(t *testing.T) {
	w, nodes, probes := three(t)
	if _, ok := probes[0].got[0].(*membership.Snapshot); !ok {
		t.Fatalf("a subscription starts with %T, want a snapshot", probes[0].got[0])
	}
	asker := nodes[2].probe()
	asker.ask(&membership.GetMembers{})
	members := asker.last().(*membership.Members)
	if members.GetSelf() != 3 || len(members.GetMembers()) != 3 {
		t.Fatalf("members: %v", members)
	}
	if zone := members.GetMembers()[0].GetTags()["zone"]; zone != "b" {
		t.Errorf("node 1 is in zone %q, want b", zone)
	}
	w.run(10 * time.Second)
	asker.ask(&membership.GetMembers{})
	if rtt := asker.last().(*membership.Members).GetMembers()[0].GetRttUs(); rtt != 2000 {
		t.Errorf("rtt is %d µs, want 2000", rtt)
	}
	if w.sent[actors.Datagram] == 0 || w.sent[actors.Control] == 0 || w.sent[actors.Default] == 0 {
		t.Errorf("classes used: %v", w.sent)
	}
}

func TestDeathAndRecovery(t *testing.T) {
	w, nodes, probes := three(t)
	w.cut = func(from, to *worldNode) bool { return from == nodes[2] || to == nodes[2] }
	w.until(20*time.Second, "failed", func() bool { return got(probes[0], about[*membership.Failed](3)) == 1 })
	w.until(20*time.Second, "isolated", func() bool {
		return got(probes[2], func(e *membership.Isolated) bool { return e.GetIsolated() }) == 1
	})
	w.cut = nil
	w.until(60*time.Second, "recovered", func() bool { return got(probes[0], about[*membership.Recovered](3)) >= 1 })
	w.until(60*time.Second, "all up", func() bool {
		return len(up(view(probes[0]))) == 3 && len(up(view(probes[1]))) == 3 && len(up(view(probes[2]))) == 3
	})
}

func TestLeaveIsAnswered(t *testing.T) {
	w, nodes, probes := three(t)
	asker := nodes[1].probe()
	asker.ask(&membership.Leave{})
	w.until(5*time.Second, "answered", func() bool { return got(asker, about[*membership.Left](2)) == 1 })
	w.until(5*time.Second, "told", func() bool {
		return got(probes[0], about[*membership.Left](2)) == 1 && got(probes[2], about[*membership.Left](2)) == 1
	})
	asker.ask(&membership.Leave{})
	if got(asker, about[*membership.Left](2)) != 2 {
		t.Error("a second leave is not answered")
	}
	asker.ask(&membership.UpdateTags{Tags: map[string]string{"a": "b"}})
	if asker.last().(*membership.TagsUpdated).GetError() == "" {
		t.Error("tags of a node that left were taken")
	}
}

func TestUpdateTags(t *testing.T) {
	w, nodes, probes := three(t)
	asker := nodes[0].probe()
	asker.ask(&membership.UpdateTags{Tags: map[string]string{"zone": "z", "big": strings.Repeat("x", 1900)}})
	if answer := asker.last().(*membership.TagsUpdated); answer.GetError() != "" || answer.GetMember().GetTags()["zone"] != "z" {
		t.Fatalf("answer: %v", answer)
	}
	w.until(3*time.Second, "updated", func() bool {
		return got(probes[1], about[*membership.Updated](1)) == 1 && got(probes[2], about[*membership.Updated](1)) == 1
	})
	asker.ask(&membership.UpdateTags{Tags: map[string]string{"big": strings.Repeat("x", 3000)}})
	if answer := asker.last().(*membership.TagsUpdated); !strings.Contains(answer.GetError(), "2048") {
		t.Errorf("tags of 3000 bytes: %v", answer)
	}
	if w.bytes > 1200 {
		t.Errorf("a datagram has %d bytes", w.bytes)
	}
}

func TestRestartOfTheActorAlone(t *testing.T) {
	w, nodes, probes := three(t)
	asker := nodes[0].probe()
	asker.ask(&membership.UpdateTags{Tags: map[string]string{"zone": "kept"}})
	w.run(2 * time.Second)
	snapshots := got(probes[0], func(*membership.Snapshot) bool { return true })
	nodes[0].restart()
	if now := got(probes[0], func(*membership.Snapshot) bool { return true }); now != snapshots+1 {
		t.Fatalf("%d snapshots after the restart, want %d", now, snapshots+1)
	}
	w.until(10*time.Second, "back", func() bool {
		v := view(probes[0])
		return len(up(v)) == 3 && v[1].GetTags()["zone"] == "kept" && got(probes[1], about[*membership.Failed](1)) == 0
	})
	w.run(10 * time.Second)
	if got(probes[1], about[*membership.Failed](1)) != 0 {
		t.Error("the restart of the actor was seen as a failure of the node")
	}
}

// restart does what a supervisor does after a panic.
func (n *worldNode) restart() {
	process, _ := n.system.ProcessRegistry.GetLocal(actors.NameSwim)
	process.SendSystemMessage(n.swim, &actor.Restart{})
}

func TestSameRunSameTrace(t *testing.T) {
	run := func() uint64 {
		w, nodes, _ := three(t)
		w.loss = 0.1
		asker := nodes[0].probe()
		asker.ask(&membership.UpdateTags{Tags: map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"}})
		w.run(10 * time.Second)
		nodes[1].down = true
		w.run(30 * time.Second)
		return w.trace
	}
	if a, b := run(), run(); a != b {
		t.Errorf("traces differ: %x, %x", a, b)
	}
}

func TestSlowSubscriberGetsASnapshot(t *testing.T) {
	w := newWorld(t)
	cfg := testConfig(1)
	cfg.EventsPerSecondMax = 5
	p := w.start(cfg).probe()
	p.ask(&membership.Subscribe{})
	for id := uint64(2); id <= 21; id++ {
		w.start(testConfig(id, "node1:9093"))
	}
	w.run(5 * time.Second)
	if joined := got[*membership.Joined](p, nil); joined > 10 {
		t.Errorf("%d events in the first seconds, want at most 10", joined)
	}
	if got[*membership.Snapshot](p, nil) < 2 || len(up(view(p))) != 21 {
		t.Errorf("%d snapshots, view of %d, want one more than the first, and 21", got[*membership.Snapshot](p, nil), len(up(view(p))))
	}
}

func TestSubscriptionEndsWithTheSubscriber(t *testing.T) {
	w, nodes, _ := three(t)
	p := nodes[0].probe()
	p.ask(&membership.Subscribe{})
	q := nodes[0].probe()
	q.ask(&membership.Subscribe{})
	q.ask(&membership.Unsubscribe{})
	_ = nodes[0].system.Root.StopFuture(p.pid).Wait()
	before := len(p.got)
	asker := nodes[1].probe()
	asker.ask(&membership.UpdateTags{Tags: map[string]string{"new": "tag"}})
	w.run(3 * time.Second)
	if len(p.got) != before || len(q.got) != 1 {
		t.Errorf("a stopped subscriber got %d more, an unsubscribed one %d", len(p.got)-before, len(q.got)-1)
	}
}

func TestIdentityOfTheConnectionCounts(t *testing.T) {
	w := newWorld(t)
	n := w.start(testConfig(1))
	asker := n.probe()
	liar := &actors.PeerInfo{NodeID: 7, DirectoryID: actors.ID{7}, Address: "liar:9093"}
	for _, self := range []*Record{
		{Id: 2, Directory: make([]byte, 16), Generation: 1, Address: "node2:9093"}, // another node's id
		{Id: 7, Directory: make([]byte, 16), Generation: 1, Address: "node7:9093"}, // another directory
	} {
		n.deliver(&actors.Inbound{Peer: liar, Class: actors.Control, Message: &Message{Body: &Message_SyncRequest{&SyncRequest{Cluster: "c", Join: true, Self: self}}}})
	}
	for _, msg := range []any{nil, &Message{}, &membership.Leave{}, "text"} {
		n.deliver(&actors.Inbound{Peer: liar, Class: actors.Control, Message: msg})
	}
	n.deliver(&actors.Inbound{Message: &Message{Body: &Message_Nack{&Nack{}}}})
	asker.ask(&membership.GetMembers{})
	if members := asker.last().(*membership.Members).GetMembers(); len(members) != 1 {
		t.Errorf("a liar became a member: %v", members)
	}
}

func TestPropsNamesEveryFault(t *testing.T) {
	_, err := Props(Config{
		Address: "nohost", BindAddr: "x", KnownPeers: []string{"a", "0@b:1", "host:99999"},
		Tags: map[string]string{"": "x"}, EventsPerSecondMax: -1,
		Protocol: swim.Config{ProtocolPeriod: time.Second, SuspectTimeout: time.Second},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"node id is 0", "directory id", "generation", `"nohost"`, `"x"`, `"a"`, `"0@b:1"`, `"host:99999"`, "EventsPerSecondMax", "ProbeTimeout", "PacketBytes"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s:\n%v", want, err)
		}
	}
}
