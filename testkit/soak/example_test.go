package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// What a failure looks like: the process's own words, and the line that brings it back.
func Example() {
	s := &soak{
		options: options{pkg: "./shop", test: "^TestCart$", seed: 40, jobs: 1, batch: 10}, out: os.Stderr, every: time.Hour,
		work: func(_ context.Context, b batch) ([]byte, error) {
			return fmt.Appendf(nil, "seed %d: no item is lost: 3 of 4 are left", b.first+2), fmt.Errorf("exit status 1")
		},
	}
	failure, _ := s.hunt(context.Background())
	failure.report(os.Stdout, s.options)
	// Output:
	// seed 42: no item is lost: 3 of 4 are left
	// soak: failed (exit status 1)
	// reproduce: go test ./shop -run '^TestCart$' -v -testkit.seed=42 -testkit.seeds=1
}
