package remote

import (
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/quic-go/quic-go/testutils/simnet"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

// lab is a network in memory under real QUIC connections, in virtual time.
type lab struct {
	latency time.Duration
	mu      sync.Mutex
	nodes   map[string]simnet.PacketReceiver
	deaf    map[string]bool
	mute    map[string]bool
	loss    float64
	sent    int
	toll    map[string]*toll
	rand    *rand.Rand
}

func newLab() *lab {
	return &lab{
		latency: time.Millisecond, nodes: make(map[string]simnet.PacketReceiver), deaf: make(map[string]bool), mute: make(map[string]bool), toll: make(map[string]*toll),
		rand: rand.New(rand.NewPCG(1, 2)),
	}
}

func (l *lab) AddNode(addr net.Addr, r simnet.PacketReceiver) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes[addr.String()] = r
}

func (l *lab) SendPacket(p simnet.Packet) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	to := l.nodes[p.To.String()]
	if t := l.toll[p.From.String()]; t != nil && t.takes() {
		return nil
	}
	if to == nil || l.mute[p.From.String()] || l.deaf[p.From.String()] || l.deaf[p.To.String()] || l.rand.Float64() < l.loss {
		return nil
	}
	time.AfterFunc(l.latency, func() { to.RecvPacket(p) })
	return nil
}

// cut keeps every packet from and to an address.
func (l *lab) cut(address string, on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf[address] = on
}

// silence keeps every packet from an address.
func (l *lab) silence(address string, on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mute[address] = on
}

// toll takes every so many-th packet of an address, by count and not by chance.
type toll struct{ every, seen, taken int }

func (t *toll) takes() bool {
	t.seen++
	if t.seen%t.every != 0 {
		return false
	}
	t.taken++
	return true
}

// take begins to keep each every-th packet from an address, and ends with how many it kept.
func (l *lab) take(address string, every int) (end func() int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &toll{every: every}
	l.toll[address] = t
	return func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.toll, address)
		return t.taken
	}
}

// packets counts what was sent.
func (l *lab) packets() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent
}

func (l *lab) lose(part float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loss = part
}

// labSocket leaves the lab when it is closed.
type labSocket struct {
	*simnet.SimConn
	lab *lab
}

func (s *labSocket) Close() error {
	s.lab.mu.Lock()
	if address := s.LocalAddr().String(); s.lab.nodes[address] == s.SimConn {
		delete(s.lab.nodes, address)
	}
	s.lab.mu.Unlock()
	return s.SimConn.Close()
}

// sockets counts the endpoints of a host.
func (l *lab) sockets(host string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for address := range l.nodes {
		if strings.HasPrefix(address, host+":") {
			n++
		}
	}
	return n
}

func (l *lab) start(t *testing.T, host string, node, generation uint64, opts ...ConfigOption) *testNode {
	id := testIdentity(node)
	id.Generation = generation
	// Virtual time begins in the year 2000.
	ca, err := newCA("test", testCA.key, time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	certificate := issue(t, ca, node, time.Now())
	return startNodeAt(t, host, 9093, node, append(opts, WithTLS(StaticTLS(ca.Pool(), certificate)), WithIdentity(id), WithStatelessResetKey([32]byte{byte(node)}), func(c *Config) {
		c.listen = func(address *net.UDPAddr) (net.PacketConn, error) {
			return &labSocket{simnet.NewSimConn(address, l), l}, nil
		}
	})...)
}

// pass lets virtual time go by.
func pass(d time.Duration) { <-time.After(d) }

// inLab runs a test in virtual time and lets what it started come to its end.
func inLab(t *testing.T, run func(t *testing.T, l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		// Cleanups run in the order of a stack: this one is last and waits out what protoactor leaves.
		t.Cleanup(func() { pass(time.Minute) })
		run(t, newLab())
	})
}

func TestLossyNetworkKeepsOrder(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a, b := l.start(t, "10.0.0.1", 1, 1), l.start(t, "10.0.0.2", 2, 1)
		got := b.inboxOf(t, "x")
		l.lose(0.05)
		const n = 2000
		for _, class := range []actors.Class{actors.Default, actors.Control, actors.Append, actors.Bulk} {
			for i := range n {
				actors.Send(class, a.Root, b.pid("x"), wrapperspb.UInt64(uint64(i)))
			}
			for i := range n {
				if v := (<-got).(*wrapperspb.UInt64Value).Value; v != uint64(i) {
					t.Fatalf("class %s: message %d is %d", class, i, v)
				}
			}
		}
	})
}

