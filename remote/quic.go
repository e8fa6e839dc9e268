package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

const (
	dialDeadline    = 3 * time.Second
	handshakeIdle   = 3 * time.Second
	keepAlive       = 3 * time.Second
	mainIdle        = 10 * time.Second
	datagramIdleMin = 15 * time.Minute
	partialDeadline = 30 * time.Second

	// The greeting stream and three lanes fit into the connection's window at once, so that no lane that is not read
	// starves another.
	streamWindow     = 512 << 10
	streamWindowMax  = 6 << 20
	connWindow       = 4 * streamWindow
	connWindowMax    = 4 * streamWindowMax
	uniStreamsMax    = 3
	bidiStreamsMax   = 1
	initialPacketMin = 1280 // holds a datagram of 1200 bytes from the first packet
)

var protocols = map[Kind]string{KindMain: "rivven-main/1", KindBulk: "rivven-bulk/1", KindDatagram: "rivven-datagram/1"}

func kindOfProtocol(protocol string) (Kind, bool) {
	for kind := Kind(0); kind < kinds; kind++ {
		if protocols[kind] == protocol {
			return kind, true
		}
	}
	return 0, false
}

// quicTransport is the Transport over QUIC: one UDP socket, or two, that listen and dial.
type quicTransport struct {
	host     string
	port     int
	gossip   *hostPort
	dev      bool
	resolver Resolver
	listen   func(*net.UDPAddr) (net.PacketConn, error)
	source   TLS
	domain   string
	resetKey *[32]byte
	bulkRate int
	idle     time.Duration // of datagram connections
	metrics  *metrics
	onFault  func(error) // of the certificates

	handler    Handler
	main, data *quicSocket
	ctx        context.Context
	cancel     context.CancelFunc
	work       sync.WaitGroup
	sequence   atomic.Uint64
	handshakes *handshakes

	mu     sync.Mutex
	conns  map[*quicConn]struct{}
	closed bool
}

type quicSocket struct {
	packets   net.PacketConn
	transport *quic.Transport
	listener  *quic.Listener
}

func newQUIC(cfg *Config, c *core, source TLS, domain string) Transport {
	t := &quicTransport{
		host: cfg.Host, port: cfg.Port, gossip: cfg.gossip, dev: cfg.dev, resolver: cfg.resolver, source: source,
		domain: domain, resetKey: cfg.resetKey, bulkRate: cfg.bulkRate, idle: cfg.datagramIdle(c.limits.Peers), metrics: &c.metrics, onFault: c.onCertificateFault,
		handshakes: newHandshakes(c.limits.Handshakes, &c.metrics), conns: make(map[*quicConn]struct{}),
	}
	if t.resolver == nil {
		t.resolver = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if t.listen = cfg.listen; t.listen == nil {
		t.listen = listenUDP
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

func (t *quicTransport) Listen(h Handler) (Endpoints, error) {
	t.handler = h
	var err error
	if t.main, err = t.open(t.host, t.port); err != nil {
		return Endpoints{}, err
	}
	t.data = t.main
	if t.gossip != nil {
		if t.data, err = t.open(t.gossip.host, t.gossip.port); err != nil {
			t.main.close()
			return Endpoints{}, err
		}
	}
	t.serve(t.main)
	if t.data != t.main {
		t.serve(t.data)
	}
	return Endpoints{Main: t.bound(t.main, t.host), Gossip: t.bound(t.data, t.gossipHost())}, nil
}

func (t *quicTransport) gossipHost() string {
	if t.gossip != nil {
		return t.gossip.host
	}
	return t.host
}

// bound spells a socket's address with the host that was configured.
func (t *quicTransport) bound(s *quicSocket, host string) string {
	return net.JoinHostPort(host, strconv.Itoa(s.packets.LocalAddr().(*net.UDPAddr).Port))
}

func (t *quicTransport) open(host string, port int) (*quicSocket, error) {
	packets, err := t.bind(host, port)
	if err != nil {
		return nil, err
	}
	s := &quicSocket{packets: packets, transport: &quic.Transport{
		Conn: packets, ConnContext: t.onHandshake,
		VerifySourceAddress: t.handshakes.mustProve,
	}}
	if t.resetKey != nil {
		key := quic.StatelessResetKey(*t.resetKey)
		s.transport.StatelessResetKey = &key
	}
	if s.listener, err = s.transport.Listen(t.serverTLS(), t.serverConfig()); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (t *quicTransport) bind(host string, port int) (net.PacketConn, error) {
	address := &net.UDPAddr{Port: port}
	if host != "" {
		ctx, cancel := context.WithTimeout(t.ctx, dialDeadline)
		defer cancel()
		addrs, err := t.lookup(ctx, host)
		if err != nil {
			return nil, err
		}
		address = net.UDPAddrFromAddrPort(netip.AddrPortFrom(addrs[0], uint16(port))) //nolint:gosec // it was validated
	}
	return t.listen(address)
}

func (s *quicSocket) close() {
	if s.listener != nil {
		_ = s.listener.Close()
	}
	_ = s.transport.Close()
	_ = s.packets.Close()
}

// serverConfig is one for all kinds, because a connection's kind is known only after its handshake; idle timeouts are
// the shorter of both sides', so the dialer sets them.
func (t *quicTransport) serverConfig() *quic.Config {
	c := baseConfig()
	c.MaxIdleTimeout = t.idle
	c.EnableDatagrams = true
	return c
}

func baseConfig() *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout:           handshakeIdle,
		InitialStreamReceiveWindow:     streamWindow,
		MaxStreamReceiveWindow:         streamWindowMax,
		InitialConnectionReceiveWindow: connWindow,
		MaxConnectionReceiveWindow:     connWindowMax,
		MaxIncomingStreams:             bidiStreamsMax,
		MaxIncomingUniStreams:          uniStreamsMax,
		InitialPacketSize:              initialPacketMin,
	}
}

func (t *quicTransport) clientConfig(kind Kind) *quic.Config {
	c := baseConfig()
	c.MaxIncomingStreams, c.MaxIncomingUniStreams = -1, -1
	if kind == KindDatagram {
		c.MaxIdleTimeout = t.idle
		c.EnableDatagrams = true
		return c
	}
	c.MaxIdleTimeout = mainIdle
	c.KeepAlivePeriod = keepAlive
	return c
}

func (t *quicTransport) serverTLS() *tls.Config {
	base := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		ClientAuth:             tls.RequireAnyClientCert, // verify checks it, so that its reason can be named
		SessionTicketsDisabled: true,
		NextProtos:             []string{protocols[KindMain], protocols[KindBulk], protocols[KindDatagram]},
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return t.certificate() },
	}
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		conf := base.Clone()
		conf.GetConfigForClient = nil
		remote := hello.Conn.RemoteAddr().String()
		conf.VerifyConnection = func(state tls.ConnectionState) error {
			err := t.verify(state.PeerCertificates, 0)
			if err != nil {
				t.handler.Refused(remote, err)
			}
			return err
		}
		return conf, nil
	}
	return base
}

