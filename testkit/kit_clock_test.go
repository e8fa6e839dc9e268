package testkit

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// TestEventsOfOneInstantKeepTheirOrder: by time, then in the order in which they were made, and what is made within the instant
// comes behind what is due.
func TestEventsOfOneInstantKeepTheirOrder(t *testing.T) {
	w := newWorld(t, 1, Scenario{Nodes: 1}, nil)
	var got []string
	say := func(s string) func() { return func() { got = append(got, s) } }
	w.after(2*time.Millisecond, say("d"))
	w.after(time.Millisecond, func() { say("a")(); w.after(0, say("c")); w.after(-time.Second, say("c2")) })
	w.after(time.Millisecond, say("b"))
	w.after(2*time.Millisecond, say("e"))
	w.RunFor(time.Second)
	if want := []string{"a", "b", "c", "c2", "d", "e"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if w.Now() != time.Second {
		t.Fatalf("it is %v", w.Now())
	}
}

func TestStoppedEventsDoNotHappen(t *testing.T) {
	w := newWorld(t, 1, Scenario{Nodes: 1}, nil)
	happened := 0
	a := w.after(time.Millisecond, func() { happened++ })
	b := w.after(time.Millisecond, func() { happened++ })
	if !a.Stop() || a.Stop() {
		t.Fatal("Stop does not say whether it prevented the event")
	}
	w.RunFor(time.Second)
	if happened != 1 || b.Stop() {
		t.Fatalf("%d events happened, want the one that was not stopped; stopped afterwards: %v", happened, b.Stop())
	}
}

func TestRunUntilEndsWhenItHolds(t *testing.T) {
	w := newWorld(t, 1, Scenario{Nodes: 1}, nil)
	there := false
	w.At(300*time.Millisecond, func() { there = true })
	if !w.RunUntil(func() bool { return there }, time.Second) || w.Now() != 300*time.Millisecond {
		t.Fatalf("it ended at %v", w.Now())
	}
	if w.RunUntil(func() bool { return false }, time.Second) || w.Now() != 1300*time.Millisecond {
		t.Fatalf("it gave up at %v", w.Now())
	}
}

// clockRig has an actor that sets timers and notes what the node's clock shows when they come.
func clockRig(t *testing.T, w *World, came func(time.Duration)) *actor.PID {
	return w.Node(1).spawnFunc(t, "a", func(c actor.Context) {
		if d, ok := c.Message().(time.Duration); ok {
			came(d)
		}
	})
}

// TestTimersAreNeverEarlyOnTheirOwnClock, whatever its rate.
func TestTimersAreNeverEarlyOnTheirOwnClock(t *testing.T) {
	for _, ppm := range []int{-500_000, -10_000, -137, -1, 0, 1, 137, 10_000, 1_000_000} {
		w := bare(t, 1, Scenario{Nodes: 1})
		n := w.Node(1)
		w.RunFor(1234567 * time.Nanosecond)
		n.Skew(ppm)
		env := newEnv(n)
		var set time.Duration
		fired := 0
		pid := clockRig(t, w, func(d time.Duration) {
			fired++
			if took := env.Boot() - set; took < d || took > d+2*time.Microsecond {
				t.Errorf("skew %d ppm: a timer of %v came after %v of the node's time", ppm, d, took)
			}
		})
		for _, d := range []time.Duration{1, 999, 5 * time.Millisecond, 333333333, time.Second} {
			set = env.Boot()
			env.After(d, pid, d)
			w.RunFor(3 * time.Second)
		}
		if fired != 5 {
			t.Errorf("skew %d ppm: %d timers of 5 came", ppm, fired)
		}
	}
}

// TestTimersAreNotEarlyWhenTheirClockSlowsDown while they run.
func TestTimersAreNotEarlyWhenTheirClockSlowsDown(t *testing.T) {
	w := bare(t, 1, Scenario{Nodes: 1})
	n := w.Node(1)
	env := newEnv(n)
	var came []time.Duration
	pid := clockRig(t, w, func(time.Duration) { came = append(came, env.Boot()) })
	env.After(time.Second, pid, time.Second)
	stopped := env.After(time.Second, pid, time.Second)
	w.RunFor(500 * time.Millisecond)
	n.Skew(-500_000)
	w.RunFor(600 * time.Millisecond)
	if len(came) > 0 || !stopped.Stop() {
		t.Fatalf("timers of a second came at %v of the node's time", came)
	}
	if w.RunFor(5 * time.Second); len(came) != 1 || came[0] < time.Second || came[0] > time.Second+2 {
		t.Fatalf("came at %v of the node's time", came)
	}
}

func TestSkewGoesOnFromWhereTheClockStands(t *testing.T) {
	w := bare(t, 1, Scenario{Nodes: 1})
	n := w.Node(1)
	env := newEnv(n)
	last := env.Boot()
	for i, ppm := range []int{10_000, -10_000, 0, 200_000} {
		n.Skew(ppm)
		if now := env.Boot(); now != last {
			t.Fatalf("change %d moves the clock from %v to %v", i, last, now)
		}
		w.RunFor(time.Second)
		want := last + time.Second + time.Duration(ppm)*time.Microsecond
		if last = env.Boot(); last != want {
			t.Fatalf("after a second at %d ppm the clock shows %v, want %v", ppm, last, want)
		}
	}
}

func TestJumpMovesTheWallClockAlone(t *testing.T) {
	w := bare(t, 1, Scenario{Nodes: 1})
	n := w.Node(1)
	env := newEnv(n)
	came := time.Duration(0)
	pid := clockRig(t, w, func(time.Duration) { came = w.Now() })
	env.After(time.Second, pid, time.Second)
	wall, boot := env.Now(), env.Boot()
	n.JumpClock(-time.Hour)
	if got := env.Now().Sub(wall); got != -time.Hour || env.Boot() != boot {
		t.Fatalf("the wall clock moved by %v, the boot clock by %v", got, env.Boot()-boot)
	}
	if w.RunFor(2 * time.Second); came != time.Second {
		t.Fatalf("the timer came at %v", came)
	}
}

func TestTimersOfAnEarlierLifeNeverCome(t *testing.T) {
	w := bare(t, 1, Scenario{Nodes: 1})
	n := w.Node(1)
	env := newEnv(n)
	pid := clockRig(t, w, func(time.Duration) { t.Error("a timer of an earlier life came") })
	env.After(time.Second, pid, time.Second)
	n.Crash(LoseUnsynced)
	n.bareLife()
	clockRig(t, w, func(time.Duration) { t.Error("a timer of an earlier life came to its successor") })
	w.RunFor(time.Minute)
}

func TestTimersOfAPausedNodeComeLateAndInOrder(t *testing.T) {
	w := bare(t, 1, Scenario{Nodes: 1})
	n := w.Node(1)
	env := newEnv(n)
	var got []string
	pid := clockRig(t, w, func(d time.Duration) { got = append(got, fmt.Sprint(d, " at ", w.Now())) })
	w.drain()
	for _, d := range []time.Duration{3, 1, 2} {
		env.After(d*time.Millisecond, pid, d*time.Millisecond)
	}
	n.Pause(time.Second)
	w.RunFor(2 * time.Second)
	if want := []string{"1ms at 1s", "2ms at 1s", "3ms at 1s"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// TestStreamsOfRandomness: a generator belongs to its name; drawing from one moves no other.
func TestStreamsOfRandomness(t *testing.T) {
	a, b := newWorld(t, 1, Scenario{Nodes: 1}, nil), newWorld(t, 1, Scenario{Nodes: 1}, nil)
	a.Rand("x").Uint64()
	if a.Rand("y").Uint64() != b.Rand("y").Uint64() {
		t.Error("one stream moves another")
	}
	if a.Rand("x").Uint64() == a.Rand("y").Uint64() {
		t.Error("two streams are one")
	}
	if c := newWorld(t, 2, Scenario{Nodes: 1}, nil); a.Rand("x").Uint64() == c.Rand("x").Uint64() {
		t.Error("two seeds are one")
	}
	env := newEnv(a.Node(1))
	if env.Rand("x").Uint64() == env.Rand("x").Uint64() {
		t.Error("an environment gives one generator twice")
	}
	if env.NewID() == env.NewID() {
		t.Error("two ids are one")
	}
}
