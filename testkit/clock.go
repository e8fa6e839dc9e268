package testkit

import "time"

// event is something that happens at a virtual time: a timer, a frame that arrives, a disk that is done, a fault. Events of one
// instant happen in the order in which they were made.
type event struct {
	at   time.Duration
	seq  uint64
	what happening
	gone bool
	ours bool // nobody else has it: it is used again
}

// happening is what an event does. A type of its own costs less than a closure.
type happening interface{ happen() }

type call func()

func (f call) happen() { f() }

// Stop takes an event back that has not happened; it makes *event a timer.
func (e *event) Stop() bool {
	was := e.gone
	e.gone, e.what = true, nil
	return !was
}

// events are what is to come: what is due in this instant in the order in which it was made, and the rest in a heap.
type events struct {
	soon  []*event
	head  int
	later []*event // every event comes before its four children
	spare []*event
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

func (q *events) make() *event {
	n := len(q.spare)
	if n == 0 {
		return &event{}
	}
	e := q.spare[n-1]
	q.spare = q.spare[:n-1]
	return e
}

func (q *events) push(e *event) {
	q.later = append(q.later, e)
	i := len(q.later) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !e.before(q.later[up]) {
			break
		}
		q.later[i] = q.later[up]
		i = up
	}
	q.later[i] = e
}

// first is the next event, nil for none.
func (q *events) first() *event {
	switch {
	case q.head == len(q.soon) && len(q.later) == 0:
		return nil
	case q.head == len(q.soon):
		return q.later[0]
	case len(q.later) == 0 || q.soon[q.head].before(q.later[0]):
		return q.soon[q.head]
	}
	return q.later[0]
}

// take removes the event that first returned.
func (q *events) take(e *event) {
	if q.head < len(q.soon) && q.soon[q.head] == e {
		q.soon[q.head] = nil
		if q.head++; q.head == len(q.soon) {
			q.soon, q.head = q.soon[:0], 0
		}
		return
	}
	n := len(q.later) - 1
	last := q.later[n]
	q.later[n] = nil
	if q.later = q.later[:n]; n > 0 {
		q.sink(last)
	}
}

// sink finds the place of an event from the top on.
func (q *events) sink(e *event) {
	h, i := q.later, 0
	for {
		least := 4*i + 1
		if least >= len(h) {
			break
		}
		for c := least + 1; c < min(4*i+5, len(h)); c++ {
			if h[c].before(h[least]) {
				least = c
			}
		}
		if e.before(h[least]) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = e
}

// after makes something happen d from now; at once means in this instant, behind what is due already.
func (w *World) after(d time.Duration, do func()) *event {
	e := &event{}
	w.enter(e, d, call(do))
	return e
}

// post is after for what nobody takes back.
func (w *World) post(d time.Duration, what happening) {
	e := w.events.make()
	e.ours = true
	w.enter(e, d, what)
}

func (w *World) enter(e *event, d time.Duration, what happening) {
	w.seq++
	e.at, e.seq, e.what, e.gone = w.now+max(d, 0), w.seq, what, false
	if d <= 0 {
		w.events.soon = append(w.events.soon, e)
		return
	}
	w.events.push(e)
}

// next moves the clock to the next event and lets it happen. It reports false when nothing is left.
func (w *World) next() bool {
	for e := w.events.first(); e != nil; e = w.events.first() {
		if !e.gone && w.bubble != nil && e.at > w.now && !w.bubble.sleepTo(e.at) {
			return true // a goroutine was first
		}
		w.events.take(e)
		if e.gone {
			continue
		}
		w.now = e.at
		what := e.what
		e.gone, e.what = true, nil
		if e.ours {
			w.events.spare = append(w.events.spare, e)
		}
		what.happen()
		return true
	}
	return false
}
