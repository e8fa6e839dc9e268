package ringactor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/actors/partition"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

func noProps(Identity) *actor.Props { return actor.PropsFromFunc(func(actor.Context) {}) }

func cartKind(partitions uint32) Config {
	return Config{Kinds: []Kind{{Name: "cart", Partitions: partitions, Props: noProps}}}
}

// formed is a world whose nodes are registered, led by node 1.
func formed(t testing.TB, nodes int, cfg Config) *world {
	w := newWorld(t, nodes, cfg)
	for _, n := range w.nodes {
		n.start()
	}
	w.run(10 * time.Millisecond)
	w.elect(w.node(1))
	w.run(2 * time.Second)
	return w
}

func create(topic string, partitions uint32) *partition.CreateTopic {
	return &partition.CreateTopic{Name: topic, Partitions: partitions}
}

func (w *world) refused(code partition.Code, id uint64, request proto.Message) {
	w.t.Helper()
	answer := w.ask(id, request, 30*time.Second)
	if r, ok := answer.(*partition.Refused); !ok || r.GetCode() != code || r.GetMessage() == "" {
		w.t.Errorf("%T via %d: %v, want %v", request, id, answer, code)
	}
}

func TestWhatIsInvalidIsRefused(t *testing.T) {
	w := formed(t, 3, Config{})
	for _, via := range []uint64{1, 2} {
		w.refused(partition.Code_CODE_INVALID, via, create("bad name", 1))
		w.refused(partition.Code_CODE_INVALID, via, create("t", 0))
		w.refused(partition.Code_CODE_INVALID, via, create("t", metadata.MaxPartitions+1))
		w.refused(partition.Code_CODE_INVALID, via, &partition.CreateTopic{Name: "t", Partitions: 1, ReplicationFactor: 17})
		w.refused(partition.Code_CODE_NOT_ENOUGH_NODES, via, &partition.CreateTopic{Name: "t", Partitions: 1, ReplicationFactor: 4})
		w.refused(partition.Code_CODE_NOT_FOUND, via, &partition.DeleteTopic{Name: "t"})
		w.refused(partition.Code_CODE_NOT_FOUND, via, &partition.DescribeTopic{Name: "t"})
		w.refused(partition.Code_CODE_INVALID, via, &partition.DescribeTopic{Name: ".."})
	}
	forwarded := create("t", 1)
	forwarded.Forwarded = true
	w.refused(partition.Code_CODE_NO_LEADER, 2, forwarded)
	if len(w.log) == 0 || w.node(1).machine.State().TopicCount() != 0 {
		t.Error("a refused request left something behind")
	}
}

func TestANodeWithoutAClusterIsRefused(t *testing.T) {
	w := formed(t, 3, Config{})
	var answer any
	n := w.node(1)
	n.spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			c.Request(n.ring, &actors.Inbound{Peer: &actors.PeerInfo{NodeID: 9}, Message: create("t", 1)})
		case proto.Message:
			answer = m
		}
	}, actors.Named("blank")))
	w.run(time.Second)
	if r, ok := answer.(*partition.Refused); !ok || r.GetCode() != partition.Code_CODE_INVALID || w.node(1).machine.State().Topic("t") != nil {
		t.Errorf("a blank node got %v", answer)
	}
}

func TestRequestsAreServedFromAnyNode(t *testing.T) {
	w := formed(t, 3, Config{})
	created, ok := w.ask(3, create("t", 4), time.Second).(*partition.TopicCreated)
	if !ok || len(created.GetTopic().GetPartitions()) != 4 || created.GetTopic().GetReplicationFactor() != 3 || len(created.GetTopic().GetId()) != metadata.TopicIDSize {
		t.Fatalf("created %v", created)
	}
	w.run(10 * time.Millisecond)
	for id := uint64(1); id <= 3; id++ {
		described, ok := w.ask(id, &partition.DescribeTopic{Name: "t"}, time.Second).(*partition.Topic)
		if !ok || !proto.Equal(described, created.GetTopic()) {
			t.Errorf("node %d describes %v", id, described)
		}
	}
}

func TestBeforeTheMetadataIsReadNothingIsClaimed(t *testing.T) {
	w := newWorld(t, 1, Config{})
	w.deaf = true
	n := w.node(1)
	n.start()
	n.system.Root.Stop(n.meta)
	w.run(10 * time.Millisecond)
	w.refused(partition.Code_CODE_UNAVAILABLE, 1, &partition.ListTopics{})
	w.refused(partition.Code_CODE_UNAVAILABLE, 1, &partition.DescribeTopic{Name: "t"})
	w.refused(partition.Code_CODE_NO_LEADER, 1, create("t", 1))
}

