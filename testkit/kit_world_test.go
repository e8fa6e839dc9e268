package testkit

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// bare makes a world of nodes on which nothing runs but what the test spawns.
func bare(t *testing.T, seed uint64, s Scenario) *World {
	t.Helper()
	w := newWorld(t, seed, s, nil)
	for _, n := range w.nodes {
		n.bareLife()
	}
	return w
}

func (n *Node) bareLife() {
	n.up = true
	n.life++
	life := n.life
	n.system = actors.NewSystem(newEnv(n), actors.WithMailbox(func() actor.Mailbox { return &mailbox{node: n, life: life} }))
}

// drain lets everything happen that needs no time to pass.
func (w *World) drain() {
	for len(w.ready) > 0 && w.step() {
	}
}

func (n *Node) spawnFunc(t *testing.T, name string, receive func(actor.Context), opts ...actor.PropsOption) *actor.PID {
	t.Helper()
	pid, err := n.Spawn(actor.PropsFromFunc(receive, opts...), name)
	if err != nil {
		t.Fatal(err)
	}
	return n.system.NewLocalPID(pid.GetId())
}
