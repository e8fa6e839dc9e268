package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/quic-go/quic-go"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/live"
)

func TestOrderOverQUIC(t *testing.T) {
	a, b := startNode(t, 1), startNode(t, 2)
	got := b.inboxOf(t, "x")
	const n = 20000
	for class := range []actors.Class{actors.Default, actors.Control, actors.Append, actors.Bulk} {
		for i := range n {
			actors.Send(actors.Class(class), a.Root, b.pid("x"), wrapperspb.UInt64(uint64(class)<<32|uint64(i)))
		}
		for i := range n {
			if v := next(t, got).(*wrapperspb.UInt64Value).Value; v != uint64(class)<<32|uint64(i) {
				t.Fatalf("class %d: got %x, want %x", class, v, i)
			}
		}
	}
	a.remote.Shutdown(true)
}

func TestLargeMessagesInEveryClass(t *testing.T) {
	a, b := startNode(t, 1), startNode(t, 2)
	got := b.inboxOf(t, "x")
	for class, size := range map[actors.Class]int{
		actors.Default: 4<<20 - 100, actors.Control: 4<<20 - 100, actors.Append: 4<<20 - 100, actors.Bulk: 256 << 10,
	} {
		actors.Send(class, a.Root, b.pid("x"), &wrapperspb.BytesValue{Value: make([]byte, size)})
		if n := len(next(t, got).(*wrapperspb.BytesValue).Value); n != size {
			t.Fatalf("class %s: %d of %d bytes", class, n, size)
		}
	}
}

func TestDatagramsShareOneConnection(t *testing.T) {
	a := startNode(t, 1, WithGossip("127.0.0.1", 0))
	b := startNode(t, 2, WithGossip("127.0.0.1", 0))
	if self := a.remote.Self(); self.GossipAddress == self.Address {
		t.Fatalf("gossip shares %s", self.Address)
	}
	ping, pong := b.inboxOf(t, "x"), a.inboxOf(t, "x")
	payload := &wrapperspb.BytesValue{Value: make([]byte, 1150)}
	deadline := time.Now().Add(patience)
	// Datagrams may be lost, so each side repeats until the other's came.
	exchange := func(from *testNode, to *actor.PID, got <-chan any) {
		for {
			actors.Send(actors.Datagram, from.Root, to, payload)
			select {
			case <-got:
				return
			case <-time.After(50 * time.Millisecond):
				if time.Now().After(deadline) {
					t.Fatal("no datagram came")
				}
			}
		}
	}
	exchange(a, b.pid("x"), ping)
	exchange(b, a.pid("x"), pong)
	for _, n := range []*testNode{a, b} {
		tr := n.remote.core.transport.(*quicTransport)
		tr.mu.Lock()
		datagram := 0
		for c := range tr.conns {
			if c.kind == KindDatagram {
				datagram++
			}
		}
		tr.mu.Unlock()
		if datagram != 1 {
			t.Errorf("%d datagram connections, want one for the pair", datagram)
		}
	}
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
		<-tick.C
	}
}

func subscribe(t *testing.T, n *testNode) <-chan any {
	t.Helper()
	events := make(chan any, 100)
	n.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch msg := ctx.Message().(type) {
		case *actor.Started:
			ctx.Request(n.remote.manager, &actors.SubscribePeers{})
		case *actors.PeerUp, *actors.PeerDown:
			events <- msg
		}
	}))
	return events
}

func TestRestartOverQUIC(t *testing.T) {
	a := startNode(t, 1)
	events := subscribe(t, a)
	key := [32]byte{1}
	b := startNode(t, 2, WithStatelessResetKey(key))
	port := portOf(t, b.address())
	spawnEcho(t, b, "echo")
	watched := make(chan any, 10)
	a.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch msg := ctx.Message().(type) {
		case *actor.Started:
			ctx.Watch(b.pid("echo"))
		case *actor.Terminated:
			watched <- msg
		}
	}))
	if up := next(t, events).(*actors.PeerUp); up.Peer.NodeID != 2 || up.Peer.Generation != 1 {
		t.Fatalf("up: %v", up.Peer)
	}
	ask(t, a, b.pid("echo"), text("one"))
	b.remote.Shutdown(false)
	if down := next(t, events).(*actors.PeerDown); down.Peer.NodeID != 2 {
		t.Fatalf("down: %v", down.Peer)
	}
	id := testIdentity(2)
	id.Generation = 2
	b = startNodeOn(t, port, 2, WithIdentity(id), WithStatelessResetKey(key))
	spawnEcho(t, b, "echo")
	// b speaks first: its Hello ends a's back-off.
	got := a.inboxOf(t, "x")
	b.Root.Send(a.pid("x"), text("back"))
	next(t, got)
	if end := next(t, watched).(*actor.Terminated); end.Why != actor.TerminatedReason_AddressTerminated {
		t.Fatalf("the watch ended with %v", end.Why)
	}
	if up := next(t, events).(*actors.PeerUp); up.Peer.Generation != 2 {
		t.Fatalf("up: %v", up.Peer)
	}
	ask(t, a, b.pid("echo"), text("two"))
}