func TestALeaderThatDoesNotAnswerLeavesTheOutcomeOpen(t *testing.T) {
	w := formed(t, 3, Config{})
	w.node(1).up = false
	w.refused(partition.Code_CODE_UNKNOWN_OUTCOME, 2, create("t", 1))
	w.node(1).up = true
	w.lose = true
	w.refused(partition.Code_CODE_UNKNOWN_OUTCOME, 1, create("t", 1))
	w.lose = false
	w.refused(partition.Code_CODE_ALREADY_EXISTS, 1, create("t", 1))
}

func TestQueuesAreBounded(t *testing.T) {
	w := formed(t, 3, Config{MaxPending: 4})
	var answers []any
	flood := func(n *node) {
		answers = nil
		n.spawn(actor.PropsFromFunc(func(c actor.Context) {
			switch c.Message().(type) {
			case *actor.Started:
				for i := range 8 {
					c.Request(n.ring, create(fmt.Sprintf("t%d-%d", n.id, i), 1))
				}
			case proto.Message:
				answers = append(answers, c.Message())
			}
		}, actors.Named("flood")))
		w.run(time.Second)
	}
	for id, want := range map[uint64]int{1: 3, 2: 4} { // the controller works at one and queues four
		flood(w.node(id))
		busy := 0
		for _, a := range answers {
			if r, ok := a.(*partition.Refused); ok && r.GetCode() == partition.Code_CODE_BUSY {
				busy++
			}
		}
		if len(answers) != 8 || busy != want {
			t.Errorf("via node %d: %d answers, %d busy, want 8 and %d", id, len(answers), busy, want)
		}
	}
}

func TestSteppingDownRefusesWhatWaits(t *testing.T) {
	w := formed(t, 3, Config{})
	w.lose = true
	var codes []partition.Code
	n := w.node(1)
	n.spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			c.Request(n.ring, create("a", 1))
			c.Request(n.ring, create("b", 1))
		case *partition.Refused:
			codes = append(codes, m.GetCode())
		}
	}, actors.Named("client")))
	w.run(100 * time.Millisecond)
	w.elect(w.node(2))
	w.run(20 * time.Second)
	if !slices.Equal(codes, []partition.Code{partition.Code_CODE_NO_LEADER, partition.Code_CODE_UNKNOWN_OUTCOME}) {
		t.Errorf("answers %v: the one that waited had no effect, the one that was proposed may have had", codes)
	}
}

func TestALostAnswerToAPlanIsPlannedAnew(t *testing.T) {
	w := formed(t, 3, Config{RequestTimeout: 3 * time.Second})
	w.ask(1, create("t", 3), time.Second)
	w.lose = true
	w.node(3).crash()
	w.announce(&membership.Failed{Member: w.node(3).directory(membership.State_STATE_DEAD)})
	w.run(16 * time.Second)
	w.lose = false
	w.run(30 * time.Second)
	for p := range w.node(1).machine.State().Partitions() {
		if p.Leader == 3 || p.LeaderEpoch > 2 {
			t.Errorf("after the failover %v: want another leader, elected once", p)
		}
	}
	if refused := slices.ContainsFunc(w.told, func(line string) bool { return strings.Contains(line, "REFUSED") }); refused {
		t.Errorf("a command was proposed twice:\n%s", strings.Join(w.told, "\n"))
	}
}

func TestMissedCommandsAreNoticed(t *testing.T) {
	w := formed(t, 3, Config{})
	w.deaf = true
	w.node(1).group(fakePropose{n: w.node(1), command: &metadata.SetConfig{Key: "k", Value: []byte("v")}})
	w.run(time.Second)
	w.deaf = false
	before := w.node(2).queries
	w.run(12 * time.Second)
	if w.node(2).queries != before+1 {
		t.Errorf("the state was read %d times after one missed command, want once", w.node(2).queries-before)
	}
	w.run(30 * time.Second)
	if w.node(2).queries != before+1 {
		t.Errorf("the state was read %d times though nothing was missed any more", w.node(2).queries-before-1)
	}
}

func TestEntriesThatAreNoCommandsCostNoReading(t *testing.T) {
	w := formed(t, 3, Config{})
	before := w.node(2).queries
	w.deaf = true // an entry without an event, that leaves the state as it is
	w.node(1).group(fakePropose{n: w.node(1), command: &metadata.Noop{}})
	w.run(time.Second)
	w.deaf = false
	w.run(30 * time.Second)
	if w.node(2).queries != before {
		t.Errorf("the state was read %d times for an entry that changed nothing", w.node(2).queries-before)
	}
	if created, ok := w.ask(1, create("t", 1), time.Second).(*partition.TopicCreated); !ok {
		t.Errorf("the controller is stuck behind the entry: %v", created)
	}
}

