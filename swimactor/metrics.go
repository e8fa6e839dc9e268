package swimactor

import (
	"time"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/swimactor/swim"
)

// metricsInterval is how often the core's counters are read.
const metricsInterval = time.Second

var rttBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}

// kind says what a message is for, in metrics.
type kind uint8

const (
	kindProbe kind = iota
	kindGossip
	kindSync
	kindLeave
	kindConflict
	kinds
)

var kindNames = [kinds]string{"probe", "gossip", "sync", "leave", "conflict"}

func kindOf(m *Message) kind {
	switch m.GetBody().(type) {
	case *Message_Gossip:
		return kindGossip
	case *Message_SyncRequest, *Message_SyncEqual, *Message_SyncBuckets, *Message_SyncSummary, *Message_SyncRecords:
		return kindSync
	case *Message_LeaveNotice, *Message_LeaveAck:
		return kindLeave
	case *Message_ConflictNotice:
		return kindConflict
	}
	return kindProbe
}

// instruments turns the core's counters, which start anew with every core, into instruments that only go up.
type instruments struct {
	rtt     actors.Histogram
	counted []counted
	gauged  []gauged
	last    swim.Stats
	readAt  time.Duration

	received           [actors.Classes]actors.Counter
	sentBytes          [kinds]actors.Counter
	receivedBytes      [kinds]actors.Counter
	refusedIdentity    actors.Counter
	refusedType        actors.Counter
	subscribersRefused actors.Counter
	subscribersBehind  actors.Counter
	waitersRefused     actors.Counter
	subscribers        actors.Gauge
}

type counted struct {
	counter actors.Counter
	read    func(*swim.Stats) uint64
}

type gauged struct {
	gauge actors.Gauge
	read  func(*swim.Stats) float64
}

