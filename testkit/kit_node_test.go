package testkit

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

func TestCrashEndsALife(t *testing.T) {
	w := bare(t, 1, Scenario{Nodes: 2})
	n := w.Node(1)
	var got []string
	pid := n.spawnFunc(t, "a", func(c actor.Context) { got = append(got, fmt.Sprintf("%v", c.Message())) })
	w.drain()
	got = nil
	n.System().Root.Send(pid, "queued")
	n.Crash(KeepPageCache)
	n.Crash(KeepPageCache)
	w.RunFor(time.Minute)
	if len(got) > 0 || n.Up() || w.faults["crash"] != 1 {
		t.Fatalf("after the crash the actor got %v; up: %v, crashes: %d", got, n.Up(), w.faults["crash"])
	}
	if _, err := n.Spawn(actor.PropsFromFunc(func(actor.Context) {}), "b"); err == nil {
		t.Fatal("an actor was spawned on a node that is down")
	}
}

// TestCrashWithinATurn: what the rest of the turn does reaches nobody.
func TestCrashWithinATurn(t *testing.T) {
	w := bare(t, 1, Scenario{Nodes: 1})
	n := w.Node(1)
	heard := 0
	b := n.spawnFunc(t, "b", func(c actor.Context) {
		if _, ok := c.Message().(string); ok {
			heard++
		}
	})
	a := n.spawnFunc(t, "a", func(c actor.Context) {
		if _, ok := c.Message().(string); ok {
			n.Crash(LoseUnsynced)
			c.Send(b, "after the crash")
			actors.EnvOf(c).After(time.Millisecond, b, "after the crash")
		}
	})
	w.drain()
	n.System().Root.Send(a, "go")
	w.RunFor(time.Second)
	if heard != 0 {
		t.Fatal("a crashed node goes on")
	}
}

func TestRestartIsAnotherLife(t *testing.T) {
	w := newWorld(t, 1, Scenario{Nodes: 1}, nil)
	withRandomness(1, func() {
		w.start()
		n := w.Node(1)
		w.RunFor(time.Second)
		system, generation, directory := n.System(), n.generation, n.disk.Identity().DirectoryID
		n.Restart()
		if w.RunFor(time.Second); !n.Up() || n.System() == system || n.generation <= generation || n.disk.Identity().DirectoryID != directory {
			t.Fatalf("up %v, generation %d after %d", n.Up(), n.generation, generation)
		}
		if n.Running() == nil || n.Running().ClusterID() == "" {
			t.Fatal("the node does not run again")
		}
		n.Wipe()
		if n.Up() || n.disk.Identity().DirectoryID == directory || n.disk.Identity().ClusterID != "" {
			t.Fatalf("a wiped disk says %+v", n.disk.Identity())
		}
	})
	if w.failure != nil {
		t.Fatal(w.failure)
	}
}

func TestCloneHasTheCertificateAndADiskOfItsOwn(t *testing.T) {
	w := bare(t, 1, Scenario{Nodes: 2})
	c := w.Node(2).Clone()
	if c.Up() || c.ID() != 3 || c.NodeID() != 2 || c.Address() == w.Node(2).Address() || c.Replica() == w.Node(2).Replica() || len(w.Nodes()) != 3 {
		t.Fatalf("clone %+v", c)
	}
}

// TestPausedNodeStandsStill, and goes on where it was.
func TestPausedNodeStandsStill(t *testing.T) {
	w := bare(t, 1, Scenario{Nodes: 2})
	n := w.Node(1)
	var got []string
	pid := n.spawnFunc(t, "a", func(c actor.Context) {
		if m, ok := c.Message().(string); ok {
			got = append(got, m)
		}
	})
	other := 0
	w.Node(2).spawnFunc(t, "a", func(actor.Context) { other++ })
	n.Pause(time.Second)
	n.System().Root.Send(pid, "one")
	w.RunFor(500 * time.Millisecond)
	n.System().Root.Send(pid, "two")
	if len(got) > 0 || other == 0 || !n.Paused() {
		t.Fatalf("a paused node handled %v, the other %d messages", got, other)
	}
	w.RunFor(time.Second)
	if !slices.Equal(got, []string{"one", "two"}) || n.Paused() {
		t.Fatalf("after the pause: %v", got)
	}
}

func TestPauseEndsWithTheLife(t *testing.T) {
	w := bare(t, 1, Scenario{Nodes: 1})
	n := w.Node(1)
	n.Pause(time.Second)
	n.Crash(KeepPageCache)
	n.bareLife()
	heard := 0
	n.spawnFunc(t, "a", func(actor.Context) { heard++ })
	w.drain()
	if n.Paused() || heard == 0 {
		t.Fatal("the next life is paused")
	}
	n.Pause(10 * time.Second)
	w.RunFor(2 * time.Second)
	if !n.Paused() {
		t.Fatal("the pause of an earlier life ended this one's")
	}
}

// TestReadyIsToldInEachLife, after the node's parts can be had.
func TestReadyIsToldInEachLife(t *testing.T) {
	var ready []int
	r := runSeed(t, 1, Scenario{
		Nodes: 3, For: 10 * time.Second,
		OnReady: func(_ *World, n *Node) {
			ready = append(ready, n.ID())
			if len(n.Running().Peers()) != 3 || n.Running().Store().Writer == nil {
				t.Errorf("node %d is ready with %v", n.ID(), n.Running().Peers())
			}
		},
		Setup: func(w *World) {
			w.At(5*time.Second, func() { w.Node(2).Crash(LoseUnsynced) })
			w.At(6*time.Second, func() { w.Node(2).Restart() })
		},
	}, nil)
	slices.Sort(ready)
	if r.failure != nil || !slices.Equal(ready, []int{1, 2, 2, 3}) {
		t.Fatalf("ready: %v; %v", ready, r.failure)
	}
}

func TestDamagedDiskKeepsANodeDown(t *testing.T) {
	r := runSeed(t, 1, Scenario{Nodes: 3, For: 10 * time.Second, Setup: func(w *World) {
		n := w.Node(2)
		w.At(4*time.Second, func() {
			n.Crash(KeepPageCache)
			n.Disk().RotHardState(actors.GroupMeta)
			n.Restart()
		})
		w.At(6*time.Second, func() {
			if n.Running() != nil {
				t.Error("the node runs on a damaged disk")
			}
			n.Wipe()
			n.Restart()
		})
		w.At(8*time.Second, func() {
			if n.Running() == nil {
				t.Error("the node does not run on a blank disk")
			}
		})
	}}, nil)
	if r.failure != nil || r.faults["damage found"] != 1 {
		t.Fatalf("%v, counted %v", r.failure, r.faults)
	}
}
