package raftsuite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hupe1980/rivven-cluster/testkit/versus/runner"
)

const valueBytes = 128

// cluster is three replicas of one system in this process. Replicas are numbered from 0.
type cluster interface {
	// propose returns when the value is applied at replica at. Safe for concurrent use.
	propose(ctx context.Context, at, group int, value []byte) error
	// leader is the replica that leads a group, -1 where none is known to.
	leader(group int) int
	// stop ends a replica at once: nothing is handed over, the others are told nothing. start runs it again from its disk.
	stop(at int) error
	start(ctx context.Context, at int) error
	// transfer asks the leader to hand over to another replica, and returns when it says that it did.
	transfer(ctx context.Context, from, to int) error
	// applied is the last index that a replica has applied.
	applied(at int) uint64
	close()
}

func value(bytes int) []byte {
	v := make([]byte, bytes)
	for i := range v {
		v[i] = byte(i * 7)
	}
	return v
}

// await polls, for no system tells all of this.
func await(ctx context.Context, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
	return nil
}

// ready waits until each group has a leader that commits.
func ready(ctx context.Context, c cluster, groups int) ([]int, error) {
	leaders := make([]int, groups)
	for group := range groups {
		err := await(ctx, "a leader that commits", func() bool {
			at := c.leader(group)
			if at < 0 {
				return false
			}
			leaders[group] = at
			return c.propose(ctx, at, group, value(valueBytes)) == nil
		})
		if err != nil {
			return nil, err
		}
	}
	return leaders, nil
}

// propose keeps so many proposals going, at the leaders, and counts after a warm-up.
func propose(ctx context.Context, c cluster, proposers, groups int, d time.Duration) (runner.Sample, error) {
	leaders, err := ready(ctx, c, groups)
	if err != nil {
		return runner.Sample{}, err
	}
	payload := value(valueBytes)
	var counting, done atomic.Bool
	var failed atomic.Pointer[error]
	times := make([][]time.Duration, proposers)
	var wait sync.WaitGroup
	for i := range proposers {
		wait.Go(func() {
			group := i % groups
			for !done.Load() {
				began := time.Now()
				if err := c.propose(ctx, leaders[group], group, payload); err != nil {
					failed.Store(&err)
					return
				}
				if counting.Load() && !done.Load() {
					times[i] = append(times[i], time.Since(began))
				}
			}
		})
	}
	time.Sleep(max(d/4, 300*time.Millisecond)) // warm-up
	counting.Store(true)
	began := time.Now()
	time.Sleep(d)
	took := time.Since(began)
	done.Store(true)
	wait.Wait()
	if err := failed.Load(); err != nil {
		return runner.Sample{}, *err
	}
	all := slices.Concat(times...)
	return runner.Sample{Value: float64(len(all)) / took.Seconds(), P50: runner.Quantile(all, 0.5), P99: runner.Quantile(all, 0.99)}, nil
}

// survivors are all replicas but one.
func survivors(but int) []int {
	var out []int
	for at := range 3 {
		if at != but {
			out = append(out, at)
		}
	}
	return out
}

// patience is how long a client waits for an answer before it asks again.
const patience = 50 * time.Millisecond

// first proposes at these replicas until one of them has committed, and returns when that was. Where a client is refused it asks
// again after a millisecond.
func first(ctx context.Context, c cluster, at []int) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	committed := make(chan time.Time, len(at))
	var wait sync.WaitGroup
	for _, replica := range at {
		wait.Go(func() {
			for ctx.Err() == nil {
				one, end := context.WithTimeout(ctx, patience)
				err := c.propose(one, replica, 0, value(valueBytes))
				end()
				if err == nil {
					committed <- time.Now()
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	defer wait.Wait()
	defer cancel()
	select {
	case when := <-committed:
		return when, nil
	case <-ctx.Done():
		return time.Time{}, errors.New("no write was committed within 20s")
	}
}
