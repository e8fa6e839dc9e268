package testkit

import (
	"bytes"
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Bubble mode is for app actors that start goroutines, wait for a RequestFuture with a time-out, or set a receive time-out. The world runs
// in a bubble of testing/synctest: the wall clock is the bubble's, and moves with the world's. What such goroutines send is collected and
// handed over, in an order of its own making, when all of them have come to rest; synctest alone would shuffle it.

// bubble is the door between the world's goroutine and all others.
type bubble struct {
	world *World
	began time.Time
	own   uint64 // the world's goroutine
	poke  chan struct{}

	mu      sync.Mutex
	waiting []delivery
}

// delivery is something that another goroutine did to the world.
type delivery struct {
	to  string
	key string
	do  func()
}

func inBubble(t testing.TB, w *World, run func()) {
	test, ok := t.(*testing.T)
	if !ok {
		t.Fatal("testkit: bubble mode needs a *testing.T")
	}
	synctest.Test(test, func(*testing.T) {
		w.bubble = &bubble{world: w, began: time.Now(), own: goroutine(), poke: make(chan struct{}, 1)}
		run()
	})
}

// goroutine is the number of the one that calls; the runtime tells it only in print.
func goroutine() uint64 {
	var buf [64]byte
	line := buf[:runtime.Stack(buf[:], false)]
	line = bytes.TrimPrefix(line, []byte("goroutine "))
	if i := bytes.IndexByte(line, ' '); i > 0 {
		line = line[:i]
	}
	n, err := strconv.ParseUint(string(line), 10, 64)
	if err != nil {
		panic("testkit: no goroutine number in " + string(line))
	}
	return n
}

// takes keeps what another goroutine does for the next rest, and reports whether it did.
func (b *bubble) takes(to, key string, do func()) bool {
	if b == nil || goroutine() == b.own {
		return false
	}
	b.mu.Lock()
	b.waiting = append(b.waiting, delivery{to, key, do})
	b.mu.Unlock()
	select {
	case b.poke <- struct{}{}:
	default:
	}
	return true
}

// rest waits until every other goroutine waits, and hands over what they did: by target, and for one target by content, so that the
// order in which the runtime ran them does not matter.
func (b *bubble) rest() {
	synctest.Wait()
	b.mu.Lock()
	came := b.waiting
	b.waiting = nil
	b.mu.Unlock()
	slices.SortStableFunc(came, func(x, y delivery) int {
		return cmp.Or(cmp.Compare(x.to, y.to), cmp.Compare(x.key, y.key))
	})
	for _, d := range came {
		d.do()
	}
}

// sleepTo lets the bubble's clock go on to a time of the world, or to where another goroutine did something; it reports whether it
// got there.
func (b *bubble) sleepTo(at time.Duration) bool {
	timer := time.NewTimer(at - time.Since(b.began))
	defer timer.Stop()
	select {
	case <-timer.C:
		b.world.now = at
		return true
	case <-b.poke:
		b.world.now = max(b.world.now, time.Since(b.began))
		return false
	}
}

// contentKey orders messages to one actor that came in one instant.
func contentKey(message any) string {
	_, content, sender := actor.UnwrapEnvelope(message)
	return fmt.Sprintf("%T %+v %v", content, content, sender)
}