func (t *quicTransport) clientTLS(kind Kind, expect uint64) *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		ServerName:           "rivven",
		InsecureSkipVerify:   true, //nolint:gosec // VerifyConnection checks the chain and the SPIFFE id; host names say nothing here
		NextProtos:           []string{protocols[kind]},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.certificate() },
		VerifyConnection:     func(state tls.ConnectionState) error { return t.verify(state.PeerCertificates, expect) },
	}
}

// certificate is this node's own, and the occasion to say that a newer one is not in use.
func (t *quicTransport) certificate() (*tls.Certificate, error) {
	pair, err := t.source.Certificate()
	fault := err
	if fault == nil && t.source.Fault != nil {
		fault = t.source.Fault()
	}
	if fault != nil {
		t.onFault(fault)
	}
	return pair, err
}

func (t *quicTransport) verify(chain []*x509.Certificate, expect uint64) error {
	roots, err := t.source.Roots()
	if err != nil {
		return fmt.Errorf("reading the CA: %w", err)
	}
	_, err = verifyPeer(chain, roots, t.domain, expect, time.Now())
	return err
}

func (t *quicTransport) serve(s *quicSocket) {
	t.work.Go(func() {
		for {
			conn, err := s.listener.Accept(t.ctx)
			if err != nil {
				return
			}
			if done, ok := conn.Context().Value(handshakeKey{}).(func()); ok {
				done()
			}
			if c := t.adopt(conn, false); c != nil {
				t.handler.Accepted(c)
				c.run()
			}
		}
	})
}

// adopt takes a connection whose handshake is done.
func (t *quicTransport) adopt(conn *quic.Conn, dialed bool) *quicConn {
	state := conn.ConnectionState().TLS
	kind, known := kindOfProtocol(state.NegotiatedProtocol)
	var node uint64
	var err error
	if len(state.PeerCertificates) > 0 {
		_, node, err = nodeOf(state.PeerCertificates[0])
	}
	if !known || node == 0 || err != nil {
		_ = conn.CloseWithError(quic.ApplicationErrorCode(CodeProtocol), "no protocol in common")
		return nil
	}
	c := newQUICConn(t, conn, kind, node, dialed)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		_ = conn.CloseWithError(quic.ApplicationErrorCode(CodeShutdown), "this node is stopping")
		return nil
	}
	t.conns[c] = struct{}{}
	t.work.Add(1)
	return c
}

func (t *quicTransport) Close() {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	t.closed = true
	conns := make([]*quicConn, 0, len(t.conns))
	for c := range t.conns {
		conns = append(conns, c)
	}
	t.mu.Unlock()
	for _, c := range conns {
		c.Close(CodeShutdown, "this node is stopping")
	}
	t.cancel()
	t.work.Wait()
	if t.data != nil && t.data != t.main {
		t.data.close()
	}
	if t.main != nil {
		t.main.close()
	}
}

// alertNoProtocol is the TLS alert no_application_protocol (RFC 7301 section 3.2) as QUIC carries it.
const alertNoProtocol quic.TransportErrorCode = 0x100 + 120

// closeReason turns what quic-go says into a CloseError where one of the two nodes decided.
func closeReason(err error) error {
	var application *quic.ApplicationError
	if errors.As(err, &application) {
		return &CloseError{Code: Code(application.ErrorCode), Reason: quoteless(application.ErrorMessage), Remote: application.Remote}
	}
	var certificate *CertificateError
	if errors.As(err, &certificate) {
		return &CloseError{Code: CodeCertificate, Reason: certificate.Error()}
	}
	var transport *quic.TransportError
	if errors.As(err, &transport) && transport.ErrorCode == alertNoProtocol {
		return &CloseError{Code: CodeVersion, Reason: "no protocol in common", Remote: transport.Remote}
	}
	if errors.As(err, &transport) && transport.ErrorCode.IsCryptoError() {
		reason := transport.Error()
		if transport.Remote {
			reason = "it refused this node's certificate: " + transport.ErrorCode.Message()
		}
		return &CloseError{Code: CodeCertificate, Reason: quoteless(reason), Remote: transport.Remote}
	}
	return err
}

// quoteless bounds a text that a peer wrote.
func quoteless(s string) string {
	const most = 512
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
