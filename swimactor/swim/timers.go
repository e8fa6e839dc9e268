package swim

import (
	"container/heap"
	"time"
)

// timer fires once. Those that lead to a verdict about somebody else are
// postponed when this node itself was stalled.
type timer struct {
	at      time.Duration
	seq     uint64 // order among equals
	index   int    // in the heap, −1 when not in it
	verdict bool
	fire    func(now time.Duration)
}

type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = -1
	return t
}

// timers is the agenda of a core.
type timers struct {
	heap timerHeap
	seq  uint64
}

// add schedules fire.
func (t *timers) add(at time.Duration, verdict bool, fire func(now time.Duration)) *timer {
	t.seq++
	entry := &timer{at: at, seq: t.seq, verdict: verdict, fire: fire}
	heap.Push(&t.heap, entry)
	return entry
}

// cancel takes an entry off the agenda; nil and fired ones are fine.
func (t *timers) cancel(entry *timer) {
	if entry != nil && entry.index >= 0 {
		heap.Remove(&t.heap, entry.index)
	}
}

// move gives an entry that is on the agenda another time.
func (t *timers) move(entry *timer, at time.Duration) {
	if entry.index >= 0 {
		entry.at = at
		heap.Fix(&t.heap, entry.index)
	}
}

// due is the time of the earliest entry, −1 if there is none.
func (t *timers) due() time.Duration {
	if len(t.heap) == 0 {
		return -1
	}
	return t.heap[0].at
}

// pop takes the earliest entry that is due.
func (t *timers) pop(now time.Duration) *timer {
	if len(t.heap) == 0 || t.heap[0].at > now {
		return nil
	}
	return heap.Pop(&t.heap).(*timer)
}

// postpone moves all verdicts by d.
func (t *timers) postpone(d time.Duration) {
	for _, entry := range t.heap {
		if entry.verdict {
			entry.at += d
		}
	}
	heap.Init(&t.heap)
}

// clear empties the agenda.
func (t *timers) clear() {
	for _, entry := range t.heap {
		entry.index = -1
	}
	t.heap = nil
}
