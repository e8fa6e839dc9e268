package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func newTopic(name string, partitions, factor int) []Partition {
	list := make([]Partition, partitions)
	for i := range list {
		list[i] = Partition{Topic: name, Index: uint32(i), ReplicationFactor: factor, MinISR: factor/2 + 1, ImmediateSync: true}
	}
	return list
}

func equalNodes(count, zones int) []Node {
	nodes := make([]Node, count)
	for i := range nodes {
		nodes[i] = Node{ID: uint64(i + 1), Zone: fmt.Sprintf("z%d", i%zones), Weight: 1, Status: Alive}
	}
	return nodes
}

// follow makes the moves of a plan, as the state machine would, and checks each.
func follow(t testing.TB, table []Partition, plan Plan) []Partition {
	t.Helper()
	table = slices.Clone(table)
	for _, m := range plan.Moves {
		i := slices.IndexFunc(table, func(p Partition) bool { return p.Topic == m.Topic && p.Index == m.Index })
		p := &table[i]
		if !slices.Contains(m.ISR, m.Leader) {
			t.Fatalf("%+v: leader is not in sync", m)
		}
		for _, id := range m.ISR {
			if !slices.Contains(m.Replicas, id) {
				t.Fatalf("%+v: %d is in sync but no replica", m, id)
			}
		}
		if m.Reason != Assign {
			if !slices.Equal(p.Replicas, m.Replicas) {
				t.Fatalf("%+v changes the replicas of a placed partition", m)
			}
			if m.Reason != UncleanElection {
				if !slices.Contains(p.ISR, m.Leader) {
					t.Fatalf("%+v elects a replica outside the in-sync set %v", m, p.ISR)
				}
				if len(m.ISR) < min(len(p.ISR), p.MinISR) {
					t.Fatalf("%+v shrinks the in-sync set %v below %d", m, p.ISR, p.MinISR)
				}
			}
		}
		p.Replicas, p.ISR, p.Leader = m.Replicas, m.ISR, m.Leader
		if m.Reason == LeaderRestarted || m.Reason == LeaderFailed || m.Reason == UncleanElection {
			p.LeaderRestarted = false
		}
	}
	if got := Digest(table); got != plan.Digest {
		t.Fatalf("digest of the table is %x, the plan said %x", got, plan.Digest)
	}
	return table
}

func solve(t testing.TB, table []Partition, nodes []Node, cfg Config) ([]Partition, Plan) {
	t.Helper()
	plan, err := Solve(table, nodes, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return follow(t, table, plan), plan
}

func spread(load map[uint64]int, nodes []Node) int {
	var all []int
	for _, n := range nodes {
		if n.eligible() {
			all = append(all, load[n.ID])
		}
	}
	return slices.Max(all) - slices.Min(all)
}

func loads(table []Partition) (replicas, leaders map[uint64]int) {
	replicas, leaders = map[uint64]int{}, map[uint64]int{}
	for _, p := range table {
		leaders[p.Leader]++
		for _, id := range p.Replicas {
			replicas[id]++
		}
	}
	return replicas, leaders
}

func TestNewTopicsAreSpread(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		zones := rapid.IntRange(1, 4).Draw(rt, "zones")
		nodes := equalNodes(zones*rapid.IntRange(1, 5).Draw(rt, "perZone"), zones)
		var table []Partition
		mixed := rapid.Bool().Draw(rt, "mixed")
		factor := rapid.IntRange(1, min(5, len(nodes))).Draw(rt, "factor")
		for topic := range rapid.IntRange(1, 4).Draw(rt, "topics") {
			if mixed {
				factor = rapid.IntRange(1, min(5, len(nodes))).Draw(rt, "factor")
			}
			added := newTopic(fmt.Sprintf("t%d", topic), rapid.IntRange(1, 40).Draw(rt, "partitions"), factor)
			plan, err := Solve(append(slices.Clone(table), added...), nodes, Config{})
			if err != nil {
				rt.Fatal(err)
			}
			if len(plan.Moves) != len(added) || len(plan.Stuck) != 0 {
				rt.Fatalf("%d moves and %d stuck for %d new partitions", len(plan.Moves), len(plan.Stuck), len(added))
			}
			table = follow(t, append(table, added...), plan)
			replicas, _ := loads(table)
			if s := spread(replicas, nodes); s > 1 {
				rt.Fatalf("replica spread %d: %v", s, replicas)
			}
			balanced, _ := solve(t, table, nodes, Config{BalanceLeaders: true})
			if _, leaders := loads(balanced); !mixed && spread(leaders, nodes) > 1 {
				rt.Fatalf("leader spread above 1 after balancing: %v", leaders)
			}
			if _, leaders := loads(table); topic == 0 && spread(leaders, nodes) > 1 {
				rt.Fatalf("leader spread of a first topic above 1: %v", leaders)
			}
		}
		for _, p := range table {
			perZone := map[string]int{}
			for i, id := range p.Replicas {
				if slices.Contains(p.Replicas[:i], id) {
					rt.Fatalf("%+v holds a node twice", p)
				}
				perZone[nodes[id-1].Zone]++
			}
			most := (len(p.Replicas) + zones - 1) / zones
			for zone, n := range perZone {
				if n > most {
					rt.Fatalf("%+v has %d replicas in zone %s, at most %d are allowed", p, n, zone, most)
				}
			}
		}
	})
}

