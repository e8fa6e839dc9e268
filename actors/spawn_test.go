package actors_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// raceInSpawn spawns actors whose mailbox, while protoactor sets it up, is met by a message for the well-known name, and
// returns how many senders panicked and how many of the messages arrived.
func raceInSpawn(t *testing.T, sys *actor.ActorSystem, opts ...actor.PropsOption) (panics, arrived int64) {
	t.Helper()
	const rounds = 100
	var got, panicked atomic.Int64
	for range rounds {
		var wg sync.WaitGroup
		started := make(chan struct{})
		props := actor.PropsFromFunc(func(c actor.Context) {
			switch c.Message().(type) {
			case *actor.Started:
				close(started)
			case string:
				got.Add(1)
			}
		}, opts...)
		// OnInit runs when the actor is published and its mailbox has no handlers yet: exactly the window.
		props.Configure(actor.WithOnInit(func(c actor.Context) {
			pid := actor.NewPID(c.Self().Address, c.Self().Id)
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer func() {
					if recover() != nil {
						panicked.Add(1)
					}
				}()
				sys.Root.Send(pid, "hello")
			}()
			wg.Wait()
		}))
		pid, err := sys.Root.SpawnNamed(props, "well-known")
		if err != nil {
			t.Fatal(err)
		}
		if panicked.Load() > 0 {
			return panicked.Load(), got.Load() // this actor is wedged for ever
		}
		<-started
		if err := sys.Root.PoisonFuture(pid).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	return panicked.Load(), got.Load()
}

func TestSpawnRaceExistsOnAPlainSystem(t *testing.T) {
	panics, _ := raceInSpawn(t, actor.NewActorSystem())
	if panics == 0 {
		t.Fatal("protoactor no longer panics in the sender during a spawn: the gate may go")
	}
}

func TestNoSpawnRaceOnOurSystem(t *testing.T) {
	panics, arrived := raceInSpawn(t, newSystem(t).ActorSystem)
	if panics != 0 || arrived != 100 {
		t.Fatalf("%d senders panicked, %d of 100 messages arrived", panics, arrived)
	}
}

func TestNoSpawnRaceWithGatedPropsOnAPlainSystem(t *testing.T) {
	panics, arrived := raceInSpawn(t, actor.NewActorSystem(), actors.Gated())
	if panics != 0 || arrived != 100 {
		t.Fatalf("%d senders panicked, %d of 100 messages arrived", panics, arrived)
	}
}

func TestMessagesHeldAtTheGateComeInOrderBehindStarted(t *testing.T) {
	sys := newSystem(t)
	got := make(chan any, 8)
	props := actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started, int, *actor.Terminated:
			got <- m
		}
	}, actor.WithOnInit(func(c actor.Context) {
		self := actor.NewPID(c.Self().Address, c.Self().Id)
		for i := range 3 {
			sys.Root.Send(self, i)
		}
	}))
	if _, err := sys.Root.SpawnNamed(props, "early"); err != nil {
		t.Fatal(err)
	}
	if _, ok := (<-got).(*actor.Started); !ok {
		t.Fatal("a message overtook Started")
	}
	for want := range 3 {
		if have := <-got; have != want {
			t.Fatalf("got %v, want %d", have, want)
		}
	}
}

func TestNamedKeepsItsIDUnderAnyParent(t *testing.T) {
	sys := newSystem(t)
	spawned := make(chan *actor.PID, 2)
	child := actor.PropsFromFunc(func(actor.Context) {}, actors.Named("raft/meta"))
	parent := actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*actor.Started); ok {
			pid, err := c.SpawnNamed(child, "anything")
			if err != nil {
				t.Error(err)
			}
			spawned <- pid
			_, err = c.SpawnNamed(child, "again")
			if err != actor.ErrNameExists { //nolint:errorlint // protoactor returns it bare
				t.Errorf("second spawn: %v, want ErrNameExists", err)
			}
			spawned <- nil
		}
	})
	pid := sys.Root.Spawn(parent)
	if got := <-spawned; got.Id != "raft/meta" {
		t.Fatalf("id %q", got.Id)
	}
	<-spawned
	if err := sys.Root.StopFuture(pid).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, still := sys.ProcessRegistry.GetLocal("raft/meta"); still {
		t.Fatal("the child outlived its parent")
	}
}

