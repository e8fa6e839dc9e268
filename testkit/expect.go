package testkit

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Probe is an actor of the test's own: it keeps what it is sent, and waits in virtual time.
type Probe struct {
	world *World
	node  *Node
	pid   *actor.PID
	got   []any
}

// Probe makes one, on the first node that is up.
func (w *World) Probe(name string) *Probe {
	for _, n := range w.nodes {
		if n.up {
			return w.ProbeOn(n, name)
		}
	}
	w.fail("no node is up to put probe %s on", name)
	return nil
}

// ProbeOn makes a probe on a node. It ends with the node's life.
func (w *World) ProbeOn(n *Node, name string) *Probe {
	p := &Probe{world: w, node: n}
	pid, err := n.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started, *actor.Stopping, *actor.Stopped, *actor.Restarting:
		case *probeSend:
			c.Request(m.to, m.message)
		case *probeWatch:
			c.Watch(m.who)
		default:
			p.got = append(p.got, m)
		}
	}), name)
	if err != nil {
		w.fail("probe %s: %v", name, err)
	}
	p.pid = pid
	return p
}

type probeSend struct {
	to      *actor.PID
	message any
}

type probeWatch struct{ who *actor.PID }

// PID is the probe's.
func (p *Probe) PID() *actor.PID { return p.pid }

// Send asks an actor; answers come to the probe.
func (p *Probe) Send(to *actor.PID, message any) {
	p.node.system.Root.Send(p.node.system.NewLocalPID(p.pid.GetId()), &probeSend{to, message})
}

// Watch watches an actor.
func (p *Probe) Watch(who *actor.PID) {
	p.node.system.Root.Send(p.node.system.NewLocalPID(p.pid.GetId()), &probeWatch{who})
}

// ExpectMsg waits, in virtual time, for the next message, which must be a T.
func ExpectMsg[T any](p *Probe, d time.Duration) T {
	p.world.t.Helper()
	var none T
	if !p.world.RunUntil(func() bool { return len(p.got) > 0 }, d) {
		p.world.t.Fatalf("probe %s: no message within %v of virtual time, want %T", p.pid.GetId(), d, none)
	}
	m := p.got[0]
	p.got = p.got[1:]
	typed, ok := m.(T)
	if !ok {
		p.world.t.Fatalf("probe %s: got %s, want %T", p.pid.GetId(), describe(m), none)
	}
	return typed
}

// FishFor waits for the first T that is the right one, and drops what comes before it.
func FishFor[T any](p *Probe, d time.Duration, ok func(T) bool) T {
	p.world.t.Helper()
	end := p.world.now + d
	var none T
	for {
		if !p.world.RunUntil(func() bool { return len(p.got) > 0 }, end-p.world.now) {
			p.world.t.Fatalf("probe %s: no %T that fits within %v of virtual time", p.pid.GetId(), none, d)
			return none
		}
		m := p.got[0]
		p.got = p.got[1:]
		if typed, is := m.(T); is && ok(typed) {
			return typed
		}
	}
}

// ExpectNone lets d pass and fails if a message came.
func (p *Probe) ExpectNone(d time.Duration) {
	p.world.t.Helper()
	p.world.RunFor(d)
	if len(p.got) > 0 {
		p.world.t.Fatalf("probe %s: got %s, want nothing for %v", p.pid.GetId(), describe(p.got[0]), d)
	}
}
