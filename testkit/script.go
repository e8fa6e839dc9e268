package testkit

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

// What a script needs that tells one story step by step: it lets time pass until something holds, and asks and waits. A script
// is a Setup that runs the world itself; none of what waits may be called from [World.On], [World.At] or an invariant.

// Require fails the seed unless ok holds; the first failure stays.
func (w *World) Require(name string, ok bool, format string, args ...any) {
	if !ok {
		w.failed(name, fmt.Sprintf(format, args...))
	}
}

// Await lets time pass until f returns no error; after limit the seed fails with the last one.
func (w *World) Await(name string, limit time.Duration, f func(View) error) bool {
	var last error
	held := w.RunUntil(func() bool {
		last = f(View{w})
		return last == nil
	}, limit)
	w.Require(name, held, "not within %v: %v", limit, last)
	return held
}

// Holds fails the seed if f returns an error at any time of the next d.
func (w *World) Holds(name string, d time.Duration, f func(View) error) {
	var last error
	w.RunUntil(func() bool {
		last = f(View{w})
		return last != nil
	}, d)
	w.Require(name, last == nil, "%v", last)
}

// AddNode makes one more node, with an id of its own, that knows the addresses of those that the scenario began with. It is not started.
func (w *World) AddNode() *Node {
	n := w.add(len(w.nodes) + 1)
	w.event(Event{Kind: "add", Node: n.id})
	return n
}

// Leader is the node that led the metadata in the highest term that anybody heard of, nil where that has no leader
// yet, and that term.
func (w *World) Leader() (*Node, uint64) {
	term, replica := uint64(0), uint64(0)
	for t, r := range w.observed.group(actors.GroupMeta).leaders {
		if t > term {
			term, replica = t, r
		}
	}
	return w.NodeOf(replica), term
}

// NodeOf is the node whose present disk has that Raft id, nil for none.
func (w *World) NodeOf(replica uint64) *Node {
	for _, n := range w.nodes {
		if n.Replica() == replica {
			return n
		}
	}
	return nil
}

// AwaitLeader waits until the last leader elected is one of those nodes, up and awake; any node will do where none are named.
func (w *World) AwaitLeader(limit time.Duration, among ...int) *Node {
	var leader *Node
	w.Await("a leader is elected", limit, func(View) error {
		n, term := w.Leader()
		if n == nil || !n.up || n.paused || len(among) > 0 && !contains(among, n.id) {
			return fmt.Errorf("term %d has no leader among %v", term, among)
		}
		leader = n
		return nil
	})
	if leader == nil {
		return w.nodes[0] // the seed has failed
	}
	return leader
}

// Others are the scenario's nodes but those.
func (w *World) Others(but ...*Node) []*Node {
	var out []*Node
	for _, n := range w.nodes[:w.scenario.Nodes] {
		named := false
		for _, b := range but {
			named = named || n == b
		}
		if !named {
			out = append(out, n)
		}
	}
	return out
}

// Replica is the Raft id of the node's present disk.
func (n *Node) Replica() uint64 { return actors.ReplicaID(n.disk.durable.Identity().DirectoryID) }

// NodeID is the id that the node's certificate names: its own, or for a clone that of the one it was cloned from.
func (n *Node) NodeID() uint64 { return uint64(n.certified) }

// Peer names the node as a replica of a group.
func (n *Node) Peer() *consensus.Peer {
	return &consensus.Peer{NodeId: n.NodeID(), Replica: n.Replica(), Address: n.address()}
}

// Ask asks an actor of the node and lets time pass until it answers, [actors.ErrDeadLetter] where there is none or
// [actors.ErrTimeout] after limit.
func (n *Node) Ask(name string, message any, limit time.Duration) (any, error) {
	var got any
	var err error
	done := false
	n.Request(name, message, limit, func(answer any, failed error) { got, err, done = answer, failed, true })
	n.world.RunUntil(func() bool { return done }, limit+time.Second)
	if !done {
		return nil, actors.ErrTimeout // the seed has failed
	}
	return got, err
}