func newInstruments(m actors.Metrics) *instruments {
	const refusedHelp = "Messages or statements that were not believed, by reason."
	refused := func(reason string) actors.Counter {
		return m.Counter("rivven_swim_refused_total", refusedHelp, "reason", reason)
	}
	probes := func(result string) actors.Counter {
		return m.Counter("rivven_swim_probes_total", "Probes of this node, by what came of them.", "result", result)
	}
	sent := func(path string) actors.Counter {
		return m.Counter("rivven_swim_messages_sent_total", "Messages sent, by path.", "path", path)
	}
	signals := func(signal string) actors.Counter {
		return m.Counter("rivven_swim_signals_total", "Connections lost and peers back that made this node ask the member at once.", "signal", signal)
	}
	members := func(state string) actors.Gauge {
		return m.Gauge("rivven_swim_members", "Members known, this node included, by state.", "state", state)
	}
	i := &instruments{
		rtt: m.Histogram("rivven_swim_probe_rtt_seconds", "Round trip time of direct probes.", rttBuckets),
		counted: []counted{
			{probes("ack"), func(s *swim.Stats) uint64 { return s.ProbesAcked }},
			{probes("ack_stream"), func(s *swim.Stats) uint64 { return s.ProbesByStream }},
			{probes("ack_helper"), func(s *swim.Stats) uint64 { return s.ProbesByHelpers }},
			{probes("failed"), func(s *swim.Stats) uint64 { return s.ProbesFailed }},
			{m.Counter("rivven_swim_nacks_total", "Nacks of helpers."), func(s *swim.Stats) uint64 { return s.Nacks }},
			{m.Counter("rivven_swim_relays_total", "Pings made for others."), func(s *swim.Stats) uint64 { return s.Relays }},
			{m.Counter("rivven_swim_suspicions_total", "Suspicions begun."), func(s *swim.Stats) uint64 { return s.Suspicions }},
			{m.Counter("rivven_swim_confirmations_total", "Independent confirmations of suspicions."), func(s *swim.Stats) uint64 { return s.Confirmations }},
			{m.Counter("rivven_swim_refutations_total", "Statements about this node that it refuted."), func(s *swim.Stats) uint64 { return s.Refutations }},
			{m.Counter("rivven_swim_failures_total", "Members that were declared dead."), func(s *swim.Stats) uint64 { return s.Failures }},
			{m.Counter("rivven_swim_stalls_total", "Times this node found itself stalled."), func(s *swim.Stats) uint64 { return s.Stalls }},
			{m.Counter("rivven_swim_syncs_total", "Synchronisations begun."), func(s *swim.Stats) uint64 { return s.Syncs }},
			{m.Counter("rivven_swim_syncs_differing_total", "Synchronisations that found a difference."), func(s *swim.Stats) uint64 { return s.SyncsDiffering }},
			{m.Counter("rivven_swim_heal_attempts_total", "Attempts at dead members."), func(s *swim.Stats) uint64 { return s.HealAttempts }},
			{m.Counter("rivven_swim_conflicts_total", "Directories that claimed a node id in use."), func(s *swim.Stats) uint64 { return s.Conflicts }},
			{m.Counter("rivven_swim_large_updates_total", "Updates sent on streams because of their size."), func(s *swim.Stats) uint64 { return s.LargeUpdates }},
			{m.Counter("rivven_swim_verifications_total", "Signatures of records that were checked."), func(s *swim.Stats) uint64 { return s.Verifications }},
			{m.Counter("rivven_swim_sign_failures_total", "Own records that could not be signed and were not published."), func(s *swim.Stats) uint64 { return s.SignFailures }},
			{signals("lost"), func(s *swim.Stats) uint64 { return s.SignalsLost }},
			{signals("back"), func(s *swim.Stats) uint64 { return s.SignalsBack }},
			{sent("datagram"), func(s *swim.Stats) uint64 { return s.SentDatagrams }},
			{sent("stream"), func(s *swim.Stats) uint64 { return s.SentStreams }},
			{m.Counter("rivven_swim_datagram_sent_bytes_total", "Payload of the datagrams sent, estimated."), func(s *swim.Stats) uint64 { return s.SentBytes }},
			{refused("malformed"), func(s *swim.Stats) uint64 { return s.Refused.Malformed }},
			{refused("cluster"), func(s *swim.Stats) uint64 { return s.Refused.Cluster }},
			{refused("unverified"), func(s *swim.Stats) uint64 { return s.Refused.Unverified }},
			{refused("unasked"), func(s *swim.Stats) uint64 { return s.Refused.Unasked }},
			{refused("table_full"), func(s *swim.Stats) uint64 { return s.Refused.TableFull }},
			{refused("relays_full"), func(s *swim.Stats) uint64 { return s.Refused.RelaysFull }},
			{refused("impostor"), func(s *swim.Stats) uint64 { return s.Refused.Impostor }},
		},
		gauged: []gauged{
			{members("live"), func(s *swim.Stats) float64 { return float64(s.Live) }},
			{members("dead"), func(s *swim.Stats) float64 { return float64(s.Dead) }},
			{m.Gauge("rivven_swim_awareness_score", "Local health: 0 is well."), func(s *swim.Stats) float64 { return float64(s.Awareness) }},
			{m.Gauge("rivven_swim_broadcast_queue_updates", "Updates that still spread."), func(s *swim.Stats) float64 { return float64(s.Queued) }},
			{m.Gauge("rivven_swim_isolated", "1 while this node hears nobody."), func(s *swim.Stats) float64 {
				if s.Isolated {
					return 1
				}
				return 0
			}},
		},
		refusedIdentity:    refused("identity"),
		refusedType:        refused("type"),
		subscribersRefused: m.Counter("rivven_swim_subscribers_refused_total", "Subscriptions above the limit."),
		subscribersBehind:  m.Counter("rivven_swim_subscribers_behind_total", "Times a subscriber got a snapshot in place of events."),
		waitersRefused:     m.Counter("rivven_swim_leave_waiters_refused_total", "Leave requests beyond those that can be answered."),
		subscribers:        m.Gauge("rivven_swim_subscribers", "Subscriptions to membership events."),
	}
	for k, name := range kindNames {
		i.sentBytes[k] = m.Counter("rivven_swim_sent_bytes_total", "Encoded messages sent, by what they are for.", "kind", name)
		i.receivedBytes[k] = m.Counter("rivven_swim_received_bytes_total", "Encoded messages received, by what they are for.", "kind", name)
	}
	for c := range i.received {
		i.received[c] = m.Counter("rivven_swim_messages_received_total", "Messages received, by delivery class.", "class", actors.Class(c).String())
	}
	return i
}

// read carries the core's counters over, at most once in metricsInterval unless forced.
func (i *instruments) read(core *swim.Core, now time.Duration, forced bool) {
	if now-i.readAt < metricsInterval && !forced {
		return
	}
	i.readAt = now
	s := core.Stats()
	for _, c := range i.counted {
		if d := c.read(&s) - c.read(&i.last); d > 0 {
			c.counter.Add(d)
		}
	}
	for _, g := range i.gauged {
		g.gauge.Set(g.read(&s))
	}
	i.last = s
}
