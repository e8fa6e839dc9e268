package raftactor

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

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
