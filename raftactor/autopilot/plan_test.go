package autopilot

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

var usual = limits{target: 3, contact: 2 * time.Second, stableTime: 2 * time.Second, deadVoterGrace: time.Minute, deadLearnerGrace: 10 * time.Minute}

func peer(node, replica uint64) *consensus.Peer {
	return &consensus.Peer{NodeId: node, Replica: replica, Address: fmt.Sprintf("node%d:9093", node)}
}

// voter and learner are well; node n has the replica 10·n. The first voter leads.
func voter(node uint64, change ...func(*replica)) replica {
	r := replica{peer: peer(node, 10*node), voter: true, self: node == 1, caughtUp: true, stable: time.Hour}
	for _, f := range change {
		f(&r)
	}
	return r
}

func learner(node uint64, change ...func(*replica)) replica {
	return voter(node, append([]func(*replica){func(r *replica) { r.voter, r.self = false, false }}, change...)...)
}

func silent(d time.Duration) func(*replica) {
	return func(r *replica) { r.silent, r.stable = d, 0 }
}
func in(zone string) func(*replica) { return func(r *replica) { r.zone = zone } }
func disk(id uint64) func(*replica) {
	return func(r *replica) { r.peer = peer(r.peer.GetNodeId(), id) }
}
func behind(r *replica) { r.caughtUp = false }
func fresh(r *replica)  { r.stable = time.Second }

