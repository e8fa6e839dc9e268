package remote

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/live"
)

// protoactor's dead-letter throttle sleeps in a goroutine of its own and has no end.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/asynkron/protoactor-go/actor.NewDeadLetter.NewThrottle.func4.1"))
}

// testNode is a system with a started remote.
type testNode struct {
	*actor.ActorSystem
	remote *Remote
	logs   *observer.ObservedLogs
}

func (n *testNode) address() string { return n.remote.Self().Address }

func (n *testNode) pid(id string) *actor.PID { return actor.NewPID(n.address(), id) }

var testCA = func() *CA {
	ca, err := NewCA("test", time.Now(), 0)
	if err != nil {
		panic(err)
	}
	return ca
}()

func testIdentity(node uint64) Identity {
	var directory actors.ID
	directory[0] = byte(node)
	return Identity{NodeID: node, Name: "n", ClusterID: "c", DirectoryID: directory, Generation: 1}
}

func testTLS(t testing.TB, ca *CA, node uint64) TLS {
	t.Helper()
	certificate, err := ca.IssueNode(node, time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return StaticTLS(testCA.Pool(), certificate)
}

func startNode(t testing.TB, node uint64, opts ...ConfigOption) *testNode {
	t.Helper()
	return startNodeOn(t, 0, node, opts...)
}

func startNodeOn(t testing.TB, port int, node uint64, opts ...ConfigOption) *testNode {
	t.Helper()
	return startNodeAt(t, "127.0.0.1", port, node, opts...)
}

func startNodeAt(t testing.TB, host string, port int, node uint64, opts ...ConfigOption) *testNode {
	t.Helper()
	return startNodeWith(t, actors.NoMetrics, host, port, node, opts...)
}

func startNodeWith(t testing.TB, metrics actors.Metrics, host string, port int, node uint64, opts ...ConfigOption) *testNode {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	sys := live.NewSystem(actors.WithLogger(zap.New(core)), actors.WithMetrics(metrics))
	all := append([]ConfigOption{
		WithTrustDomain("test"), WithTLS(testTLS(t, testCA, node)), WithIdentity(testIdentity(node)),
	}, opts...)
	n := &testNode{ActorSystem: sys.ActorSystem, logs: logs}
	n.remote = NewRemote(n.ActorSystem, Configure(host, port, all...))
	if err := n.remote.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.remote.Shutdown(false)
		n.ActorSystem.Shutdown()
		if t.Failed() {
			for _, e := range logs.All() {
				t.Log(node, e.Time.Format("05.000"), e.Level, e.Message, e.ContextMap())
			}
		}
	})
	return n
}

// inboxOf spawns an actor that passes on what it gets.
func (n *testNode) inboxOf(t testing.TB, name string) <-chan any {
	t.Helper()
	got := make(chan any, 100000)
	_, err := n.Root.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
		switch ctx.Message().(type) {
		case *actor.Started, *actor.Stopping, *actor.Stopped:
		default:
			got <- ctx.Message()
		}
	}), name)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

const patience = 10 * time.Second

func next(t testing.TB, from <-chan any) any {
	t.Helper()
	select {
	case msg := <-from:
		return msg
	case <-time.After(patience):
		t.Fatal("nothing came")
		return nil
	}
}

func text(s string) *wrapperspb.StringValue { return wrapperspb.String(s) }

func spawnEcho(t testing.TB, n *testNode, name string) *actor.PID {
	t.Helper()
	_, err := n.Root.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
		if m, ok := ctx.Message().(*wrapperspb.StringValue); ok {
			ctx.Respond(m)
		}
	}), name)
	if err != nil {
		t.Fatal(err)
	}
	return n.pid(name)
}

func ask(t testing.TB, n *testNode, pid *actor.PID, msg any) any {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res, err := live.Ask(ctx, n.ActorSystem, pid, msg)
	if err != nil {
		t.Fatalf("asking %s: %v", pid, err)
	}
	return res
}

func TestRequestReply(t *testing.T) {
	a, b := startNode(t, 1), startNode(t, 2)
	echo := spawnEcho(t, b, "echo")
	for range 3 {
		if got := ask(t, a, echo, text("hello")).(*wrapperspb.StringValue).Value; got != "hello" {
			t.Fatalf("got %q", got)
		}
	}
	res, err := a.Root.RequestFuture(b.pid("echo"), text("future"), patience).Result()
	if err != nil || res.(*wrapperspb.StringValue).Value != "future" {
		t.Fatalf("got %v, %v", res, err)
	}
	if _, err := a.Root.RequestFuture(b.pid("nobody"), text("x"), patience).Result(); !errors.Is(err, actor.ErrDeadLetter) {
		t.Fatalf("a missing target: got %v, want a dead letter", err)
	}
}
