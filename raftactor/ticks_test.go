package raftactor

import (
	"fmt"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
)

func TestTicksKeepOneOutstandingAndCarryTheTime(t *testing.T) {
	w := newWorld(t, 51)
	n := w.newNode()
	n.boot()
	pid := n.sys.Root.Spawn(TicksProps())
	if pid.Id != actors.NameTicks {
		t.Fatalf("known as %s", pid.Id)
	}
	eager, lazy := n.askPID(pid, &registerTicks{Interval: 5 * time.Millisecond}), n.askPID(pid, &registerTicks{Interval: 20 * time.Millisecond})
	w.run(102 * time.Millisecond)
	if len(eager.all) != 1 || len(lazy.all) != 1 {
		t.Fatalf("%d and %d ticks without an answer", len(eager.all), len(lazy.all))
	}
	eager.all = nil
	for range 20 {
		n.sys.Root.RequestWithCustomSender(pid, &tickDone{}, actor.NewPID(n.address, "client1"))
		w.run(5 * time.Millisecond)
	}
	if len(eager.all) < 18 {
		t.Fatalf("%d ticks", len(eager.all))
	}
	last := eager.all[len(eager.all)-1].(*tick).At
	if w.now-last > 10*time.Millisecond {
		t.Fatalf("tick says %v at %v", last, w.now)
	}
}

func TestTicksOutliveTheirOwnRestart(t *testing.T) {
	w := cluster(t, 52, 3)
	for _, n := range w.nodes {
		ticks := actor.NewPID(n.address, actors.NameTicks)
		n.deliver(ticks, &actor.Restart{})
	}
	w.run(time.Second)
	w.leader().crash()
	w.leader().set("a", "1")
}

// A process that stood still makes up for one heartbeat interval: it reads what waits before it runs for election.
func TestCatchUpIsCappedAtOneHeartbeat(t *testing.T) {
	w := cluster(t, 53, 3)
	f := w.followers()[0]
	before := f.status().GetTerm()
	f.deliver(f.group, &actor.MessageEnvelope{Message: &tick{At: w.now + time.Hour}, Sender: actor.NewPID(f.address, actors.NameTicks)})
	w.run(time.Second)
	if now := w.leader().status().GetTerm(); now != before {
		t.Fatalf("term %d, then %d", before, now)
	}
}

// A group that would rest with one node too many stays awake, for nobody would notice that this node is gone; and it may rest once there
// is room.
func TestGroupsBeyondTheAwaitedNodesStayAwake(t *testing.T) {
	w := newWorld(t, 54)
	n := w.newNode()
	n.boot()
	pid := n.sys.Root.Spawn(TicksProps())
	rests := func(replicas ...uint64) *sleepTicks {
		m := &sleepTicks{Every: 50 * time.Millisecond, Patience: 300 * time.Millisecond}
		for _, id := range replicas {
			m.Peers = append(m.Peers, sleepPeer{replica: id, address: "elsewhere:1"})
		}
		return m
	}
	var groups []*answer
	var pids []*actor.PID
	for i := range pulsesMax + 1 {
		groups = append(groups, n.askPID(pid, &registerTicks{Interval: 5 * time.Millisecond}))
		pids = append(pids, actor.NewPID(n.address, fmt.Sprintf("client%d", i+1)))
	}
	refused := func() (out []int) {
		for i, g := range groups {
			for _, m := range g.all {
				if _, ok := m.(*restRefused); ok {
					out = append(out, i)
				}
			}
			g.all = nil
		}
		return out
	}
	w.filter = func(int, int, proto.Message) bool { return false }
	for i := range groups {
		n.sys.Root.RequestWithCustomSender(pid, rests(uint64(i+1)), pids[i])
	}
	w.run(time.Millisecond)
	got := refused()
	if len(got) != 1 || n.metrics.of("rests_refused_total") != 1 {
		t.Fatalf("refused %v, %d counted", got, n.metrics.of("rests_refused_total"))
	}
	n.sys.Root.RequestWithCustomSender(pid, &registerTicks{Interval: 5 * time.Millisecond}, pids[got[0]])
	w.run(20 * time.Millisecond)
	if len(groups[got[0]].all) == 0 {
		t.Fatal("it is not ticked")
	}
	other := (got[0] + 1) % len(groups)
	n.sys.Root.RequestWithCustomSender(pid, &registerTicks{Interval: 5 * time.Millisecond}, pids[other])
	n.sys.Root.RequestWithCustomSender(pid, rests(uint64(got[0]+1)), pids[got[0]])
	w.run(time.Millisecond)
	if got := refused(); len(got) != 0 {
		t.Fatalf("refused %v with room for one", got)
	}
}

// A group that is told that it can't rest goes on as if it never had.
func TestRefusedRestWakes(t *testing.T) {
	w := cluster(t, 55, 3)
	w.rested()
	n := w.followers()[0]
	n.deliver(n.group, &restRefused{})
	w.until("all awake", 100*time.Millisecond, func() bool {
		for _, n := range w.nodes {
			if n.status().GetResting() {
				return false
			}
		}
		return true
	})
	w.leader().set("a", "1")
	w.rested()
}
