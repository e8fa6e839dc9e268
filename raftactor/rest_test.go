package raftactor

import (
	"fmt"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/membership"
)

// The defaults, which these tests run with.
const (
	beatEvery   = 50 * time.Millisecond
	electionMin = 150 * time.Millisecond
)

// quick lets a group rest soon.
func quick(c *Config) { c.RestAfter = 200 * time.Millisecond }

// rested waits until the group rests on the nodes given, or on all.
func (w *world) rested(nodes ...*node) {
	w.t.Helper()
	if nodes == nil {
		nodes = w.nodes
	}
	w.until("rest", 10*time.Second, func() bool {
		for _, n := range nodes {
			if n.sys != nil && !n.status().GetResting() {
				return false
			}
		}
		return true
	})
}

// traffic counts what is sent, by kind.
func (w *world) traffic() (steps, pulses *int) {
	steps, pulses = new(int), new(int)
	w.filter = func(_, _ int, m proto.Message) bool {
		switch m.(type) {
		case *Pulse:
			*pulses++
		default:
			*steps++
		}
		return true
	}
	return steps, pulses
}

func TestIdleGroupRests(t *testing.T) {
	w := cluster(t, 501, 3)
	w.leader().set("a", "1")
	w.rested()
	term := w.leader().status().GetTerm()
	steps, pulses := w.traffic()
	w.run(time.Minute)
	// Two ties, both ways, one pulse each heartbeat interval.
	if most := 4 * int(time.Minute/beatEvery); *steps != 0 || *pulses > most+4 || *pulses < most/2 {
		t.Fatalf("%d steps and %d pulses in a minute", *steps, *pulses)
	}
	w.rested()
	if s := w.leader().status(); s.GetTerm() != term {
		t.Fatalf("term %d, then %d", term, s.GetTerm())
	}
}

func TestStatusAndStaleQueriesLetAGroupRest(t *testing.T) {
	w := cluster(t, 502, 3)
	w.leader().set("a", "1")
	w.rested()
	for _, n := range w.nodes {
		n.await(consensus.NewStaleQuery(text("a")))
		n.await(&consensus.Subscribe{})
	}
	w.run(time.Second)
	w.rested()
}

// Whatever a client asks for, of whichever node, is there within an election timeout, and the leader stays the leader.
func TestRequestsWakeAGroup(t *testing.T) {
	for i, ask := range []func() any{
		func() any { return consensus.NewPropose(text("set a 1")) },
		func() any { return consensus.NewQuery(text("a")) },
		func() any { return &consensus.ReadIndex{} },
		func() any { return &consensus.OpenSession{} },
		func() any { return &consensus.TakeSnapshot{} },
	} {
		w := cluster(t, 510+uint64(i), 3, quick)
		term := w.leader().status().GetTerm()
		for _, n := range w.nodes {
			w.run(time.Duration(w.rng.Int64N(int64(time.Second))))
			w.rested()
			asked := w.now
			if f, ok := n.await(ask()).(*consensus.Failed); ok {
				t.Fatalf("node %d, %T: %v", n.id, ask(), f)
			}
			if took := w.now - asked; took > electionMin {
				t.Fatalf("node %d: %T took %v", n.id, ask(), took)
			}
			if n.status().GetResting() {
				t.Fatalf("node %d rests right after %T", n.id, ask())
			}
		}
		w.rested()
		if now := w.leader().status().GetTerm(); now != term {
			t.Fatalf("term %d, then %d after %T", term, now, ask())
		}
	}
}

// The check of the quorum starts afresh: a leader that wakes between any two of them leads on.
func TestWakingIsNoLossOfTheQuorum(t *testing.T) {
	w := cluster(t, 520, 3, quick)
	term := w.leader().status().GetTerm()
	for i := range 60 {
		w.rested()
		w.run(time.Duration(i) * 5 * time.Millisecond)
		leader := w.leader()
		leader.deliver(leader.group, &membership.Failed{Member: memberOf(w.followers()[0])})
		w.run(2 * electionMin)
		if s := leader.status(); s.GetRole() != consensus.Role_ROLE_LEADER || s.GetTerm() != term {
			t.Fatalf("round %d: %v", i, s)
		}
	}
}

func memberOf(n *node) *membership.Member {
	return &membership.Member{NodeId: uint64(n.id), DirectoryId: n.dir[:], Address: n.address}
}

func TestFailedMemberWakesAGroup(t *testing.T) {
	w := cluster(t, 521, 3)
	w.rested()
	leader := w.leader()
	leader.deliver(leader.group, &membership.Failed{Member: &membership.Member{NodeId: 9, DirectoryId: make([]byte, 16), Address: "x:1"}})
	w.run(0)
	if !leader.status().GetResting() {
		t.Fatal("a stranger's failure woke the group")
	}
	leader.deliver(leader.group, &membership.Failed{Member: memberOf(w.followers()[0])})
	w.run(0)
	if leader.status().GetResting() {
		t.Fatal("it rests on")
	}
}

