package remote_test

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/remote"
)

// Two systems play ping-pong over QUIC. Only import and constructor differ from protoactor's own remote.
func Example() {
	server, client := actor.NewActorSystem(), actor.NewActorSystem()
	for _, system := range []*actor.ActorSystem{server, client} {
		r := remote.NewRemote(system, remote.Configure("127.0.0.1", 0, remote.WithDevTLS()))
		if err := r.Start(); err != nil {
			fmt.Println(err)
			return
		}
		defer r.Shutdown(true)
	}
	_, _ = server.Root.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
		if ping, ok := ctx.Message().(*wrapperspb.StringValue); ok {
			ctx.Respond(wrapperspb.String(ping.Value + " pong"))
		}
	}), "player")

	player := actor.NewPID(server.Address(), "player")
	answer, err := client.Root.RequestFuture(player, wrapperspb.String("ping"), 5*time.Second).Result()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(answer.(*wrapperspb.StringValue).Value)
	// Output: ping pong
}

// A node of a cluster takes its certificate from files and says who it is.
func ExampleConfigure() {
	ca, _ := remote.NewCA("prod", time.Now(), 0)
	certificate, _ := ca.IssueNode(7, time.Now(), 0, "node7")
	system := actor.NewActorSystem()
	r := remote.NewRemote(system, remote.Configure("127.0.0.1", 0,
		remote.WithTrustDomain("prod"),
		remote.WithTLS(remote.StaticTLS(ca.Pool(), certificate)),
		remote.WithIdentity(remote.Identity{NodeID: 7, Name: "seven", Generation: 1}),
	))
	if err := r.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer r.Shutdown(true)
	fmt.Println(r.Self().NodeID, r.Self().Name)
	// Output: 7 seven
}
