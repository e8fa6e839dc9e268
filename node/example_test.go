package node_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/remote"
)

// exampleConfig is a node on loopback in a directory of its own, with certificates made on the spot.
func exampleConfig() (node.Config, func()) {
	dir, err := os.MkdirTemp("", "rivven-example-*")
	check(err)
	ca, err := remote.NewCA("rivven", time.Now(), time.Hour)
	check(err)
	certificate, err := ca.IssueNode(1, time.Now(), time.Hour, "127.0.0.1")
	check(err)
	cert, key, err := remote.EncodeNode(certificate)
	check(err)
	for name, b := range map[string][]byte{"ca.pem": ca.CertificatePEM(), "node.pem": cert, "node.key": key} {
		check(os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	return node.Config{
		ID: 1, NodeName: "node1", Bind: "127.0.0.1:0", DataDir: filepath.Join(dir, "data"),
		TLS:    node.TLSFiles(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "node.pem"), filepath.Join(dir, "node.key")),
		Gossip: node.GossipSettings{BindPort: node.AnyPort},
		Admin:  node.AdminSettings{Bind: node.AdminOff},
	}, func() { _ = os.RemoveAll(dir) }
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// Surface 1: embed a node. A library never exits its host: Done and Err say when and why it stopped.
func ExampleStart() {
	cfg, remove := exampleConfig()
	defer remove()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	system := live.NewSystem().ActorSystem // or an actor system of your own
	n, err := node.Start(ctx, system, cfg)
	check(err)
	check(n.WaitReady(ctx))
	fmt.Println("part of a cluster:", n.ClusterID() != "")

	check(n.Shutdown(ctx)) // drains
	<-n.Done()
	fmt.Println("stopped:", n.Err())
	// Output:
	// part of a cluster: true
	// stopped: <nil>
}

// The same under a supervisor of the app's own.
func ExampleProps() {
	cfg, remove := exampleConfig()
	defer remove()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	started := make(chan *node.Node, 1)
	props, err := node.Props(cfg, node.WithStarted(func(n *node.Node) { started <- n }))
	check(err)
	system := live.NewSystem()
	supervisor := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*actor.Started); ok {
			_, err := c.SpawnNamed(props, "cluster") // known as "node" whoever its parent is
			check(err)
		}
	}))
	n := <-started
	check(n.WaitReady(ctx))
	fmt.Println("ready")
	check(system.Root.StopFuture(supervisor).Wait())
	<-n.Done()
	fmt.Println("stopped with its supervisor:", n.Err())
	// Output:
	// ready
	// stopped with its supervisor: <nil>
}

// counter is a state machine of an app's own: every command adds a number, every query reads the sum.
type counter struct{ sum int64 }

func (c *counter) Apply(e consensus.Entry) (proto.Message, error) {
	add, ok := e.Command.(*wrapperspb.Int64Value)
	if !ok {
		return nil, &consensus.Refusal{Reason: "unknown_command", Message: fmt.Sprintf("counter: can't apply %T", e.Command)}
	}
	c.sum += add.GetValue()
	return wrapperspb.Int64(c.sum), nil
}

func (c *counter) Query(proto.Message) (proto.Message, error) { return wrapperspb.Int64(c.sum), nil }

func (c *counter) Snapshot() (io.WriterTo, error) { return snapshot(c.sum), nil }

func (c *counter) Restore(r io.Reader) error {
	_, err := fmt.Fscan(r, &c.sum)
	return err
}

type snapshot int64

func (s snapshot) WriteTo(w io.Writer) (int64, error) {
	n, err := fmt.Fprint(w, int64(s))
	return int64(n), err
}

// Surface 2: a Raft group with a state machine of one's own, on the node's store, known as raft/counter on every node.
func ExampleNode_Store() {
	cfg, remove := exampleConfig()
	defer remove()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	n, err := node.Start(ctx, live.NewSystem().ActorSystem, cfg)
	check(err)
	check(n.WaitReady(ctx))

	props, err := raftactor.Props(raftactor.Config{
		Group: "counter", Machine: func() consensus.Machine { return &counter{} }, Store: n.Store(), Peers: n.Peers(),
	})
	check(err)
	group, err := n.System().Root.SpawnNamed(props, "counter")
	check(err)

	for _, add := range []int64{40, 2} {
		sum, err := consensus.Result[*wrapperspb.Int64Value](live.Ask(ctx, n.System(), group, consensus.NewPropose(wrapperspb.Int64(add))))
		check(err)
		fmt.Println("committed:", sum.GetValue())
	}
	sum, err := consensus.Result[*wrapperspb.Int64Value](live.Ask(ctx, n.System(), group, consensus.NewQuery(&wrapperspb.Int64Value{})))
	check(err)
	fmt.Println("read linearizably:", sum.GetValue())
	check(n.System().Root.StopFuture(group).Wait())
	check(n.Shutdown(ctx))
	// Output:
	// committed: 40
	// committed: 42
	// read linearizably: 42
}

// Surface 3: membership. A snapshot comes first, then events in their order, until the subscriber stops.
func ExampleNode_Swim() {
	cfg, remove := exampleConfig()
	defer remove()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	n, err := node.Start(ctx, live.NewSystem().ActorSystem, cfg)
	check(err)
	check(n.WaitReady(ctx))

	events := make(chan any, 16)
	n.System().Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			c.Request(n.Swim(), &membership.Subscribe{})
		case *membership.Snapshot, *membership.Updated:
			events <- m
		}
	}))
	first := (<-events).(*membership.Snapshot)
	fmt.Println("members:", len(first.GetMembers()), "this is node", first.GetSelf())

	n.System().Root.Send(n.Swim(), &membership.UpdateTags{Tags: map[string]string{"role": "broker"}})
	updated := (<-events).(*membership.Updated)
	fmt.Println("updated:", updated.GetMember().GetTags()["role"])
	check(n.Shutdown(ctx))
	// Output:
	// members: 1 this is node 1
	// updated: broker
}
