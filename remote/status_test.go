package remote

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/live"
)

// status asks the actor "remote", as any actor may.
func (n *worldNode) status() *Status {
	n.w.t.Helper()
	asker := n.collect(fmt.Sprintf("asker%d", n.w.seq))
	n.w.seq++
	n.do(asker, func(ctx actor.Context) { ctx.Request(n.remote.manager, &GetStatus{}) })
	got := asker.take()
	if len(got) != 1 {
		n.w.t.Fatalf("asked for the status: %v", got)
	}
	return got[0].(*Status)
}

// peer returns the status of the only peer.
func (n *worldNode) peer() PeerStatus {
	n.w.t.Helper()
	s := n.status()
	if len(s.Peers) != 1 {
		n.w.t.Fatalf("peers: %v", s.Peers)
	}
	return s.Peers[0]
}

func TestStatus(t *testing.T) {
	w, a, b := pair(t, WithLimits(Limits{BulkBytes: 2000}))
	b.collect("x")
	watcher := a.collect("watcher")
	a.Root.Send(b.at("x"), text("hello"))
	w.settle()
	if p := a.peer(); p.State != PeerConnecting || p.Info != nil || p.Classes[actors.Default].QueuedBytes == 0 {
		t.Errorf("before the connection: %+v", p)
	}
	watchFrom(a, watcher, b.at("x"))
	for range 100 {
		actors.Send(actors.Bulk, a.Root, b.at("x"), text("too much at a time"))
	}
	a.Root.Send(b.at("x"), &notProto{})
	w.runFor(time.Second)

	p := a.peer()
	if p.Address != "b:1" || p.Info == nil || p.Info.NodeID != 2 || p.State != PeerConnected || p.Failures != 0 || p.WatchesOut != 1 {
		t.Errorf("connected: %+v", p)
	}
	bulk, def := p.Classes[actors.Bulk], p.Classes[actors.Default]
	if full := bulk.Dropped["queue_full"]; full == 0 || full+bulk.SentMessages != 100 || bulk.SentBytes == 0 || bulk.QueuedBytesMax != 2000 {
		t.Errorf("bulk: %+v", bulk)
	}
	if def.Dropped["unencodable"] != 1 || def.DroppedMessages() != 1 || def.QueuedBytes != 0 || def.SentMessages < 2 {
		t.Errorf("default: %+v, want a message and a watch", def)
	}
	there := b.peer()
	if in := there.Classes[actors.Bulk]; in.ReceivedMessages != bulk.SentMessages || in.ReceivedBytes == 0 || there.WatchesIn != 1 {
		t.Errorf("the other side: %+v", there)
	}

	b.crash()
	w.runFor(dialDeadline + 10*time.Millisecond)
	a.Root.Send(b.at("x"), text("lost"))
	if p = a.peer(); p.State != PeerDown || p.Failures != 1 || p.LastError != "timeout" || p.WatchesOut != 0 || p.Classes[actors.Default].Dropped["unreachable"] != 1 {
		t.Errorf("down: %+v", p)
	}
	w.runFor(time.Minute)
	if again := a.peer(); again.Failures < 5 || again.Reconnects != 0 {
		t.Errorf("after a minute: %+v", again)
	}
	w.start("b:1", worldIdentity(2, 2))
	w.runFor(2 * backoffMax)
	if p = a.peer(); p.State != PeerConnected || p.Reconnects != 1 || p.Failures != 0 || p.Info.Generation != 2 {
		t.Errorf("back: %+v", p)
	}
	a.Root.Send(a.remote.manager, &Drain{Timeout: time.Second})
	w.settle()
	if p = a.peer(); p.State != PeerLeaving {
		t.Errorf("draining: %s", p.State)
	}
}

// ledger is metrics by name and labels.
type ledger struct {
	mu     sync.Mutex
	values map[string]float64
}

type ledgerEntry struct {
	l   *ledger
	key string
}

func (l *ledger) of(name string, labels []string) ledgerEntry {
	return ledgerEntry{l, name + " " + strings.Join(labels, " ")}
}

func (l *ledger) Counter(name, _ string, labels ...string) actors.Counter { return l.of(name, labels) }
func (l *ledger) Gauge(name, _ string, labels ...string) actors.Gauge     { return l.of(name, labels) }
func (l *ledger) Histogram(name, _ string, _ []float64, labels ...string) actors.Histogram {
	return actors.NoMetrics.Histogram(name, "", nil, labels...)
}

func (e ledgerEntry) Add(n uint64) { e.set(func(v float64) float64 { return v + float64(n) }) }
func (e ledgerEntry) Set(v float64) {
	e.set(func(float64) float64 { return v })
}

func (e ledgerEntry) set(f func(float64) float64) {
	e.l.mu.Lock()
	defer e.l.mu.Unlock()
	e.l.values[e.key] = f(e.l.values[e.key])
}

func (l *ledger) read(name string, labels ...string) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.values[l.of(name, labels).key]
}

