package bootstrap_test

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/node/bootstrap"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// disk keeps an identity in memory.
type disk struct{ id logstore.Identity }

func (d *disk) Identity() logstore.Identity { return d.id }
func (d *disk) SetIdentity(id logstore.Identity, _ []logstore.GroupWrite) error {
	d.id = id
	return nil
}

// A blank node without peers forms a cluster of its own.
func Example() {
	system := live.NewSystem()
	remote := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*actors.SetClusterID); ok {
			c.Respond(&actors.ClusterIDSet{})
		}
	}))
	ready := make(chan *bootstrap.Ready, 1)
	report := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if m, ok := c.Message().(*bootstrap.Ready); ok {
			ready <- m
		}
	}))
	store := &disk{id: logstore.Identity{NodeID: 1, DirectoryID: actors.ID{1}}}
	props, err := bootstrap.Props(bootstrap.Config{
		ClusterName: "orders", Address: "node1:9093", Store: store, Remote: remote, Report: report,
		Meta:    system.NewLocalPID(actors.RaftName(actors.GroupMeta)),
		Initial: func(voters []*consensus.Peer) []logstore.GroupWrite { return nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := system.Root.SpawnNamed(props, actors.NameBootstrap); err != nil {
		fmt.Println(err)
		return
	}
	r := <-ready
	fmt.Println(len(r.ClusterID), r.Joined, store.Identity().ClusterID == r.ClusterID)
	// Output: 32 false true
}
