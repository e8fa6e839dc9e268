package testkit

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

const (
	trafficName = "traffic"
	trafficPoll = 50 * time.Millisecond
	// toldWithin bounds how long after the faults a watcher may wait for the news of an end.
	toldWithin = 30 * time.Second
)

// traffic is numbered messages from every node to every other in every class, and watches of actors that end.
type traffic struct {
	world   *World
	rand    *rand.Rand
	rate    float64
	posts   map[*Node]*post
	watches []*watch
	mortals int
	arrived [actors.Classes]int
	told    int
}

// post sends and receives on one life of a node. It is a process and no actor, so what arrives costs no turn and changes no schedule.
type post struct {
	traffic *traffic
	node    *Node
	life    int
	pid     *actor.PID
	next    map[address]uint64 // number of the next message
	last    map[address]uint64 // number of the last one that came
}

// address is one direction between two lives, in a class.
type address struct {
	node, life int
	class      actors.Class
}

// watch is one actor that a post on another node watches.
type watch struct {
	by      *post
	on      *Node
	life    int // of on
	id      string
	local   *actor.PID
	endedAt time.Duration // 0: it lives, as far as its node does
	told    bool
}

// Traffic lets every node send so many numbered messages a second to the others, in bursts, in every class, and watch actors of theirs
// that end after a while. What arrives is judged: within a class between two nodes nothing comes twice, late or changed, but for
// datagrams; who watches is told of the end, once, at the latest when the faults are over.
func (w *World) Traffic(perSecond float64) {
	t := &traffic{world: w, rand: w.stream("traffic"), rate: perSecond, posts: make(map[*Node]*post)}
	w.traffic = t
	w.after(trafficPoll, t.settle)
	w.Eventually("remote: watchers are told", toldWithin, func(View) error { return t.untold() })
}

// settle gives every life of every node a post.
func (t *traffic) settle() {
	w := t.world
	for _, n := range w.nodes {
		if p := t.posts[n]; n.up && !n.paused && (p == nil || p.life != n.life) {
			p = &post{traffic: t, node: n, life: n.life, next: make(map[address]uint64), last: make(map[address]uint64)}
			p.pid, _ = n.system.ProcessRegistry.Add(p, trafficName)
			t.posts[n] = p
			p.sendLater()
			p.watchLater()
		}
	}
	if !w.loadOver {
		w.after(trafficPoll, t.settle)
	}
}

func (t *traffic) pause(mean float64) time.Duration {
	return time.Duration(t.rand.ExpFloat64() * mean * float64(time.Second))
}

// later runs f in the post's life, unless the load is over.
func (p *post) later(mean float64, f func()) {
	w := p.traffic.world
	w.after(p.traffic.pause(mean), func() {
		if !w.loadOver {
			p.node.whenAwake(p.life, f)
		}
	})
}

const burstMean = 4

func (p *post) sendLater() {
	p.later(burstMean/p.traffic.rate, func() {
		p.sendLater()
		t := p.traffic
		to := p.other()
		class := actors.Class(t.rand.IntN(actors.Classes)) //nolint:gosec // five of them
		for range 1 + t.rand.IntN(2*burstMean-1) {
			p.send(to, class)
		}
	})
}

func (p *post) other() *Node {
	nodes := p.traffic.world.nodes
	n := nodes[p.traffic.rand.IntN(len(nodes))]
	if n == p.node {
		n = nodes[n.id%len(nodes)]
	}
	return n
}

// padding is what fills a message up: some fill most of a run of frames.
func (t *traffic) padding(class actors.Class) int {
	switch {
	case class == actors.Datagram || class == actors.Control || t.rand.IntN(4) > 0:
		return t.rand.IntN(300)
	}
	return t.rand.IntN(24 << 10)
}

func (p *post) send(to *Node, class actors.Class) {
	key := address{node: to.id, life: to.life, class: class}
	p.next[key]++
	b := binary.AppendUvarint(nil, uint64(p.node.id)) //nolint:gosec // counted from 1
	b = binary.AppendUvarint(b, uint64(p.life))       //nolint:gosec // counted from 1
	b = binary.AppendUvarint(b, uint64(to.life))      //nolint:gosec // counted from 0
	b = binary.AppendUvarint(b, uint64(class))
	b = binary.AppendUvarint(b, p.next[key])
	b = append(b, bytes.Repeat([]byte{byte(p.next[key])}, p.traffic.padding(class))...)
	actors.Send(class, p.node.system.Root, to.PID(trafficName), wrapperspb.Bytes(b))
}

