package ring_test

import (
	"fmt"

	"github.com/hupe1980/rivven-cluster/ringactor/ring"
)

func Example() {
	r := ring.New(128)
	for _, name := range []string{"node1", "node2", "node3"} {
		if err := r.AddNode(name); err != nil {
			fmt.Println(err)
			return
		}
	}
	owner, _ := r.PartitionOwner("my-topic", 0)
	nodes, _ := r.Replicas("my-topic", 0, 3)
	fmt.Println(owner == nodes[0], len(nodes))
	fmt.Println(r.AddNode("node1"))
	// Output:
	// true 3
	// node is already on the ring: "node1"
}
