package admin_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/node/admin"
	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// A server over actors, and a client that asks it. In a node, package node does the first half.
func Example() {
	system := live.NewSystem()
	swim := system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*membership.GetMembers); ok {
			ctx.Respond(&membership.Members{Self: 1, Members: []*membership.Member{
				{NodeId: 1, Name: "node1", State: membership.State_STATE_ALIVE},
				{NodeId: 2, Name: "node2", State: membership.State_STATE_SUSPECT},
			}})
		}
	}))
	server, err := admin.New(admin.Config{
		System: system.ActorSystem,
		PIDs:   admin.PIDs{Meta: system.NewLocalPID("raft/meta"), Swim: swim, Ring: system.NewLocalPID("ring"), Remote: system.NewLocalPID("remote")},
		Self:   admin.Self{ID: 1, Name: "node1", ClusterID: func() string { return "" }},
		Health: admin.Health{Live: func() error { return nil }, Ready: func() []client.Condition { return nil }},
		Gather: prometheus.NewRegistry(),
		Store: logstore.Handle{
			Writer: system.NewLocalPID("store"), Reader: logstore.NewMemory(logstore.Identity{NodeID: 1}), Files: logstore.NewSnapshotMemory(),
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := client.New(client.Config{Addresses: []string{listener.Addr().String()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	members, err := c.Members(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range members.Members {
		fmt.Println(m.ID, m.Name, m.State)
	}
	c.Close()
	fmt.Println(server.Shutdown(ctx), <-served)
	// Output:
	// 1 node1 alive
	// 2 node2 suspect
	// <nil> <nil>
}
