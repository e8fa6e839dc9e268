package remote

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/testutils/simnet"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/live"
)

// First packets of who never answers: beyond a few they get a Retry and cost nothing more.
func TestHandshakeFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		ctx, cancel := context.WithCancel(context.Background())
		var flood sync.WaitGroup
		conf := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocols[KindMain]}, MinVersion: tls.VersionTLS13}
		to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s.address()))
		for range 10 {
			tr := muteClient(t)
			for range 20 {
				flood.Go(func() {
					if conn, err := tr.Dial(ctx, to, conf, nil); err == nil {
						_ = conn.CloseWithError(0, "")
						t.Error("a client that hears nothing was connected")
					}
				})
			}
		}
		s.counts(1, "retries_total")
		handshakes := s.remote.core.transport.(*quicTransport).handshakes
		if n, most := handshakes.underWay(), handshakes.retryAbove(); n > most {
			t.Errorf("%d handshakes under way without a proven address, want at most %d", n, most)
		}
		s.served(10)
		// Who proves its address comes in.
		late := startNode(t, 3)
		comesIn(t, late, s.pid("echo"))
		cancel()
		flood.Wait()
		waitFor(t, "the end of what was half done", func() bool { return handshakes.underWay() == 0 })
	}, WithLimits(Limits{Handshakes: 64}))
}

// comesIn asks until there is an answer: on a machine that is busy with the flood itself, a handshake may take longer than a node waits.
func comesIn(t *testing.T, late *testNode, echo *actor.PID) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err := live.Ask(ctx, late.ActorSystem, echo, text("may I?"))
		cancel()
		if err == nil {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// Who floods from an address of its own takes its share and no more.
func TestHandshakesOfOneHostAreBounded(t *testing.T) {
	l := &ledger{values: make(map[string]float64)}
	m := newMetrics(l)
	h := newHandshakes(32, &m)
	one, two := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	for i := range h.hostMax() {
		if err := h.begin(one); err != nil {
			t.Fatalf("handshake %d: %v", i, err)
		}
	}
	if h.begin(one) == nil {
		t.Fatal("one host got more than its share")
	}
	if err := h.begin(two); err != nil {
		t.Fatalf("another host: %v", err)
	}
	h.end(two)
	if !h.mustProve(nil) {
		t.Fatal("no Retry in the middle of a flood")
	}
	for range h.hostMax() {
		h.end(one)
	}
	if h.mustProve(nil) || h.underWay() != 0 || len(h.hosts) != 0 {
		t.Fatalf("%d under way after the flood, of hosts %v", h.underWay(), h.hosts)
	}
	for i := range byte(32) {
		if err := h.begin(netip.AddrFrom4([4]byte{10, 0, 1, i})); err != nil {
			t.Fatal(err)
		}
	}
	if h.begin(two) == nil {
		t.Fatal("more than the limit")
	}
	if n := l.read("rivven_remote_refused_handshakes_total"); n != 2 {
		t.Fatalf("%v refusals in the metrics, want 2", n)
	}
}

// retriesOnly is a socket that proves its address and does nothing more: of all that comes it hears only Retry (RFC 9000, 17.2.5).
type retriesOnly struct{ net.PacketConn }

func (r retriesOnly) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := r.PacketConn.ReadFrom(b)
		if err != nil || n > 0 && b[0]&0xf0 == 0xf0 {
			return n, from, err
		}
	}
}

