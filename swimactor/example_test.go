package swimactor_test

import (
	"fmt"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/swimactor"
	"github.com/hupe1980/rivven-cluster/swimactor/swim"
)

// Props checks the whole configuration; the result is spawned by a supervisor and runs as "swim".
func ExampleProps() {
	cfg := swimactor.Config{
		NodeID: 1, DirectoryID: actors.ID{1}, Generation: 1, Name: "alpha",
		Address: "node1:9093", BindAddr: "0.0.0.0:7946",
		KnownPeers: []string{"node2:7946", "3@node3:7946"},
		Tags:       map[string]string{"zone": "a"},
		Protocol:   swim.DefaultLAN(),
	}
	props, err := swimactor.Props(cfg)
	fmt.Println(props != nil, err)

	cfg.NodeID, cfg.Address = 0, "node1"
	_, err = swimactor.Props(cfg)
	fmt.Println(err)
	// Output:
	// true <nil>
	// swim: node id is 0: ids start at 1
	// swim: address "node1" is not host:port: address node1: missing port in address
}

// A subscriber folds what it gets into a view.
func Example_subscriber() {
	view := membership.View{}
	for _, event := range []any{
		&membership.Snapshot{Self: 1, Members: []*membership.Member{{NodeId: 1, State: membership.State_STATE_ALIVE}}},
		&membership.Joined{Member: &membership.Member{NodeId: 2, State: membership.State_STATE_ALIVE}},
		&membership.Failed{Member: &membership.Member{NodeId: 2, State: membership.State_STATE_DEAD}},
	} {
		view.Apply(event)
	}
	for _, m := range view.Sorted() {
		fmt.Println(m.GetNodeId(), m.Up())
	}
	// Output:
	// 1 true
	// 2 false
}