// Followers of a leader that died, was cut off, or stopped alone while its process lives on elect another.
func TestFollowersOfALostLeaderWake(t *testing.T) {
	for name, lose := range map[string]func(w *world, leader *node){
		"crash":     func(_ *world, leader *node) { leader.crash() },
		"partition": func(w *world, leader *node) { w.isolate(leader) },
		"stop": func(_ *world, leader *node) {
			leader.deliver(leader.group, &actor.PoisonPill{})
		},
		"panic": func(_ *world, leader *node) { leader.deliver(leader.group, &poison{}) },
		"restart without the group": func(w *world, leader *node) {
			leader.crash()
			leader.startTicksOnly()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := cluster(t, 530, 5, quick)
			w.leader().set("a", "1")
			w.rested()
			leader := w.leader()
			lost := w.now
			lose(w, leader)
			var others []*node
			for _, n := range w.nodes {
				if n != leader {
					others = append(others, n)
				}
			}
			w.until("another leader", 5*time.Second, func() bool {
				for _, n := range others {
					if n.status().GetRole() == consensus.Role_ROLE_LEADER {
						return true
					}
				}
				return false
			})
			if took, most := w.now-lost, peersAwait*electionMin+4*electionMin; took > most {
				t.Fatalf("%v without a leader, want at most %v", took, most)
			}
			if name == "partition" {
				w.until("the old leader steps down", time.Second, func() bool {
					return leader.status().GetRole() != consensus.Role_ROLE_LEADER
				})
			}
		})
	}
}

// startTicksOnly is a process whose group was not started, though its node is there again.
func (n *node) startTicksOnly() {
	n.gen++
	n.boot()
	ticks := n.sys.Root.Spawn(TicksProps())
	n.askPID(ticks, &registerTicks{Interval: 5 * time.Millisecond})
	for _, other := range n.w.nodes {
		if other != n {
			n.askPID(ticks, &sleepTicks{Every: 50 * time.Millisecond, Patience: time.Hour, Peers: []sleepPeer{{other.replica(), other.address}}})
		}
	}
	n.group = actor.NewPID(n.address, "nobody")
}

// A follower that isn't told to rest finds its leader awake again, and both rest later.
func TestRestThatIsLostOnItsWayCostsNoElection(t *testing.T) {
	w := cluster(t, 540, 3, quick)
	term := w.leader().status().GetTerm()
	follower, lost := w.followers()[0], 0
	w.filter = func(_, to int, m proto.Message) bool {
		if s, ok := m.(*Step); ok && s.GetRest() != nil && lost < 2 && to == follower.id {
			lost++
			return false
		}
		return true
	}
	w.until("rest is lost", 5*time.Second, func() bool { return lost == 2 })
	w.rested()
	if now := w.leader().status().GetTerm(); now != term {
		t.Fatalf("term %d, then %d", term, now)
	}
}

// A group in which somebody is behind or gone doesn't rest.
func TestGroupWithALostMemberStaysAwake(t *testing.T) {
	w := cluster(t, 541, 3, quick)
	gone := w.followers()[0]
	gone.crash()
	leader := w.leader()
	leader.set("a", "1")
	w.run(5 * time.Second)
	if leader.status().GetResting() {
		t.Fatal("it rests with a follower that has not the whole log")
	}
	gone.start(nil, quick)
	w.rested()
	w.agree(w.nodes...)
}

func TestNegativeRestAfterMeansNever(t *testing.T) {
	w := cluster(t, 542, 3, func(c *Config) { c.RestAfter = -1 })
	w.run(10 * time.Second)
	for _, n := range w.nodes {
		if n.status().GetResting() {
			t.Fatalf("node %d rests", n.id)
		}
	}
}

// One follower that never rests keeps the others' leader awake, and in office.
func TestFollowerThatDoesNotRestWakesItsLeader(t *testing.T) {
	w := newWorld(t, 543)
	for range 3 {
		w.newNode()
	}
	peers := peersOf(w.nodes)
	w.nodes[0].start(peers, quick)
	w.nodes[1].start(peers, quick)
	w.nodes[2].start(peers, func(c *Config) { c.RestAfter = -1 })
	term := w.leader().status().GetTerm()
	w.run(10 * time.Second)
	if s := w.leader().status(); s.GetTerm() != term {
		t.Fatalf("term %d, then %d", term, s.GetTerm())
	}
}

// A leader of an earlier term, and a member that is no leader, can't send a follower to sleep.
func TestRestOfAnotherThanTheLeaderIsIgnored(t *testing.T) {
	w := cluster(t, 544, 3)
	followers := w.followers()
	f, other := followers[0], followers[1]
	leader := w.leader()
	var last *Step // of the leader
	w.filter = func(from, to int, m proto.Message) bool {
		if s, ok := m.(*Step); ok && to == f.id && from == leader.id {
			last = s
		}
		return true
	}
	w.run(100 * time.Millisecond)
	w.filter = nil
	st := f.status()
	try := func(from *node, term, index, instance uint64) bool {
		f.arrive(from, actors.Control, actors.RaftName("kv"), &Step{
			Instance: last.GetInstance(), ToInstance: instance, Rest: &Rest{Term: term, Index: index},
		}, nil)
		w.run(0)
		return f.status().GetResting()
	}
	term, index, to := st.GetTerm(), st.GetLastIndex(), last.GetToInstance()
	if try(other, term, index, to) || try(leader, term-1, index, to) || try(leader, term, index-1, to) || try(leader, term, index, to+1) {
		t.Fatal("it rests")
	}
	if !try(leader, term, index, to) {
		t.Fatal("it doesn't rest with its leader")
	}
}

