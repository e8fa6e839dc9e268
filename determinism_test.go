package rivven_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Files of which the determinism rules of architecture.md hold. Lint (forbidigo) forbids the calls that
// read clocks and random sources there; what follows forbids the syntax that lets the Go scheduler decide.
var (
	deterministic = []string{
		"actors/**", "raftactor/**", "swimactor/**", "ringactor/**", "remote/**", "node/bootstrap/**",
	}
	exempt = []string{ // they lie behind seams
		"actors/live/**", "remote/quic*.go", "remote/tls*.go", "remote/ca*.go", "raftactor/logstore/bolt*.go", "raftactor/**/snapshot*_file*.go", "raftactor/logstore/storetest/**",
	}
)

func underDeterminismLaw(file string) bool {
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

func TestSimulatedCodeStartsNoGoroutines(t *testing.T) {
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		p = filepath.ToSlash(p)
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && p != ".") {
			return fs.SkipDir
		}
		if d.IsDir() || path.Ext(p) != ".go" || !underDeterminismLaw(p) {
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, v := range scheduledByRuntime(fset, f) {
			t.Error(v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// scheduledByRuntime names every place whose order the Go scheduler decides.
func scheduledByRuntime(fset *token.FileSet, f *ast.File) []string {
	var out []string
	report := func(n ast.Node, what string) {
		out = append(out, fmt.Sprintf("%s: %s: code that the test kit simulates sends messages instead (architecture.md, determinism rules)", fset.Position(n.Pos()), what))
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			report(n, "go statement")
		case *ast.SelectStmt:
			report(n, "select")
			return false
		case *ast.SendStmt:
			report(n, "send on a channel")
		case *ast.ChanType:
			report(n, "channel")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				report(n, "receive from a channel")
			}
		}
		return true
	})
	return out
}

func TestDeterminismLawCatchesWhatBreaksIt(t *testing.T) {
	const src = `package p
func f() {
	go f()
	c := make(chan int)
	c <- 1
	<-c
	select { case <-c: }
}
`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"p.go:3:2: go statement", "p.go:4:12: channel", "p.go:5:2: send", "p.go:6:2: receive", "p.go:7:2: select"}
	got := scheduledByRuntime(fset, f)
	if len(got) != len(want) {
		t.Fatalf("%q, want %q", got, want)
	}
	for i, v := range got {
		if !strings.HasPrefix(v, want[i]) {
			t.Errorf("%q, want %q", v, want[i])
		}
	}
	for file, want := range map[string]bool{
		"actors/mailbox.go": true, "actors/live/clock.go": false, "actors/consensus/machine.go": true,
		"raftactor/group.go": true, "raftactor/group_test.go": false, "raftactor/raft.pb.go": false,
		"raftactor/logstore/store.go": true, "raftactor/logstore/bolt.go": false, "raftactor/logstore/bolt_tx.go": false,
		"raftactor/snapshot_file.go": false, "remote/quic.go": false, "remote/session.go": true,
		"node/bootstrap/bootstrap.go": true, "node/start.go": false,
	} {
		if got := underDeterminismLaw(file); got != want {
			t.Errorf("%s: %v", file, got)
		}
	}
}