func TestShortOutageCostsNothing(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a, b := l.start(t, "10.0.0.1", 1, 1), l.start(t, "10.0.0.2", 2, 1)
		events := subscribe(t, a)
		got := b.inboxOf(t, "x")
		a.Root.Send(b.pid("x"), text("before"))
		<-got
		<-events
		l.cut(b.address(), true)
		a.Root.Send(b.pid("x"), text("during"))
		pass(6 * time.Second)
		l.cut(b.address(), false)
		a.Root.Send(b.pid("x"), text("after"))
		for _, want := range []string{"during", "after"} {
			if m := (<-got).(*wrapperspb.StringValue); m.Value != want {
				t.Fatalf("got %q, want %q", m.Value, want)
			}
		}
		if len(events) != 0 {
			t.Fatalf("the peer was reported: %v", <-events)
		}
	})
}

func TestLongOutage(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a, b := l.start(t, "10.0.0.1", 1, 1), l.start(t, "10.0.0.2", 2, 1)
		events := subscribe(t, a)
		watched := make(chan any, 10)
		b.inboxOf(t, "x")
		a.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
			switch msg := ctx.Message().(type) {
			case *actor.Started:
				ctx.Watch(b.pid("x"))
			case *actor.Terminated:
				watched <- msg
			}
		}))
		<-events
		future := a.Root.RequestFuture(b.pid("x"), text("?"), time.Hour)
		begin := time.Now()
		l.cut(b.address(), true)
		if _, down := (<-events).(*actors.PeerDown); !down || time.Since(begin) > mainIdle+keepAlive {
			t.Fatalf("down: %v after %s", down, time.Since(begin))
		}
		if _, err := future.Result(); !errors.Is(err, actor.ErrDeadLetter) {
			t.Fatalf("the request in flight: %v", err)
		}
		if end := (<-watched).(*actor.Terminated); end.Why != actor.TerminatedReason_AddressTerminated {
			t.Fatalf("the watch ended with %v", end.Why)
		}
		if took := time.Since(begin); took > mainIdle+keepAlive+dialDeadline+time.Second {
			t.Fatalf("the watch ended after %s", took)
		}
		pass(time.Minute)
		l.cut(b.address(), false)
		healed := time.Now()
		if _, up := (<-events).(*actors.PeerUp); !up || time.Since(healed) > backoffMax+2*dialDeadline {
			t.Fatalf("up again: %v after %s", up, time.Since(healed))
		}
	})
}

// A process that was killed and is back answers packets of connections that it does not know with a reset.
func TestStatelessResetTellsOfARestart(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a, b := l.start(t, "10.0.0.1", 1, 1), l.start(t, "10.0.0.2", 2, 1)
		events := subscribe(t, a)
		got := b.inboxOf(t, "x")
		a.Root.Send(b.pid("x"), text("hello"))
		<-got
		<-events
		// The old process is unplugged: its address belongs to the new one at once.
		l.start(t, "10.0.0.2", 2, 2)
		begin := time.Now()
		if _, down := (<-events).(*actors.PeerDown); !down || time.Since(begin) > keepAlive+time.Second {
			t.Fatalf("down: %v after %s, want at the first keep-alive or heartbeat", down, time.Since(begin))
		}
		if up := (<-events).(*actors.PeerUp); up.Peer.Generation != 2 {
			t.Fatalf("up: %v", up.Peer)
		}
	})
}

// What fills the bulk connection does not keep a vote waiting.
func TestControlPassesBulk(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a, b := l.start(t, "10.0.0.1", 1, 1), l.start(t, "10.0.0.2", 2, 1)
		echo := spawnEcho(t, b, "echo")
		ask(t, a, echo, text("connect"))
		got := b.inboxOf(t, "bulk")
		chunk := &wrapperspb.BytesValue{Value: make([]byte, 256<<10)}
		for range 60 {
			actors.Send(actors.Bulk, a.Root, b.pid("bulk"), chunk)
		}
		<-got
		votes := make([]time.Duration, 0, 5)
		done := make(chan struct{})
		begin := time.Now()
		a.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
			switch ctx.Message().(type) {
			case *actor.Started:
			case *wrapperspb.StringValue:
				if votes = append(votes, time.Since(begin)); len(votes) == cap(votes) {
					close(done)
					return
				}
			default:
				return
			}
			begin = time.Now()
			actors.Request(actors.Control, ctx, echo, text("vote"))
		}))
		<-done
		if len(got) == 59 {
			t.Fatal("all of bulk had arrived: it held nothing up")
		}
		slices.Sort(votes)
		if votes[2] > 20*time.Millisecond || votes[4] > 200*time.Millisecond { // a packet of one may be lost in the full buffers of the network
			t.Fatalf("votes took %s", votes)
		}
		for range 59 {
			<-got
		}
	})
}
