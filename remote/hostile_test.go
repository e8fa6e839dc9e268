package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"github.com/quic-go/quic-go"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/live"
)

// siege is a node under attack, and a good peer that asks it something all the while.
type siege struct {
	*testNode
	t      *testing.T
	good   *testNode
	ledger *ledger
	x      <-chan any // what an application's actor "x" gets

	answers atomic.Uint64
	failure atomic.Pointer[error]
}

// besiege runs an attack and then holds the node to its bounds: the good peer was answered all the while over the
// connection that it had, and nothing is left of the attackers but what the limits allow.
func besiege(t *testing.T, attack func(s *siege), opts ...ConfigOption) {
	t.Helper()
	s := &siege{t: t, ledger: &ledger{values: make(map[string]float64)}}
	s.testNode = startNodeWith(t, s.ledger, "127.0.0.1", 0, 1, opts...)
	s.good = startNode(t, 2)
	s.x = s.inboxOf(t, "x")
	spawnEcho(t, s.testNode, "echo")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.askOn(ctx)
	}()
	s.served(10)
	attack(s)
	s.served(10)
	cancel()
	<-done
	if err := s.failure.Load(); err != nil {
		t.Fatalf("the good peer: %v", *err)
	}
	status, err := s.good.remote.Status(t.Context())
	if err != nil || len(status.Peers) != 1 || status.Peers[0].State != PeerConnected || status.Peers[0].Reconnects != 0 {
		t.Fatalf("the good peer's view: %+v, %v", status, err)
	}
	s.withinLimits()
}

func (s *siege) askOn(ctx context.Context) {
	for ctx.Err() == nil {
		question, cancel := context.WithTimeout(ctx, patience)
		_, err := live.Ask(question, s.good.ActorSystem, s.pid("echo"), text("still there?"))
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.failure.Store(&err)
			return
		}
		s.answers.Add(1)
	}
}

// served waits until the good peer has got n more answers.
func (s *siege) served(n uint64) {
	s.t.Helper()
	target := s.answers.Load() + n
	waitFor(s.t, "an answer to the good peer", func() bool { return s.answers.Load() >= target || s.failure.Load() != nil })
	if err := s.failure.Load(); err != nil {
		s.t.Fatalf("the good peer: %v", *err)
	}
}

func (s *siege) withinLimits() {
	s.t.Helper()
	limits := s.remote.core.limits
	status, err := s.remote.Status(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if status.HalfOpen > limits.HalfOpen || status.Accepted > limits.Connections || len(status.Peers) > limits.Peers {
		s.t.Errorf("%d half-open and %d accepted connections, %d peers", status.HalfOpen, status.Accepted, len(status.Peers))
	}
	for _, p := range status.Peers {
		for class, c := range p.Classes {
			if c.QueuedBytes > c.QueuedBytesMax {
				s.t.Errorf("%d bytes wait for %s in class %s", c.QueuedBytes, p.Address, actors.Class(class))
			}
		}
	}
	tr := s.remote.core.transport.(*quicTransport)
	if n := tr.handshakes.underWay(); n > limits.Handshakes {
		s.t.Errorf("%d handshakes under way", n)
	}
}

// counts waits for a metric to reach a value.
func (s *siege) counts(want float64, name string, labels ...string) {
	s.t.Helper()
	waitFor(s.t, name+" in the metrics", func() bool { return s.ledger.read("rivven_remote_"+name, labels...) >= want })
}

func (s *siege) closedHere(want float64, code Code) {
	s.t.Helper()
	s.counts(want, "closed_connections_total", "by", "here", "code", code.String())
}

func (s *siege) refused(want float64, code Code) {
	s.t.Helper()
	s.counts(want, "refused_connections_total", "code", code.String())
}

// dialAs is a QUIC client with any certificate, or none.
func (s *siege) dialAs(certificate *tls.Certificate, protocol string) (*quic.Conn, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conf := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}, MinVersion: tls.VersionTLS13}
	if certificate != nil {
		conf.Certificates = []tls.Certificate{*certificate}
	}
	conn, err := quic.DialAddr(ctx, s.address(), conf, &quic.Config{EnableDatagrams: true})
	if err == nil {
		s.t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
	}
	return conn, err
}

// turnedAway is how a connection ended whose handshake, as the dialer sees it, may have succeeded.
func (s *siege) turnedAway(conn *quic.Conn, err error) Code {
	s.t.Helper()
	if err == nil {
		return closeCode(s.t, conn)
	}
	var reason *CloseError
	if !errors.As(closeReason(err), &reason) {
		s.t.Fatalf("dialing: %v", err)
	}
	return reason.Code
}

// says writes bytes into a lane of a new session of node 9.
func (s *siege) says(kind Kind, class actors.Class, b ...byte) *quic.Conn {
	s.t.Helper()
	conn := saysHello(s.t, s.testNode, kind)
	lane, err := conn.OpenUniStream()
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := lane.Write(append([]byte{byte(class)}, b...)); err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// wireOf encodes frames as a lane has them.
func wireOf(t testing.TB, frames ...*Frame) []byte {
	t.Helper()
	var out []byte
	for _, f := range frames {
		b, err := proto.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, appendLength(b)...)
	}
	return out
}

// mute is a socket that sends and never hears: a flood under foreign addresses looks like that.
type mute struct{ net.PacketConn }

func (m mute) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		if _, _, err := m.PacketConn.ReadFrom(b); err != nil {
			return 0, nil, err
		}
	}
}

func muteClient(t *testing.T) *quic.Transport {
	t.Helper()
	packets, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: mute{packets}}
	t.Cleanup(func() { _ = tr.Close(); _ = packets.Close() })
	return tr
}
