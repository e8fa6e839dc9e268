package remote

import (
	"fmt"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

// A node that stood still for longer than a connection lives takes its own connections for alive when it goes on, while its peer has
// forgotten them. What its peer asks after coming back is answered all the same.
func TestAnswersAfterAStandstill(t *testing.T) {
	for _, class := range []actors.Class{actors.Default, actors.Control, actors.Append, actors.Bulk, actors.Classes} {
		learns := class == actors.Classes // of its main connections first, and is back on those before its peer is
		if learns {
			class = actors.Bulk
		}
		t.Run(fmt.Sprint(class, learns), func(t *testing.T) {
			w, a, b := pair(t)
			answered := 0
			b.collect("echo", func(ctx actor.Context) {
				answered++
				actors.Request(class, ctx, ctx.Sender(), ctx.Message())
			})
			asker := a.collect("asker")
			ask := func(n uint64) {
				a.do(asker, func(ctx actor.Context) { actors.Request(class, ctx, b.at("echo"), wrapperspb.UInt64(n)) })
			}
			ask(0)
			w.runFor(time.Second)
			if got := asker.take(); len(got) != 1 {
				t.Fatalf("before: %v", got)
			}

			a.forgetConns(b) // b stood still, and goes on now
			if learns {
				w.cut[[2]string{"a:1", "b:1"}] = true
				w.breakConns(b, a, KindMain)
				for _, c := range b.transport.conns {
					if c.kind == KindMain && c.other.forgotten {
						c.lost("timeout: no recent network activity")
					}
				}
				w.runFor(10 * time.Second)
				delete(w.cut, [2]string{"a:1", "b:1"})
				w.runFor(2*backoffMax + dialDeadline)
			}
			for n := uint64(1); n <= 10; n++ {
				ask(n)
				w.runFor(500 * time.Microsecond)
			}
			w.runFor(time.Second)
			var got []uint64
			for _, m := range asker.take() {
				got = append(got, m.(*wrapperspb.UInt64Value).Value)
			}
			if want := "[1 2 3 4 5 6 7 8 9 10]"; fmt.Sprint(got) != want {
				t.Errorf("answers %v, want %s", got, want)
			}
			if answered != 11 {
				t.Errorf("%d requests arrived, want each of 11 once", answered)
			}
		})
	}
}

// What such a node asks before it has learnt of it is lost with its connection, and fails with it.
func TestRequestsAfterAStandstillFailAtOnce(t *testing.T) {
	w, a, b := pair(t)
	a.collect("silent")
	asker := b.collect("asker")
	var failed []time.Duration
	ask := func() {
		begin := w.now
		b.do(asker, func(ctx actor.Context) {
			actors.Ask(ctx, a.at("silent"), text("?"), time.Hour, func(any, error) { failed = append(failed, w.now-begin) })
		})
	}
	ask()
	w.runFor(time.Second)
	a.forgetConns(b)
	ask()
	w.runFor(time.Second)
	if len(failed) != 2 || failed[1] > 4*w.latency {
		t.Errorf("failed after %v", failed)
	}
}

// A peer that comes back while this node's own connection is well makes it renew that one in good order: nothing is lost, and the two do
// not renew each other's for ever.
func TestAPeersReturnRenewsWithoutLoss(t *testing.T) {
	w, a, b := pair(t)
	got := a.collect("x")
	b.collect("x")
	a.Root.Send(b.at("x"), text("hello"))
	b.Root.Send(a.at("x"), wrapperspb.UInt64(0))
	w.runFor(time.Second)
	dials := b.transport.dials
	w.breakConns(a, b, KindMain) // both ends of what a dialed; b's own stands
	const n = 2000
	for i := uint64(1); i <= n; i++ {
		b.Root.Send(a.at("x"), wrapperspb.UInt64(i))
		w.runFor(10 * time.Microsecond)
	}
	w.runFor(time.Minute)
	all := got.take()
	if len(all) != n+1 {
		t.Errorf("%d messages, want %d", len(all), n+1)
	}
	for i, m := range all {
		if m.(*wrapperspb.UInt64Value).Value != uint64(i) {
			t.Fatalf("message %d is %v", i, m)
		}
	}
	if b.transport.dials != dials+1 {
		t.Errorf("b dialed %d times", b.transport.dials-dials)
	}
}

// The same over QUIC: what a node sends does not come through until its peer has given its connections up, while it hears the peer all along,
// as one does that reads its socket after standing still.
func TestAnswersAfterAStandstillOverQUIC(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a, b := l.start(t, "10.0.0.1", 1, 1), l.start(t, "10.0.0.2", 2, 1)
		echo := spawnEcho(t, b, "echo")
		events := subscribe(t, a)
		ask(t, a, echo, text("hello"))
		<-events
		for round := range 5 {
			l.silence(b.address(), true)
			lost := a.Root.RequestFuture(echo, text("lost"), time.Hour)
			if _, down := (<-events).(*actors.PeerDown); !down {
				t.Fatal("not down")
			}
			if _, err := lost.Result(); err == nil {
				t.Fatal("what nobody could answer was answered")
			}
			l.silence(b.address(), false)
			if _, up := (<-events).(*actors.PeerUp); !up {
				t.Fatal("not up")
			}
			begin := time.Now()
			answer, err := a.Root.RequestFuture(echo, text("again"), time.Hour).Result()
			if took := time.Since(begin); err != nil || took > finishDeadline+time.Second {
				t.Fatalf("round %d: %v, %v after %s", round, answer, err, took)
			}
			pass(time.Minute)
			for len(events) > 0 {
				<-events
			}
		}
	})
}
