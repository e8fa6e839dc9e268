package testkit

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/node"
)

// Node is one node of a world: the real wiring of package node over the kit's environment, transport and disk.
type Node struct {
	world       *World
	id          int // from 1; its place in the world
	certified   int // the node id that its certificates name; another's for a clone
	certificate int // which of its certificates it has now
	up          bool
	life        int // counts starts and crashes: what belongs to another one is void
	disk        *Disk
	system      *actors.System
	root        *actor.PID
	runs        *node.Node
	listening   *transport
	orphaned    []*conn
	generation  int64

	paused bool
	parked []*mailbox
	asleep []func() // what happened to it while it was paused, in order

	skew                 int // parts per million
	skewedAt, skewedFrom time.Duration
	jump                 time.Duration
}

// ID is the node's place in the world, from 1, and its node id unless it is a clone.
func (n *Node) ID() int { return n.id }

// Up reports whether the node runs.
func (n *Node) Up() bool { return n.up }

// Paused reports whether the node stands still.
func (n *Node) Paused() bool { return n.paused }

// Disk is the node's disk.
func (n *Node) Disk() *Disk { return n.disk }

// System is the node's actor system in its present life.
func (n *Node) System() *actor.ActorSystem { return n.system.ActorSystem }

// Address is the main address, which PIDs carry.
func (n *Node) address() string       { return "n" + strconv.Itoa(n.id) + ":9093" }
func (n *Node) gossipAddress() string { return "n" + strconv.Itoa(n.id) + ":7946" }

// Address is the node's main address, the one that PIDs of its actors carry.
func (n *Node) Address() string { return n.address() }

// PID names an actor of the node.
func (n *Node) PID(name string) *actor.PID { return actor.NewPID(n.address(), name) }

func (w *World) nodeAt(address string) *Node {
	for _, n := range w.nodes {
		if n.address() == address || n.gossipAddress() == address {
			return n
		}
	}
	return nil
}

func (n *Node) start() {
	w := n.world
	n.up = true
	n.life++
	n.generation = max(n.generation+1, epoch.Add(w.now).UnixMilli())
	life := n.life
	n.system = actors.NewSystem(newEnv(n), actors.WithLogger(w.logger(n)),
		actors.WithMailbox(func() actor.Mailbox { return &mailbox{node: n, life: life} }))
	cfg := node.Config{
		ID: uint64(n.certified), NodeName: "n" + strconv.Itoa(n.id), Bind: n.address(), Advertise: n.address(), DataDir: "disk",
		Peers: w.addresses(), Admin: node.AdminSettings{Bind: node.AdminOff},
	}
	if w.scenario.Configure != nil {
		w.scenario.Configure(n.id, &cfg)
	}
	props, err := node.Props(cfg,
		node.WithStorage(func(node.Config, actors.Env) (node.Storage, error) {
			s, err := n.disk.open(life)
			return node.Storage{Store: s, Files: files{n.disk.files, n.disk}}, err
		}),
		node.WithTransport(&transport{node: n, life: life}),
		node.WithCertificates(n.certificates(cfg.Name)),
		node.WithInstruments(actors.NoMetrics),
		node.WithKinds(w.scenario.Kinds...))
	if err == nil {
		n.root, err = n.system.Root.SpawnNamed(props, node.NameNode)
	}
	if err != nil {
		w.fail("node %d does not start: %v", n.id, err)
		return
	}
	n.resetOrphans()
	n.runs = nil
	n.Request(node.NameNode, &node.Get{}, time.Hour, func(answer any, _ error) {
		n.runs, _ = answer.(*node.Node)
		n.awaitReady(life)
	})
}

// awaitReady calls the scenario's OnReady once the node belongs to a cluster.
func (n *Node) awaitReady(life int) {
	const every = 10 * time.Millisecond
	switch ready := n.world.scenario.OnReady; {
	case ready == nil || n.runs == nil || n.life != life || !n.up:
	case n.runs.ClusterID() == "" || n.paused:
		n.world.after(every, func() { n.awaitReady(life) })
	default:
		ready(n.world, n)
	}
}