func TestMetricsOfAPeer(t *testing.T) {
	w := newWorld(t)
	l := &ledger{values: make(map[string]float64)}
	a := w.startSystem("a:1", worldIdentity(1, 1), []actors.Option{actors.WithMetrics(l)})
	b := w.start("b:1", worldIdentity(2, 1))
	b.collect("x", func(ctx actor.Context) { ctx.Respond(text("yes")) })
	asker := a.collect("asker")
	for range 3 {
		a.do(asker, func(ctx actor.Context) { actors.Request(actors.Append, ctx, b.at("x"), text("?")) })
	}
	a.Root.Send(b.at("x"), &notProto{})
	w.runFor(publishInterval + time.Second)
	expect := func(want float64, name string, labels ...string) {
		t.Helper()
		if got := l.read("rivven_remote_"+name, labels...); got != want {
			t.Errorf("%s%v is %v, want %v", name, labels, got, want)
		}
	}
	p := a.peer()
	expect(3, "peer_sent_messages_total", "node", "2", "class", "append")
	expect(3, "peer_received_messages_total", "node", "2", "class", "default")
	expect(float64(p.Classes[actors.Append].SentBytes), "peer_sent_bytes_total", "node", "2", "class", "append")
	expect(float64(p.Classes[actors.Default].ReceivedBytes), "peer_received_bytes_total", "node", "2", "class", "default")
	expect(1, "peer_dropped_messages_total", "node", "2", "class", "default", "reason", "unencodable")
	expect(0, "peer_dropped_messages_total", "node", "2", "class", "default", "reason", "queue_full")
	expect(1, "dropped_messages_total", "class", "default", "reason", "unencodable")
	expect(0, "peer_reconnects_total", "node", "2")
	w.breakConns(a, b, KindMain)
	w.runFor(2 * publishInterval)
	expect(1, "peer_reconnects_total", "node", "2")
	expect(1, "reconnects_total")
	expect(3, "peer_sent_messages_total", "node", "2", "class", "append")
}

// Nodes beyond a number share one label: metrics stay bounded whoever comes.
func TestMetricsOfPeersAreBounded(t *testing.T) {
	l := &ledger{values: make(map[string]float64)}
	c := &core{instruments: l, nodes: make(map[string]*nodeMetrics)}
	for node := range uint64(2 * publishedNodesMax) {
		c.nodeMetricsOf(node+1).publish(&PeerStatus{}, &PeerStatus{Reconnects: 1})
	}
	if len(c.nodes) != publishedNodesMax+1 {
		t.Errorf("%d labels", len(c.nodes))
	}
	if n := l.read("rivven_remote_peer_reconnects_total", "node", otherNodes); n != publishedNodesMax {
		t.Errorf("the others have %v", n)
	}
}

// What QUIC measured of a path shows in the status, also of connections that ended.
func TestStatusMeasuresThePath(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a, b := l.start(t, "10.0.0.1", 1, 1), l.start(t, "10.0.0.2", 2, 1)
		echo, got := spawnEcho(t, b, "echo"), b.inboxOf(t, "x")
		ask(t, a, echo, text("hello"))
		end := l.take(a.address(), 20)
		const n = 2000
		for range n {
			actors.Send(actors.Append, a.Root, b.pid("x"), &wrapperspb.BytesValue{Value: make([]byte, 500)})
		}
		for range n {
			<-got
		}
		taken := end()
		ask(t, a, echo, text("hello")) // once it is answered all before it was acknowledged or found to be lost
		status, err := a.remote.Status(t.Context())
		if err != nil || len(status.Peers) != 1 {
			t.Fatalf("got %v, %v", status, err)
		}
		p := status.Peers[0]
		if p.RTT < 2*l.latency || p.RTT > 20*l.latency || p.PacketsLost < uint64(taken/2) || taken < n/3/20 || p.PacketsSent < n/3 { //nolint:gosec // a count
			t.Errorf("round trip %s, %d packets lost of %d, and %d were taken", p.RTT, p.PacketsLost, p.PacketsSent, taken)
		}
		if sent, in := p.Classes[actors.Append].SentMessages, p.Classes[actors.Default].ReceivedMessages; sent != n || in != 2 {
			t.Errorf("sent %d, received %d", sent, in)
		}
		b.remote.Shutdown(false)
		pass(time.Second)
		after, err := a.remote.Status(t.Context())
		if err != nil || after.Peers[0].PacketsLost < p.PacketsLost || after.Peers[0].PacketsSent < p.PacketsSent || after.Peers[0].RTT != 0 {
			t.Errorf("after the connection ended: %+v, %v", after.Peers, err)
		}
	})
}

func TestStatusBeforeStart(t *testing.T) {
	system := live.NewSystem().ActorSystem
	defer system.Shutdown()
	r := NewRemote(system, Configure("127.0.0.1", 0, WithDevTLS()))
	if _, err := r.Status(t.Context()); err == nil || !strings.Contains(err.Error(), ErrClosed.Error()) {
		t.Errorf("got %v", err)
	}
}
