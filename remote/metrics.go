package remote

import (
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
)

type metrics struct {
	sent, received, sentBytes, receivedBytes     [actors.Classes]actors.Counter
	overflows                                    [actors.Classes]actors.Counter
	deadLetters                                  actors.Counter
	refusedFrames                                actors.Counter
	refusedConns                                 codeCounters
	closedHere, closedByPeer                     codeCounters
	lostConns                                    actors.Counter
	retries, refusedHandshakes, failedHandshakes actors.Counter
	droppedDatagrams, certificateFaults          actors.Counter
	unknownTypes                                 actors.Counter
	deliveryPanics                               actors.Counter
	watchOverflows                               actors.Counter
	dials, dialFailures, reconnects, freshDials  actors.Counter
	drops                                        [actors.Classes][drops]actors.Counter
	connected                                    actors.Gauge
	open                                         [kinds]actors.Gauge
	packets                                      [kinds]actors.Counter
}

func newMetrics(m actors.Metrics) metrics {
	var r metrics
	for class := actors.Class(0); class < actors.Classes; class++ {
		label := class.String()
		r.sent[class] = m.Counter("rivven_remote_sent_messages_total", "Messages handed to a connection.", "class", label)
		r.received[class] = m.Counter("rivven_remote_received_messages_total", "Messages that came from peers.", "class", label)
		r.sentBytes[class] = m.Counter("rivven_remote_sent_bytes_total", "Bytes of frames handed to a connection.", "class", label)
		r.receivedBytes[class] = m.Counter("rivven_remote_received_bytes_total", "Bytes of frames that came from peers.", "class", label)
		r.overflows[class] = m.Counter("rivven_remote_overflows_total", "Messages that found their queue full.", "class", label)
		for why := drop(0); why < drops; why++ {
			r.drops[class][why] = m.Counter("rivven_remote_dropped_messages_total", "Messages to peers that went to dead letters.", "class", label, "reason", why.String())
		}
	}
	r.deadLetters = m.Counter("rivven_remote_dead_letters_total", "Messages to peers that were not sent.")
	r.refusedFrames = m.Counter("rivven_remote_refused_frames_total", "Messages from peers that their target may not get from the wire.")
	for code := range codeLast + 1 {
		label := code.String()
		if _, named := codeNames[code]; !named {
			label = codeOther
		}
		r.refusedConns[code] = m.Counter("rivven_remote_refused_connections_total", "Connections that were refused here, or by a peer for good.", "code", label)
		r.closedHere[code] = m.Counter("rivven_remote_closed_connections_total", "Connections that ended with a code.", "by", "here", "code", label)
		r.closedByPeer[code] = m.Counter("rivven_remote_closed_connections_total", "Connections that ended with a code.", "by", "peer", "code", label)
	}
	r.lostConns = m.Counter("rivven_remote_lost_connections_total", "Connections that ended without a word.")
	r.retries = m.Counter("rivven_remote_retries_total", "First packets that were answered with Retry, because many handshakes were under way.")
	r.refusedHandshakes = m.Counter("rivven_remote_refused_handshakes_total", "Handshakes beyond the limit.")
	r.failedHandshakes = m.Counter("rivven_remote_failed_handshakes_total", "Handshakes of who came in that were refused or did not end.")
	r.droppedDatagrams = m.Counter("rivven_remote_dropped_datagrams_total", "Datagrams from peers beyond the rate that is taken.")
	r.certificateFaults = m.Counter("rivven_remote_certificate_faults_total", "Handshakes with the last good certificates because the newest can't be used.")
	r.unknownTypes = m.Counter("rivven_remote_unknown_types_total", "Messages from peers of a type that is unknown here, or unreadable.")
	r.deliveryPanics = m.Counter("rivven_remote_delivery_panics_total", "Panics while a peer's message was handed to its target.")
	r.watchOverflows = m.Counter("rivven_remote_watch_overflows_total", "Watches beyond the limit, answered with AddressTerminated.")
	r.dials = m.Counter("rivven_remote_dials_total", "Connection attempts.")
	r.freshDials = m.Counter("rivven_remote_fresh_dials_total", "Connection attempts from a new local socket, after several had failed.")
	r.dialFailures = m.Counter("rivven_remote_dial_failures_total", "Connection attempts that failed.")
	r.reconnects = m.Counter("rivven_remote_reconnects_total", "Sessions with a peer after its first, without those that were renewed in good order.")
	r.connected = m.Gauge("rivven_remote_connected_peers", "Peers with a session, also one whose connection rests because nobody uses it.")
	for kind := Kind(0); kind < kinds; kind++ {
		r.open[kind] = m.Gauge("rivven_remote_connections", "Connections that stand, of either side's dialing.", "kind", kind.String())
		r.packets[kind] = m.Counter("rivven_remote_sent_packets_total", "Packets sent on connections with a Hello, by their kind.", "kind", kind.String())
	}
	return r
}

// codeCounters counts by close code.
type codeCounters [codeLast + 1]actors.Counter

const codeOther = "other"

func (c *codeCounters) add(code Code) {
	if _, named := codeNames[code]; !named {
		code = codeUnnamed
	}
	c[code].Add(1)
}

// onClosed counts how a connection ended.
func (m *metrics) onClosed(err error) {
	var reason *CloseError
	switch {
	case !errors.As(err, &reason):
		m.lostConns.Add(1)
	case reason.Remote:
		m.closedByPeer.add(reason.Code)
	default:
		m.closedHere.add(reason.Code)
	}
}

// limitedLog writes at most one line each interval of the boot clock, with the number of what it left out.
type limitedLog struct {
	mu     sync.Mutex
	next   time.Duration
	missed int
}

const logInterval = 10 * time.Second

func (l *limitedLog) warn(c *core, message string, fields ...zap.Field) {
	now := c.env.Boot()
	l.mu.Lock()
	if now < l.next {
		l.missed++
		l.mu.Unlock()
		return
	}
	missed := l.missed
	l.next, l.missed = now+logInterval, 0
	l.mu.Unlock()
	c.log.Warn(message, append(fields, zap.Int("not_logged", missed))...)
}