// A host that floods with an address of its own: all its handshakes prove the address and then hang. It gets its share, and whoever comes
// from another host comes in meanwhile, as often as it likes.
func TestAFloodingHostHasItsShare(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		const limit = 64
		n, good := l.start(t, "10.0.0.1", 1, 1, WithLimits(Limits{Handshakes: limit})), l.start(t, "10.0.0.2", 2, 1)
		echo := spawnEcho(t, n, "echo")
		ask(t, good, echo, text("hello"))
		ctx, cancel := context.WithCancel(context.Background())
		socket := simnet.NewSimConn(&net.UDPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 1}, l)
		flooder := &quic.Transport{Conn: retriesOnly{socket}}
		conf := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocols[KindMain]}, MinVersion: tls.VersionTLS13}
		var flood sync.WaitGroup
		for range 3 * limit {
			flood.Go(func() {
				for ctx.Err() == nil {
					if conn, err := flooder.Dial(ctx, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(n.address())), conf, nil); err == nil {
						_ = conn.CloseWithError(0, "")
						t.Error("a client that hears nothing was connected")
					}
				}
			})
		}
		pass(100 * time.Millisecond)
		h := n.remote.core.transport.(*quicTransport).handshakes
		most := 0
		for node := uint64(3); node < 13; node++ {
			late := l.start(t, "10.0.1."+strconv.FormatUint(node, 10), node, 1)
			ask(t, late, echo, text("may I?"))
			ask(t, good, echo, text("still there?"))
			late.remote.Shutdown(true)
			most = max(most, h.underWay())
			pass(time.Second)
		}
		if share := h.hostMax(); most < share || most > share+1 { // and the one that just came in
			t.Errorf("%d handshakes under way at most, and a host's share is %d", most, share)
		}
		cancel()
		flood.Wait()
		_ = flooder.Close()
		_ = socket.Close()
		pass(time.Minute)
		if left := h.underWay(); left != 0 {
			t.Errorf("%d handshakes are left of the flood", left)
		}
	})
}

// Connections with a good certificate that say nothing: the node that makes them pays with its own.
func TestHalfOpenFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		conns := make([]*quic.Conn, 3*halfOpenNodeMax)
		for i := range conns {
			conns[i] = rawClient(t, s.testNode, 9, protocols[KindMain])
		}
		status, err := s.remote.Status(t.Context())
		if err != nil || status.HalfOpen > halfOpenNodeMax {
			t.Fatalf("%+v, %v: want at most %d half-open", status, err, halfOpenNodeMax)
		}
		late := startNode(t, 3)
		ask(t, late, s.pid("echo"), text("may I?"))
		for i, conn := range conns {
			if code := closeCode(t, conn); code != CodeLimit && code != CodeTimeout {
				t.Errorf("connection %d was closed with %s", i, code)
			}
		}
		s.closedHere(2*halfOpenNodeMax, CodeLimit)
	})
}

// One node that comes again and again has one connection of a kind.
func TestFloodOfSessions(t *testing.T) {
	besiege(t, func(s *siege) {
		var before *quic.Conn
		for range 20 {
			conn := saysHello(t, s.testNode, KindMain)
			if before != nil {
				if code := closeCode(t, before); code != CodeSuperseded {
					t.Fatalf("the connection before it was closed with %s", code)
				}
			}
			before = conn
		}
		s.closedHere(19, CodeSuperseded)
		waitFor(t, "two accepted connections", func() bool {
			status, err := s.remote.Status(t.Context())
			return err == nil && status.Accepted <= 2+1 // its own and the good peer's, and a datagram connection
		})
	})
}

func TestStreamFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		conn := saysHello(t, s.testNode, KindMain)
		lanes := 0
		for {
			lane, err := conn.OpenUniStream()
			if err != nil {
				break
			}
			if lanes++; lanes > uniStreamsMax {
				t.Fatalf("%d streams at a time", lanes)
			}
			if _, err := lane.Write([]byte{byte(mainLanes[lanes-1])}); err != nil {
				t.Fatal(err)
			}
			_ = lane.Close()
		}
		if stream, err := conn.OpenStream(); err == nil {
			_ = stream
			t.Error("a second greeting stream")
		}
		// What ended makes room, but nobody reads more than the lanes there are.
		ctx, cancel := context.WithCancel(t.Context())
		opened := make(chan struct{}, 1000)
		go func() {
			defer close(opened)
			for {
				lane, err := conn.OpenUniStreamSync(ctx)
				if err != nil {
					return
				}
				_, _ = lane.Write([]byte{byte(actors.Default)})
				opened <- struct{}{}
			}
		}()
		s.served(50)
		cancel()
		more := 0
		for range opened {
			more++
		}
		if more > uniStreamsMax {
			t.Errorf("%d more streams after the lanes had ended", more)
		}
		// A lane of each kind is read once.
		twice := s.says(KindMain, actors.Default)
		lane, err := twice.OpenUniStream()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lane.Write([]byte{byte(actors.Default)}); err != nil {
			t.Fatal(err)
		}
		if code := closeCode(t, twice); code != CodeProtocol {
			t.Errorf("two lanes of one class: closed with %s", code)
		}
		reset := s.says(KindMain, actors.Default)
		if lane, err = reset.OpenUniStream(); err != nil {
			t.Fatal(err)
		}
		_, _ = lane.Write([]byte{byte(actors.Control), 100})
		lane.CancelWrite(7)
		if code := closeCode(t, reset); code != CodeProtocol && code != CodeTimeout {
			t.Errorf("a lane that was reset: closed with %s", code)
		}
	})
}

func TestDatagramFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		var came int
		counted := make(chan struct{})
		stop := make(chan struct{})
		go func() {
			defer close(counted)
			for {
				select {
				case <-s.x:
					came++
				case <-stop:
					return
				}
			}
		}()
		conn := saysHello(t, s.testNode, KindDatagram)
		frame, err := proto.Marshal(&Frame{TargetId: "x", TypeName: stringType, Payload: make([]byte, 1000)})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		for range 3 * datagramBurst {
			if err := conn.SendDatagram(frame); err != nil {
				t.Fatal(err)
			}
		}
		s.served(10)
		close(stop)
		<-counted
		if most := datagramBurst + datagramRate*time.Since(begin).Seconds(); float64(came) > most {
			t.Errorf("%d datagrams were taken, want at most %.0f", came, most)
		}
	})
}

func TestDatagramsAreRated(t *testing.T) {
	now := time.Unix(1e9, 0)
	b := bucket{tokens: datagramBurst, filled: now}
	take := func() (n int) {
		for b.take(now) {
			n++
		}
		return n
	}
	if n := take(); n != datagramBurst {
		t.Fatalf("a burst of %d, want %d", n, datagramBurst)
	}
	now = now.Add(10 * time.Millisecond)
	if n := take(); n != datagramRate/100 {
		t.Fatalf("%d after 10 ms, want %d", n, datagramRate/100)
	}
	now = now.Add(time.Hour)
	if n := take(); n != datagramBurst {
		t.Fatalf("%d after an hour, want %d", n, datagramBurst)
	}
}

// Watches without end stay within their bound, and are answered.
func TestWatchFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		var frames []*Frame
		for i := range 1000 {
			frames = append(frames, &Frame{Kind: Frame_WATCH, TargetId: "x", SenderId: fmt.Sprint("w", i)})
		}
		s.says(KindMain, actors.Default, wireOf(t, append(frames, &Frame{TargetId: "x", TypeName: stringType})...)...)
		next(t, s.x)
		s.counts(900, "watch_overflows_total")
		if _, held := s.remote.core.peers.find("127.0.0.1:9").watches.counts(); held != 100 {
			t.Errorf("%d watches are held, want the 100 that the limit allows", held)
		}
	}, WithLimits(Limits{Watches: 100}))
}

// Senders at addresses that nobody knows: they get no dial each, and the table keeps room for real peers.
func TestAddressFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		frames := make([]*Frame, 200)
		for i := range frames {
			address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 9, 0, byte(i)}), 9).String()
			frames[i] = &Frame{TargetId: "echo", SenderAddress: address, SenderId: "y", TypeName: stringType}
		}
		s.says(KindMain, actors.Default, wireOf(t, frames...)...)
		s.counts(150, "refused_frames_total")
		late := startNode(t, 3)
		ask(t, late, s.pid("echo"), text("may I?"))
	}, WithLimits(Limits{Peers: 20}))
}

// A peer that takes the connection and reads nothing costs one queue.
func TestPeerThatNeverReads(t *testing.T) {
	listener, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{*issue(t, testCA, 9, time.Now())}, ClientAuth: tls.RequireAnyClientCert,
		NextProtos: []string{protocols[KindMain]}, MinVersion: tls.VersionTLS13,
	}, &quic.Config{MaxIncomingUniStreams: uniStreamsMax})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	address := listener.Addr().String()
	besiege(t, func(s *siege) {
		go func() {
			conn, err := listener.Accept(t.Context())
			if err != nil {
				return
			}
			stream, err := conn.AcceptStream(t.Context())
			if err != nil {
				return
			}
			if _, err := stream.Read(make([]byte, 4096)); err != nil {
				return
			}
			h := s.remote.core.hello()
			h.NodeId, h.Address, h.GossipAddress, h.DirectoryId = 9, address, address, make([]byte, 16)
			_, _ = stream.Write(appendLength(ackGreeting(h)))
		}()
		to := actor.NewPID(address, "x")
		s.Root.Send(to, text("first"))
		waitFor(t, "a session", func() bool {
			status, err := s.remote.Status(t.Context())
			return err == nil && len(status.Peers) == 2 && peerAt(status, address).State == PeerConnected
		})
		payload := &wrapperspb.BytesValue{Value: make([]byte, 10000)}
		for range 2000 { // 20 MB, where a window takes 512 KiB and the queue 1 MB
			s.Root.Send(to, payload)
		}
		s.counts(1, "dropped_messages_total", "class", "default", "reason", "queue_full")
		s.served(10)
	}, WithLimits(Limits{DefaultBytes: 1 << 20}))
}

