package raftactor

import (
	"fmt"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
)

// Where many groups are awake each gets fewer ticks, which carry as much time.
func TestTicksAreFewerWhereManyAreAwake(t *testing.T) {
	w := newWorld(t, 57)
	n := w.newNode()
	n.boot()
	pid := n.sys.Root.Spawn(TicksProps())
	var groups []*answer
	ticked := func() int {
		before := len(groups[0].all)
		for range 200 { // a second
			for i, g := range groups {
				if g.got != nil {
					g.got = nil
					n.sys.Root.RequestWithCustomSender(pid, &tickDone{}, actor.NewPID(n.address, fmt.Sprintf("client%d", i+1)))
				}
			}
			w.run(5 * time.Millisecond)
		}
		return len(groups[0].all) - before
	}
	for _, c := range []struct{ awake, least, most int }{{1, 195, 200}, {stretchEach, 95, 100}, {3 * stretchEach, 45, 50}, {8 * stretchEach, 38, 40}} {
		for len(groups) < c.awake {
			groups = append(groups, n.askPID(pid, &registerTicks{Interval: 5 * time.Millisecond}))
		}
		if got := ticked(); got < c.least || got > c.most {
			t.Fatalf("with %d awake: %d ticks a second", c.awake, got)
		}
	}
}

// A node whose own timer is late gives the others more time, and no more than that.
func TestPulsesAreAwaitedLongerByALateTimer(t *testing.T) {
	silentAfter := func(late time.Duration) time.Duration {
		w := newWorld(t, 58)
		n := w.newNode()
		n.boot()
		w.filter = func(int, int, proto.Message) bool { return false }
		pid := n.sys.Root.Spawn(TicksProps())
		g := n.askPID(pid, &registerTicks{Interval: 5 * time.Millisecond})
		n.sys.Root.RequestWithCustomSender(pid, &sleepTicks{
			Every: 50 * time.Millisecond, Patience: 300 * time.Millisecond, Peers: []sleepPeer{{replica: 7, address: "elsewhere:1"}},
		}, actor.NewPID(n.address, "client1"))
		w.run(time.Millisecond)
		g.all = nil
		from := w.now
		for len(g.all) == 0 {
			if w.now-from > 10*time.Second {
				t.Fatalf("%v late: nobody noticed the silence", late)
			}
			w.now += late
			w.run(50*time.Millisecond - late)
			w.run(late)
		}
		if _, ok := g.all[0].(*silentPeer); !ok {
			t.Fatalf("%T", g.all[0])
		}
		return w.now - from
	}
	if got := silentAfter(0); got < 300*time.Millisecond || got > 400*time.Millisecond {
		t.Fatalf("with a timer in time: after %v", got)
	}
	if got := silentAfter(45 * time.Millisecond); got < 500*time.Millisecond || got > 1300*time.Millisecond {
		t.Fatalf("with a late timer: after %v", got)
	}
}

// A pulse that waits in the mailbox while the silence is noticed counts.
func TestPulseInTheMailboxIsNoSilence(t *testing.T) {
	w := cluster(t, 59, 3)
	w.rested()
	n := w.followers()[0]
	held, passed, since := map[int]*Pulse{}, map[int]time.Duration{}, w.now
	waited := 0
	w.filter = func(from, to int, m proto.Message) bool {
		pulse, ok := m.(*Pulse)
		switch {
		case !ok:
		case to == n.id && (held[from] != nil || w.now > since+200*time.Millisecond):
			held[from] = pulse
			return false
		case to == n.id:
			passed[from] = w.now
		case from == n.id && held[to] != nil && w.now-passed[to] >= 300*time.Millisecond:
			// Its timer fires at this moment, and has not looked yet who was silent.
			n.arrive(w.nodes[to-1], actors.Control, actors.NameTicks, held[to], nil)
			passed[to] = w.now
			waited++
		}
		return true
	}
	w.run(2 * time.Second)
	if waited == 0 {
		t.Fatal("no pulse waited in the mailbox")
	}
	for _, n := range w.nodes {
		if !n.status().GetResting() {
			t.Fatalf("node %d woke", n.id)
		}
	}
}

// Requests for a vote beforehand, which a leader that is heard ignores, are no use of the group: it comes to rest all the same.
func TestIgnoredPreVotesKeepNoGroupAwake(t *testing.T) {
	w := cluster(t, 60, 3)
	leader, f := w.leader(), w.followers()[0]
	leader.set("a", "1")
	var last *Step // of the follower
	w.filter = func(from, to int, m proto.Message) bool {
		if s, ok := m.(*Step); ok && from == f.id && to == leader.id {
			last = s
		}
		return true
	}
	w.run(100 * time.Millisecond)
	w.filter = nil
	rested := false
	for range 60 {
		st := leader.status()
		rested = rested || st.GetResting()
		ask := &raftpb.Message{
			Type: raftpb.MsgPreVote.Enum(), From: new(f.replica()), To: new(leader.replica()), Term: new(st.GetTerm() + 1),
			Index: new(st.GetLastIndex()), LogTerm: new(st.GetTerm()),
		}
		leader.arrive(f, actors.Control, actors.RaftName("kv"), &Step{
			Instance: last.GetInstance(), ToInstance: last.GetToInstance(), Messages: []*raftpb.Message{ask}}, nil)
		w.run(50 * time.Millisecond)
	}
	if !rested || leader.status().GetTerm() != w.leader().status().GetTerm() {
		t.Fatalf("rested: %v", rested)
	}
}
