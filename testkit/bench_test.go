package testkit

import (
	"strconv"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

// BenchmarkCluster is the whole stack: five nodes, 1 % loss, and so many proposals a simulated second. One operation is one
// simulated second.
func BenchmarkCluster(b *testing.B) {
	for _, rate := range []int{100, 0} {
		b.Run("proposals="+strconv.Itoa(rate), func(b *testing.B) {
			withRandomness(1, func() { benchmarkCluster(b, rate) })
		})
	}
}

func benchmarkCluster(b *testing.B, rate int) {
	w := newWorld(b, 1, Scenario{Nodes: 5, Net: NetModel{Loss: 0.01}}, nil)
	w.start()
	w.observed.watch()
	w.RunFor(5 * time.Second)
	done := 0
	if rate > 0 {
		w.propose(time.Second/time.Duration(rate), &done)
	}
	w.RunFor(time.Second)
	turns, before := w.trace.steps, done
	b.ResetTimer()
	for range b.N {
		w.RunFor(time.Second)
	}
	b.StopTimer()
	if w.failure != nil {
		b.Fatal(w.failure.report(w))
	}
	if got := done - before; got < b.N*rate*9/10 {
		b.Fatalf("%d of %d proposals were done", got, b.N*rate)
	}
	seconds := b.Elapsed().Seconds()
	b.ReportMetric(float64(b.N)/seconds, "simulated-s/s")
	b.ReportMetric(float64(w.trace.steps-turns)/seconds, "turns/s")
}

// propose sends a command to one node after the other, forever.
func (w *World) propose(every time.Duration, done *int) {
	count := 0
	var next func()
	next = func() {
		count++
		n := w.nodes[count%len(w.nodes)]
		if process, ok := n.system.ProcessRegistry.GetLocal(actors.RaftName(actors.GroupMeta)); ok {
			command := consensus.NewPropose(&metadata.SetConfig{Key: "k" + strconv.Itoa(count%100), Value: []byte(strconv.Itoa(count))})
			a := &answer{timeout: &event{}, end: func(answer any, err error) {
				if _, err = consensus.Result[*metadata.ConfigChanged](answer, err); err == nil {
					*done++
				}
			}}
			sender, _ := n.system.ProcessRegistry.Add(a, "bench"+strconv.Itoa(count))
			process.SendUserMessage(n.PID(actors.RaftName(actors.GroupMeta)), &actor.MessageEnvelope{Message: command, Sender: sender})
		}
		w.after(every, next)
	}
	next()
}