// Three nodes with a thousand groups that start at once: all have leaders and come to rest within seconds, their heartbeats go together, and
// each wakes on its own.
func TestThousandGroups(t *testing.T) {
	groups := 1000
	if testing.Short() {
		groups = 100
	}
	w := newWorld(t, 550)
	for range 3 {
		w.newNode()
	}
	peers := peersOf(w.nodes)
	kvs := make([][]*actor.PID, 3)
	for i, n := range w.nodes {
		n.start(peers, quick)
		for k := range groups - 1 {
			kvs[i] = append(kvs[i], n.addGroup(fmt.Sprintf("g%d", k)))
		}
	}
	all := func(ok func(*consensus.Status) bool) func() bool {
		return func() bool {
			for i, n := range w.nodes {
				for k := range kvs[i] {
					a := n.askPID(kvs[i][k], &consensus.GetStatus{})
					if !w.runUntil(0, func() bool { return a.got != nil }) || !ok(a.got.(*consensus.Status)) {
						w.run(50 * time.Millisecond)
						return false
					}
				}
			}
			return true
		}
	}
	// A split vote or two take a few election timeouts; of a thousand groups some have that.
	w.until("leaders", 3*time.Second, all(func(s *consensus.Status) bool { return s.GetLeader() != nil }))
	w.until("rest", 3*time.Second, all((*consensus.Status).GetResting))
	steps, pulses := w.traffic()
	w.run(10 * time.Second)
	if most := 6 * int(10*time.Second/beatEvery); *steps != 0 || *pulses > most+6 {
		t.Fatalf("%d steps and %d pulses in ten seconds of %d idle groups", *steps, *pulses, groups)
	}
	for range 50 {
		i, k := w.rng.IntN(3), w.rng.IntN(groups-1)
		asked := w.now
		a := w.nodes[i].askPID(kvs[i][k], consensus.NewPropose(text("set a %d", k)))
		w.until("an answer", time.Second, func() bool { return a.got != nil })
		if _, ok := a.got.(*consensus.Proposed); !ok || w.now-asked > electionMin {
			t.Fatalf("group g%d through node %d: %v after %v", k, i+1, a.got, w.now-asked)
		}
	}
}

func (n *node) addGroup(name string) *actor.PID {
	cfg := n.cfg
	cfg.Group, cfg.Machine = name, func() consensus.Machine { return newKV(nil) }
	p, err := Props(cfg)
	if err != nil {
		n.w.t.Fatal(err)
	}
	return n.spawn(p)
}

// While groups are awake, one message carries the heartbeats of all to a node.
func TestHeartbeatsOfAllGroupsGoTogether(t *testing.T) {
	const groups = 50
	w := newWorld(t, 551)
	for range 3 {
		w.newNode()
	}
	peers := peersOf(w.nodes)
	for _, n := range w.nodes {
		n.start(peers, func(c *Config) { c.RestAfter = -1 })
		for k := range groups {
			n.addGroup(fmt.Sprintf("g%d", k))
		}
	}
	w.run(3 * time.Second)
	steps, pulses := w.traffic()
	w.run(3 * time.Second)
	// Each of 20 ticks a second may carry the heartbeats of some groups, and as many answers, to two nodes.
	beats := 3 * 2 * 2 * groups * int(3*time.Second/beatEvery)
	if *steps != 0 || *pulses == 0 || *pulses > beats/15 {
		t.Fatalf("%d single messages and %d gathered ones, for %d heartbeats and answers", *steps, *pulses, beats)
	}
}

// What a hostile node may put into a pulse is refused or finds nobody.
func TestPulsesAreChecked(t *testing.T) {
	w := cluster(t, 552, 3)
	w.rested()
	n := w.nodes[0]
	for _, m := range []*Pulse{
		{},
		{Instance: 1, Steps: make([]*GroupStep, stepsMax+1)},
		{Instance: 1, Steps: []*GroupStep{{Group: "kv"}, {Group: "../store", Step: &Step{Instance: 1}}, {Group: "kv/apply", Step: &Step{Instance: 1}}}},
		{Instance: 1, Steps: []*GroupStep{{Group: "nobody", Step: &Step{Instance: 1}}}},
	} {
		n.arrive(w.nodes[1], actors.Control, actors.NameTicks, m, nil)
	}
	w.run(100 * time.Millisecond)
	if got := n.metrics.of("pulses_refused_total"); got != 5 {
		t.Fatalf("%d refused", got)
	}
	if got := n.metrics.of("pulses_missing_group_total"); got != 1 {
		t.Fatalf("%d for groups that are not here", got)
	}
	if n.gaveUp != nil {
		t.Fatal(n.gaveUp)
	}
}