func TestPlan(t *testing.T) {
	five := usual
	five.target = 5
	for name, c := range map[string]struct {
		members []replica
		missing []*consensus.Peer
		limits  limits
		want    string
	}{
		"all is well":                                    {members: []replica{voter(1), voter(2), voter(3), learner(4)}},
		"a newcomer becomes a voter":                     {members: []replica{voter(1), learner(2)}, want: "promote 20"},
		"the target is five":                             {members: []replica{voter(1), voter(2), voter(3), learner(4), learner(5)}, limits: five, want: "promote 40"},
		"not before it caught up":                        {members: []replica{voter(1), learner(2, behind)}},
		"not before it is stable":                        {members: []replica{voter(1), learner(2, fresh)}},
		"not while it is silent":                         {members: []replica{voter(1), learner(2, silent(3*time.Second))}},
		"of the zone with fewest voters":                 {members: []replica{voter(1, in("a")), voter(2, in("b")), learner(3, in("a")), learner(4, in("c"))}, want: "promote 40"},
		"a dead voter is replaced":                       {members: []replica{voter(1), voter(2), voter(3, silent(time.Minute)), learner(4)}, want: "promote 40, remove 30"},
		"by one of its zone":                             {members: []replica{voter(1, in("a")), voter(2, in("b")), voter(3, in("c"), silent(time.Hour)), learner(4, in("a")), learner(5, in("c"))}, want: "promote 50, remove 30"},
		"not within the grace":                           {members: []replica{voter(1), voter(2), voter(3, silent(59*time.Second)), learner(4)}},
		"never just removed":                             {members: []replica{voter(1), voter(2), voter(3, silent(time.Hour))}},
		"nor for a learner that is gone":                 {members: []replica{voter(1), voter(2), voter(3, silent(time.Hour)), learner(4, silent(time.Minute))}},
		"unless voters are enough":                       {members: []replica{voter(1), voter(2), voter(3), voter(4, silent(time.Minute))}, want: "remove 40"},
		"the longest dead first":                         {members: []replica{voter(1), voter(2, silent(time.Minute)), voter(3, silent(time.Hour)), learner(4)}, want: "promote 40, remove 30"},
		"a wiped voter's successor":                      {members: []replica{voter(1), voter(2, silent(3*time.Second)), voter(3), learner(2, disk(21))}, want: "promote 21, remove 20"},
		"and all its other disks":                        {members: []replica{voter(1), voter(2, silent(3*time.Second)), voter(3), learner(2, disk(21), silent(time.Minute)), learner(2, disk(22))}, want: "promote 22, remove 20, remove 21"},
		"not while the old disk lives":                   {members: []replica{voter(1), voter(2), learner(2, disk(21))}},
		"a wiped learner's successor":                    {members: []replica{voter(1), voter(2), voter(3), learner(4, silent(3*time.Second)), learner(4, disk(41))}, want: "remove 40"},
		"a dead learner is removed":                      {members: []replica{voter(1), voter(2), voter(3), learner(4, silent(10*time.Minute))}, want: "remove 40"},
		"not sooner":                                     {members: []replica{voter(1), voter(2), voter(3), learner(4, silent(9*time.Minute))}},
		"a node without a replica":                       {members: []replica{voter(1), voter(2), voter(3)}, missing: []*consensus.Peer{peer(4, 40)}, want: "add learner 40"},
		"not beside its other disk":                      {members: []replica{voter(1), voter(2), voter(3)}, missing: []*consensus.Peer{peer(3, 31)}},
		"two and one is even enough where none is empty": {members: []replica{voter(1, in("a")), voter(2, in("a")), voter(3, in("b")), learner(4, in("b"))}},
		"a vote moves to an empty zone":                  {members: []replica{voter(1, in("a")), voter(2, in("a")), voter(3, in("a")), learner(4, in("b"))}, want: "promote 40, demote 20"},
		"not while a voter is silent":                    {members: []replica{voter(1, in("a")), voter(2, in("a")), voter(3, in("a"), silent(3*time.Second)), learner(4, in("b"))}},
		"nor where zones are unknown":                    {members: []replica{voter(1), voter(2), voter(3), learner(4, in("b"))}},
	} {
		if c.limits == (limits{}) {
			c.limits = usual
		}
		if got := show(next(c.members, c.missing, c.limits)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func show(p plan) string {
	var out []string
	for _, c := range p.changes {
		kind := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(c.GetKind().String(), "CHANGE_KIND_"), "_", " "))
		out = append(out, fmt.Sprintf("%s %d", kind, c.GetPeer().GetReplica()))
	}
	return strings.Join(out, ", ")
}

// Whatever it sees, it ends: applied again and again, the plans lead to a membership that needs none. On the way the leader stays, the
// voters are never fewer than they were or the target, no node gets two votes, and a voter that is well loses its vote only to another zone.
func TestPlansConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := usual
		l.target = rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "target")
		members := []replica{voter(1, in("a"))}
		for node := uint64(2); node <= rapid.Uint64Range(2, 9).Draw(t, "nodes"); node++ {
			r := learner(node, in(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "zone")))
			r.voter = rapid.Bool().Draw(t, "voter")
			if rapid.Bool().Draw(t, "dead") {
				silent(rapid.SampledFrom([]time.Duration{3 * time.Second, time.Hour}).Draw(t, "silent"))(&r)
			}
			members = append(members, r)
			if rapid.Bool().Draw(t, "wiped") {
				members = append(members, learner(node, disk(10*node+1), in(r.zone)))
			}
		}
		for range 50 {
			p := next(members, nil, l)
			if p.none() {
				return
			}
			before := len(voters(members))
			members = applied(t, members, p, l)
			if now := len(voters(members)); now < before && now < l.target {
				t.Fatalf("%s: %d voters, then %d", show(p), before, now)
			}
		}
		t.Fatalf("it goes on and on: %s", show(next(members, nil, l)))
	})
}

func applied(t *rapid.T, members []replica, p plan, l limits) []replica {
	var out []replica
	for _, r := range members {
		kind := consensus.ChangeKind_CHANGE_KIND_UNSPECIFIED
		for _, c := range p.changes {
			if c.GetPeer().GetReplica() == r.peer.GetReplica() {
				kind = c.GetKind()
			}
		}
		switch kind {
		case consensus.ChangeKind_CHANGE_KIND_REMOVE:
			if r.inContact(l) || r.self {
				t.Fatalf("%s: replica %d is well", show(p), r.peer.GetReplica())
			}
			continue
		case consensus.ChangeKind_CHANGE_KIND_PROMOTE:
			r.voter = true
		case consensus.ChangeKind_CHANGE_KIND_DEMOTE:
			if r.self {
				t.Fatalf("%s: it leads", show(p))
			}
			r.voter = false
		}
		out = append(out, r)
	}
	votes := map[uint64]bool{}
	for _, r := range voters(out) {
		if votes[r.peer.GetNodeId()] && r.inContact(l) {
			t.Fatalf("%s: node %d has two votes", show(p), r.peer.GetNodeId())
		}
		votes[r.peer.GetNodeId()] = true
	}
	return out
}