// Descendants of any depth find the environment's mailbox, also where their Props name another one.
func TestEveryDescendantInheritsTheMailbox(t *testing.T) {
	var made atomic.Int64
	sys := newSystem(t, actors.WithMailbox(func() actor.Mailbox {
		made.Add(1)
		return actor.Unbounded()()
	}))
	done := make(chan struct{})
	leaf := actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*actor.Started); ok {
			close(done)
		}
	}, actor.WithMailbox(actor.Bounded(1)))
	middle := actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*actor.Started); ok {
			c.Spawn(leaf)
		}
	})
	sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*actor.Started); ok {
			c.Spawn(middle)
		}
	}))
	<-done
	if made.Load() != 3 {
		t.Fatalf("%d mailboxes came from the environment, want 3", made.Load())
	}
}

// A mailbox of the app's own stays, behind the gate.
func TestOwnMailboxIsKept(t *testing.T) {
	sys := newSystem(t)
	var made atomic.Int64
	props := actor.PropsFromFunc(func(actor.Context) {}, actor.WithMailbox(func() actor.Mailbox {
		made.Add(1)
		return actor.Unbounded()()
	}))
	sys.Root.Spawn(props)
	if made.Load() != 1 {
		t.Fatal("the app's own mailbox was replaced")
	}
}

// counted is a dispatcher that counts the times it was asked.
type counted struct{ times atomic.Int64 }

func (d *counted) Throughput() int    { return 1 }
func (d *counted) Schedule(fn func()) { d.times.Add(1); go fn() }

// The default dispatcher is for those whose Props name none, whatever their parent's do; the system's own is for all.
func TestDefaultDispatcherLeavesOwnOnesAlone(t *testing.T) {
	for _, overrides := range []bool{false, true} {
		fallback, own, all := &counted{}, &counted{}, &counted{}
		opts := []actors.Option{actors.WithDefaultDispatcher(fallback)}
		if overrides {
			opts = append(opts, actors.WithDispatcher(all))
		}
		sys := newSystem(t, opts...)
		done := make(chan struct{})
		child := actor.PropsFromFunc(func(c actor.Context) {
			if _, ok := c.Message().(*actor.Started); ok {
				close(done)
			}
		})
		sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			if _, ok := c.Message().(*actor.Started); ok {
				c.Spawn(child)
			}
		}, actor.WithDispatcher(own)))
		<-done
		switch f, o, a := fallback.times.Load() > 0, own.times.Load() > 0, all.times.Load() > 0; {
		case !overrides && (!f || !o || a), overrides && (f || o || !a):
			t.Fatalf("overriding %v: fallback used %v, own %v, the system's %v", overrides, f, o, a)
		}
	}
}

// A message that comes while an actor waits for its children spawns nothing more: whoever asked is answered by a dead letter, and
// the actor ends.
func TestStoppingActorTakesNoNewWork(t *testing.T) {
	sys := newSystem(t)
	release := make(chan struct{})
	child := actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*actor.Stopping); ok {
			<-release
		}
	})
	stopping := make(chan struct{})
	parent := sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			c.Spawn(child)
		case *actor.Stopping:
			close(stopping)
		case string:
			c.Spawn(actor.PropsFromFunc(func(actor.Context) {}))
			c.Respond(m)
		}
	}))
	end := sys.Root.StopFuture(parent)
	<-stopping
	late := sys.Root.RequestFuture(parent, "one more child", -1)
	if _, err := late.Result(); err != actor.ErrDeadLetter { //nolint:errorlint // protoactor returns it bare
		t.Fatalf("late message: %v", err)
	}
	close(release)
	if err := end.Wait(); err != nil {
		t.Fatalf("the actor never ends: %v", err)
	}
}
