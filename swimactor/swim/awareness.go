package swim

import "time"

// awareness is Lifeguard's local health score: 0 is well, and the more this
// node misses what well nodes hear, the more time it gives everybody else.
type awareness struct{ score, max int }

// add changes the score within its bounds.
func (a *awareness) add(delta int) { a.score = min(max(a.score+delta, 0), a.max) }

// scale stretches a timeout by the score.
func (a *awareness) scale(d time.Duration) time.Duration { return d * time.Duration(a.score+1) }
