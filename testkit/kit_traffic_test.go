package testkit

import (
	"encoding/binary"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

// TestTrafficUnderEveryFault presses each kind of fault on messages of all classes, one kind at a time: what arrives is in order and came
// once, watchers are told, and both the fault and every class were really there.
func TestTrafficUnderEveryFault(t *testing.T) {
	if testing.Short() {
		t.Skip("a whole cluster for each kind of fault")
	}
	often := 2 * time.Second
	latency := Dist{Min: 200 * time.Microsecond, Tail: 300 * time.Microsecond, Max: 30 * time.Millisecond}
	for _, c := range []struct {
		fault string // as it is counted
		plan  Plan
		net   NetModel
		setup func(*World)
	}{
		{fault: "crash", plan: Plan{Crash: often}},
		{fault: "pause", plan: Plan{Pause: often}},
		{fault: "partition", plan: Plan{Partition: often}},
		{fault: "cut", plan: Plan{Cut: often}},
		{fault: "flap", plan: Plan{Flap: often}},
		{fault: "skew", plan: Plan{Skew: often}},
		{fault: "stall", plan: Plan{Stall: often}},
		{fault: "syncfail", plan: Plan{SyncFail: often}},
		{fault: "wipe", plan: Plan{Wipe: 8 * time.Second}},
		{fault: "crash", plan: Plan{OnEvent: 0.003}, setup: func(w *World) { w.Load(2, 10, 20) }},
		{fault: "retransmit", net: NetModel{Latency: latency, Loss: 0.05}},
		{fault: "datagram lost", net: NetModel{Latency: latency, Corrupt: 0.05}},
		{fault: "datagram doubled", net: NetModel{Latency: latency, Dup: 0.05}},
		{fault: "datagram overtaken", net: NetModel{Latency: latency, Reorder: 0.05}},
		{fault: "hold", setup: func(w *World) {
			for i := range 8 {
				from, to := 1+i%3, 1+(i+1)%3
				at := time.Duration(i+1) * 2 * time.Second
				w.At(at, func() {
					release := w.Net().Hold(from, to)
					w.At(at+1500*time.Millisecond, release)
				})
			}
		}},
		// Longer than a connection lives without a sign of life, and shorter than a member takes to be given up.
		{fault: "cut", setup: func(w *World) {
			w.At(3*time.Second, func() { w.Net().Cut(1, 2) })
			w.At(15*time.Second, func() { w.Net().Mend(1, 2) })
		}},
	} {
		var traffic *traffic
		s := Scenario{Nodes: 3, For: 20 * time.Second, Net: c.net, Chaos: c.plan, Setup: func(w *World) {
			w.Traffic(100)
			traffic = w.traffic
			if c.setup != nil {
				c.setup(w)
			}
		}}
		s.setDefaults()
		r := runSeed(t, 1, s, nil)
		if r.failure != nil {
			t.Errorf("%s: %s", c.fault, r.report)
			continue
		}
		if r.faults[c.fault] == 0 || traffic.told == 0 {
			t.Errorf("%s: happened %d times, and %d watchers were told", c.fault, r.faults[c.fault], traffic.told)
		}
		for class, n := range traffic.arrived {
			if n < 20 {
				t.Errorf("%s: %d messages of class %s arrived", c.fault, n, actors.Class(class))
			}
		}
		t.Logf("%-20s %4d times, arrived %v, watchers told %d", c.fault, r.faults[c.fault], traffic.arrived, traffic.told)
	}
}

// TestTrafficIsJudged: the judge of order finds what it is there for, in every class that promises it.
func TestTrafficIsJudged(t *testing.T) {
	for class := actors.Class(0); class < actors.Classes; class++ {
		for what, numbers := range map[string][]uint64{"once in order": {1, 2, 4}, "twice": {1, 2, 2}, "late": {1, 3, 2}} {
			w := bare(t, 1, Scenario{Nodes: 2})
			p := &post{traffic: &traffic{world: w}, node: w.Node(1), life: 1, last: make(map[address]uint64)}
			for _, number := range numbers {
				b := binary.AppendUvarint(nil, 2)
				for _, v := range []uint64{1, 1, uint64(class), number} {
					b = binary.AppendUvarint(b, v)
				}
				p.SendUserMessage(nil, wrapperspb.Bytes(append(b, byte(number))))
			}
			wrong := what != "once in order" && class != actors.Datagram
			if found := w.failure != nil && w.failure.Invariant == "remote: order"; found != wrong {
				t.Errorf("class %s, %s: %v", class, what, w.failure)
			}
		}
	}
}
