package testkit

import (
	"fmt"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

// observer sits on every node as a subscriber of its Raft groups and of its membership, and keeps what the invariants judge.
// It takes events where they are sent, without a turn of its own, so that it changes nothing of the schedule.
type observer struct {
	world  *World
	groups map[string]*groupView
	seats  map[*Node]*seat
}

// seat is the observer on one life of a node.
type seat struct {
	observer *observer
	node     *Node
	life     int
	pid      *actor.PID
	asked    map[string]bool
	applied  map[string]uint64
	members  membership.View
	// generations and incarnations never go back for one observer.
	newest map[uint64][2]uint64
}

// groupView is what is known of one Raft group over all nodes.
type groupView struct {
	name    string
	leaders map[uint64]uint64    // replica by term
	entries map[uint64]mark      // committed ones, as the first node applied them
	marks   map[[2]uint64]uint64 // content by index and term, of everything durable anywhere
	last    uint64
	first   uint64
	logs    map[int]*logView
	state   metadata.State // of the metadata group
	export  bool
}

type mark struct{ term, content uint64 }

// logView is one node's durable hard state.
type logView struct{ term, vote, commit uint64 }

const observeEvery = 100 * time.Millisecond

func newObserver(w *World) *observer {
	return &observer{world: w, groups: make(map[string]*groupView), seats: make(map[*Node]*seat)}
}

func (o *observer) group(name string) *groupView {
	g := o.groups[name]
	if g == nil {
		g = &groupView{
			name: name, leaders: make(map[uint64]uint64), entries: make(map[uint64]mark),
			marks: make(map[[2]uint64]uint64), logs: make(map[int]*logView),
		}
		o.groups[name] = g
	}
	return g
}

// watch looks, now and then, for actors that the observer does not sit on yet.
func (o *observer) watch() {
	for _, n := range o.world.nodes {
		if n.up && !n.paused {
			o.sit(n)
		}
	}
	o.world.after(observeEvery, o.watch)
}

func (o *observer) sit(n *Node) {
	s := o.seats[n]
	if s == nil || s.life != n.life {
		s = &seat{
			observer: o, node: n, life: n.life, asked: make(map[string]bool), applied: make(map[string]uint64),
			members: make(membership.View), newest: make(map[uint64][2]uint64),
		}
		s.pid, _ = n.system.ProcessRegistry.Add(s, "observer")
		o.seats[n] = s
	}
	for _, name := range append([]string{actors.NameSwim}, o.groupActors(n)...) {
		process, there := n.system.ProcessRegistry.GetLocal(name)
		if !there || s.asked[name] {
			continue
		}
		s.asked[name] = true
		var ask any = &consensus.Subscribe{}
		if name == actors.NameSwim {
			ask = &membership.Subscribe{}
		}
		process.SendUserMessage(n.system.NewLocalPID(name), &actor.MessageEnvelope{Message: ask, Sender: s.pid})
	}
}

func (o *observer) groupActors(n *Node) []string {
	names := []string{actors.RaftName(actors.GroupMeta)}
	for _, g := range n.disk.durable.Groups() {
		if name := actors.RaftName(g); name != names[0] {
			names = append(names, name)
		}
	}
	return names
}

func (s *seat) SendUserMessage(_ *actor.PID, message any) {
	_, content, sender := actor.UnwrapEnvelope(message)
	o, w := s.observer, s.observer.world
	switch m := content.(type) {
	case *consensus.Applied:
		o.onApplied(s, m)
	case *consensus.Restored:
		s.applied[m.Group] = m.Index
	case *consensus.Subscribed:
		if group, ok := strings.CutPrefix(sender.GetId(), actors.RaftPrefix); ok {
			s.applied[group] = m.GetApplied()
		}
	case *consensus.LeaderChanged:
		o.onLeader(m)
	case *membership.Snapshot, *membership.Joined, *membership.Updated, *membership.Suspected, *membership.Failed, *membership.Left, *membership.Recovered:
		o.onMembership(s, m)
	}
	_ = w
}

func (s *seat) SendSystemMessage(*actor.PID, any) {}
func (s *seat) Stop(*actor.PID)                   {}

func (o *observer) onLeader(m *consensus.LeaderChanged) {
	if m.GetLeader() == nil {
		return
	}
	g := o.group(m.GetGroup())
	replica := m.GetLeader().GetReplica()
	if before, ok := g.leaders[m.GetTerm()]; ok && before != replica {
		o.world.failed("raft: election safety", fmt.Sprintf("group %s, term %d: led by replica %d and by replica %d", g.name, m.GetTerm(), before, replica))
	}
	g.leaders[m.GetTerm()] = replica
}

// onApplied checks state machine safety: every node applies the same command at an index, in order and without gaps.
func (o *observer) onApplied(s *seat, m *consensus.Applied) {
	g := o.group(m.Entry.Group)
	index := m.Entry.Index
	if last := s.applied[g.name]; index <= last {
		o.world.failed("raft: state machine safety", fmt.Sprintf("group %s: node %d applied index %d after %d", g.name, s.node.id, index, last))
	}
	s.applied[g.name] = index
	content := hashMessage(m.Entry.Command)
	if m.Err != nil {
		content ^= hashText(m.Err.Error())
	} else if m.Result != nil {
		content ^= hashMessage(m.Result)
	}
	have, known := g.entries[index]
	if !known {
		g.entries[index] = mark{m.Entry.Term, content}
		g.last = max(g.last, index)
		if g.name == actors.GroupMeta {
			o.advance(g, m)
		}
		return
	}
	if have != (mark{m.Entry.Term, content}) {
		o.world.failed("raft: state machine safety", fmt.Sprintf("group %s, index %d: node %d applied %v of term %d with another result than the first to apply it (term %d)",
			g.name, index, s.node.id, describe(m.Entry.Command), m.Entry.Term, have.term))
	}
}

// advance keeps one copy of the metadata for the ring's invariants; a gap, where no node was watched, ends it.
func (o *observer) advance(g *groupView, m *consensus.Applied) {
	if m.Err != nil {
		return
	}
	before := g.state
	next, _, err := g.state.Apply(m.Entry.Index, m.Entry.Command)
	if err != nil {
		g.export = true // the copy missed something
		return
	}
	g.state = next
	if !g.export {
		o.judgeTable(before, next, m.Entry.Index)
	}
}

func (o *observer) onMembership(s *seat, event any) {
	m := s.members.Apply(event)
	if m == nil {
		if _, ok := event.(*membership.Snapshot); ok {
			for _, member := range s.members.Sorted() {
				o.judgeMember(s, member)
			}
		}
		return
	}
	o.judgeMember(s, m)
	if failed, ok := event.(*membership.Failed); ok {
		o.world.onDeclaredDead(s.node, failed.GetMember())
	}
}

func hashMessage(m proto.Message) uint64 {
	if m == nil {
		return 0
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return 1
	}
	return hashBytes(b)
}
