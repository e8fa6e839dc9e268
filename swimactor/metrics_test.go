package swimactor

import (
	"strings"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/membership"
)

// recorder keeps what instruments were told, by name and labels.
type recorder map[string]float64

type instrument struct {
	r   recorder
	key string
}

func (i instrument) Add(n uint64)      { i.r[i.key] += float64(n) }
func (i instrument) Set(v float64)     { i.r[i.key] = v }
func (i instrument) Observe(v float64) { i.r[i.key]++ }

func (r recorder) of(name string, labels []string) instrument {
	return instrument{r, strings.Join(append([]string{name}, labels...), " ")}
}
func (r recorder) Counter(name, _ string, labels ...string) actors.Counter {
	return r.of(name, labels)
}
func (r recorder) Gauge(name, _ string, labels ...string) actors.Gauge { return r.of(name, labels) }
func (r recorder) Histogram(name, _ string, _ []float64, labels ...string) actors.Histogram {
	return r.of(name, labels)
}

func TestMetrics(t *testing.T) {
	r := make(recorder)
	w := newWorld(t)
	n := w.start(testConfig(1), actors.WithMetrics(r))
	w.start(testConfig(2, "node1:9093"))
	w.start(testConfig(3, "node1:9093"))
	p := n.probe()
	p.ask(&membership.Subscribe{})
	w.run(30 * time.Second)
	if r["rivven_swim_members state live"] != 3 || r["rivven_swim_subscribers"] != 1 || r["rivven_swim_isolated"] != 0 {
		t.Errorf("gauges: %v", r)
	}
	for _, name := range []string{
		"rivven_swim_probes_total result ack", "rivven_swim_probe_rtt_seconds", "rivven_swim_syncs_total",
		"rivven_swim_messages_sent_total path datagram", "rivven_swim_messages_sent_total path stream",
		"rivven_swim_messages_received_total class datagram", "rivven_swim_datagram_sent_bytes_total",
		"rivven_swim_sent_bytes_total kind probe", "rivven_swim_received_bytes_total kind probe", "rivven_swim_sent_bytes_total kind gossip",
		"rivven_swim_sent_bytes_total kind sync", "rivven_swim_received_bytes_total kind sync",
	} {
		if r[name] == 0 {
			t.Errorf("%s was never raised", name)
		}
	}
	before := r["rivven_swim_probes_total result ack"]
	_ = n.system.Root.StopFuture(p.pid).Wait()
	n.restart()
	w.run(30 * time.Second)
	if after := r["rivven_swim_probes_total result ack"]; after < before+20 || after > before+35 {
		t.Errorf("%v acks before a restart of the actor and %v 30 s later", before, after)
	}
	if r["rivven_swim_subscribers"] != 0 {
		t.Error("a subscriber that stopped is still subscribed")
	}
	n.deliver(&actors.Inbound{Peer: w.nodes["node2:9093"].peer(), Message: "text"})
	if r["rivven_swim_refused_total reason type"] != 1 {
		t.Error("a foreign message was not counted")
	}
}

// When what the core waited for is cancelled, its timer comes early, and is set again.
func TestEarlyWakeIsSetAgain(t *testing.T) {
	for phase := range 10 {
		w := newWorld(t)
		n := w.start(testConfig(1))
		other := w.start(testConfig(2, "node1:9093"))
		p := n.probe()
		p.ask(&membership.Subscribe{})
		w.run(10*time.Second + time.Duration(phase)*100*time.Millisecond)
		n.deliver(&actors.Inbound{Peer: other.peer(), Class: actors.Datagram, Message: &Message{Body: &Message_PingReq{&PingReq{Seq: 1, Target: 2, Generation: 1}}}})
		w.run(10 * time.Millisecond)
		w.cut = func(_, _ *worldNode) bool { return true }
		w.run(30 * time.Second)
		if got(p, func(e *membership.Isolated) bool { return e.GetIsolated() }) != 1 {
			t.Fatalf("phase %d: the core was never woken again", phase)
		}
	}
}
