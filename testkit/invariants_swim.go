package testkit

import (
	"fmt"
	"time"

	"github.com/hupe1980/rivven-cluster/actors/membership"
)

const (
	// calmFor is how long a node must have been up, awake and connected with all who are up before nobody has a reason to call it dead:
	// what was suspected in worse times is refuted or decided by then.
	calmFor = 20 * time.Second
	// findWithin bounds how long a node that is calm may take to doubt one that ended.
	findWithin = 30 * time.Second
	// lossMax is the loss of datagrams above which verdicts are not judged.
	lossMax = 0.05
)

// epochOf orders what is said of a member: by generation, then by incarnation.
type epochOf [2]uint64

func (e epochOf) before(other epochOf) bool {
	return e[0] < other[0] || e[0] == other[0] && e[1] < other[1]
}

// ownerOf is a member as a data directory: a node id may pass from one to another and back.
type ownerOf struct {
	id        uint64
	directory string
}

// judgeMember: what one observer knows of a member never goes back, and the dead come back only by a newer word of their own.
func (o *observer) judgeMember(s *seat, m *membership.Member, whole bool) {
	id := ownerOf{m.GetNodeId(), string(m.GetDirectoryId())}
	now := epochOf{m.GetGeneration(), m.GetIncarnation()}
	if before := s.newest[id]; now.before(before) {
		o.world.failed("swim: incarnations", fmt.Sprintf("node %d saw node %d at generation %d incarnation %d after %d, %d", s.node.id, id.id, now[0], now[1], before[0], before[1]))
	}
	s.newest[id] = now
	dead, was := s.dead[id]
	switch state := m.GetState(); {
	case state == membership.State_STATE_DEAD:
		s.dead[id] = now
	case was && !whole && !dead.before(now) && state != membership.State_STATE_LEFT:
		o.world.failed("swim: the dead stay dead", fmt.Sprintf("node %d sees node %d as %v at generation %d incarnation %d, at which it was dead", s.node.id, id.id, state, now[0], now[1]))
	default:
		delete(s.dead, id)
	}
}

// onDeclaredDead judges a verdict: a member that has been up, awake and reachable is not dead.
func (w *World) onDeclaredDead(by *Node, m *membership.Member) {
	w.tell(Event{Kind: "declared dead", Node: int(m.GetNodeId()), From: by.id}) //nolint:gosec // node ids are small
	subject := w.holder(m)
	if subject == nil || !subject.up || uint64(subject.generation) != m.GetGeneration() || w.net.model.Loss > lossMax { //nolint:gosec // a time
		return
	}
	if o := w.observed; o.calm(subject, calmFor) && o.calm(by, calmFor) {
		w.failed("swim: no healthy member is dead", fmt.Sprintf("node %d calls node %d dead, which has been up, awake and connected for %v", by.id, subject.id, w.now-o.troubled[subject.id]))
	}
}

// holder is the one node that goes by the member's id; nil where there are clones.
func (w *World) holder(m *membership.Member) *Node {
	var found *Node
	for _, n := range w.nodes {
		if uint64(n.certified) == m.GetNodeId() { //nolint:gosec // counted from 1
			if found != nil {
				return nil
			}
			found = n
		}
	}
	return found
}

func (o *observer) calm(n *Node, d time.Duration) bool { return o.world.now-o.troubled[n.id] >= d }

// feel notes who is in trouble at this moment.
func (o *observer) feel() {
	w := o.world
	for _, a := range w.nodes {
		if !a.up || a.paused {
			o.troubled[a.id] = w.now
		} else {
			delete(o.endedAt, a.id)
		}
		if _, known := o.endedAt[a.id]; !a.up && !known {
			o.endedAt[a.id] = w.now
		}
		for _, b := range w.nodes[a.id:] {
			if a.up && b.up && !w.net.connected(a.id, b.id) {
				o.troubled[a.id], o.troubled[b.id] = w.now, w.now
			}
		}
	}
	o.judgeCompleteness()
}

// judgeCompleteness: whoever is calm finds out that a member ended.
func (o *observer) judgeCompleteness() {
	w := o.world
	for _, gone := range w.nodes {
		at, ended := o.endedAt[gone.id]
		if !ended || w.now-at < findWithin || w.net.model.Loss > lossMax {
			continue
		}
		for _, n := range w.nodes {
			s := o.seats[n]
			if !n.up || !o.calm(n, findWithin) || s == nil || s.life != n.life {
				continue
			}
			m := s.members[uint64(gone.certified)] //nolint:gosec // counted from 1
			if m.GetState() == membership.State_STATE_ALIVE && w.holder(m) == gone {
				w.failed("swim: completeness", fmt.Sprintf("node %d sees node %d alive, which ended %v ago", n.id, gone.id, w.now-at))
			}
		}
	}
}
