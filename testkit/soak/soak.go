package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// batch is a range of seeds for one process.
type batch struct {
	first  uint64
	seeds  int
	budget time.Duration // after it the process begins no seed; 0 means no end
}

func (b batch) args(o options) []string {
	args := []string{
		"-test.run=" + o.test, "-test.v", "-test.timeout=0",
		"-testkit.seed=" + strconv.FormatUint(b.first, 10), "-testkit.seeds=" + strconv.Itoa(b.seeds),
		"-testkit.twice=" + strconv.FormatBool(o.twice),
	}
	if b.budget > 0 {
		args = append(args, "-testkit.budget="+b.budget.String())
	}
	return args
}

// soak hands out batches until one fails or the time is over.
type soak struct {
	options options
	out     io.Writer
	every   time.Duration // between two lines of progress
	work    func(context.Context, batch) ([]byte, error)

	mu        sync.Mutex
	next      uint64
	ends      time.Time
	seeds     int
	simulated time.Duration
	failure   *failure
	broken    error
}

// failure is a process that failed.
type failure struct {
	batch  batch
	output []byte
	err    error
}

// hunt returns the first failure, nil where there was none.
func (s *soak) hunt(ctx context.Context) (*failure, error) {
	began := time.Now()
	s.next = s.options.seed
	if s.options.length > 0 {
		s.ends = began.Add(s.options.length)
	}
	_, _ = fmt.Fprintf(s.out, "soak: %s of %s, seeds from %d, %d processes\n", s.options.test, s.options.pkg, s.next, s.options.jobs)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var processes sync.WaitGroup
	for range s.options.jobs {
		processes.Go(func() { s.process(ctx, stop) })
	}
	done := make(chan struct{})
	go func() { processes.Wait(); close(done) }()
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.progress(time.Since(began))
		case <-done:
			s.progress(time.Since(began))
			return s.failure, s.broken
		}
	}
}

// process runs one batch after the other; the first that fails stops all.
func (s *soak) process(ctx context.Context, stop func()) {
	for {
		b, ok := s.take()
		if !ok || ctx.Err() != nil {
			return
		}
		output, err := s.work(ctx, b)
		if !s.took(ctx, b, output, err) {
			stop()
			return
		}
	}
}

func (s *soak) take() (batch, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := batch{first: s.next, seeds: s.options.batch}
	if !s.ends.IsZero() {
		if b.budget = time.Until(s.ends); b.budget <= 0 {
			return batch{}, false
		}
	}
	s.next += uint64(b.seeds) //nolint:gosec // at least 1
	return b, true
}

// what a test that calls testkit.Run says of a batch that passed
var ran = regexp.MustCompile(`seeds=(\d+) simulated=(\S+)`)

func (s *soak) took(ctx context.Context, b batch, output []byte, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch found := ran.FindSubmatch(output); {
	case ctx.Err() != nil: // ended from outside, or by another's failure
		return false
	case err != nil:
		s.failure = &failure{b, output, err}
		return false
	case found == nil:
		s.broken = fmt.Errorf("%s of %s ran no seeds: choose a test that calls testkit.Run\n%s", s.options.test, s.options.pkg, output)
		return false
	default:
		n, _ := strconv.Atoi(string(found[1]))
		simulated, _ := time.ParseDuration(string(found[2]))
		s.seeds += n
		s.simulated += simulated
		return true
	}
}

func (s *soak) progress(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintf(s.out, "soak: %v: %d seeds passed, %v simulated, %.0f simulated s/s\n",
		took.Round(time.Second), s.seeds, s.simulated.Round(time.Second), s.simulated.Seconds()/took.Seconds())
}

var failed = regexp.MustCompile(`seed (\d+)`)

// report prints what the process said and how to see it again.
func (f *failure) report(w io.Writer, o options) {
	first, seeds := strconv.FormatUint(f.batch.first, 10), f.batch.seeds
	if found := failed.FindSubmatch(f.output); found != nil {
		first, seeds = string(found[1]), 1
	}
	twice := ""
	if o.twice {
		twice = " -testkit.twice"
	}
	_, _ = fmt.Fprintf(w, "%s\nsoak: failed (%v)\nreproduce: go test %s -run '%s' -v -testkit.seed=%s -testkit.seeds=%d%s\n",
		f.output, f.err, o.pkg, o.test, first, seeds, twice)
}
