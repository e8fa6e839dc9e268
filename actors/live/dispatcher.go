package live

import (
	"sync"
	"time"
)

const throughput = 300 // messages before an actor lets others run; protoactor's own

// workers runs a system's actors on goroutines that are kept, the last one used first: its stack is warm. One of its own for each burst
// of messages, as protoactor has it, begins with a small stack and copies it until what the actor calls fits, which took a
// seventh of a busy node's processor time. Safe for concurrent use.
type workers struct {
	keep time.Duration // one that nobody needed for so long goes

	mu      sync.Mutex
	idle    []*worker
	fewest  int // idle since the last sweep: nobody needed these
	sweeper *time.Timer
}

func newWorkers() *workers { return &workers{keep: 100 * time.Millisecond} }

type worker struct{ work chan func() }

func (*workers) Throughput() int { return throughput }

// Schedule runs fn on a goroutine, and never waits.
func (p *workers) Schedule(fn func()) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.fewest = min(p.fewest, n-1)
		p.mu.Unlock()
		w.work <- fn
		return
	}
	p.mu.Unlock()
	w := &worker{work: make(chan func(), 1)}
	w.work <- fn
	go p.run(w)
}

func (p *workers) run(w *worker) {
	for fn := range w.work {
		fn()
		p.park(w)
	}
}

func (p *workers) park(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, w)
	if p.sweeper == nil {
		p.fewest = 0
		p.sweeper = time.AfterFunc(p.keep, p.sweep)
	}
}

// sweep ends the workers that were idle all the time since the last one.
func (p *workers) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.idle[:p.fewest] {
		close(w.work)
	}
	kept := copy(p.idle, p.idle[p.fewest:])
	clear(p.idle[kept:])
	p.idle = p.idle[:kept]
	p.fewest = kept
	if kept == 0 {
		p.sweeper = nil
		return
	}
	p.sweeper = time.AfterFunc(p.keep, p.sweep)
}
