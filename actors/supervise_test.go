package actors_test

import (
	"errors"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// supervised spawns a parent with the strategy and a child that panics with what it is told.
func supervised(t *testing.T, sys *actors.System, cfg actors.Supervision) (child *actor.PID, events chan string) {
	t.Helper()
	events = make(chan string, 64)
	childProps := actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			events <- "started"
		case error:
			panic(m)
		case string:
			events <- m
		}
	})
	ready := make(chan *actor.PID, 1)
	sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*actor.Started); ok {
			ready <- c.Spawn(childProps)
		}
	}, actor.WithSupervisor(actors.Supervise(cfg))))
	child = <-ready
	if e := <-events; e != "started" {
		t.Fatal(e)
	}
	return child, events
}

// fail makes the child panic and waits until its restart is due.
func fail(sys *actors.System, child *actor.PID, reason error) time.Duration {
	sys.Root.Send(child, reason)
	for {
		if d, ok := envOf(sys).next(); ok {
			return d
		}
	}
}

func TestBackoffDoublesAndHoldsMessages(t *testing.T) {
	sys := newSystem(t)
	child, events := supervised(t, sys, actors.Supervision{BackoffMin: 100 * time.Millisecond, BackoffMax: 350 * time.Millisecond})
	for _, want := range []time.Duration{100, 200, 350, 350} {
		want *= time.Millisecond
		d := fail(sys, child, errors.New("boom"))
		if d < want || d > want+want/10 {
			t.Fatalf("back-off %v, want %v to a tenth more", d, want)
		}
		sys.Root.Send(child, "held")
		select {
		case e := <-events:
			t.Fatalf("%q while the child was to wait", e)
		default:
		}
		envOf(sys).advance(d)
		if e := <-events; e != "started" {
			t.Fatal(e)
		}
		if e := <-events; e != "held" {
			t.Fatal(e)
		}
	}
}

func TestGivesUpWhenTheWindowIsFull(t *testing.T) {
	sys := newSystem(t)
	gaveUp := make(chan any, 1)
	cfg := actors.Supervision{MaxRestarts: 2, Window: time.Minute, GiveUp: func(_ actor.Supervisor, _ *actor.PID, reason, _ any) { gaveUp <- reason }}
	child, events := supervised(t, sys, cfg)
	boom := errors.New("boom")
	for range 2 {
		envOf(sys).advance(fail(sys, child, boom))
		<-events
	}
	envOf(sys).advance(time.Minute)
	for range 2 { // the first two have left the window
		envOf(sys).advance(fail(sys, child, boom))
		<-events
	}
	sys.Root.Send(child, boom)
	if reason := <-gaveUp; reason != boom { //nolint:errorlint // the very value
		t.Fatal(reason)
	}
}

func TestFatalGivesUpAtOnce(t *testing.T) {
	sys := newSystem(t)
	gaveUp := make(chan any, 1)
	child, _ := supervised(t, sys, actors.Supervision{GiveUp: func(_ actor.Supervisor, _ *actor.PID, reason, _ any) { gaveUp <- reason }})
	disk := errors.New("sync failed")
	sys.Root.Send(child, actors.Fatal(disk))
	reason, _ := (<-gaveUp).(error)
	if !errors.Is(reason, disk) || !errors.Is(reason, actors.ErrFatal) {
		t.Fatal(reason)
	}
}
