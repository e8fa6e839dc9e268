package remote

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// What is meant for the bulk connection may come while the peer can't be reached, and is dropped with the rest when the attempt fails. The
// connection must be wanted again by what comes later.
func TestBulkIsDialedAfterAPeerWasGivenUp(t *testing.T) {
	w := newWorld(t)
	a := w.start("a:1", worldIdentity(1, 1))
	bulk := func(message string) {
		actors.Send(actors.Bulk, a.Root, actor.NewPID("b:1", "x"), text(message))
	}
	bulk("lost") // makes the session
	w.runFor(time.Millisecond)
	bulk("lost, too")
	w.runFor(dialDeadline + time.Second)
	b := w.start("b:1", worldIdentity(2, 1))
	got := b.collect("x")
	w.runFor(backoffMax + time.Second)
	bulk("arrives")
	w.runFor(time.Second)
	if all := got.take(); len(all) != 1 {
		t.Fatalf("got %v, want what was sent after the peer was back", all)
	}
}
