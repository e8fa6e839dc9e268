package main

import (
	"go/ast"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
)

const module = "github.com/hupe1980/rivven-cluster"

// Files of which the rules hold.
var deterministic = []string{
	"actors/**", "raftactor/**", "swimactor/**", "ringactor/**", "remote/**", "node/bootstrap/**", "testkit/**",
}

// Files that lie behind seams, or outside of the world that is simulated.
var exempt = []string{
	"actors/live/**",                                     // clocks, random sources and waiting of the real world
	"remote/quic*.go", "remote/tls*.go", "remote/ca*.go", // behind remote.Transport
	"raftactor/logstore/bolt*.go", "raftactor/logstore/snapshot_dir.go", // behind logstore.Store and the seam of snapshots
	"raftactor/logstore/storetest/**",                         // tests stores that do real I/O
	"testkit/run.go", "testkit/soak/**", "testkit/mutants/**", // start worlds, and measure them by the wall clock
	"testkit/bubble.go", // the door to goroutines of app actors; their wall clock is the bubble's
}

// Names that a file may use all the same, as forbidden.go spells them.
var allowed = map[string][]string{
	// The calls that remote keeps of protoactor's, for callers outside actors.
	"remote/remote.go": {"context.WithTimeout"},
	"remote/spawn.go":  {"actor.RootContext.RequestFuture", "actor.Future.Result"},
	// A field of protoactor's is read through its address, which goes nowhere.
	"actors/spawn.go": {"reflect.Value.UnsafeAddr"},
}

func lawHolds(file string) bool {
	match := func(pattern string) bool { return matchFile(pattern, file) }
	return slices.ContainsFunc(deterministic, match) && !slices.ContainsFunc(exempt, match) &&
		!strings.HasSuffix(file, "_test.go") && !strings.HasSuffix(file, ".pb.go")
}

// matchFile matches slash-separated paths; "**" stands for any folders and, at the end, any file.
func matchFile(pattern, file string) bool {
	before, after, deep := strings.Cut(pattern, "**")
	if !deep {
		ok, err := path.Match(pattern, file)
		return err == nil && ok
	}
	if !strings.HasPrefix(file, before) {
		return false
	}
	if after == "" {
		return true
	}
	ok, err := path.Match(strings.TrimPrefix(after, "/"), path.Base(file))
	return err == nil && ok
}

func fileName(pass *analysis.Pass, f *ast.File) string {
	return filepath.Base(pass.Fset.Position(f.FileStart).Filename)
}
