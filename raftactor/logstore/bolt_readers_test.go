package logstore

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
)

// TestBoltReadersSeeNothingGoMissing reads from disk while segments are rolled, carried on and dropped.
func TestBoltReadersSeeNothingGoMissing(t *testing.T) {
	opts := testOptions()
	opts.SegmentBytes, opts.TailBytes = 8<<10, 1<<10
	r := openRig(t, opts)
	r.write(GroupWrite{Group: "slow", Entries: sizedEntries(1, 1, 20, 50)}, GroupWrite{Group: "fast", Entries: sizedEntries(1, 1, 1, 10)})
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for i := range 3 {
		rng := rand.New(rand.NewPCG(1, uint64(i)))
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if entries, err := r.Entries("slow", 1, 21, 1<<62); err != nil || len(entries) != 20 {
					t.Errorf("slow: %d entries, %v", len(entries), err)
					return
				}
				s := r.State("fast")
				lo := s.FirstIndex + rng.Uint64N(s.LastIndex-s.FirstIndex+1)
				entries, err := r.Entries("fast", lo, s.LastIndex+1, 4000)
				if err != nil && !errors.Is(err, ErrCompacted) {
					t.Errorf("fast from %d of [%d, %d]: %v", lo, s.FirstIndex, s.LastIndex, err)
					return
				}
				if err == nil && (len(entries) == 0 || entries[0].GetIndex() != lo) {
					t.Errorf("fast from %d: %d entries", lo, len(entries))
					return
				}
			}
		})
	}
	for next := uint64(2); next < 2000; next += 5 {
		w := GroupWrite{Group: "fast", Entries: sizedEntries(next, 1, 5, 200), HardState: testHard(1, 1, next+4)}
		if next > 60 {
			w.Snapshot, w.Compact = &SnapshotRef{Group: "fast", Index: next - 2, Term: 1}, next-50
		}
		r.write(w)
	}
	close(stop)
	readers.Wait()
	if r.index.segments[0].id == 1 {
		t.Fatal("nothing was dropped")
	}
}
