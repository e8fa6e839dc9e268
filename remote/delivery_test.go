package remote

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

// A limit holds back bulk, and nothing else.
func TestBulkKeepsToItsRate(t *testing.T) {
	const (
		chunk  = 64 << 10
		chunks = 64
		rate   = 1 << 20
	)
	take := func(t *testing.T, l *lab, opts ...ConfigOption) (bulk, vote time.Duration) {
		a, b := l.start(t, "10.0.0.1", 1, 1, opts...), l.start(t, "10.0.0.2", 2, 1)
		echo, got := spawnEcho(t, b, "echo"), b.inboxOf(t, "bulk")
		ask(t, a, echo, text("connect"))
		began := time.Now()
		for range chunks {
			actors.Send(actors.Bulk, a.Root, b.pid("bulk"), &wrapperspb.BytesValue{Value: make([]byte, chunk)})
		}
		<-got
		asked := time.Now()
		ask(t, a, echo, text("vote"))
		vote = time.Since(asked)
		for range chunks - 1 {
			<-got
		}
		return time.Since(began), vote
	}
	inLab(t, func(t *testing.T, l *lab) {
		bulk, vote := take(t, l, WithBulkRate(rate))
		const want = time.Second * chunk * chunks / rate
		if bulk < want*9/10 || bulk > want*11/10 {
			t.Errorf("%d KiB at %d KiB/s took %s, want about %s", chunk*chunks>>10, rate>>10, bulk, want)
		}
		if vote > 200*time.Millisecond {
			t.Errorf("another class waited %s", vote)
		}
	})
	inLab(t, func(t *testing.T, l *lab) {
		if bulk, _ := take(t, l); bulk > time.Second {
			t.Errorf("without a limit it took %s", bulk)
		}
	})
	if err := NewRemote(newPlainSystem(t), Configure("127.0.0.1", 0, WithDevTLS(), WithBulkRate(-1))).Start(); err == nil || !strings.Contains(err.Error(), "bulk rate") {
		t.Errorf("a negative rate: %v", err)
	}
}

// Datagrams go by the main socket or by one of their own, and between nodes of either kind.
func TestGossipSocket(t *testing.T) {
	for _, c := range []struct {
		name         string
		aOwn, bOwn   bool
		aSock, bSock int
	}{{"both shared", false, false, 1, 1}, {"own to shared", true, false, 2, 1}, {"shared to own", false, true, 1, 2}, {"both own", true, true, 2, 2}} {
		t.Run(c.name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				start := func(host string, node uint64, own bool, want int) *testNode {
					var opts []ConfigOption
					if own {
						opts = append(opts, WithGossip(host, 7946))
					}
					n := l.start(t, host, node, 1, opts...)
					if got := l.sockets(host); got != want {
						t.Errorf("%s has %d sockets, want %d", host, got, want)
					}
					self := n.remote.Self()
					if shared := self.GossipAddress == self.Address; shared == own {
						t.Errorf("%s advertises %s for gossip and %s", host, self.GossipAddress, self.Address)
					}
					return n
				}
				a, b := start("10.0.0.1", 1, c.aOwn, c.aSock), start("10.0.0.2", 2, c.bOwn, c.bSock)
				ask(t, a, spawnEcho(t, b, "echo"), text("connect"))
				there, back := b.inboxOf(t, "x"), a.inboxOf(t, "x")
				actors.Send(actors.Datagram, a.Root, b.pid("x"), text("probe"))
				<-there
				actors.Send(actors.Datagram, b.Root, a.pid("x"), text("ack"))
				<-back
				// What the other socket loses hurts no datagram.
				if c.bOwn {
					l.cut(b.address(), true)
					actors.Send(actors.Datagram, a.Root, b.pid("x"), text("probe"))
					<-there
				}
			})
		})
	}
}

// connections are those that are open now.
func (n *testNode) connections() []*quicConn {
	tr := n.remote.core.transport.(*quicTransport)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	conns := make([]*quicConn, 0, len(tr.conns))
	for c := range tr.conns {
		conns = append(conns, c)
	}
	return conns
}
