package autopilot

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

// replica is one member of the group as the leader sees it.
type replica struct {
	peer     *consensus.Peer
	voter    bool
	self     bool // it leads
	caughtUp bool // it has all that the leader had committed at the look before
	silent   time.Duration
	stable   time.Duration // how long it has been in contact without a break
	zone     string        // empty: unknown
}

// limits are the times and numbers that a plan goes by.
type limits struct {
	target                                                int
	contact, deadVoterGrace, deadLearnerGrace, stableTime time.Duration
}

// membersMax leaves room below what a configuration may hold.
const membersMax = 60

// plan is the next change, and why. None at all: all is as it should be, or can't be helped.
type plan struct {
	changes []*consensus.Change
	why     string
}

func (p plan) none() bool { return len(p.changes) == 0 }

// next decides. missing are the nodes of the cluster that have no replica in the group, in the order that they are to be added.
func next(members []replica, missing []*consensus.Peer, l limits) plan {
	for _, step := range []func() plan{
		func() plan { return replaceSuperseded(members, l) },
		func() plan { return replaceDead(members, l) },
		func() plan { return promote(members, l) },
		func() plan { return cleanUp(members, l) },
		func() plan { return add(members, missing, l) },
		func() plan { return spread(members, l) },
	} {
		if p := step(); !p.none() {
			return p
		}
	}
	return plan{}
}

func change(kind consensus.ChangeKind, r replica) *consensus.Change {
	return &consensus.Change{Kind: kind, Peer: r.peer}
}

func promotion(r replica) *consensus.Change {
	return change(consensus.ChangeKind_CHANGE_KIND_PROMOTE, r)
}

func removal(r replica) *consensus.Change {
	return change(consensus.ChangeKind_CHANGE_KIND_REMOVE, r)
}

func (r replica) inContact(l limits) bool { return r.self || r.silent < l.contact }

// ready reports whether a learner could vote.
func (r replica) ready(l limits) bool {
	return !r.voter && r.caughtUp && r.inContact(l) && r.stable >= l.stableTime
}

// successor is the ready learner on another disk of a silent replica's node.
func successor(of replica, members []replica, l limits) (replica, bool) {
	if of.inContact(l) {
		return replica{}, false
	}
	for _, r := range members {
		if r.peer.GetNodeId() == of.peer.GetNodeId() && r.peer.GetReplica() != of.peer.GetReplica() && r.ready(l) {
			return r, true
		}
	}
	return replica{}, false
}

// replaceSuperseded lets a wiped node's new replica take its old one's place, in one change.
func replaceSuperseded(members []replica, l limits) plan {
	for _, old := range members {
		if !old.voter {
			continue
		}
		r, ok := successor(old, members, l)
		if !ok {
			continue
		}
		p := plan{changes: []*consensus.Change{promotion(r)}, why: fmt.Sprintf("node %d is back with another disk", r.peer.GetNodeId())}
		for _, gone := range members {
			if gone.peer.GetNodeId() == r.peer.GetNodeId() && gone.peer.GetReplica() != r.peer.GetReplica() && !gone.inContact(l) {
				p.changes = append(p.changes, removal(gone))
			}
		}
		return p
	}
	return plan{}
}

// replaceDead takes the voter that has been silent for longest past the grace. It goes without a successor only where enough
// voters are left.
func replaceDead(members []replica, l limits) plan {
	var dead *replica
	for i := range members {
		r := &members[i]
		if r.voter && !r.self && r.silent >= l.deadVoterGrace && (dead == nil || r.silent > dead.silent) {
			dead = r
		}
	}
	if dead == nil {
		return plan{}
	}
	why := fmt.Sprintf("node %d was silent for %v", dead.peer.GetNodeId(), dead.silent.Round(time.Second))
	voters := voters(members)
	if len(voters) > l.target {
		return plan{changes: []*consensus.Change{removal(*dead)}, why: why + ", and there are voters enough"}
	}
	others := slices.DeleteFunc(voters, func(r replica) bool { return r.peer.GetReplica() == dead.peer.GetReplica() })
	if r, ok := candidate(members, others, l); ok {
		return plan{changes: []*consensus.Change{promotion(r), removal(*dead)}, why: why}
	}
	return plan{}
}

