package remote

import (
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

// On one connection Control goes before Append and Append before Default: what is sent last in the most urgent class comes before the
// rest of what was sent first in the least.
func TestLanesGoByUrgency(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a, b := l.start(t, "10.0.0.1", 1, 1), l.start(t, "10.0.0.2", 2, 1)
		ask(t, a, spawnEcho(t, b, "echo"), text("connect"))
		got := map[actors.Class]<-chan any{}
		const n = 400
		for _, class := range []actors.Class{actors.Default, actors.Append, actors.Control} {
			got[class] = b.inboxOf(t, class.String())
		}
		for range n {
			for class := range got {
				actors.Send(class, a.Root, b.pid(class.String()), &wrapperspb.BytesValue{Value: make([]byte, 8<<10)})
			}
		}
		for range n {
			<-got[actors.Control]
		}
		if left := n - len(got[actors.Append]); left < n/4 {
			t.Errorf("all of Control is there, and %d of %d in Append are not", left, n)
		}
		for range n {
			<-got[actors.Append]
		}
		if left := n - len(got[actors.Default]); left < n/4 {
			t.Errorf("all of Append is there, and %d of %d in Default are not", left, n)
		}
		for range n {
			<-got[actors.Default]
		}
	})
}
