package testkit

import (
	"container/heap"
	"time"
)

// event is something that happens at a virtual time: a timer, a frame that arrives, a disk that is done, a fault. Events of one
// instant happen in the order in which they were made.
type event struct {
	at   time.Duration
	seq  uint64
	do   func()
	gone bool
}

// Stop takes an event back that has not happened; it makes *event a timer.
func (e *event) Stop() bool {
	was := e.gone
	e.gone, e.do = true, nil
	return !was
}

type events []*event

func (h events) Len() int { return len(h) }
func (h events) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h events) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *events) Push(x any)   { *h = append(*h, x.(*event)) }
func (h *events) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}

// after makes something happen d from now; at once means in this instant, behind what is due already.
func (w *World) after(d time.Duration, do func()) *event {
	w.seq++
	e := &event{at: w.now + max(d, 0), seq: w.seq, do: do}
	heap.Push(&w.events, e)
	return e
}

// next moves the clock to the next event and lets it happen. It reports false when nothing is left.
func (w *World) next() bool {
	for len(w.events) > 0 {
		e := w.events[0]
		if !e.gone && w.bubble != nil && e.at > w.now && !w.bubble.sleepTo(e.at) {
			return true // a goroutine was first
		}
		heap.Pop(&w.events)
		if e.gone {
			continue
		}
		w.now = e.at
		do := e.do
		e.gone, e.do = true, nil
		do()
		return true
	}
	return false
}
