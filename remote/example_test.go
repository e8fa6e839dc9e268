package remote_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/remote"
)

// serve starts a system with a remote of its own on a free port of this machine.
func serve(options ...remote.ConfigOption) (*actor.ActorSystem, *remote.Remote) {
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	r := remote.NewRemote(system, remote.Configure("127.0.0.1", 0, append(options, remote.WithDevTLS())...))
	if err := r.Start(); err != nil {
		log.Fatal(err)
	}
	return system, r
}

const patience = 10 * time.Second

// Two systems play ping-pong over QUIC. Only import and constructor differ from protoactor's own remote.
func Example_pingPong() {
	server, r1 := serve()
	client, r2 := serve()
	defer r1.Shutdown(true)
	defer r2.Shutdown(true)

	_, _ = server.Root.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
		if ball, ok := ctx.Message().(*wrapperspb.Int32Value); ok {
			ctx.Respond(wrapperspb.Int32(ball.Value + 1))
		}
	}), "wall")

	done := make(chan int32)
	wall := actor.NewPID(server.Address(), "wall")
	client.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch msg := ctx.Message().(type) {
		case *actor.Started:
			ctx.Request(wall, wrapperspb.Int32(0))
		case *wrapperspb.Int32Value:
			if msg.Value < 1000 {
				ctx.Request(wall, msg)
				return
			}
			done <- msg.Value
		}
	}))
	fmt.Println("over the net", <-done, "times")
	// Output: over the net 1000 times
}

// An actor watches two others on another system: one is stopped from here, the other goes with its system.
func Example_watch() {
	server, r1 := serve()
	client, r2 := serve()
	defer r2.Shutdown(true)

	for _, name := range []string{"short", "long"} {
		_, _ = server.Root.SpawnNamed(actor.PropsFromFunc(func(actor.Context) {}), name)
	}
	ended := make(chan string)
	client.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch msg := ctx.Message().(type) {
		case *actor.Started:
			ctx.Watch(actor.NewPID(server.Address(), "short"))
			ctx.Watch(actor.NewPID(server.Address(), "long"))
			ctx.Poison(actor.NewPID(server.Address(), "short"))
		case *actor.Terminated:
			ended <- fmt.Sprintln(msg.Who.Id, msg.Why)
		}
	}))
	fmt.Print(<-ended)
	r1.Shutdown(true)
	fmt.Print(<-ended)
	// Output:
	// short Stopped
	// long AddressTerminated
}

// A system lets others start actors of a kind on it.
func Example_spawn() {
	greeter := actor.PropsFromFunc(func(ctx actor.Context) {
		if name, ok := ctx.Message().(*wrapperspb.StringValue); ok {
			ctx.Respond(wrapperspb.String("hello " + name.Value))
		}
	})
	server, r1 := serve(remote.WithKinds(remote.NewKind("greeter", greeter)))
	client, r2 := serve()
	defer r1.Shutdown(true)
	defer r2.Shutdown(true)

	spawned, err := r2.SpawnNamed(server.Address(), "one", "greeter", patience)
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := client.Root.RequestFuture(spawned.Pid, wrapperspb.String("world"), patience).Result()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(spawned.Pid.Id, "says", answer.(*wrapperspb.StringValue).Value)

	_, err = r2.Spawn(server.Address(), "gardener", patience)
	fmt.Println("unknown kind:", errors.Is(err, remote.ErrUnknownKind))
	// Output:
	// activator/Remote$one says hello world
	// unknown kind: true
}

// A header that is set at the edge goes along with every message, through an actor that knows nothing of it.
func Example_headers() {
	last, r1 := serve()
	middle, r2 := serve()
	edge, r3 := serve()
	for _, r := range []*remote.Remote{r1, r2, r3} {
		defer r.Shutdown(true)
	}
	_, _ = last.Root.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*wrapperspb.StringValue); ok {
			ctx.Respond(wrapperspb.String("trace " + ctx.MessageHeader().Get("trace")))
		}
	}), "last")
	// What an actor sends carries the headers of what it handles.
	propagate := func(next actor.SenderFunc) actor.SenderFunc {
		return func(ctx actor.SenderContext, target *actor.PID, envelope *actor.MessageEnvelope) {
			if headers := ctx.MessageHeader(); headers != nil {
				for _, key := range headers.Keys() {
					envelope.SetHeader(key, headers.Get(key))
				}
			}
			next(ctx, target, envelope)
		}
	}
	_, _ = middle.Root.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*wrapperspb.StringValue); ok {
			ctx.RequestWithCustomSender(actor.NewPID(last.Address(), "last"), ctx.Message(), ctx.Sender())
		}
	}, actor.WithSenderMiddleware(propagate)), "middle")

	root := edge.Root.Copy().WithHeaders(map[string]string{"trace": "7f3a"}).WithSenderMiddleware(propagate)
	answer, err := root.RequestFuture(actor.NewPID(middle.Address(), "middle"), wrapperspb.String("hello"), patience).Result()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(answer.(*wrapperspb.StringValue).Value)
	// Output: trace 7f3a
}

// A router deals requests out to workers on other systems; their answers go straight to who asked.
func Example_routing() {
	var routees []*actor.PID
	for i := range 3 {
		worker, r := serve()
		defer r.Shutdown(true)
		_, _ = worker.Root.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
			if job, ok := ctx.Message().(*wrapperspb.Int32Value); ok {
				ctx.Respond(wrapperspb.String(fmt.Sprintf("job %d by worker %d", job.Value, i)))
			}
		}), "worker")
		routees = append(routees, actor.NewPID(worker.Address(), "worker"))
	}
	client, r := serve()
	defer r.Shutdown(true)

	next := 0
	router := client.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*wrapperspb.Int32Value); ok {
			ctx.Forward(routees[next%len(routees)])
			next++
		}
	}))
	for job := range int32(6) {
		answer, err := client.Root.RequestFuture(router, wrapperspb.Int32(job), patience).Result()
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(answer.(*wrapperspb.StringValue).Value)
	}
	// Output:
	// job 0 by worker 0
	// job 1 by worker 1
	// job 2 by worker 2
	// job 3 by worker 0
	// job 4 by worker 1
	// job 5 by worker 2
}

// Anybody may ask a remote how its peers are.
func ExampleRemote_Status() {
	server, r1 := serve()
	client, r2 := serve()
	defer r1.Shutdown(true)
	defer r2.Shutdown(true)
	client.Root.RequestFuture(actor.NewPID(server.Address(), "nobody"), wrapperspb.String("hello"), patience).Wait()

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	status, err := r2.Status(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, peer := range status.Peers {
		sent := peer.Classes[actors.Default]
		fmt.Println(peer.Address == server.Address(), peer.State, sent.SentMessages, "message,", sent.QueuedBytes, "bytes wait")
	}
	// Output: true connected 1 message, 0 bytes wait
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
