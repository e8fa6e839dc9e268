package testkit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/testkit"
)

// TestForeignActorsInABubble: actors that sleep in goroutines, wait for futures with a time-out and set receive time-outs run on the
// world's clock, in an order that is the same in every run of a seed.
func TestForeignActorsInABubble(t *testing.T) {
	testkit.Run(t, testkit.Scenario{
		Nodes: 3, For: 5 * time.Second, Bubble: true,
		Setup: func(w *testkit.World) {
			silent, err := w.Node(2).Spawn(actor.PropsFromFunc(func(actor.Context) {}), "silent")
			if err != nil {
				t.Error(err)
			}
			asked := 0
			for i := range 10 {
				f := &foreign{world: w, silent: silent, asked: &asked}
				if _, err := w.Node(1).Spawn(actor.PropsFromProducer(func() actor.Actor { return f }), fmt.Sprint("foreign", i)); err != nil {
					t.Error(err)
				}
			}
			w.Eventually("every foreign actor saw its time-outs", time.Second, func(testkit.View) error {
				if asked != 10 {
					return fmt.Errorf("%d of 10", asked)
				}
				return nil
			})
		},
	})
}

// foreign does what actors written without this kit do.
type foreign struct {
	world  *testkit.World
	silent *actor.PID
	asked  *int
	idle   bool
	ticks  int
}

type tick struct{ N int }

func (f *foreign) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *actor.Started:
		c.SetReceiveTimeout(300 * time.Millisecond)
		self, root := c.Self(), c.ActorSystem().Root
		for n := range 3 {
			go func() {
				<-time.After(50 * time.Millisecond) // on the bubble's clock
				root.Send(self, &tick{n})
			}()
		}
	case *tick:
		f.ticks++
	case *actor.ReceiveTimeout:
		if f.idle {
			return
		}
		f.idle = true
		began := f.world.Now()
		c.ReenterAfter(c.RequestFuture(f.silent, &actor.Touch{}, 500*time.Millisecond), func(_ any, err error) {
			if waited := f.world.Now() - began; f.ticks == 3 && (err != nil) == (waited == 500*time.Millisecond) {
				*f.asked++
			}
		})
	case *actor.Stopped:
		_ = m
	}
}
