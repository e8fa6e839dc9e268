package testkit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// TestOneMessageATurn: actors take turns of one message, in an order that the seed draws; each keeps its own order.
func TestOneMessageATurn(t *testing.T) {
	orders := map[string]bool{}
	for seed := range uint64(30) {
		w := bare(t, seed, Scenario{Nodes: 1})
		var got []string
		note := func(c actor.Context) {
			if m, ok := c.Message().(string); ok {
				got = append(got, m)
			}
		}
		a, b := w.Node(1).spawnFunc(t, "a", note), w.Node(1).spawnFunc(t, "b", note)
		w.drain()
		for i := range 3 {
			w.Node(1).System().Root.Send(a, fmt.Sprint("a", i))
			w.Node(1).System().Root.Send(b, fmt.Sprint("b", i))
		}
		for turn := 1; turn <= 6; turn++ {
			if w.step(); len(got) != turn {
				t.Fatalf("%d messages after %d turns", len(got), turn)
			}
		}
		for _, name := range []string{"a", "b"} {
			own := slices.DeleteFunc(slices.Clone(got), func(m string) bool { return !strings.HasPrefix(m, name) })
			if !slices.IsSorted(own) || len(own) != 3 {
				t.Fatalf("actor %s got %v", name, own)
			}
		}
		orders[strings.Join(got, " ")] = true
	}
	if len(orders) < 10 {
		t.Fatalf("30 seeds gave %d of 20 orders", len(orders))
	}
}

func TestSystemMessagesFirst(t *testing.T) {
	w := bare(t, 1, Scenario{Nodes: 1})
	var got []string
	pid := w.Node(1).spawnFunc(t, "a", func(c actor.Context) { got = append(got, fmt.Sprintf("%T", c.Message())) })
	w.drain()
	w.Node(1).System().Root.Send(pid, "one")
	w.Node(1).System().Root.Send(pid, "two")
	w.Node(1).System().Root.Stop(pid)
	w.drain()
	if want := []string{"*actor.Started", "*actor.Stopping", "*actor.Stopped"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestSuspendedActorHandlesSystemMessagesAlone(t *testing.T) {
	w := bare(t, 1, Scenario{Nodes: 1})
	var got []string
	pid := w.Node(1).spawnFunc(t, "a", func(c actor.Context) {
		if m, ok := c.Message().(string); ok {
			got = append(got, m)
		}
	})
	w.drain()
	process, _ := w.Node(1).System().ProcessRegistry.GetLocal("a")
	process.SendSystemMessage(pid, &actor.SuspendMailbox{})
	process.SendUserMessage(pid, "one")
	w.drain()
	if len(got) > 0 {
		t.Fatalf("a suspended actor got %v", got)
	}
	process.SendUserMessage(pid, "two")
	process.SendSystemMessage(pid, &actor.ResumeMailbox{})
	w.drain()
	if !slices.Equal(got, []string{"one", "two"}) {
		t.Fatalf("after it was resumed: %v", got)
	}
}

// TestPanicGoesToTheSupervisor: the actor is restarted, the message that failed it is gone, the next ones come.
func TestPanicGoesToTheSupervisor(t *testing.T) {
	w := bare(t, 1, Scenario{Nodes: 1, AllowPanics: true})
	var got []string
	child := actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case string:
			if m == "bad" {
				panic(errors.New("planted"))
			}
			got = append(got, m)
		case *actor.Started, *actor.Restarting:
			got = append(got, fmt.Sprintf("%T", m))
		}
	})
	w.Node(1).spawnFunc(t, "parent", func(c actor.Context) {
		if _, ok := c.Message().(*actor.Started); ok {
			pid, err := c.SpawnNamed(child, "child")
			if err != nil {
				t.Error(err)
			}
			for _, m := range []string{"one", "bad", "two"} {
				c.Send(pid, m)
			}
		}
	}, actor.WithSupervisor(actors.Supervise(actors.Supervision{})))
	w.RunFor(10 * time.Second)
	if want := []string{"*actor.Started", "one", "*actor.Restarting", "*actor.Started", "two"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if w.failure != nil || w.faults["panic"] != 1 {
		t.Fatalf("failure %v, counted %v", w.failure, w.faults)
	}
}

func TestPanicFailsTheSeedUnlessItIsMeant(t *testing.T) {
	for _, c := range []struct {
		reason any
		allow  bool
		fails  bool
	}{{errors.New("planted"), false, true}, {"planted", false, true}, {errors.New("planted"), true, false}, {actors.Fatal(errors.New("disk gone")), false, false}} {
		w := bare(t, 1, Scenario{Nodes: 1, AllowPanics: c.allow})
		pid := w.Node(1).spawnFunc(t, "a", func(ctx actor.Context) {
			if _, ok := ctx.Message().(string); ok {
				panic(c.reason)
			}
		})
		w.Node(1).System().Root.Send(pid, "go")
		w.RunFor(time.Second)
		if (w.failure != nil) != c.fails {
			t.Errorf("panic with %v, allowed %v: failure %v", c.reason, c.allow, w.failure)
		}
		if c.fails && (w.failure.Invariant != "no actor panics" || !strings.Contains(w.failure.Message, "planted")) {
			t.Errorf("the failure says %v", w.failure)
		}
	}
}

// TestLivelockIsFound: actors that are busy with themselves in one instant would hold the clock for ever.
func TestLivelockIsFound(t *testing.T) {
	w := bare(t, 1, Scenario{Nodes: 1})
	w.Node(1).spawnFunc(t, "spinner", func(c actor.Context) { c.Send(c.Self(), "again") })
	w.RunFor(time.Second)
	if w.failure == nil || !strings.Contains(w.failure.Message, "spinner") {
		t.Fatalf("failure %v", w.failure)
	}
}

func TestDescendantsAreScheduled(t *testing.T) {
	w := bare(t, 1, Scenario{Nodes: 1})
	deep := 0
	var props *actor.Props
	props = actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*actor.Started); ok && deep < 3 {
			deep++
			c.Spawn(props)
		}
	})
	if _, err := w.Node(1).Spawn(props, "a"); err != nil {
		t.Fatal(err)
	}
	for before := 0; len(w.ready) > 0; before = deep {
		if w.step(); deep > before+1 {
			t.Fatal("a child ran within its parent's turn")
		}
	}
	if deep != 3 {
		t.Fatalf("%d generations", deep)
	}
}