// fakePropose is just enough of a context to put a command on the log.
type fakePropose struct {
	actor.Context
	n       *node
	command proto.Message
}

func (f fakePropose) Message() any       { return proposeOf(f.command) }
func (f fakePropose) Sender() *actor.PID { return f.n.system.NewLocalPID("nobody") }

func TestARestartedManagerGoesOn(t *testing.T) {
	w := formed(t, 3, cartKind(3))
	n := w.node(1)
	n.system.Root.Stop(n.ring)
	w.run(time.Second)
	if len(n.running) != 0 {
		t.Errorf("partition actors outlive their manager: %v", n.running)
	}
	n.ring = n.spawn(n.props)
	w.run(3 * time.Second)
	if len(n.running) != 1 {
		t.Errorf("the new manager runs %v", n.running)
	}
	if _, ok := w.ask(2, create("t", 1), time.Second).(*partition.TopicCreated); !ok {
		t.Error("the new manager does not control")
	}
}

func TestPartitionActorsThatEndStartAgain(t *testing.T) {
	w := formed(t, 1, Config{ReplicationFactor: 1, Kinds: []Kind{{Name: "cart", Partitions: 2, Props: noProps}}})
	n := w.node(1)
	for _, how := range []string{"stop", "fail"} {
		n.system.Root.Send(n.system.NewLocalPID("partition/cart/1"), how)
		w.run(3 * time.Second)
		if len(n.running) != 2 {
			t.Errorf("after %q these run: %v", how, n.running)
		}
	}
	for range 30 { // more than supervision takes: it gives up, and the manager starts anew
		n.system.Root.Send(n.system.NewLocalPID("partition/cart/1"), "fail")
		w.run(300 * time.Millisecond)
	}
	w.run(10 * time.Second)
	if len(n.running) != 2 {
		t.Errorf("after failing for good these run: %v", n.running)
	}
}