// SendUserMessage takes what another node sent.
func (p *post) SendUserMessage(_ *actor.PID, message any) {
	m, ok := actor.UnwrapEnvelopeMessage(message).(*wrapperspb.BytesValue)
	if !ok {
		return
	}
	var numbers [5]uint64
	b := m.GetValue()
	for i := range numbers {
		v, width := binary.Uvarint(b)
		if width <= 0 {
			p.fail("a message of %d bytes that nobody sent", len(m.GetValue()))
			return
		}
		numbers[i], b = v, b[width:]
	}
	if numbers[3] < uint64(actors.Classes) {
		p.traffic.arrived[numbers[3]]++
	}
	key := address{node: int(numbers[0]), life: int(numbers[1]), class: actors.Class(numbers[3])} //nolint:gosec // as it was sent
	number := numbers[4]
	if bytes.Count(b, []byte{byte(number)}) != len(b) {
		p.fail("message %d of node %d was changed on its way", number, key.node)
		return
	}
	if key.class == actors.Datagram || int(numbers[2]) != p.life { //nolint:gosec // as it was sent
		return
	}
	switch last := p.last[key]; {
	case number == last:
		p.fail("message %d of class %s from node %d came twice", number, key.class, key.node)
	case number < last:
		p.fail("message %d of class %s from node %d came after message %d", number, key.class, key.node, last)
	}
	p.last[key] = number
}

func (p *post) fail(format string, args ...any) {
	p.traffic.world.failed("remote: order", fmt.Sprintf("node %d: ", p.node.id)+fmt.Sprintf(format, args...))
}

// watchLater makes actors on other nodes, watches them, and ends them.
func (p *post) watchLater() {
	const every = 0.7
	p.later(every, func() {
		w := p.traffic.world
		if w.faultsOver {
			return
		}
		p.watchLater()
		if on := p.other(); on.up && !on.paused {
			p.watch(on)
		}
	})
}

func (p *post) watch(on *Node) {
	t := p.traffic
	t.mortals++
	x := &watch{by: p, on: on, life: on.life, id: "mortal" + strconv.Itoa(t.mortals)}
	local, err := on.system.Root.SpawnNamed(actor.PropsFromFunc(func(actor.Context) {}), x.id)
	if err != nil {
		t.world.fail("traffic: %v", err)
		return
	}
	x.local = local
	t.watches = append(t.watches, x)
	target := on.PID(x.id)
	process, _ := p.node.system.ProcessRegistry.Get(target)
	process.SendSystemMessage(target, &actor.Watch{Watcher: actor.NewPID(p.node.address(), trafficName)})
	t.world.after(t.pause(10), x.end) // longer than many a connection
}

// end stops the actor that is watched, where its node still lives.
func (x *watch) end() {
	if x.endedAt == 0 && x.on.life == x.life && x.on.up {
		x.on.whenAwake(x.life, func() {
			x.endedAt = x.by.traffic.world.now
			x.on.system.Root.Stop(x.local)
		})
	}
}

// ended reports whether the actor is gone, by itself or with its node.
func (x *watch) ended() bool { return x.endedAt != 0 || x.on.life != x.life || !x.on.up }

// SendSystemMessage takes the news of an end.
func (p *post) SendSystemMessage(_ *actor.PID, message any) {
	m, ok := message.(*actor.Terminated)
	if !ok {
		return
	}
	for _, x := range p.traffic.watches {
		if x.by != p || x.id != m.GetWho().GetId() {
			continue
		}
		switch {
		case x.told:
			p.traffic.world.failed("remote: watch", fmt.Sprintf("node %d is told twice of the end of %s on node %d", p.node.id, x.id, x.on.id))
		case m.GetWhy() == actor.TerminatedReason_Stopped && !x.ended():
			p.traffic.world.failed("remote: watch", fmt.Sprintf("node %d is told that %s on node %d stopped, which lives", p.node.id, x.id, x.on.id))
		}
		x.told = true
		p.traffic.told++
	}
}

// Stop does nothing: a post ends with its node's life.
func (p *post) Stop(*actor.PID) {}

// untold ends what still lives, and names a watch whose watcher waits.
func (t *traffic) untold() error {
	waiting := 0
	var last *watch
	for _, x := range t.watches {
		x.end()
		if x.ended() && !x.told && x.by.node.up && x.by.node.life == x.by.life {
			waiting, last = waiting+1, x
		}
	}
	if last == nil {
		return nil
	}
	return fmt.Errorf("%d watchers wait, such as node %d for the end of %s on node %d", waiting, last.by.node.id, last.id, last.on.id)
}
