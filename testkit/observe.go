package testkit

import (
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/membership"
)

// observer sits on every node as a subscriber of its Raft groups and of its membership, and keeps what the invariants judge.
// It takes events where they are sent, without a turn of its own, so that it changes nothing of the schedule.
type observer struct {
	world  *World
	groups map[string]*groupView
	seats  map[*Node]*seat

	troubled map[int]time.Duration // when a node was last down, asleep or cut off from another
	endedAt  map[int]time.Duration // since when a node that is down was seen so

	cluster  string // the one that was formed, and who was first seen in it
	founder  int
	separate bool
}

// seat is the observer on one life of a node.
type seat struct {
	observer *observer
	node     *Node
	life     int
	asked    map[string]bool
	applied  map[string]uint64
	members  membership.View
	newest   map[ownerOf]epochOf
	dead     map[ownerOf]epochOf // at which members were declared dead
}

const (
	observeEvery = 100 * time.Millisecond
	// earPrefix begins the id under which a seat hears an actor, whose name follows.
	earPrefix = "observer/"
)

func newObserver(w *World) *observer {
	return &observer{
		world: w, groups: make(map[string]*groupView), seats: make(map[*Node]*seat),
		troubled: make(map[int]time.Duration), endedAt: make(map[int]time.Duration),
	}
}

func (o *observer) group(name string) *groupView {
	g := o.groups[name]
	if g == nil {
		g = newGroupView(name)
		o.groups[name] = g
	}
	return g
}

// watch looks, now and then, for actors that the observer does not sit on yet.
func (o *observer) watch() {
	for _, n := range o.world.nodes {
		if n.up && !n.paused {
			o.sit(n)
			o.judgeLogs(n)
		}
	}
	o.feel()
	o.judgeClusters()
	o.world.after(observeEvery, o.watch)
}

func (o *observer) sit(n *Node) {
	s := o.seats[n]
	if s == nil || s.life != n.life {
		s = &seat{
			observer: o, node: n, life: n.life, asked: make(map[string]bool), applied: make(map[string]uint64),
			members: make(membership.View), newest: make(map[ownerOf]epochOf), dead: make(map[ownerOf]epochOf),
		}
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
		ear, _ := n.system.ProcessRegistry.Add(s, earPrefix+name)
		process.SendUserMessage(n.system.NewLocalPID(name), &actor.MessageEnvelope{Message: ask, Sender: ear})
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

func (s *seat) SendUserMessage(ear *actor.PID, message any) {
	o := s.observer
	switch m := actor.UnwrapEnvelopeMessage(message).(type) {
	case *consensus.Applied:
		o.onApplied(s, m)
	case *consensus.Restored:
		s.applied[m.Group] = m.Index
	case *consensus.Subscribed:
		if group, ok := strings.CutPrefix(ear.GetId(), earPrefix+actors.RaftPrefix); ok {
			s.applied[group] = m.GetApplied()
		}
	case *consensus.LeaderChanged:
		o.onLeader(m)
	case *membership.Snapshot, *membership.Joined, *membership.Updated, *membership.Suspected, *membership.Failed, *membership.Left, *membership.Recovered:
		o.onMembership(s, m)
	}
}

func (s *seat) SendSystemMessage(*actor.PID, any) {}
func (s *seat) Stop(*actor.PID)                   {}

func (o *observer) onMembership(s *seat, event any) {
	m := s.members.Apply(event)
	if m == nil {
		if _, ok := event.(*membership.Snapshot); ok {
			for _, member := range s.members.Sorted() {
				o.judgeMember(s, member, true)
			}
		}
		return
	}
	o.judgeMember(s, m, false)
	if failed, ok := event.(*membership.Failed); ok {
		o.world.onDeclaredDead(s.node, failed.GetMember())
	}
}
