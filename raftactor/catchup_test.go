package raftactor

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
)

// A leader sends all that a follower lacks in one turn. None of it may be larger than a frame: the remote would drop it,
// and the follower would get one append a heartbeat.
func TestFarBehindFollowerIsSentNothingLargerThanAFrame(t *testing.T) {
	const values, size, heartbeat = 80, 200 << 10, 50 * time.Millisecond
	w := cluster(t, 91, 3)
	lag := w.followers()[0]
	w.isolate(lag)
	for range values {
		w.leader().set("k", strings.Repeat("v", size))
	}
	steps, heard := 0, false
	w.filter = func(from, to int, m proto.Message) bool {
		if s, ok := m.(*Step); ok && to == lag.id && len(s.GetMessages()) > 0 && len(s.GetMessages()[0].GetEntries()) > 0 {
			steps++
		}
		return true
	}
	w.heal()
	w.until("the follower to be heard", 5*time.Second, func() bool { heard = heard || steps > 1; return heard })
	w.until("the follower to catch up", 4*heartbeat, func() bool { return lag.status().GetApplied() >= values })
	if w.oversized > 0 || steps < values*size>>20 {
		t.Fatalf("%d messages were larger than a frame, %d with entries were sent", w.oversized, steps)
	}
	w.agree(w.nodes...)
}