func TestABrokenKindHurtsNobodyElse(t *testing.T) {
	w := newWorld(t, 1, Config{ReplicationFactor: 1})
	n := w.node(1)
	n.start()
	n.system.Root.Stop(n.ring)
	w.run(10 * time.Millisecond)
	props, err := Props(Config{NodeID: 1, ReplicationFactor: 1, Kinds: []Kind{
		{Name: "panics", Partitions: 1, Props: func(Identity) *actor.Props { panic("app's fault") }},
		{Name: "nil", Partitions: 1, Props: func(Identity) *actor.Props { return nil }},
		{Name: "works", Partitions: 1, Props: func(id Identity) *actor.Props {
			return actor.PropsFromProducer(func() actor.Actor { return &worker{n: n, id: id} })
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	n.spawn(props)
	w.elect(n)
	w.run(5 * time.Second)
	if got := w.actors(); !slices.Equal(got, []string{"node 1: partition/works/0@1"}) {
		t.Errorf("%v", got)
	}
}

func TestMembersWithoutADirectoryAreNotRegistered(t *testing.T) {
	w := formed(t, 1, Config{})
	w.announce(&membership.Joined{Member: &membership.Member{NodeId: 7, Generation: 1, Address: "n7:1", State: membership.State_STATE_ALIVE}})
	w.announce(&membership.Joined{Member: &membership.Member{NodeId: 8, Generation: 1, DirectoryId: slices.Repeat([]byte{8}, 16), State: membership.State_STATE_ALIVE}})
	w.run(10 * time.Second)
	if n := w.node(1).machine.State().NodeCount(); n != 1 {
		t.Errorf("%d nodes are registered", n)
	}
}

func TestTagsReachTheRegistry(t *testing.T) {
	w := newWorld(t, 1, Config{})
	w.node(1).tags = map[string]string{TagZone: "rack7", TagWeight: "3", TagFeatureLevel: "2"}
	w.node(1).start()
	w.run(10 * time.Millisecond)
	w.elect(w.node(1))
	w.run(time.Second)
	n := w.node(1).machine.State().Node(1)
	if n.GetZone() != "rack7" || n.GetWeight() != 3 || n.GetFeatureLevel() != 2 {
		t.Errorf("registered %v", n)
	}
	w.node(1).tags = map[string]string{TagWeight: "many"}
	w.announce(&membership.Updated{Member: w.node(1).directory(membership.State_STATE_ALIVE)})
	w.run(time.Second)
	if n := w.node(1).machine.State().Node(1); n.GetZone() != "" || n.GetWeight() != 1 || n.GetFeatureLevel() != 1 {
		t.Errorf("updated %v", n)
	}
}

func TestConfigFaultsComeAtOnce(t *testing.T) {
	_, err := Props(Config{
		FailoverGrace: -1, ReplicationFactor: 99, RequestTimeout: -1, MaxPending: -1,
		Kinds: []Kind{{Name: "a b", Partitions: 1, Props: noProps}, {Name: "k", Sort: 9, ReplicationFactor: 99}, {Name: "k", Partitions: 1, Props: noProps}},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"node id is zero", "failover grace -1ns", "replication factor 99", "request timeout", "max pending", "kind 0", "unknown sort 9",
		"has no Props", "0 partitions", `kind "k" has replication factor 99`, "registered twice"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no word of %q in:\n%v", part, err)
		}
	}
}

// TestAnyCourseOfEventsHeals lets nodes, leaders and topics come and go, then lets all be well: the table must be whole, even, and what runs.
func TestAnyCourseOfEventsHeals(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		course := rapid.SliceOfN(rapid.Custom(drawEvent), 0, 25).Draw(rt, "course")
		w := play(t, course)
		if rapid.IntRange(0, 3).Draw(rt, "again") == 0 {
			if again := play(t, course); !slices.Equal(again.told, w.told) {
				rt.Fatalf("the same course went another way:\n%s\n---\n%s", strings.Join(w.told, "\n"), strings.Join(again.told, "\n"))
			}
		}
		leaders := map[uint64]int{}
		state := w.node(1).machine.State()
		for p := range state.Partitions() {
			leaders[p.Leader]++
			n := w.node(p.Leader)
			if len(p.Isr) != len(p.Replicas) || !n.up || p.LeaderGeneration != n.generation {
				rt.Fatalf("not healed: %v", p)
			}
			if name := fmt.Sprintf("partition/%s/%d", p.Topic, p.Partition); p.Topic == "cart" && n.running[name] != p.LeaderEpoch {
				rt.Fatalf("%s runs in epoch %d on node %d: %v", name, n.running[name], n.id, p)
			}
		}
		counts := []int{leaders[1], leaders[2], leaders[3]}
		if slices.Max(counts)-slices.Min(counts) > 1 {
			rt.Fatalf("leaders are uneven: %v", leaders)
		}
		running := 0
		for _, n := range w.nodes {
			running += len(n.running)
			if !n.machine.State().Equal(state) {
				rt.Fatal("replicas differ")
			}
		}
		if running != 4 {
			rt.Fatalf("%d partition actors run, want 4", running)
		}
		for _, line := range w.told { // a new controller may plan on a state that is behind, once
			if strings.Contains(line, "REFUSED") && !strings.Contains(line, "exist") && !strings.Contains(line, " epoch ") {
				rt.Fatalf("a plan was refused: %s", line)
			}
		}
	})
}

type event struct {
	what string
	id   uint64
	wait time.Duration
}

func drawEvent(rt *rapid.T) event {
	return event{
		what: rapid.SampledFrom([]string{"crash", "declare", "declare", "start", "start", "left", "elect", "nobody", "create", "delete", "flap"}).Draw(rt, "what"),
		id:   rapid.Uint64Range(1, 3).Draw(rt, "id"),
		wait: time.Duration(rapid.SampledFrom([]int{0, 1, 3, 700, 16_000}).Draw(rt, "ms")) * time.Millisecond,
	}
}

func play(t testing.TB, course []event) *world {
	w := formed(t, 3, cartKind(4))
	for i, e := range course {
		w.happen(e, i)
		w.run(e.wait)
	}
	for _, n := range w.nodes { // all is well again
		if !n.up {
			n.start()
		}
		w.announce(&membership.Recovered{Member: n.directory(membership.State_STATE_ALIVE)})
	}
	w.elect(w.node(2))
	w.run(time.Minute)
	return w
}

func (w *world) happen(e event, i int) {
	n := w.node(e.id)
	switch {
	case e.what == "crash" && n.up:
		n.crash()
	case e.what == "declare" && !n.up:
		w.announce(&membership.Failed{Member: n.directory(membership.State_STATE_DEAD)})
	case e.what == "start" && !n.up:
		n.start()
	case e.what == "left" && n.up:
		n.crash()
		w.announce(&membership.Left{Member: n.directory(membership.State_STATE_LEFT)})
	case e.what == "elect" && n.up:
		w.elect(n)
	case e.what == "nobody":
		w.elect(nil)
	case e.what == "flap" && n.up:
		w.announce(&membership.Failed{Member: n.directory(membership.State_STATE_DEAD)})
	case e.what == "create" && n.up:
		n.system.Root.Send(n.ring, create(fmt.Sprintf("t%d", i%2), 2))
	case e.what == "delete" && n.up:
		n.system.Root.Send(n.ring, &partition.DeleteTopic{Name: []string{"t0", "t1", "cart"}[i%3]})
	}
}
