package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/quic-go/quic-go"
)

func (t *quicTransport) Dial(dial uint64, kind Kind, address string, expect uint64) {
	socket := t.main
	if kind == KindDatagram {
		socket = t.data
	}
	t.dial(dial, socket, kind, address, expect)
}

// DialFresh makes the transport a FreshDialer.
func (t *quicTransport) DialFresh(dial uint64, kind Kind, address string, expect uint64) {
	t.dial(dial, nil, kind, address, expect)
}

// dial connects from a socket, or from a fresh one where it is nil: that lives as long as the connection.
func (t *quicTransport) dial(dial uint64, socket *quicSocket, kind Kind, address string, expect uint64) {
	t.attempt(func(ctx context.Context) {
		from, release, err := t.dialSocket(socket)
		if err != nil {
			t.handler.DialFailed(dial, err)
			return
		}
		conn, err := t.connect(ctx, from, kind, address, expect)
		if err != nil {
			release()
			t.handler.DialFailed(dial, err)
			return
		}
		c := t.adopt(conn, true)
		if c == nil {
			release()
			t.handler.DialFailed(dial, ErrClosed)
			return
		}
		c.release = release
		t.handler.Dialed(dial, c)
		c.run()
	})
}

// attempt runs f beside, until the deadline of a dial, unless the transport is closed.
func (t *quicTransport) attempt(f func(ctx context.Context)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.work.Go(func() {
		ctx, cancel := context.WithTimeout(t.ctx, dialDeadline)
		defer cancel()
		f(ctx)
	})
}

// dialSocket returns what to dial from, and what gives it back.
func (t *quicTransport) dialSocket(socket *quicSocket) (*quicSocket, func(), error) {
	if socket != nil {
		return socket, func() {}, nil
	}
	packets, err := t.bind(t.host, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("opening a fresh socket: %w", err)
	}
	fresh := &quicSocket{packets: packets, transport: &quic.Transport{Conn: packets}}
	return fresh, fresh.close, nil
}

// Find implements Finder.
func (t *quicTransport) Find(find uint64, address string) {
	t.attempt(func(ctx context.Context) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.handler.Found(find, nil, err)
			return
		}
		addrs, err := t.lookup(ctx, host)
		addresses := make([]string, 0, len(addrs))
		for _, a := range addrs {
			addresses = append(addresses, net.JoinHostPort(a.String(), port))
		}
		t.handler.Found(find, addresses, err)
	})
}

func (t *quicTransport) connect(ctx context.Context, socket *quicSocket, kind Kind, address string, expect uint64) (*quic.Conn, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, err
	}
	addrs, err := t.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i, addr := range addrs {
		if t.dev && !addr.IsLoopback() {
			errs = append(errs, fmt.Errorf("%s is not loopback, and development certificates dial nothing else", addr))
			continue
		}
		attempt, cancel := context.WithTimeout(ctx, share(ctx, len(addrs)-i))
		conn, err := socket.transport.Dial(attempt, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, uint16(port))),
			t.clientTLS(kind, expect), t.clientConfig(kind))
		cancel()
		if err == nil {
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", addr, closeReason(err)))
	}
	return nil, errors.Join(errs...)
}

// share divides what is left of a deadline among the addresses that are left.
func share(ctx context.Context, left int) time.Duration {
	end, _ := ctx.Deadline()
	return time.Until(end) / time.Duration(left)
}

func (t *quicTransport) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	addrs, err := t.resolver(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("looking %s up: %w", host, err)
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("looking %s up: it has no address", host)
	}
	v4 := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			v4 = append(v4, a)
		}
	}
	for _, a := range addrs {
		if a = a.Unmap(); !a.Is4() {
			v4 = append(v4, a)
		}
	}
	return v4, nil
}
