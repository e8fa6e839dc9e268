package live

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// await waits until so many workers have nothing to do.
func (p *workers) await(idle int) {
	for n := -1; n != idle; runtime.Gosched() {
		p.mu.Lock()
		n = len(p.idle)
		p.mu.Unlock()
	}
}

func TestWorkersNeverMakeOneWaitForAnother(t *testing.T) {
	p, stop := &workers{keep: time.Hour}, make(chan struct{})
	var running, done sync.WaitGroup
	for range 2 {
		for range 50 {
			running.Add(1)
			done.Add(1)
			p.Schedule(func() {
				running.Done()
				<-stop
				done.Done()
			})
		}
		running.Wait() // all at once, though none has ended
	}
	close(stop)
	done.Wait()
}

func TestWorkersAreKeptWhileTheyAreNeeded(t *testing.T) {
	p := &workers{keep: time.Hour}
	var both, done sync.WaitGroup
	both.Add(2)
	done.Add(2)
	for range 2 {
		p.Schedule(func() {
			both.Done()
			both.Wait()
			done.Done()
		})
	}
	done.Wait()
	p.await(2)
	p.sweep() // all were busy since the last one
	p.await(2)
	ran := make(chan struct{})
	p.Schedule(func() { close(ran) })
	<-ran
	p.await(2)
	p.sweep() // one was needed, the other was not
	p.await(1)
	p.sweep()
	p.await(0)
	if p.sweeper != nil {
		t.Fatal("nothing is left to sweep, but the sweeper goes on")
	}
	again := make(chan struct{})
	p.Schedule(func() { close(again) })
	<-again
}