func portOf(t testing.TB, address string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestGracefulShutdownDeliversWhatIsQueued(t *testing.T) {
	a, b := startNode(t, 1), startNode(t, 2)
	got := b.inboxOf(t, "x")
	const n = 50000
	for i := range n {
		a.Root.Send(b.pid("x"), wrapperspb.UInt64(uint64(i)))
	}
	// Only what a session took up is drained: wait for the first to arrive.
	next(t, got)
	a.remote.Shutdown(true)
	for i := 1; i < n; i++ {
		if v := next(t, got).(*wrapperspb.UInt64Value).Value; v != uint64(i) {
			t.Fatalf("message %d is %d", i, v)
		}
	}
	dead := a.Root.RequestFuture(b.pid("x"), text("late"), patience)
	if _, err := dead.Result(); !errors.Is(err, actor.ErrDeadLetter) {
		t.Fatalf("after the shutdown: %v", err)
	}
}

// onceEach waits until both nodes logged why they refuse each other, and checks that they did so once.
func onceEach(t *testing.T, code string, nodes ...*testNode) {
	t.Helper()
	for _, n := range nodes {
		lines := func() *observer.ObservedLogs { return n.logs.FilterMessage("peer refused") }
		waitFor(t, "a refusal in the log", func() bool { return lines().Len() > 0 })
	}
	for _, n := range nodes {
		// Several more attempts are made meanwhile.
		waitFor(t, "another attempt", func() bool { return n.remote.core.dialSequence.Load() >= 3 || n.remote.core.dialSequence.Load() == 0 })
		all := n.logs.FilterMessage("peer refused").All()
		if len(all) != 1 || all[0].ContextMap()["code"] != code {
			t.Errorf("logged %d lines, want one with code %s: %v", len(all), code, all)
		}
	}
}

func TestCertificatesThatAreRefused(t *testing.T) {
	otherCA, err := NewCA("test", time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	sameRoot := *testCA
	sameRoot.TrustDomain = "elsewhere"
	cases := map[string]struct {
		opts []ConfigOption
	}{
		"another CA": {[]ConfigOption{WithTLS(StaticTLS(testCA.Pool(), issue(t, otherCA, 2, time.Now())))}},
		"expired":    {[]ConfigOption{WithTLS(StaticTLS(testCA.Pool(), issue(t, testCA, 2, time.Now().Add(-2*DefaultNodeValidity))))}},
		"another trust domain": {[]ConfigOption{
			WithTrustDomain("elsewhere"), WithTLS(StaticTLS(testCA.Pool(), issue(t, &sameRoot, 2, time.Now()))),
		}},
	}
	for name, c := range cases {
		t.Run(name+" dials", func(t *testing.T) {
			good, bad := startNode(t, 1), startNode(t, 2, c.opts...)
			bad.Root.Send(good.pid("x"), text("hello"))
			onceEach(t, "certificate", good, bad)
		})
		t.Run(name+" is dialed", func(t *testing.T) {
			good, bad := startNode(t, 1), startNode(t, 2, c.opts...)
			good.Root.Send(bad.pid("x"), text("hello"))
			onceEach(t, "certificate", good, bad)
		})
	}
}

func issue(t *testing.T, ca *CA, node uint64, at time.Time) *tls.Certificate {
	t.Helper()
	certificate, err := ca.IssueNode(node, at, 0)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestWrongNodeInCertificateOverQUIC(t *testing.T) {
	a, b := startNode(t, 1), startNode(t, 2)
	// A node that was stolen a certificate from, as it were: its Hello says 3, its certificate 2.
	self := *b.remote.core.self.Load()
	self.NodeID = 3
	b.remote.core.self.Store(&self)
	b.Root.Send(a.pid("x"), text("hello"))
	onceEach(t, "identity", a, b)

	// And where one is expected and another answers.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := startNode(t, 4)
	if _, err := a.remote.Resolve(ctx, "5@"+c.address()); err == nil || !strings.Contains(err.Error(), "node 5 was expected") {
		t.Fatalf("got %v", err)
	}
}

func TestAnotherClusterOverQUIC(t *testing.T) {
	id := testIdentity(2)
	id.ClusterID = "d"
	a, b := startNode(t, 1), startNode(t, 2, WithIdentity(id))
	a.Root.Send(b.pid("x"), text("hello"))
	onceEach(t, "cluster", a, b)
}

func TestIdentityMustFitTheCertificate(t *testing.T) {
	for name, c := range map[string]struct {
		opts []ConfigOption
		want string
	}{
		"another node":         {[]ConfigOption{WithTLS(testTLS(t, testCA, 1)), WithIdentity(testIdentity(2))}, "names node 1, and this is node 2"},
		"another trust domain": {[]ConfigOption{WithTLS(testTLS(t, testCA, 1)), WithTrustDomain("x")}, `for trust domain "test", not "x"`},
		"none":                 {nil, "exactly one of WithTLS and WithDevTLS"},
		"both":                 {[]ConfigOption{WithTLS(testTLS(t, testCA, 1)), WithDevTLS()}, "exactly one of WithTLS and WithDevTLS"},
		"no files":             {[]ConfigOption{WithTLS(TLSFiles("no", "no", "no"))}, "no such file"},
	} {
		r := NewRemote(actor.NewActorSystem(), Configure("127.0.0.1", 0, append([]ConfigOption{WithTrustDomain("test")}, c.opts...)...))
		if err := r.Start(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	r := NewRemote(actor.NewActorSystem(), Configure("0.0.0.0", 0, WithDevTLS()))
	if err := r.Start(); err == nil {
		t.Error("development certificates on all interfaces")
	}
}

func TestDevTLSOnPlainSystems(t *testing.T) {
	start := func() (*actor.ActorSystem, *Remote) {
		system := actor.NewActorSystem()
		r := NewRemote(system, Configure("127.0.0.1", 0, WithDevTLS()))
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Shutdown(true); system.Shutdown() })
		return system, r
	}
	a, _ := start()
	_, remote := start()
	remote.Register("echo", actor.PropsFromFunc(func(ctx actor.Context) {
		if m, ok := ctx.Message().(*wrapperspb.StringValue); ok {
			ctx.Respond(m)
		}
	}))
	spawned, err := GetRemote(a).SpawnNamed(remote.Self().Address, "one", "echo", patience)
	if err != nil {
		t.Fatal(err)
	}
	res, err := a.Root.RequestFuture(spawned.Pid, text("hi"), patience).Result()
	if err != nil || res.(*wrapperspb.StringValue).Value != "hi" {
		t.Fatalf("got %v, %v", res, err)
	}
	if again, err := GetRemote(a).SpawnNamed(remote.Self().Address, "one", "echo", patience); err != nil ||
		ResponseStatusCode(again.StatusCode) != ResponseStatusCodePROCESSNAMEALREADYEXIST {
		t.Fatalf("a name that is taken: %v, %v", again, err)
	}
	if _, err := GetRemote(a).Spawn(remote.Self().Address, "nope", patience); !errors.Is(err, ErrUnknownKind) {
		t.Fatalf("an unknown kind: %v", err)
	}
}

func TestResolveOverQUIC(t *testing.T) {
	names := WithResolver(func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "two" {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		return nil, fmt.Errorf("no host %s", host)
	})
	a := startNode(t, 1, names)
	b := startNode(t, 2, WithGossip("127.0.0.1", 0))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	self := b.remote.Self()
	for _, address := range []string{self.Address, self.GossipAddress, fmt.Sprintf("two:%d", portOf(t, self.Address))} {
		peer, err := a.remote.Resolve(ctx, address)
		if err != nil || *peer != *self {
			t.Errorf("%s: got %v, %v; want %v", address, peer, err, self)
		}
	}
	if _, err := a.remote.Resolve(ctx, "three:1"); err == nil || !strings.Contains(err.Error(), "no host three") {
		t.Errorf("got %v", err)
	}
	if self, err := b.remote.Resolve(ctx, self.GossipAddress); err != nil || self.NodeID != 2 {
		t.Errorf("itself: %v, %v", self, err)
	}
}

// rawClient is a QUIC client with a good certificate that says what it likes.
func rawClient(t *testing.T, to *testNode, node uint64, protocol string) *quic.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	source := testTLS(t, testCA, node)
	certificate, _ := source.Certificate()
	conn, err := quic.DialAddr(ctx, to.address(), &tls.Config{
		InsecureSkipVerify: true, NextProtos: []string{protocol}, Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS13,
	}, &quic.Config{EnableDatagrams: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
	return conn
}

func closeCode(t *testing.T, conn *quic.Conn) Code {
	t.Helper()
	select {
	case <-conn.Context().Done():
		return closeErrorOf(closeReason(context.Cause(conn.Context()))).Code
	case <-time.After(patience):
		t.Fatal("the connection was not closed")
		return 0
	}
}

// saysHello makes a raw connection a session of node 9.
func saysHello(t *testing.T, to *testNode, kind Kind) *quic.Conn {
	t.Helper()
	conn := rawClient(t, to, 9, protocols[kind])
	greet9(t, to, conn)
	return conn
}

func greet9(t *testing.T, to *testNode, conn *quic.Conn) {
	t.Helper()
	stream, err := conn.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	hello := to.remote.core.hello()
	hello.NodeId, hello.Address, hello.GossipAddress, hello.DirectoryId = 9, "127.0.0.1:9", "127.0.0.1:9", make([]byte, 16)
	if _, err := stream.Write(appendLength(helloGreeting(hello))); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Read(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
}

func TestSetClusterIDTwice(t *testing.T) {
	id := testIdentity(1)
	id.ClusterID = ""
	n := startNode(t, 1, WithIdentity(id))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for range 2 {
		if _, err := live.Ask(ctx, n.ActorSystem, n.remote.manager, &actors.SetClusterID{ClusterID: "c"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := n.remote.Self().ClusterID; got != "c" {
		t.Fatalf("cluster id %q", got)
	}
}
