package live_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/live"
)

func TestTimersDeliverUserAndSystemMessages(t *testing.T) {
	sys := live.NewSystem()
	got := make(chan string, 2)
	pid := sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case string:
			got <- m
		case *actor.Stopped:
			got <- "stopped"
		}
	}))
	sys.Env().After(time.Millisecond, pid, "tick")
	if m := <-got; m != "tick" {
		t.Fatal(m)
	}
	if !sys.Env().After(time.Hour, pid, "never").Stop() {
		t.Fatal("a timer an hour ahead could not be stopped")
	}
	sys.Env().After(0, pid, &actor.Stop{})
	if m := <-got; m != "stopped" {
		t.Fatal(m)
	}
}

func TestAsk(t *testing.T) {
	sys := live.NewSystem()
	echo := sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if m, ok := c.Message().(string); ok && m != "silence" {
			c.Respond(m)
			c.Respond("second")
		}
	}))
	res, err := live.Ask(context.Background(), sys.ActorSystem, echo, "hello")
	if res != "hello" || err != nil {
		t.Fatal(res, err)
	}
	_, err = live.Ask(context.Background(), sys.ActorSystem, sys.NewLocalPID("nobody"), "hello")
	if !errors.Is(err, actors.ErrDeadLetter) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err = live.Ask(ctx, sys.ActorSystem, echo, "silence"); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestClockAndRandomness(t *testing.T) {
	env := live.NewSystem().Env()
	a := env.Boot()
	if b := env.Boot(); b < a || a <= 0 {
		t.Fatalf("boot clock went from %v to %v", a, b)
	}
	if env.NewID() == env.NewID() {
		t.Fatal("two equal ids")
	}
	if env.Rand("x").Uint64() == env.Rand("x").Uint64() {
		t.Fatal("two generators draw the same")
	}
}

func TestInstallKeepsTheFirstEnvironment(t *testing.T) {
	as := actor.NewActorSystem()
	if live.Install(as) != live.Install(as) {
		t.Fatal("a second Install replaced the first")
	}
}

func Example() {
	system := live.NewSystem()
	upper := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if n, ok := c.Message().(int); ok {
			c.Respond(n * 2)
		}
	}))
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	res, err := live.Ask(ctx, system.ActorSystem, upper, 21)
	fmt.Println(res, err)
	// Output: 42 <nil>
}