func voters(members []replica) []replica {
	return slices.DeleteFunc(slices.Clone(members), func(r replica) bool { return !r.voter })
}

// candidate is the learner to promote beside these voters: of the zone that has the fewest of them, then of the lowest node id.
// A node has one vote.
func candidate(members, beside []replica, l limits) (replica, bool) {
	var out []replica
	for _, r := range members {
		if r.ready(l) && !slices.ContainsFunc(beside, func(v replica) bool { return v.peer.GetNodeId() == r.peer.GetNodeId() }) {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return replica{}, false
	}
	return slices.MinFunc(out, func(a, b replica) int {
		return cmp.Or(cmp.Compare(inZone(beside, a.zone), inZone(beside, b.zone)), cmp.Compare(a.peer.GetNodeId(), b.peer.GetNodeId()),
			cmp.Compare(a.peer.GetReplica(), b.peer.GetReplica()))
	}), true
}

func inZone(members []replica, zone string) int {
	n := 0
	for _, r := range members {
		if r.zone == zone {
			n++
		}
	}
	return n
}

func promote(members []replica, l limits) plan {
	now := voters(members)
	if len(now) >= l.target {
		return plan{}
	}
	r, ok := candidate(members, now, l)
	if !ok {
		return plan{}
	}
	return plan{changes: []*consensus.Change{promotion(r)}, why: fmt.Sprintf("%d voters, %d are wanted", len(now), l.target)}
}

// cleanUp removes a learner that is not coming back, or whose node has another replica in contact.
func cleanUp(members []replica, l limits) plan {
	for _, r := range members {
		if r.voter || r.inContact(l) {
			continue
		}
		superseded := slices.ContainsFunc(members, func(o replica) bool {
			return o.peer.GetNodeId() == r.peer.GetNodeId() && o.peer.GetReplica() != r.peer.GetReplica() && o.inContact(l)
		})
		if superseded || r.silent >= l.deadLearnerGrace {
			return plan{changes: []*consensus.Change{removal(r)}, why: fmt.Sprintf("node %d's learner was silent for %v", r.peer.GetNodeId(), r.silent.Round(time.Second))}
		}
	}
	return plan{}
}

func add(members []replica, missing []*consensus.Peer, l limits) plan {
	for _, p := range missing {
		taken := slices.ContainsFunc(members, func(r replica) bool { return r.peer.GetNodeId() == p.GetNodeId() && r.inContact(l) })
		if !taken && len(members) < membersMax {
			return plan{
				changes: []*consensus.Change{{Kind: consensus.ChangeKind_CHANGE_KIND_ADD_LEARNER, Peer: p}},
				why:     fmt.Sprintf("node %d has no replica in the group", p.GetNodeId()),
			}
		}
	}
	return plan{}
}

// spread moves a vote from a zone that has at least two more than another to a learner there; never the leader's own, and only
// while all voters are in contact.
func spread(members []replica, l limits) plan {
	now := voters(members)
	if len(now) != l.target || slices.ContainsFunc(now, func(r replica) bool { return !r.inContact(l) || r.zone == "" }) {
		return plan{}
	}
	r, ok := candidate(members, now, l)
	if !ok || r.zone == "" {
		return plan{}
	}
	var from *replica
	for i := range now {
		if v := &now[i]; !v.self && (from == nil || inZone(now, v.zone) > inZone(now, from.zone)) {
			from = v
		}
	}
	if from == nil || inZone(now, from.zone) < inZone(now, r.zone)+2 {
		return plan{}
	}
	return plan{
		changes: []*consensus.Change{promotion(r), change(consensus.ChangeKind_CHANGE_KIND_DEMOTE, *from)},
		why:     fmt.Sprintf("zone %s has %d voters, zone %s %d", from.zone, inZone(now, from.zone), r.zone, inZone(now, r.zone)),
	}
}
