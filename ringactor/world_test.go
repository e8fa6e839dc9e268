package ringactor

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

// world runs the real partition managers of several nodes on one goroutine in virtual time. Simulated is what they talk
// to: the network, a metadata group with one shared log, and a membership that says what the test says.
type world struct {
	t      testing.TB
	now    time.Duration
	seq    int
	queue  []func()
	timers []*timer
	nodes  []*node
	log    []*consensus.Entry
	leader *node
	// lose makes the group lose the answers of proposals, though they are committed.
	lose bool
	// deaf drops events of the group on their way to its subscribers.
	deaf bool
	told []string // what happened, for the scenarios
	cfg  Config
}

type timer struct {
	at  time.Duration
	seq int
	f   func()
}

type node struct {
	w          *world
	id         uint64
	generation uint64
	up         bool
	life       int
	tags       map[string]string
	system     *actors.System
	swim, meta *actor.PID
	ring       *actor.PID
	props      *actor.Props
	machine    *metadata.Machine
	applied    int
	queries    int // for the whole state
	// held: the replica applies nothing for the time being.
	held        bool
	subscribers []*actor.PID // of the group
	observers   []*actor.PID // of the membership
	seen        membership.View
	running     map[string]uint64
}

const latency = time.Millisecond

func newWorld(t testing.TB, count int, cfg Config) *world {
	w := &world{t: t, cfg: cfg}
	for i := range count {
		n := &node{w: w, id: uint64(i + 1), tags: map[string]string{TagZone: "z" + fmt.Sprint(i%3)}}
		w.nodes = append(w.nodes, n)
	}
	return w
}

func (w *world) after(d time.Duration, f func()) {
	w.seq++
	w.timers = append(w.timers, &timer{at: w.now + d, seq: w.seq, f: f})
}

func (w *world) run(d time.Duration) {
	for end := w.now + d; ; {
		if len(w.queue) > 0 {
			f := w.queue[0]
			w.queue = w.queue[1:]
			f()
			continue
		}
		i := -1
		for j, t := range w.timers {
			if i < 0 || cmp.Or(cmp.Compare(t.at, w.timers[i].at), cmp.Compare(t.seq, w.timers[i].seq)) < 0 {
				i = j
			}
		}
		if i < 0 || w.timers[i].at > end {
			w.now = end
			return
		}
		t := w.timers[i]
		w.timers = slices.Delete(w.timers, i, i+1)
		w.now = t.at
		t.f()
	}
}

func (w *world) node(id uint64) *node { return w.nodes[id-1] }

func (w *world) at(address string) *node {
	for _, n := range w.nodes {
		if n.address() == address {
			return n
		}
	}
	return nil
}

func (n *node) address() string { return fmt.Sprintf("n%d:1", n.id) }

func (n *node) member(state membership.State) *membership.Member {
	return &membership.Member{NodeId: n.id, DirectoryId: slices.Repeat([]byte{byte(n.id)}, 15), Name: fmt.Sprintf("node%d", n.id),
		Generation: n.generation, Address: n.address(), Tags: n.tags, State: state}
}

// start begins a new process of the node; the others see it join.
func (n *node) start() {
	n.up = true
	n.life++
	n.generation++
	n.machine, n.applied = metadata.New().(*metadata.Machine), 0
	n.subscribers, n.observers = nil, nil
	n.running = map[string]uint64{}
	n.seen = membership.View{}
	for _, other := range n.w.nodes {
		if other.up {
			n.seen.Apply(&membership.Joined{Member: other.directory(membership.State_STATE_ALIVE)})
		}
	}
	life := n.life
	n.system = actors.NewSystem(&env{n: n, life: life, rand: rand.New(rand.NewPCG(n.id, uint64(life)))},
		actors.WithMailbox(func() actor.Mailbox { return &mailbox{n: n, life: life} }))
	n.system.ProcessRegistry.Address = n.address()
	n.system.ProcessRegistry.RegisterAddressResolver(func(*actor.PID) (actor.Process, bool) { return &wire{from: n, life: life}, true })
	n.swim = n.spawn(actor.PropsFromFunc(n.membership, actors.Named(actors.NameSwim)))
	n.meta = n.spawn(actor.PropsFromFunc(n.group, actors.Named(actors.RaftName(actors.GroupMeta))))
	cfg := n.w.cfg
	cfg.NodeID = n.id
	for i := range cfg.Kinds {
		cfg.Kinds = slices.Clone(cfg.Kinds)
		cfg.Kinds[i].Props = func(id Identity) *actor.Props {
			return actor.PropsFromProducer(func() actor.Actor { return &worker{n: n, id: id} })
		}
	}
	props, err := Props(cfg)
	if err != nil {
		n.w.t.Fatal(err)
	}
	n.props = props
	n.ring = n.spawn(props)
	n.w.after(latency, func() { n.replicate(life) })
	n.w.announce(&membership.Joined{Member: n.directory(membership.State_STATE_ALIVE)})
}

