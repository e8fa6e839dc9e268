package testkit_test

import (
	"errors"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/testkit"
)

// locks hands a lock out for a while, to one at a time as far as it knows: a holder that stands still, and a lock service that was
// started again, make it two. So each grant carries a token that the replicated counter gives out, higher than all before, and who is
// written to refuses a token below one that it has seen.
type locks struct {
	counter *actor.PID
	token   int64 // of the present holder, 0 for none
	asking  bool
}

const lease = 300 * time.Millisecond

type leaseOver struct{ token int64 }

// Receive takes a StringValue (the name of who wants the lock; the answer is the token, or 0) and an Int64Value (the token that
// comes back).
func (l *locks) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *wrapperspb.StringValue:
		if l.token != 0 || l.asking {
			ctx.Respond(wrapperspb.Int64(0))
			return
		}
		l.asking = true
		actors.Ask(ctx, l.counter, consensus.NewPropose(wrapperspb.Int64(1)), time.Second, func(res any, err error) {
			l.asking = false
			next, err := consensus.Result[*wrapperspb.Int64Value](res, err)
			if err == nil {
				l.token = next.GetValue()
				actors.EnvOf(ctx).After(lease, ctx.Self(), &leaseOver{l.token})
			}
			ctx.Respond(wrapperspb.Int64(l.token))
		})
	case *wrapperspb.Int64Value:
		l.free(m.GetValue())
	case *leaseOver:
		l.free(m.token)
	}
}

func (l *locks) free(token int64) {
	if l.token == token {
		l.token = 0
	}
}

// ledger is what the lock protects: a token below one that it has seen is a late holder's.
type ledger struct {
	highest int64
	tokens  []int64 // of the writes it took
	refused int
}

func (l *ledger) Receive(ctx actor.Context) {
	if m, ok := ctx.Message().(*wrapperspb.Int64Value); ok {
		if token := m.GetValue(); token >= l.highest {
			l.highest, l.tokens = token, append(l.tokens, token)
		} else {
			l.refused++
		}
	}
}

// ordered fails where the last write is an earlier holder's than the one before. It is asked after every turn.
func (l *ledger) ordered() error {
	if n := len(l.tokens); n > 1 && l.tokens[n-1] < l.tokens[n-2] {
		return errors.New("a late holder's write was taken")
	}
	return nil
}

// worker takes the lock, writes twice with a pause between, and gives it back, forever.
type worker struct{ locks, ledger *actor.PID }

type workerTry struct{}

func (w *worker) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started, *workerTry:
		actors.Ask(ctx, w.locks, wrapperspb.String(ctx.Self().GetId()), time.Second, func(res any, _ error) {
			if token, ok := res.(*wrapperspb.Int64Value); ok && token.GetValue() != 0 {
				ctx.Send(w.ledger, token)
				actors.EnvOf(ctx).After(lease/2, ctx.Self(), token)
				return
			}
			actors.EnvOf(ctx).After(lease/4, ctx.Self(), &workerTry{})
		})
	case *wrapperspb.Int64Value:
		ctx.Send(w.ledger, m)
		ctx.Send(w.locks, m)
		ctx.Send(ctx.Self(), &workerTry{})
	}
}

// A lock service with fencing tokens, of plain app actors on top of the replicated counter: the service on node 1, what it protects on node
// 2, a worker on every node. Nodes stand still for longer than a lease, and crash; no write of a late holder may be taken.
func ExampleRun_lockService() {
	_ = func(t *testing.T) { testkit.Run(t, lockScenario()) }
}

func lockScenario() testkit.Scenario {
	var protected *ledger
	return testkit.Scenario{
		Nodes: 3, For: 20 * time.Second,
		Chaos: testkit.Plan{Crash: 8 * time.Second, Pause: 2 * time.Second, Cut: 6 * time.Second},
		OnReady: func(w *testkit.World, n *testkit.Node) {
			spawnCounter(w, n)
			spawn := func(name string, a func() actor.Actor) {
				_, err := n.Spawn(actor.PropsFromProducer(a), name)
				w.Require("the app starts", err == nil, "%s on node %d: %v", name, n.ID(), err)
			}
			switch n.ID() {
			case 1:
				spawn("locks", func() actor.Actor { return &locks{counter: n.PID(actors.RaftName(counterGroup))} })
			case 2:
				spawn("ledger", func() actor.Actor { return protected }) // it outlives its node, as a disk would
			}
			spawn("worker", func() actor.Actor { return &worker{locks: w.Node(1).PID("locks"), ledger: w.Node(2).PID("ledger")} })
		},
		Setup: func(w *testkit.World) {
			protected = &ledger{}
			w.Invariant("writes are fenced", func(testkit.View) error {
				w.Sometimes("a late holder was refused", protected.refused > 0)
				return protected.ordered()
			})
			w.Eventually("the lock goes around again", 20*time.Second, func() func(testkit.View) error {
				had := -1
				return func(testkit.View) error {
					if had < 0 {
						had = len(protected.tokens)
					}
					if len(protected.tokens) < had+10 {
						return errors.New("less than ten writes more")
					}
					return nil
				}
			}())
		},
	}
}
