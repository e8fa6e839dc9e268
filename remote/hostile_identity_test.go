package remote

import (
	"crypto/tls"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/hupe1980/rivven-cluster/actors"
)

func TestHostileCertificates(t *testing.T) {
	foreign, err := NewCA("test", time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := *testCA
	elsewhere.TrustDomain = "elsewhere"
	authority := &tls.Certificate{Certificate: [][]byte{testCA.Certificate.Raw}, PrivateKey: testCA.key}
	for name, certificate := range map[string]*tls.Certificate{
		"none":                  nil,
		"of a foreign CA":       issue(t, foreign, 9, time.Now()),
		"of another domain":     issue(t, &elsewhere, 9, time.Now()),
		"expired":               issue(t, testCA, 9, time.Now().Add(-2*DefaultNodeValidity)),
		"of the CA itself":      authority,
		"of the good peer's CA": issue(t, foreign, 2, time.Now()), // a foreign CA that names the good peer
	} {
		t.Run(name, func(t *testing.T) {
			besiege(t, func(s *siege) {
				for range 5 {
					if code := s.turnedAway(s.dialAs(certificate, protocols[KindMain])); code != CodeCertificate {
						t.Fatalf("turned away with %s", code)
					}
				}
				s.refused(5, CodeCertificate)
				s.counts(5, "failed_handshakes_total")
				if n := s.logs.FilterMessage("peer refused").Len(); n != 1 {
					t.Errorf("logged %d times, want once", n)
				}
			})
		})
	}
}

func TestHostileProtocol(t *testing.T) {
	besiege(t, func(s *siege) {
		for range 5 {
			if _, err := s.dialAs(issue(t, testCA, 9, time.Now()), "h3"); err == nil {
				t.Fatal("a foreign protocol was taken")
			}
		}
		s.refused(5, CodeVersion)
	})
}

// greets opens the first stream of a new connection of node 9 and writes bytes.
func (s *siege) greets(b []byte) (*quic.Conn, *quic.Stream) {
	s.t.Helper()
	conn := rawClient(s.t, s.testNode, 9, protocols[KindMain])
	stream, err := conn.OpenStream()
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := stream.Write(b); err != nil {
		s.t.Fatal(err)
	}
	return conn, stream
}

func (s *siege) hello(change func(*Hello)) []byte {
	h := s.remote.core.hello()
	h.NodeId, h.Address, h.GossipAddress, h.DirectoryId = 9, "127.0.0.1:9", "127.0.0.1:9", make([]byte, 16)
	change(h)
	return appendLength(helloGreeting(h))
}

func TestHostileHellos(t *testing.T) {
	for name, c := range map[string]struct {
		bytes func(s *siege) []byte
		want  Code
	}{
		"none":            {func(*siege) []byte { return nil }, CodeTimeout},
		"half of it":      {func(s *siege) []byte { return s.hello(func(*Hello) {})[:20] }, CodeTimeout},
		"garbage":         {func(*siege) []byte { return []byte{3, 1, 2, 3} }, CodeProtocol},
		"over its limit":  {func(*siege) []byte { return []byte{0x81, 0x20} }, CodeFrameTooLarge},
		"no magic":        {func(s *siege) []byte { return s.hello(func(h *Hello) { h.Magic = 1 }) }, CodeProtocol},
		"a future wire":   {func(s *siege) []byte { return s.hello(func(h *Hello) { h.WireMin, h.WireMax = 9, 9 }) }, CodeVersion},
		"another cluster": {func(s *siege) []byte { return s.hello(func(h *Hello) { h.ClusterId = "d" }) }, CodeCluster},
		// The right CA and the wrong id: its certificate is node 9's.
		"the good peer's id": {func(s *siege) []byte { return s.hello(func(h *Hello) { h.NodeId = 2 }) }, CodeIdentity},
		"our own id":         {func(s *siege) []byte { return s.hello(func(h *Hello) { h.NodeId = 1 }) }, CodeIdentity},
		"our own address":    {func(s *siege) []byte { return s.hello(func(h *Hello) { h.Address = s.address() }) }, CodeAddress},
		"the good peer's address": {func(s *siege) []byte {
			return s.hello(func(h *Hello) { h.Address = s.good.address() })
		}, CodeAddress},
	} {
		t.Run(name, func(t *testing.T) {
			besiege(t, func(s *siege) {
				conn, _ := s.greets(c.bytes(s))
				s.served(1)
				if code := closeCode(t, conn); code != c.want {
					t.Fatalf("closed with %s, want %s", code, c.want)
				}
				s.closedHere(1, c.want)
			})
		})
	}
}

// One Hello after the other, and other greetings without end.
func TestHostileGreetings(t *testing.T) {
	besiege(t, func(s *siege) {
		conn, stream := s.greets(s.hello(func(*Hello) {}))
		if _, err := stream.Read(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		for conn.Context().Err() == nil {
			_, _ = stream.Write(appendLength(goAwayAckGreeting()))
		}
		if code := closeCode(t, conn); code != CodeProtocol {
			t.Fatalf("closed with %s", code)
		}
		s.closedHere(1, CodeProtocol)
	})
}

// A session is never resumed: each connection shows its certificate, and no data comes before it did.
func TestNoResumption(t *testing.T) {
	n := startNode(t, 1)
	cache := &ticketCounter{ClientSessionCache: tls.NewLRUClientSessionCache(10)}
	conf := &tls.Config{
		InsecureSkipVerify: true, NextProtos: []string{protocols[KindMain]}, MinVersion: tls.VersionTLS13, ServerName: "rivven",
		Certificates: []tls.Certificate{*issue(t, testCA, 9, time.Now())}, ClientSessionCache: cache,
	}
	for range 2 {
		conn, err := quic.DialAddrEarly(t.Context(), n.address(), conf, nil)
		if err != nil {
			t.Fatal(err)
		}
		greet9(t, n, conn) // whatever the server hands out has come with its answer
		state := conn.ConnectionState()
		if state.Used0RTT || state.TLS.DidResume {
			t.Errorf("0-RTT %v, resumed %v", state.Used0RTT, state.TLS.DidResume)
		}
		_ = conn.CloseWithError(0, "")
	}
	if n := cache.tickets.Load(); n != 0 {
		t.Errorf("%d session tickets were handed out", n)
	}
}

type ticketCounter struct {
	tls.ClientSessionCache
	tickets atomic.Int64
}

func (c *ticketCounter) Put(key string, state *tls.ClientSessionState) {
	c.tickets.Add(1)
	c.ClientSessionCache.Put(key, state)
}

// A good certificate and the address of a member that happens to be down: nothing meant for that one may come here. Once the member is
// dead the address is free.
func TestHostileAddressClaim(t *testing.T) {
	besiege(t, func(s *siege) {
		verdict := func(alive bool) {
			s.Root.Send(s.remote.manager, &actors.PeerVerdict{NodeID: 5, Address: "127.0.0.1:9", Alive: alive})
		}
		announced := make(chan *PeerRefusedEvent, 100)
		subscription := s.EventStream.Subscribe(func(event any) {
			if refused, ok := event.(*PeerRefusedEvent); ok {
				announced <- refused
			}
		})
		defer s.EventStream.Unsubscribe(subscription)
		verdict(true)
		for _, kind := range []Kind{KindMain, KindBulk, KindDatagram} {
			conn := rawClient(t, s.testNode, 9, protocols[kind])
			stream, err := conn.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Write(s.hello(func(*Hello) {})); err != nil {
				t.Fatal(err)
			}
			if code := closeCode(t, conn); code != CodeAddress {
				t.Fatalf("%s: closed with %s", kind, code)
			}
		}
		s.closedHere(3, CodeAddress)
		s.refused(3, CodeAddress)
		if e := <-announced; e.NodeID != 9 || e.Code != CodeAddress || e.ByPeer || len(announced) != 0 {
			t.Errorf("announced %+v and %d more, want one", e, len(announced))
		}
		status, err := s.remote.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range status.Peers {
			if p.Info != nil && p.Info.NodeID == 9 {
				t.Errorf("node 9 has a session: %+v", p)
			}
		}
		verdict(false)
		saysHello(t, s.testNode, KindMain)
	})
}
