package remote

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

// datagramConn is the id of a node's only datagram connection.
func datagramConn(t *testing.T, n *testNode) uint64 {
	t.Helper()
	tr := n.remote.core.transport.(*quicTransport)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var id uint64
	for c := range tr.conns {
		if c.kind == KindDatagram {
			if id != 0 {
				t.Fatal("two datagram connections")
			}
			id = c.id
		}
	}
	return id
}

// A datagram connection outlives three rounds of probes through as many peers as there may be, and a probe after it needs no handshake.
func TestDatagramConnectionsOutliveProbeRounds(t *testing.T) {
	for name, c := range map[string]struct {
		period, idle, quiet time.Duration
		stays               bool
	}{
		"nothing said of probes": {0, 15 * time.Minute, 14 * time.Minute, true},
		"and no longer":          {0, 15 * time.Minute, 16 * time.Minute, false},
		"one a second":           {time.Second, 3 * 1024 * time.Second, 50 * time.Minute, true},
		"one an hour":            {time.Hour, 24 * time.Hour, 20 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				opts := []ConfigOption{WithProbePeriod(c.period), WithConnectionAge(0)}
				a, b := l.start(t, "10.0.0.1", 1, 1, opts...), l.start(t, "10.0.0.2", 2, 1, opts...)
				got := b.inboxOf(t, "x")
				send := func() {
					actors.Send(actors.Datagram, a.Root, b.pid("x"), wrapperspb.String("probe"))
					<-got
				}
				send()
				before := datagramConn(t, a)
				pass(c.quiet)
				if stays := datagramConn(t, a) == before; stays != c.stays {
					t.Errorf("the connection is still there: %v", stays)
				}
				send()
				if status, err := a.remote.Status(t.Context()); err != nil || status.DatagramIdle != c.idle {
					t.Errorf("%+v, %v", status, err)
				}
			})
		})
	}
}
