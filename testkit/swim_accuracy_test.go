package testkit_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/swimactor/swim"
)

// A hundred members with 10 % of all datagrams lost, and one in ten standing still again and again for up to 3 s, for ten minutes:
// nobody is declared dead, not even one of those. With fewer seeds asked for than one, half a minute.
func TestAccuracy(t *testing.T) {
	first, count := swimSeeds(t, 0)
	length := 10 * time.Minute
	if count == 0 {
		count, length = 1, 30*time.Second
	}
	var suspicions, pauses int
	var packets int
	for seed := first; seed < first+uint64(count); seed++ {
		w := newSwimWorld(t, seed)
		w.startAll(100)
		w.run(10 * time.Second)
		w.noDeath()
		w.loss = 0.10
		r := rand.New(rand.NewPCG(seed, 0))
		for _, m := range w.members {
			if m.record.ID%10 == 0 {
				pauses += stutter(w, m, r, length)
			}
		}
		before := w.packets
		w.run(length)
		packets += w.packets - before
		w.loss = 0
		w.await(time.Minute, "all members see each other alive", w.apart)
		for _, m := range w.members {
			suspicions += m.seen[swim.Suspected]
		}
	}
	t.Logf("%d seeds × %v × 100 members: 0 false positives, %d suspicions on the observers, %d pauses, %.2f messages per member and second",
		count, length, suspicions, pauses, float64(packets)/length.Seconds()/100/float64(count))
}

// stutter plans pauses of up to 3 s with up to 6 s between them, and says how many.
func stutter(w *swimWorld, m *swimMember, r *rand.Rand, length time.Duration) (pauses int) {
	for at := time.Duration(0); ; pauses++ {
		at += time.Duration(r.Int64N(int64(6 * time.Second)))
		spell := time.Duration(r.Int64N(int64(3 * time.Second)))
		if at+spell > length {
			return pauses
		}
		w.after(at, m.pause)
		w.after(at+spell, m.resume)
		at += spell
	}
}
