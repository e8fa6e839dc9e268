package placement

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// The scenarios read like this:
//
//	nodes                 the registry, one node a line: id [zone=z] [weight=w] [failed|left|unreachable] [drain]
//	table                 the partitions, one a line: topic/n rf=3 for a new one, or replicas=1,2 isr=1,2, the leader first
//	solve [balance]       prints moves, what is stuck and the table after
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		var nodes []Node
		var table []Partition
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "nodes":
				nodes = nil
				for _, line := range strings.Split(d.Input, "\n") {
					nodes = append(nodes, parseNode(t, line))
				}
				return ""
			case "table":
				for _, line := range strings.Split(d.Input, "\n") {
					table = append(table, parsePartition(t, line))
				}
				return ""
			case "solve":
				plan, err := Solve(table, nodes, Config{BalanceLeaders: d.HasArg("balance")})
				if err != nil {
					return err.Error()
				}
				table = follow(t, table, plan)
				return describe(plan, table)
			}
			t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
			return ""
		})
	})
}

func number(t *testing.T, text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func parseNode(t *testing.T, line string) Node {
	fields := strings.Fields(line)
	n := Node{ID: number(t, fields[0]), Weight: 1, Status: Alive}
	for _, field := range fields[1:] {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "zone":
			n.Zone = value
		case "weight":
			n.Weight = uint32(number(t, value))
		case "failed":
			n.Status = Failed
		case "left":
			n.Status = Left
		case "unreachable":
			n.Status = Unreachable
		case "drain":
			n.Drain = true
		}
	}
	return n
}

func parsePartition(t *testing.T, line string) Partition {
	fields := strings.Fields(line)
	topic, index, _ := strings.Cut(fields[0], "/")
	p := Partition{Topic: topic, Index: uint32(number(t, index)), MinISR: 1, ImmediateSync: true}
	for _, field := range fields[1:] {
		key, value, _ := strings.Cut(field, "=")
		var list []uint64
		for _, text := range strings.Split(value, ",") {
			if text != "" {
				list = append(list, number(t, text))
			}
		}
		switch key {
		case "rf":
			p.ReplicationFactor = int(list[0])
		case "min":
			p.MinISR = int(list[0])
		case "replicas":
			p.Replicas, p.Leader = list, list[0]
		case "isr":
			p.ISR = list
		case "data":
			p.ImmediateSync = false
		case "restarted":
			p.LeaderRestarted = true
		case "unclean":
			p.UncleanElection = true
		}
	}
	return p
}

func describe(plan Plan, table []Partition) string {
	var b strings.Builder
	for _, m := range plan.Moves {
		fmt.Fprintf(&b, "%s/%d: %s: leader %d isr %v of %v\n", m.Topic, m.Index, m.Reason, m.Leader, m.ISR, m.Replicas)
	}
	for _, s := range plan.Stuck {
		fmt.Fprintf(&b, "%s/%d is stuck: %s\n", s.Topic, s.Index, s.Cause)
	}
	replicas, leaders := loads(table)
	ids := []uint64{}
	for id := range replicas {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		fmt.Fprintf(&b, "node %d holds %d and leads %d\n", id, replicas[id], leaders[id])
	}
	return b.String()
}

func TestInconsistentInputIsRefused(t *testing.T) {
	ok := Partition{Topic: "t", Leader: 1, Replicas: []uint64{1, 2}, ISR: []uint64{1}}
	change := func(f func(*Partition)) []Partition { p := ok; f(&p); return []Partition{p} }
	node := Node{ID: 1, Weight: 1, Status: Alive}
	for name, c := range map[string]struct {
		table []Partition
		nodes []Node
	}{
		"partition twice":        {[]Partition{ok, ok}, nil},
		"replica twice":          {change(func(p *Partition) { p.Replicas = []uint64{1, 1} }), nil},
		"replica zero":           {change(func(p *Partition) { p.Replicas = []uint64{1, 0} }), nil},
		"in sync, not a replica": {change(func(p *Partition) { p.ISR = []uint64{1, 3} }), nil},
		"in sync twice":          {change(func(p *Partition) { p.ISR = []uint64{1, 1} }), nil},
		"leader not in sync":     {change(func(p *Partition) { p.Leader = 2 }), nil},
		"leader of nothing":      {[]Partition{{Topic: "t", ReplicationFactor: 1, Leader: 1}}, nil},
		"no replication factor":  {[]Partition{{Topic: "t"}}, nil},
		"huge factor":            {[]Partition{{Topic: "t", ReplicationFactor: MaxReplicationFactor + 1}}, nil},
		"node zero":              {nil, []Node{{Weight: 1}}},
		"node twice":             {nil, []Node{node, node}},
		"huge weight":            {nil, []Node{{ID: 1, Weight: MaxWeight + 1}}},
	} {
		if _, err := Solve(c.table, c.nodes, Config{}); !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryReasonAndStatusHasAName(t *testing.T) {
	for r := Assign; r <= LeaderBalance; r++ {
		if r.String() == "unknown" {
			t.Errorf("reason %d has no name", r)
		}
	}
	for s := Failed; s <= Alive; s++ {
		if s.String() == "unknown" {
			t.Errorf("status %d has no name", s)
		}
	}
}
