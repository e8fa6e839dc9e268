package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/hupe1980/rivven-cluster/testkit/versus/runner"
)

// suites is filled by the files suite_*.go.
var suites []runner.Suite

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := runner.Main(ctx, suites, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