func (n *node) directory(state membership.State) *membership.Member {
	m := n.member(state)
	m.DirectoryId = append(m.DirectoryId, 0xff)
	return m
}

func (n *node) spawn(p *actor.Props) *actor.PID {
	pid, err := n.system.Root.SpawnNamed(p, "any")
	if err != nil {
		n.w.t.Fatal(err)
	}
	return pid
}

func (n *node) crash() {
	n.up = false
	n.life++
	if n.w.leader == n {
		n.w.leader = nil
	}
}

// announce tells every live node's membership; events about a node reach itself too.
func (w *world) announce(event any) {
	for _, n := range w.nodes {
		if n.up {
			n.seen.Apply(event)
			for _, pid := range n.observers {
				n.system.Root.Send(pid, event)
			}
		}
	}
}

func (n *node) membership(c actor.Context) {
	if _, ok := c.Message().(*membership.Subscribe); ok {
		if !slices.ContainsFunc(n.observers, c.Sender().Equal) {
			n.observers = append(n.observers, c.Sender())
		}
		c.Respond(&membership.Snapshot{Self: n.id, Members: n.seen.Sorted()})
	}
}

func (w *world) elect(n *node) {
	w.leader = n
	for _, other := range w.nodes {
		if other.up {
			other.publish(w.leaderChanged())
		}
	}
}

func (w *world) leaderChanged() *consensus.LeaderChanged {
	e := &consensus.LeaderChanged{Group: actors.GroupMeta, Term: 1}
	if w.leader != nil {
		e.Leader = &consensus.Peer{NodeId: w.leader.id, Address: w.leader.address()}
	}
	return e
}

func (n *node) publish(event any) {
	if n.w.deaf {
		return
	}
	for _, pid := range n.subscribers {
		n.system.Root.Send(pid, event)
	}
}

// group stands for the replica of the metadata group: the leader's appends to the log, all apply it.
func (n *node) group(c actor.Context) {
	switch msg := c.Message().(type) {
	case *consensus.Subscribe:
		if !slices.ContainsFunc(n.subscribers, c.Sender().Equal) {
			n.subscribers = append(n.subscribers, c.Sender())
		}
		c.Respond(&consensus.Subscribed{Applied: uint64(n.applied)})
		c.Respond(n.w.leaderChanged())
	case *consensus.Query:
		request, err := consensus.Unpack(msg.GetRequest())
		if err != nil {
			c.Respond(consensus.FailedFrom(err))
			return
		}
		if _, whole := request.(*metadata.GetExport); whole {
			n.queries++
		}
		result, err := n.machine.Query(request)
		if err != nil {
			c.Respond(consensus.FailedFrom(err))
			return
		}
		c.Respond(&consensus.Answer{Index: uint64(n.applied), Result: consensus.Pack(result)})
	case *consensus.Propose:
		n.propose(c, msg)
	}
}

func (n *node) propose(c actor.Context, msg *consensus.Propose) {
	if n.w.leader != n {
		c.Respond(consensus.NewFailed(consensus.Code_CODE_NOT_LEADER, "", nil))
		return
	}
	command, err := consensus.Unpack(msg.GetCommand())
	if err != nil {
		c.Respond(consensus.NewFailed(consensus.Code_CODE_INVALID, err.Error(), nil))
		return
	}
	w, sender, life := n.w, c.Sender(), n.life
	w.log = append(w.log, &consensus.Entry{Group: actors.GroupMeta, Index: uint64(len(w.log) + 1), Term: 1, Command: command})
	index := len(w.log)
	for _, other := range w.nodes {
		if other.up {
			otherLife := other.life
			w.after(latency, func() { other.replicate(otherLife) })
		}
	}
	w.after(2*latency, func() { n.answer(life, index, sender) })
}

