package logstore

import (
	"testing"
	"time"
)

func TestSyncTimesAreThoseOfTheLastBatches(t *testing.T) {
	var s syncTimes
	for i := range 3 * syncTimesMax {
		s.add(time.Duration(i+1) * time.Millisecond)
	}
	w := &writer{syncs: s, store: NewMemory(Identity{})}
	got, first := w.status(), time.Duration(2*syncTimesMax+1)*time.Millisecond
	if got.Batches != 3*syncTimesMax || got.Worst != 3*syncTimesMax*time.Millisecond || got.Median < first || got.Median > got.P99 || got.P99 > got.Worst {
		t.Fatalf("%+v", got)
	}
}
