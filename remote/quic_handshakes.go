package remote

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"github.com/quic-go/quic-go"
)

// handshakes bounds those that are under way. From a sixteenth of the limit on a first packet is answered with Retry,
// so that who sent it under a foreign address never gets further, and from then on no host gets more than a quarter:
// who floods with addresses of its own does not shut the others out.
type handshakes struct {
	limit   int
	metrics *metrics

	mu    sync.Mutex
	all   int
	hosts map[netip.Addr]int
}

func newHandshakes(limit int, m *metrics) *handshakes {
	return &handshakes{limit: limit, metrics: m, hosts: make(map[netip.Addr]int)}
}

func (h *handshakes) retryAbove() int { return max(h.limit/16, 1) }
func (h *handshakes) hostMax() int    { return max(h.limit/4, 1) }

func (h *handshakes) mustProve(net.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all < h.retryAbove() {
		return false
	}
	h.metrics.retries.Add(1)
	return true
}

func hostOf(addr net.Addr) netip.Addr {
	if udp, ok := addr.(*net.UDPAddr); ok {
		return udp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func (h *handshakes) begin(host netip.Addr) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.all >= h.limit:
		h.metrics.refusedHandshakes.Add(1)
		return errors.New("too many handshakes at a time")
	case h.hosts[host] >= h.hostMax():
		h.metrics.refusedHandshakes.Add(1)
		return errors.New("too many handshakes of one host at a time")
	}
	h.all++
	h.hosts[host]++
	return nil
}

func (h *handshakes) end(host netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all--
	if h.hosts[host]--; h.hosts[host] == 0 {
		delete(h.hosts, host)
	}
}

func (h *handshakes) underWay() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all
}

// handshakeKey marks a connection whose handshake is counted.
type handshakeKey struct{}

func (t *quicTransport) onHandshake(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	host := hostOf(info.RemoteAddr)
	if err := t.handshakes.begin(host); err != nil {
		return nil, err
	}
	var once sync.Once
	context.AfterFunc(ctx, func() {
		once.Do(func() {
			t.handshakes.end(host)
			t.onHandshakeFailed(info.RemoteAddr.String(), context.Cause(ctx))
		})
	})
	return context.WithValue(ctx, handshakeKey{}, func() { once.Do(func() { t.handshakes.end(host) }) }), nil
}

// onHandshakeFailed reports who refused this node's certificate, and whom TLS refused: what verify refused it reported.
func (t *quicTransport) onHandshakeFailed(remote string, err error) {
	t.metrics.failedHandshakes.Add(1)
	var reason *CloseError
	var reported *CertificateError
	if !errors.As(closeReason(err), &reason) || !reason.Code.refusal() || errors.As(err, &reported) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.handler.Refused(remote, reason)
	}
}
