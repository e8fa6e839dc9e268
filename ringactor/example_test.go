package ringactor_test

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/ringactor"
)

// cart is the app's own actor, one for each partition of the kind.
type cart struct{ id ringactor.Identity }

func (c *cart) Receive(actor.Context) {}

func Example() {
	props, err := ringactor.Props(ringactor.Config{
		NodeID: 1,
		Kinds: []ringactor.Kind{{
			Name: "cart", Sort: ringactor.Partition, Partitions: 64,
			Props: func(id ringactor.Identity) *actor.Props {
				return actor.PropsFromProducer(func() actor.Actor { return &cart{id: id} })
			},
		}},
	})
	// Spawned on a node whose raft/meta and swim run, it makes the topic and owns its share of the partitions.
	fmt.Println(props != nil, err)
	fmt.Println(ringactor.Identity{Kind: "cart", Partition: 7, Epoch: 3}.ActorID())

	_, err = ringactor.Props(ringactor.Config{ReplicationFactor: 99})
	fmt.Println(err)
	// Output:
	// true <nil>
	// partition/cart/7
	// ring: node id is zero: set NodeID
	// ring: replication factor 99: want 1 to 16
}
