package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// batches is a worker that takes a minute for each batch and notes the seeds.
type batches struct {
	mu    sync.Mutex
	seeds []uint64
	bad   uint64
}

func (w *batches) work(ctx context.Context, b batch) ([]byte, error) {
	select {
	case <-time.After(time.Minute):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range uint64(b.seeds) {
		if w.seeds = append(w.seeds, b.first+i); b.first+i == w.bad {
			return fmt.Appendf(nil, "    cluster_test.go:14: seed %d: election safety: two leaders\n", w.bad), errors.New("exit status 1")
		}
	}
	return fmt.Appendf(nil, "    cluster_test.go:14: seeds=%d simulated=%v turns=1 speed=1 simulated s/s\n", b.seeds, time.Duration(b.seeds)*time.Minute), nil
}

func TestEverySeedIsHandedOutOnceUntilTheTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &batches{}
		var out bytes.Buffer
		s := &soak{options: options{seed: 100, jobs: 3, batch: 4, length: 150 * time.Second}, out: &out, every: time.Minute, work: w.work}
		began := time.Now()
		if failure, err := s.hunt(t.Context()); failure != nil || err != nil {
			t.Fatal(failure, err)
		}
		slices.Sort(w.seeds)
		if len(w.seeds) != 36 || w.seeds[0] != 100 || w.seeds[35] != 135 || len(slices.Compact(w.seeds)) != 36 {
			t.Errorf("seeds %v, want 100 to 135, each once", w.seeds)
		}
		if took := time.Since(began); took != 3*time.Minute {
			t.Errorf("took %v: a batch that begins within the time ends", took)
		}
		if !strings.Contains(out.String(), "3m0s: 36 seeds passed, 36m0s simulated, 12 simulated s/s") {
			t.Errorf("no line that adds up:\n%s", &out)
		}
	})
}

func TestBatchesKnowTheTimeThatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var budgets []time.Duration
		s := &soak{options: options{seed: 1, jobs: 1, batch: 1, length: 150 * time.Second}, out: io.Discard, every: time.Hour, work: func(ctx context.Context, b batch) ([]byte, error) {
			budgets = append(budgets, b.budget)
			return (&batches{}).work(ctx, b)
		}}
		if _, err := s.hunt(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []time.Duration{150 * time.Second, 90 * time.Second, 30 * time.Second}; !slices.Equal(budgets, want) {
			t.Errorf("budgets %v, want %v", budgets, want)
		}
	})
}

func TestTheFirstFailureEndsItAndSaysHowToSeeItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &batches{bad: 17}
		s := &soak{options: options{pkg: "./testkit", test: "^TestCluster$", seed: 10, jobs: 2, batch: 5, twice: true}, out: io.Discard, every: time.Minute, work: w.work}
		failure, err := s.hunt(t.Context())
		if failure == nil || err != nil {
			t.Fatal(failure, err)
		}
		var out bytes.Buffer
		failure.report(&out, s.options)
		if !strings.Contains(out.String(), "two leaders") ||
			!strings.Contains(out.String(), "reproduce: go test ./testkit -run '^TestCluster$' -v -testkit.seed=17 -testkit.seeds=1 -testkit.twice\n") {
			t.Errorf("report:\n%s", &out)
		}
	})
}

func TestAProcessThatDiesWithoutASeedNamesItsBatch(t *testing.T) {
	var out bytes.Buffer
	f := failure{batch: batch{first: 30, seeds: 10}, output: []byte("fatal error: out of memory"), err: errors.New("exit status 2")}
	f.report(&out, options{pkg: "./p", test: "^TestX$"})
	if !strings.HasSuffix(out.String(), "reproduce: go test ./p -run '^TestX$' -v -testkit.seed=30 -testkit.seeds=10\n") {
		t.Errorf("report:\n%s", &out)
	}
}

func TestATestThatRunsNoSeedsIsNoSuccess(t *testing.T) {
	s := &soak{options: options{jobs: 1, batch: 1}, out: io.Discard, every: time.Hour, work: func(context.Context, batch) ([]byte, error) {
		return []byte("testing: warning: no tests to run\nPASS\n"), nil
	}}
	if _, err := s.hunt(t.Context()); err == nil || !strings.Contains(err.Error(), "ran no seeds") {
		t.Errorf("err = %v", err)
	}
}

func TestFaultsOfTheCommandLineAreToldAtOnce(t *testing.T) {
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"--jobs", "0", "--batch", "0", "--for", "-1s", "x"}, io.Discard, &stderr); code != exitBroken {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"--jobs 0", "--batch 0", "--for -1s", `unexpected ["x"]`} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, &stderr)
		}
	}
}

// The real thing, once: the kit's own test binary, two seeds.
func TestSoakRunsTheClusterInProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the kit's tests")
	}
	var out, stderr bytes.Buffer
	code := run(t.Context(), []string{"--package", "github.com/hupe1980/rivven-cluster/testkit", "--seed", "1", "--jobs", "1", "--batch", "1", "--for", "1s"}, &out, &stderr)
	if code != 0 || !regexp.MustCompile(`: [1-9]\d* seeds passed, [1-9]`).Match(out.Bytes()) {
		t.Errorf("exit code %d\n%s%s", code, &out, &stderr)
	}
}
