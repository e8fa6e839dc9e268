package placement_test

import (
	"fmt"

	"github.com/hupe1980/rivven-cluster/ringactor/placement"
)

func Example() {
	nodes := []placement.Node{
		{ID: 1, Weight: 1, Status: placement.Alive},
		{ID: 2, Weight: 1, Status: placement.Failed},
		{ID: 3, Weight: 1, Status: placement.Alive},
	}
	table := []placement.Partition{
		{Topic: "orders", Index: 0, Leader: 2, Replicas: []uint64{1, 2}, ISR: []uint64{2, 1}},
		{Topic: "orders", Index: 1, ReplicationFactor: 1},
	}
	plan, err := placement.Solve(table, nodes, placement.Config{BalanceLeaders: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range plan.Moves {
		fmt.Printf("%s/%d: %s: node %d leads %v\n", m.Topic, m.Index, m.Reason, m.Leader, m.ISR)
	}
	// Output:
	// orders/0: leader failed: node 1 leads [1]
	// orders/1: assign new partition: node 3 leads [3]
}