// replicate applies what the replica has not applied yet.
func (n *node) replicate(life int) {
	if n.life != life || n.held {
		return
	}
	for n.applied < len(n.w.log) {
		e := *n.w.log[n.applied]
		n.applied++
		result, err := n.machine.Apply(e)
		if n == n.w.leader {
			n.w.tell(&e, err)
		}
		n.publish(&consensus.Applied{Entry: e, Result: result, Err: err})
	}
}

func (n *node) answer(life, index int, sender *actor.PID) {
	if n.life != life || n.w.lose {
		return
	}
	// What the command did is found by applying the log anew.
	machine := metadata.New()
	var result proto.Message
	var err error
	for _, e := range n.w.log[:index] {
		result, err = machine.Apply(*e)
	}
	if err != nil {
		n.system.Root.Send(sender, consensus.FailedFrom(err))
		return
	}
	n.system.Root.Send(sender, &consensus.Proposed{Index: uint64(index), Result: consensus.Pack(result)})
}

func (w *world) tell(e *consensus.Entry, err error) {
	line := describe(e.Command)
	if err != nil {
		line += " REFUSED " + err.Error()
	}
	w.told = append(w.told, fmt.Sprintf("%v #%d %s", w.now, e.Index, line))
}

func describe(command proto.Message) string {
	switch c := command.(type) {
	case *metadata.Batch:
		lines := make([]string, len(c.Commands))
		for i, packed := range c.Commands {
			inner, err := packed.UnmarshalNew()
			if err != nil {
				return err.Error()
			}
			lines[i] = "\n  " + describe(inner)
		}
		return "batch" + strings.Join(lines, "")
	case *metadata.RegisterNode:
		return fmt.Sprintf("register node %d generation %d zone %s", c.Node.NodeId, c.Node.Generation, c.Node.Zone)
	case *metadata.UpdateNode:
		return fmt.Sprintf("node %d is %s", c.NodeId, strings.ToLower(strings.TrimPrefix(c.GetState().String(), "NODE_STATE_")))
	case *metadata.CreateTopic:
		return fmt.Sprintf("create %s: %d partitions of %d replicas", c.Name, len(c.Assignments), c.ReplicationFactor)
	case *metadata.DeleteTopic:
		return "delete " + c.Name
	case *metadata.UpdatePartitionLeader:
		return fmt.Sprintf("%s/%d: leader %d after epoch %d, isr %v", c.Topic, c.Partition, c.Leader.NodeId, c.LeaderEpoch, c.Isr)
	case *metadata.UpdatePartitionISR:
		return fmt.Sprintf("%s/%d: isr %v", c.Topic, c.Partition, c.Isr)
	}
	return string(command.ProtoReflect().Descriptor().Name())
}

// worker is the partition actor of the tests: it says where it runs.
type worker struct {
	n  *node
	id Identity
}

// Receive obeys "stop" and "fail".
func (k *worker) Receive(c actor.Context) {
	switch msg := c.Message().(type) {
	case *actor.Started:
		if _, twice := k.n.running[c.Self().Id]; twice {
			k.n.w.t.Errorf("node %d runs %s twice", k.n.id, c.Self().Id)
		}
		k.n.running[c.Self().Id] = k.id.Epoch
	case *actor.Stopping, *actor.Restarting:
		delete(k.n.running, c.Self().Id)
	case string:
		if msg == "stop" {
			c.Stop(c.Self())
		} else {
			panic(msg)
		}
	}
}

// ask sends a request to a node's ring and runs the world until it is answered.
func (w *world) ask(id uint64, request proto.Message, limit time.Duration) any {
	n := w.node(id)
	var answer any
	asker := n.spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch c.Message().(type) {
		case *actor.Started:
			c.Request(n.system.NewLocalPID(actors.NameRing), request)
		case proto.Message:
			if answer != nil {
				w.t.Errorf("%T got a second answer: %v", request, c.Message())
			}
			answer = c.Message()
		}
	}, actors.Named("asker"+n.system.ProcessRegistry.NextId())))
	for end := w.now + limit; answer == nil && w.now < end; {
		w.run(latency)
	}
	n.system.Root.Stop(asker)
	return answer
}

func proposeOf(command proto.Message) *consensus.Propose { return consensus.NewPropose(command) }