// drawWorld makes a table on live nodes and then lets things happen to the nodes.
func drawWorld(rt *rapid.T, t testing.TB) ([]Partition, []Node) {
	nodes := equalNodes(rapid.IntRange(1, 7).Draw(rt, "nodes"), rapid.IntRange(1, 3).Draw(rt, "zones"))
	for i := range nodes {
		nodes[i].Weight = uint32(rapid.IntRange(1, 4).Draw(rt, "weight"))
	}
	var table []Partition
	for topic := range rapid.IntRange(1, 3).Draw(rt, "topics") {
		factor := rapid.IntRange(1, min(4, len(nodes))).Draw(rt, "factor")
		added := newTopic(fmt.Sprintf("t%d", topic), rapid.IntRange(1, 12).Draw(rt, "partitions"), factor)
		for i := range added {
			added[i].ImmediateSync = rapid.Bool().Draw(rt, "immediate")
			added[i].UncleanElection = rapid.Bool().Draw(rt, "unclean")
		}
		table, _ = solve(t, append(table, added...), nodes, Config{})
	}
	for i := range nodes {
		nodes[i].Status = rapid.SampledFrom([]Status{Failed, Left, Unreachable, Alive, Alive, Alive}).Draw(rt, "status")
		nodes[i].Drain = rapid.IntRange(0, 4).Draw(rt, "drain") == 0
	}
	for i := range table {
		table[i].LeaderRestarted = rapid.IntRange(0, 4).Draw(rt, "restarted") == 0
	}
	if rapid.Bool().Draw(rt, "forget") {
		nodes = nodes[:len(nodes)-1]
	}
	return table, nodes
}

func TestRepairKeepsTheRules(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		table, nodes := drawWorld(rt, t)
		cfg := Config{BalanceLeaders: rapid.Bool().Draw(rt, "balance")}
		after, plan := solve(t, table, nodes, cfg)
		status := map[uint64]Node{}
		for _, n := range nodes {
			status[n.ID] = n
		}
		for i, p := range after {
			choice := slices.ContainsFunc(table[i].ISR, func(id uint64) bool { return status[id].Status == Alive })
			leader := status[p.Leader]
			if choice && leader.gone() {
				rt.Fatalf("%+v keeps a %v leader though %v had a live one", p, leader.Status, table[i].ISR)
			}
			if p.Leader != table[i].Leader && leader.Status != Alive {
				rt.Fatalf("%+v moved to a %v leader", p, leader.Status)
			}
			if p.LeaderRestarted && leader.Status == Alive {
				rt.Fatalf("%+v: a restarted leader keeps its epoch", p)
			}
			isStuck := slices.ContainsFunc(plan.Stuck, func(s Stuck) bool { return s.Topic == p.Topic && s.Index == p.Index })
			if leader.gone() != isStuck {
				rt.Fatalf("%+v: leader gone %t, reported stuck %t", p, leader.gone(), isStuck)
			}
		}
		again, err := Solve(after, nodes, cfg)
		if err != nil {
			rt.Fatal(err)
		}
		if len(again.Moves) != 0 {
			rt.Fatalf("a second run plans %+v", again.Moves)
		}
	})
}

func TestOrderOfInputDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		table, nodes := drawWorld(rt, t)
		table = append(table, newTopic("new", rapid.IntRange(1, 8).Draw(rt, "partitions"), 2)...)
		cfg := Config{BalanceLeaders: true}
		first, err := Solve(table, nodes, cfg)
		if err != nil {
			rt.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		rng.Shuffle(len(table), func(i, j int) { table[i], table[j] = table[j], table[i] })
		rng.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
		second, err := Solve(table, nodes, cfg)
		if err != nil {
			rt.Fatal(err)
		}
		if fmt.Sprint(first) != fmt.Sprint(second) {
			rt.Fatalf("plans differ:\n%+v\n%+v", first, second)
		}
	})
}

// bestCost tries every choice of leaders; the sum of squares is least exactly when loads are most even.
func bestCost(table []Partition, nodes []Node, load map[uint64]int, at int) int {
	if at == len(table) {
		cost := 0
		for _, n := range nodes {
			cost += load[n.ID] * load[n.ID]
		}
		return cost
	}
	best := -1
	for _, id := range table[at].ISR {
		load[id]++
		if cost := bestCost(table, nodes, load, at+1); best < 0 || cost < best {
			best = cost
		}
		load[id]--
	}
	return best
}

func TestLeadersAreAsEvenAsTheyCanBe(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		nodes := equalNodes(rapid.IntRange(2, 6).Draw(rt, "nodes"), 1)
		ids := make([]uint64, len(nodes))
		for i, n := range nodes {
			ids[i] = n.ID
		}
		table := make([]Partition, rapid.IntRange(1, 7).Draw(rt, "partitions"))
		for i := range table {
			isr := rapid.Permutation(ids).Draw(rt, "isr")[:rapid.IntRange(1, min(3, len(ids))).Draw(rt, "size")]
			table[i] = Partition{Topic: "t", Index: uint32(i), MinISR: 1, Leader: isr[0], Replicas: isr, ISR: isr}
		}
		after, _ := solve(t, table, nodes, Config{BalanceLeaders: true})
		_, leaders := loads(after)
		cost := 0
		for _, n := range leaders {
			cost += n * n
		}
		if best := bestCost(table, nodes, map[uint64]int{}, 0); cost != best {
			rt.Fatalf("leaders %v cost %d, the best is %d", leaders, cost, best)
		}
	})
}

func TestATopicIsNotPiledOnOneNode(t *testing.T) {
	nodes := equalNodes(3, 1)
	var table []Partition
	for _, topic := range []string{"a", "b", "c", "d"} {
		table, _ = solve(t, append(table, newTopic(topic, 6, 3)...), nodes, Config{})
	}
	nodes[0].Status = Failed
	table, _ = solve(t, table, nodes, Config{})
	nodes[0].Status = Alive
	table, _ = solve(t, table, nodes, Config{BalanceLeaders: true})
	perTopic := map[string]map[uint64]int{}
	for _, p := range table {
		if perTopic[p.Topic] == nil {
			perTopic[p.Topic] = map[uint64]int{}
		}
		perTopic[p.Topic][p.Leader]++
	}
	for topic, leaders := range perTopic {
		for id := range uint64(3) {
			if leaders[id+1] != 2 {
				t.Errorf("topic %s is led %v, want 2 each", topic, leaders)
			}
		}
	}
}

func TestWeightsShareTheLoad(t *testing.T) {
	nodes := equalNodes(4, 1)
	nodes[0].Weight = 3
	table, _ := solve(t, newTopic("t", 600, 1), nodes, Config{})
	replicas, leaders := loads(table)
	for id, want := range map[uint64]int{1: 300, 2: 100, 3: 100, 4: 100} {
		if replicas[id] != want || leaders[id] != want {
			t.Errorf("node %d holds %d and leads %d, want %d", id, replicas[id], leaders[id], want)
		}
	}
}

func BenchmarkSolve(b *testing.B) {
	nodes := equalNodes(100, 5)
	table := newTopic("t", 10_000, 3)
	b.Run("create", func(b *testing.B) {
		for b.Loop() {
			if _, err := Solve(table, nodes, Config{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	placed, err := Solve(table, nodes, Config{})
	if err != nil {
		b.Fatal(err)
	}
	for i, m := range placed.Moves {
		table[i].Replicas, table[i].ISR, table[i].Leader = m.Replicas, m.ISR, m.Leader
	}
	nodes[7].Status = Failed
	b.Run("fail", func(b *testing.B) {
		for b.Loop() {
			if _, err := Solve(table, nodes, Config{BalanceLeaders: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
