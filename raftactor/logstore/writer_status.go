package logstore

import (
	"slices"
	"time"
)

const syncTimesMax = 1024

// syncTimes are the times of the last batches.
type syncTimes struct {
	times []time.Duration
	next  int
	count uint64
}

func (s *syncTimes) add(d time.Duration) {
	s.count++
	if len(s.times) < syncTimesMax {
		s.times = append(s.times, d)
		return
	}
	s.times[s.next] = d
	s.next = (s.next + 1) % syncTimesMax
}

func (w *writer) status() *StoreStatus {
	s := &StoreStatus{QueuedBytes: w.queued, Batches: w.syncs.count, Err: w.failed}
	if sized, ok := w.store.(Sized); ok {
		s.Size = sized.Size()
	}
	if w.inFlight != nil && len(w.inFlight.items) > 0 {
		s.InFlight = w.env.Boot() - w.inFlight.since
	}
	if n := len(w.syncs.times); n > 0 {
		sorted := slices.Sorted(slices.Values(w.syncs.times))
		s.Median, s.P99, s.Worst = sorted[n/2], sorted[n*99/100], sorted[n-1]
	}
	return s
}
