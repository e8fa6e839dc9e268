package raftsuite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hupe1980/rivven-cluster/testkit/versus/runner"
)

// failover stops the leader and waits for the next committed write, several times over.
func failover(ctx context.Context, c cluster, d time.Duration) (runner.Sample, error) {
	var times []time.Duration
	for end := time.Now().Add(2 * d); len(times) < 3 || time.Now().Before(end); {
		leaders, err := ready(ctx, c, 1)
		if err != nil {
			return runner.Sample{}, err
		}
		old := leaders[0]
		began := time.Now()
		stopped := make(chan error, 1)
		go func() { stopped <- c.stop(old) }() // what it cleans up after itself is not waited for
		when, err := first(ctx, c, survivors(old))
		if err := errors.Join(err, <-stopped); err != nil {
			return runner.Sample{}, err
		}
		times = append(times, when.Sub(began))
		if err := c.start(ctx, old); err != nil {
			return runner.Sample{}, err
		}
		if err := level(ctx, c); err != nil {
			return runner.Sample{}, err
		}
	}
	p50, p99 := runner.Quantile(times, 0.5), runner.Quantile(times, 0.99)
	return runner.Sample{Value: ms(p50), P50: p50, P99: p99}, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// level waits until all replicas have applied the same.
func level(ctx context.Context, c cluster) error {
	return await(ctx, "equal replicas", func() bool {
		a, b, d := c.applied(0), c.applied(1), c.applied(2)
		return a == b && b == d && c.leader(0) >= 0
	})
}

// transfer hands leadership over while 16 clients write at all replicas; its time is from the request to the next committed
// write that began behind it. No write that was acknowledged may be missing: the machines count them.
func transfer(ctx context.Context, c cluster, d time.Duration) (runner.Sample, error) {
	if _, err := ready(ctx, c, 1); err != nil {
		return runner.Sample{}, err
	}
	var times []time.Duration
	w := startWriters(ctx, c, 16)
	for end := time.Now().Add(d); len(times) < 3 || time.Now().Before(end); {
		from := c.leader(0)
		if from < 0 {
			time.Sleep(time.Millisecond)
			continue
		}
		began := time.Now()
		if err := c.transfer(ctx, from, (from+1)%3); err != nil {
			if errors.Is(err, errBusy) {
				time.Sleep(time.Millisecond)
				continue
			}
			w.stop()
			return runner.Sample{}, fmt.Errorf("transfer: %w", err)
		}
		when, err := first(ctx, c, []int{0, 1, 2})
		if err != nil {
			w.stop()
			return runner.Sample{}, err
		}
		times = append(times, when.Sub(began))
	}
	acknowledged := w.stop()
	if err := level(ctx, c); err != nil {
		return runner.Sample{}, err
	}
	if k, ok := c.(keeper); ok {
		for at := range 3 {
			if kept := k.kept(at, acknowledged); kept < len(acknowledged) {
				return runner.Sample{}, fmt.Errorf("replica %d holds %d of %d acknowledged writes", at, kept, len(acknowledged))
			}
		}
	}
	p50, p99 := runner.Quantile(times, 0.5), runner.Quantile(times, 0.99)
	return runner.Sample{Value: ms(p50), P50: p50, P99: p99}, nil
}

// errBusy says that a transfer can't begin now: there is no leader, or one is under way.
var errBusy = errors.New("can't hand over now")

// keeper says how many of these writes a replica's machine has.
type keeper interface {
	kept(at int, ids []uint64) int
}

// writers write numbered values until they are stopped.
type writers struct {
	wait  sync.WaitGroup
	done  atomic.Bool
	mu    sync.Mutex
	acked []uint64
}

func startWriters(ctx context.Context, c cluster, count int) *writers {
	w := &writers{}
	for i := range count {
		w.wait.Go(func() {
			var mine []uint64
			for n := uint64(1); !w.done.Load() && ctx.Err() == nil; n++ {
				v := value(valueBytes)
				id := uint64(i+1)<<32 | n
				binary.BigEndian.PutUint64(v, id)
				at := c.leader(0)
				if at < 0 {
					time.Sleep(time.Millisecond)
					continue
				}
				one, end := context.WithTimeout(ctx, 5*time.Second)
				if c.propose(one, at, 0, v) == nil {
					mine = append(mine, id)
				}
				end()
			}
			w.mu.Lock()
			w.acked = append(w.acked, mine...)
			w.mu.Unlock()
		})
	}
	return w
}

func (w *writers) stop() []uint64 {
	w.done.Store(true)
	w.wait.Wait()
	return w.acked
}

// catchup stops a follower, writes 100 MB and measures from the follower's start until it has applied all of it.
func catchup(ctx context.Context, c cluster) (runner.Sample, error) {
	leaders, err := ready(ctx, c, 1)
	if err != nil {
		return runner.Sample{}, err
	}
	leader := leaders[0]
	away := (leader + 1) % 3
	if err := c.stop(away); err != nil {
		return runner.Sample{}, err
	}
	if err := fill(ctx, c, leader); err != nil {
		return runner.Sample{}, err
	}
	target := c.applied(leader)
	began := time.Now()
	if err := c.start(ctx, away); err != nil {
		return runner.Sample{}, err
	}
	if err := await(ctx, "the follower", func() bool { return c.applied(away) >= target }); err != nil {
		return runner.Sample{}, err
	}
	return runner.Sample{Value: time.Since(began).Seconds()}, nil
}

// fill writes 100 MB in values of 16 KiB.
func fill(ctx context.Context, c cluster, leader int) error {
	const bytes, size = 100_000_000, 16 << 10
	var left atomic.Int64
	left.Store(bytes / size)
	var failed atomic.Pointer[error]
	var wait sync.WaitGroup
	for range 64 {
		wait.Go(func() {
			for left.Add(-1) >= 0 && failed.Load() == nil {
				if err := c.propose(ctx, leader, 0, value(size)); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wait.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}
