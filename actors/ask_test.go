package actors_test

import (
	"errors"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

type outcome struct {
	res     any
	err     error
	message any
}

// asker asks target when it is told to, and reports what came back.
func asker(target *actor.PID, got chan outcome) *actor.Props {
	return actor.PropsFromFunc(func(c actor.Context) {
		if c.Message() == "ask" {
			actors.Ask(c, target, "question", time.Second, func(res any, err error) {
				got <- outcome{res, err, c.Message()}
			})
			got <- outcome{message: "asked"}
		}
	})
}

func TestAskRunsInTheActorsOwnTurnAndTakesTheFirstAnswer(t *testing.T) {
	sys := newSystem(t)
	target := sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if c.Message() == "question" {
			c.Respond("first")
			c.Respond("second")
		}
	}))
	got := make(chan outcome, 4)
	sys.Root.Send(sys.Root.Spawn(asker(target, got)), "ask")
	<-got
	o := <-got
	if o.res != "first" || o.err != nil || o.message != "ask" {
		t.Fatalf("%+v", o)
	}
	if _, pending := envOf(sys).next(); pending {
		t.Fatal("the timer of an answered ask is still set")
	}
}

func TestAskEndsOnTheInjectedClock(t *testing.T) {
	sys := newSystem(t)
	silent := sys.Root.Spawn(actor.PropsFromFunc(func(actor.Context) {}))
	got := make(chan outcome, 4)
	sys.Root.Send(sys.Root.Spawn(asker(silent, got)), "ask")
	<-got
	envOf(sys).advance(time.Second - 1)
	select {
	case o := <-got:
		t.Fatalf("ended early: %+v", o)
	default:
	}
	envOf(sys).advance(1)
	if o := <-got; !errors.Is(o.err, actors.ErrTimeout) || o.res != nil {
		t.Fatalf("%+v", o)
	}
}

func TestAskOfNobodyIsADeadLetterAtOnce(t *testing.T) {
	sys := newSystem(t)
	got := make(chan outcome, 4)
	sys.Root.Send(sys.Root.Spawn(asker(sys.NewLocalPID("nobody"), got)), "ask")
	<-got
	if o := <-got; !errors.Is(o.err, actors.ErrDeadLetter) {
		t.Fatalf("%+v", o)
	}
}

// An answer that comes after the asker was restarted belongs to nobody.
func TestAnswerToARestartedActorIsDropped(t *testing.T) {
	sys := newSystem(t)
	answers := make(chan *actor.PID, 1)
	target := sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if c.Message() == "question" {
			answers <- c.Sender()
		}
	}))
	events := make(chan string, 8)
	producer := func() actor.Actor {
		return &restarting{target: target, events: events}
	}
	pid, err := sys.Root.SpawnNamed(actor.PropsFromProducer(producer), "asker")
	if err != nil {
		t.Fatal(err)
	}
	sys.Root.Send(pid, "ask")
	replyTo := <-answers
	process, _ := sys.ProcessRegistry.GetLocal("asker")
	process.SendSystemMessage(pid, &actor.Restart{})
	sys.Root.Send(pid, "ping")
	if e := <-events; e != "pong" {
		t.Fatal(e)
	}
	sys.Root.Send(replyTo, "late")
	sys.Root.Send(pid, "ping")
	if e := <-events; e != "pong" {
		t.Fatalf("the new actor ran the old one's continuation: %s", e)
	}
}

type restarting struct {
	target *actor.PID
	events chan string
}

func (r *restarting) Receive(c actor.Context) {
	switch c.Message() {
	case "ask":
		actors.Ask(c, r.target, "question", time.Second, func(any, error) { r.events <- "continued" })
	case "ping":
		r.events <- "pong"
	}
}
