package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	exitFound  = 1
	exitBroken = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are what the command line says.
type options struct {
	pkg, test   string
	length      time.Duration
	seed        uint64
	jobs, batch int
	twice       bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.pkg, "package", "./testkit", "the package whose test runs")
	flags.StringVar(&o.test, "run", "^TestCluster$", "the test: one that calls testkit.Run")
	flags.DurationVar(&o.length, "for", 0, "how long; 0 means until something is found")
	flags.Uint64Var(&o.seed, "seed", uint64(time.Now().Unix())*1000, "first seed") //nolint:gosec // after 1970
	flags.IntVar(&o.jobs, "jobs", runtime.NumCPU(), "processes at a time")
	flags.IntVar(&o.batch, "batch", 10, "seeds a process")
	flags.BoolVar(&o.twice, "twice", true, "run each seed twice and compare the traces")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var faults []error
	if flags.NArg() > 0 {
		faults = append(faults, fmt.Errorf("unexpected %q: name a package with --package and a test with --run", flags.Args()))
	}
	if o.length < 0 {
		faults = append(faults, fmt.Errorf("--for %v is negative: give a time such as 10m, or 0 for no end", o.length))
	}
	if o.jobs < 1 {
		faults = append(faults, fmt.Errorf("--jobs %d: at least one process is needed", o.jobs))
	}
	if o.batch < 1 {
		faults = append(faults, fmt.Errorf("--batch %d: at least one seed a process is needed", o.batch))
	}
	return o, errors.Join(faults...)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "soak:", err)
		return exitBroken
	}
	binary, dir, remove, err := build(ctx, o.pkg)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "soak:", err)
		return exitBroken
	}
	defer remove()
	s := &soak{options: o, out: stdout, every: 10 * time.Second, work: func(ctx context.Context, b batch) ([]byte, error) {
		cmd := exec.CommandContext(ctx, binary, b.args(o)...) //nolint:gosec // the binary was built here
		cmd.Dir = dir
		cmd.WaitDelay = 10 * time.Second
		return cmd.CombinedOutput()
	}}
	failure, err := s.hunt(ctx)
	switch {
	case err != nil:
		_, _ = fmt.Fprintln(stderr, "soak:", err)
		return exitBroken
	case failure != nil:
		failure.report(stdout, o)
		return exitFound
	}
	return 0
}

// build makes the test binary of a package; what it returns besides is the package's folder, where the test must run.
func build(ctx context.Context, pkg string) (binary, dir string, remove func(), err error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", pkg).Output() //nolint:gosec // the user's own package
	if err != nil {
		return "", "", nil, fmt.Errorf("find package %s: %w%s", pkg, err, said(err))
	}
	tmp, err := os.MkdirTemp("", "soak")
	if err != nil {
		return "", "", nil, err
	}
	remove = func() { _ = os.RemoveAll(tmp) }
	binary = filepath.Join(tmp, "soak.test")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, pkg).CombinedOutput(); err != nil { //nolint:gosec // the same
		remove()
		return "", "", nil, fmt.Errorf("build the tests of %s: %w\n%s", pkg, err, out)
	}
	if _, err := os.Stat(binary); err != nil {
		remove()
		return "", "", nil, fmt.Errorf("package %s has no tests: name one with --package", pkg)
	}
	return binary, strings.TrimSpace(string(out)), remove, nil
}

func said(err error) string {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return ": " + strings.TrimSpace(string(exit.Stderr))
	}
	return ""
}