// Request asks an actor of the node and goes on; end is called once.
func (n *Node) Request(name string, message any, limit time.Duration, end func(answer any, err error)) {
	if !n.up {
		end(nil, actors.ErrDeadLetter)
		return
	}
	process, there := n.system.ProcessRegistry.GetLocal(name)
	if !there {
		end(nil, actors.ErrDeadLetter)
		return
	}
	a := &answer{end: end}
	a.timeout = n.world.after(limit, func() { a.close(nil, actors.ErrTimeout) })
	sender := a.register(n.system, "script")
	n.whenAwake(n.life, func() {
		process.SendUserMessage(n.system.NewLocalPID(name), &actor.MessageEnvelope{Message: message, Sender: sender})
	})
}

// Status is what the node's replica of the metadata says of itself; an empty one where it does not answer.
func (n *Node) Status() *consensus.Status {
	status, err := consensus.Reply[*consensus.Status](n.Ask(actors.RaftName(actors.GroupMeta), &consensus.GetStatus{}, time.Second))
	if err != nil {
		return &consensus.Status{}
	}
	return status
}

// Deliver hands a message to an actor of the node as though it came from another node's connection: what a network that
// repeats, or a peer that lies, can do.
func (n *Node) Deliver(from *Node, name string, message proto.Message) {
	if !n.up || !from.up {
		return
	}
	identity := from.disk.durable.Identity()
	in := &actors.Inbound{Class: actors.Control, Message: message, Peer: &actors.PeerInfo{
		NodeID: uint64(from.certified), Name: fmt.Sprintf("n%d", from.id), ClusterID: identity.ClusterID, DirectoryID: identity.DirectoryID,
		Generation: uint64(from.generation), Address: from.address(), GossipAddress: from.gossipAddress(),
	}}
	if process, there := n.system.ProcessRegistry.GetLocal(name); there {
		process.SendUserMessage(n.system.NewLocalPID(name), in)
	}
}

// State is where a group's durable log stands.
func (d *Disk) State(group string) logstore.GroupState { return d.durable.State(group) }

// Term is that of an entry in a group's durable log, 0 where it holds none.
func (d *Disk) Term(group string, index uint64) uint64 {
	term, err := d.durable.Term(group, index)
	if err != nil {
		return 0
	}
	return term
}

// Identity is what the disk says whose it is.
func (d *Disk) Identity() logstore.Identity { return d.durable.Identity() }

// MendSync lets later syncs of the same life succeed again, as disks do that report an error once and forget it.
func (d *Disk) MendSync() { d.failing = nil }

// Applied is how far the node's replica of a group has applied, as its subscribers know.
func (v View) Applied(n *Node, group string) uint64 {
	if s := v.observed.seats[n]; s != nil && s.life == n.life {
		return s.applied[group]
	}
	return 0
}

// Member is what a node knows of a node id, nil for nothing.
func (v View) Member(by *Node, id uint64) *membership.Member {
	if s := v.observed.seats[by]; s != nil && s.life == by.life {
		return s.members[id]
	}
	return nil
}

// Table is the metadata after the last command that any replica applied.
func (v View) Table() metadata.State { return v.observed.group(actors.GroupMeta).state }

// PutNow writes a key and waits for the outcome.
func (c *Client) PutNow(n *Node, key, value string) Outcome {
	return c.wait(func(done func(Outcome)) { c.Put(n, key, value, done) })
}

// GetNow reads a key linearizably and waits; the value counts where the outcome is OK.
func (c *Client) GetNow(n *Node, key string) (string, Outcome) {
	outcome := c.wait(func(done func(Outcome)) { c.Get(n, key, done) })
	if outcome != OK {
		return "", outcome
	}
	return c.history[len(c.history)-1].Output.(string), OK
}

func (c *Client) wait(begin func(func(Outcome))) Outcome {
	outcome, done := Unknown, false
	begin(func(o Outcome) { outcome, done = o, true })
	c.world.RunUntil(func() bool { return done }, clientTimeout+time.Second)
	return outcome
}

// Must writes a key through a node and tries again until it is done.
func (w *World) Must(client int, n *Node, key, value string, limit time.Duration) {
	c, done := w.Client(client), false
	var next func(Outcome)
	next = func(o Outcome) {
		if done = o == OK; !done && w.failure == nil {
			w.after(50*time.Millisecond, func() { c.Put(n, key, value, next) })
		}
	}
	c.Put(n, key, value, next)
	w.Require("a write goes through", w.RunUntil(func() bool { return done }, limit), "%s=%s through node %d not within %v", key, value, n.id, limit)
}