func peerAt(s *Status, address string) PeerStatus {
	for _, p := range s.Peers {
		if p.Address == address {
			return p
		}
	}
	return PeerStatus{}
}

// A byte a second makes no frame, and a first chunk no message: the time for it is not prolonged.
func TestSlowBytes(t *testing.T) {
	for name, c := range map[string]struct {
		kind  Kind
		class actors.Class
		bytes []byte
	}{
		"of a frame":    {KindMain, actors.Default, append([]byte{100}, make([]byte, 99)...)},
		"of a chunk":    {KindBulk, actors.Bulk, append([]byte{100}, make([]byte, 99)...)},
		"after a chunk": {KindBulk, actors.Bulk, wireOf(t, &Frame{TargetId: "x", TypeName: stringType, Total: 1000, Payload: []byte{1}})},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				n, good := l.start(t, "10.0.0.1", 1, 1), l.start(t, "10.0.0.2", 2, 1)
				echo := spawnEcho(t, n, "echo")
				conn, end := l.raw(t, n, protocols[c.kind])
				defer end()
				greet9(t, n, conn)
				lane, err := conn.OpenUniStream()
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				_, _ = lane.Write([]byte{byte(c.class)})
				if name == "after a chunk" {
					_, _ = lane.Write(c.bytes)
					c.bytes = nil
				}
				for _, b := range c.bytes {
					if conn.Context().Err() != nil {
						break
					}
					_, _ = lane.Write([]byte{b})
					ask(t, good, echo, text("still there?"))
					pass(time.Second)
				}
				<-conn.Context().Done()
				if code := closeErrorOf(closeReason(context.Cause(conn.Context()))).Code; code != CodeTimeout {
					t.Errorf("closed with %s", code)
				}
				if took := time.Since(begin); took < partialDeadline || took > partialDeadline+2*time.Second {
					t.Errorf("closed after %s", took)
				}
				ask(t, good, echo, text("still there?"))
			})
		})
	}
}

// Nor does half a greeting keep the first stream for ever.
func TestSlowGreeting(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		n, good := l.start(t, "10.0.0.1", 1, 1), l.start(t, "10.0.0.2", 2, 1)
		echo := spawnEcho(t, n, "echo")
		conn, end := l.raw(t, n, protocols[KindMain])
		defer end()
		s := &siege{testNode: n, t: t}
		stream, err := conn.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Write(append(s.hello(func(*Hello) {}), 100, 1, 2)); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		ask(t, good, echo, text("still there?"))
		<-conn.Context().Done()
		if code := closeErrorOf(closeReason(context.Cause(conn.Context()))).Code; code != CodeTimeout {
			t.Errorf("closed with %s", code)
		}
		if took := time.Since(begin); took < partialDeadline || took > partialDeadline+2*time.Second {
			t.Errorf("closed after %s", took)
		}
		ask(t, good, echo, text("still there?"))
	})
}

// raw is a client of node 9 in the lab; end releases it.
func (l *lab) raw(t *testing.T, to *testNode, protocol string) (*quic.Conn, func()) {
	t.Helper()
	ca, err := newCA("test", testCA.key, time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	client := &quic.Transport{Conn: simnet.NewSimConn(&net.UDPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 1}, l)}
	conn, err := client.Dial(t.Context(), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to.address())), &tls.Config{
		InsecureSkipVerify: true, NextProtos: []string{protocol}, MinVersion: tls.VersionTLS13,
		Certificates: []tls.Certificate{*issue(t, ca, 9, time.Now())},
	}, &quic.Config{KeepAlivePeriod: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return conn, func() {
		_ = client.Close()
		_ = client.Conn.Close()
	}
}
