package remote

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

// A peer's next connection comes in while the last frames of the one before are still being read: they are handed over first.
func TestTheNextConnectionWaitsForTheEndOfTheLast(t *testing.T) {
	for _, class := range []actors.Class{actors.Default, actors.Control, actors.Append} {
		t.Run(class.String(), func(t *testing.T) {
			w, a, b := pair(t)
			got := b.collect("x")
			send := func(from, to uint64) {
				for i := from; i < to; i++ {
					actors.Send(class, a.Root, b.at("x"), wrapperspb.UInt64(i))
				}
			}
			send(0, 1)
			w.runFor(time.Second)
			for _, c := range a.transport.conns {
				if c.kind == KindMain && !c.ended && len(c.outs) > 0 {
					c.delay, c.other.lingers = 20*time.Millisecond, 40*time.Millisecond
					send(1, 100)
					w.runFor(w.latency / 2) // all of it is on its way
					c.lost("the path is lost")
				}
			}
			send(100, 200)
			w.runFor(time.Second)
			next := uint64(0)
			for _, m := range got.take() {
				if v := m.(*wrapperspb.UInt64Value).Value; v != next {
					t.Fatalf("got %d, want %d", v, next)
				}
				next++
			}
			if next != 200 {
				t.Errorf("%d of 200 messages arrived", next)
			}
		})
	}
}