// Running is the node as package node runs it in its present life, for the parts that an app's own actors need: its log store,
// its id, the cluster's first voters. It is nil until the node has opened its disk, and where that failed.
func (n *Node) Running() *node.Node { return n.runs }

// awake reports whether that life goes on and is not paused.
func (n *Node) awake(life int) bool { return n.life == life && n.up && !n.paused }

// whenAwake runs f in the given life of the node, later if it is paused.
func (n *Node) whenAwake(life int, f func()) {
	if n.life != life || !n.up {
		return
	}
	if n.paused {
		n.asleep = append(n.asleep, func() { n.whenAwake(life, f) })
		return
	}
	f()
}

// Crash ends the node's life without a word.
func (n *Node) Crash(kind CrashKind) {
	if !n.up {
		return
	}
	n.world.event(Event{Kind: "crash", Node: n.id, Detail: kind.String()})
	n.up, n.paused, n.parked, n.asleep = false, false, nil, nil
	n.life++
	if n.listening != nil {
		n.listening.vanish()
		n.listening = nil
	}
	n.disk.crash(kind)
}

// Restart begins a new life on the same disk.
func (n *Node) Restart() {
	if n.up {
		n.Crash(KeepPageCache)
	}
	n.world.event(Event{Kind: "restart", Node: n.id})
	n.start()
}

// ResetConns is what a machine does whose process died: peers that still send to that life on their connections learn at once that it
// does not know them. Without it they find out by the idle time, or when the node is back.
func (n *Node) ResetConns() {
	if n.up {
		return
	}
	n.world.event(Event{Kind: "reset", Node: n.id})
	n.resetOrphans()
}

// Wipe crashes the node and gives it a blank disk.
func (n *Node) Wipe() {
	n.Crash(LoseUnsynced)
	n.world.event(Event{Kind: "wipe", Node: n.id})
	n.disk.format()
}

// Clone makes one more node with this one's certificate and node id, and a disk of its own, which is not started.
func (n *Node) Clone() *Node {
	c := n.world.add(n.certified)
	n.world.event(Event{Kind: "clone", Node: n.id, Detail: strconv.Itoa(c.id)})
	return c
}

// Pause stops the node for a while, as SIGSTOP does: nothing of it runs, and its timers come late.
func (n *Node) Pause(d time.Duration) {
	if !n.up || n.paused {
		return
	}
	n.world.event(Event{Kind: "pause", Node: n.id, Detail: d.String()})
	n.paused = true
	life := n.life
	n.world.ready = slices.DeleteFunc(n.world.ready, func(m *mailbox) bool {
		if m.node == n {
			n.parked = append(n.parked, m)
			return true
		}
		return false
	})
	n.world.after(d, func() {
		if n.life == life {
			n.resume()
		}
	})
}

func (n *Node) resume() {
	n.paused = false
	parked, asleep := n.parked, n.asleep
	n.parked, n.asleep = nil, nil
	n.world.ready = append(n.world.ready, parked...)
	for _, f := range asleep {
		f()
	}
}

// Skew lets the node's clocks run faster (or slower) by parts per million from now on.
func (n *Node) Skew(ppm int) {
	n.skewedFrom = n.local(n.world.now)
	n.skewedAt, n.skew = n.world.now, ppm
	n.world.event(Event{Kind: "skew", Node: n.id, Detail: strconv.Itoa(ppm)})
}

// JumpClock moves the node's wall clock.
func (n *Node) JumpClock(d time.Duration) {
	n.jump += d
	n.world.event(Event{Kind: "jump", Node: n.id, Detail: d.String()})
}

// Spawn starts an actor of the app on the node, in its present life.
func (n *Node) Spawn(p *actor.Props, name string) (*actor.PID, error) {
	if !n.up {
		return nil, errors.New("testkit: node " + strconv.Itoa(n.id) + " is down")
	}
	pid, err := n.system.Root.SpawnNamed(p, name)
	if err != nil {
		return nil, fmt.Errorf("testkit: spawn %s on node %d: %w", name, n.id, err)
	}
	return actor.NewPID(n.address(), pid.GetId()), nil
}
