package rivven_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/hupe1980/rivven-cluster"

// Sets of imports, written as the table of architecture.md does. An entry allows the package of that
// path alone; with "/..." it allows those below as well. Paths without a dot in the first element are
// of this module.
var (
	actors     = []string{"actors", "actors/consensus", "actors/membership", "actors/partition"}
	protoactor = []string{"github.com/asynkron/protoactor-go/actor", "github.com/asynkron/protoactor-go/eventstream", "github.com/asynkron/protoactor-go/extensions"}
	zap        = []string{"go.uber.org/zap/..."}
	protobuf   = []string{"google.golang.org/protobuf/...", "github.com/planetscale/vtprotobuf/protohelpers", "github.com/planetscale/vtprotobuf/types/known/..."} // the latter in generated code, and in what encodes for the wire
	etcdRaft   = []string{"go.etcd.io/raft/v3/..."}
	raftpb     = []string{"go.etcd.io/raft/v3/raftpb"}
	bbolt      = []string{"go.etcd.io/bbolt", "go.etcd.io/bbolt/errors"}
	xxhash     = []string{"github.com/cespare/xxhash/v2"}
	quic       = []string{"github.com/quic-go/quic-go/..."}
	xsys       = []string{"golang.org/x/sys/..."}
	anything   = []string{"..."}
)

// law is one row of the table: what the packages at and below dir may import directly beside the
// standard library and packages at and below dir itself. The row with the longest dir counts.
type law struct {
	dir    string
	allow  []string
	deny   []string // counts before allow
	reason string
}

func allow(sets ...[]string) []string { return slices.Concat(sets...) }

var laws = []law{
	{"actors", allow(protoactor, zap, protobuf), []string{"actors/..."}, "actors is the seam over protoactor-go and knows no subsystem; what it needs of the world comes through Env"},
	{"actors/live", allow([]string{"actors"}, protoactor, xsys), nil, "actors/live is the real Env and nothing else"},
	{"actors/consensus", allow([]string{"actors"}, protoactor, protobuf), nil, "a vocabulary holds messages and their errors, and depends on no other"},
	{"actors/membership", allow([]string{"actors"}, protoactor, protobuf), nil, "a vocabulary holds messages and their errors, and depends on no other"},
	{"actors/partition", allow([]string{"actors"}, protoactor, protobuf), nil, "a vocabulary holds messages and their errors, and depends on no other"},
	{"raftactor", allow(actors, protoactor, zap, protobuf, etcdRaft), nil, "subsystems meet through the messages under actors/, node wires them"},
	{"raftactor/logstore", allow(actors, protoactor, zap, protobuf, bbolt, raftpb), nil, "the store keeps logs for any group and knows no group actor"},
	{"raftactor/logstore/storetest", allow([]string{"raftactor/logstore"}, actors, protoactor, zap, protobuf, raftpb, testOnly), nil, "the conformance suite is test code and knows the contract alone"},
	{"swimactor", allow(actors, protoactor, zap, protobuf), nil, "subsystems meet through the messages under actors/, node wires them"},
	{"swimactor/swim", nil, nil, "the protocol is a pure state machine"},
	{"ringactor", allow(actors, protoactor, zap, protobuf), nil, "subsystems meet through the messages under actors/, node wires them"},
	{"ringactor/ring", xxhash, nil, "the hash ring is a pure data structure"},
	{"ringactor/placement", xxhash, nil, "the solver is pure integer arithmetic"},
	{"ringactor/metadata", allow([]string{"actors/consensus"}, protobuf), nil, "the replicated state machine depends on nothing that differs between replicas"},
	{"remote", allow(actors, []string{"actors/live"}, protoactor, zap, quic, []string{"golang.org/x/net/ipv4"}, protobuf), nil, "subsystems meet through the messages under actors/, node wires them"},
	{"node", anything, []string{"testkit/..."}, "the product never carries its test kit"},
	{"testkit", anything, []string{"node/cli/...", "testkit/versus/..."}, "the kit simulates nodes, not the command line"},
}

// testOnly is what tests import beside their package's row: testing libraries and the public test kit.
var testOnly = []string{
	"pgregory.net/rapid", "go.uber.org/goleak", "github.com/cockroachdb/datadriven/...", "github.com/anishathalye/porcupine",
	"testkit",
}

// goPackage is what the law reads of one package in `go list -json`.
type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func TestImportLaw(t *testing.T) {
	seen := map[string]bool{}
	for _, goos := range []string{"linux", "darwin", "windows", "freebsd"} { // each has files of its own
		for _, v := range checkImports(goList(t, goos)) {
			if s := v.String(); !seen[s] {
				seen[s] = true
				t.Error(s)
			}
		}
	}
}

func goList(t *testing.T, goos string) []goPackage {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	packages, err := decodePackages(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

func decodePackages(r io.Reader) ([]goPackage, error) {
	var out []goPackage
	for dec := json.NewDecoder(r); ; {
		var p goPackage
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("output of go list: %w", err)
		}
		out = append(out, p)
	}
}

// violation is a direct import that the law forbids.
type violation struct {
	from, imported string
	test           bool
	reason         string
	chain          []string // how a program or another package comes to it, from the outermost
}

func (v violation) String() string {
	kind := "imports"
	if v.test {
		kind = "imports in its tests"
	}
	s := fmt.Sprintf("%s %s %s: %s", v.from, kind, v.imported, v.reason)
	if len(v.chain) > 1 {
		s += "\n\tchain: " + strings.Join(v.chain, " -> ")
	}
	return s
}

func checkImports(packages []goPackage) []violation {
	importers := map[string][]string{}
	for _, p := range packages {
		for _, imp := range p.Imports {
			importers[local(imp)] = append(importers[local(imp)], local(p.ImportPath))
		}
	}
	var out []violation
	for _, p := range packages {
		from := local(p.ImportPath)
		row, ok := lawOf(from)
		if !ok && from != "." {
			out = append(out, violation{from: from, imported: "anything", reason: "architecture.md's table has no row for this package"})
			continue
		}
		tests := slices.Concat(p.TestImports, p.XTestImports)
		for _, imp := range p.Imports {
			if imp = local(imp); !row.allows(imp) {
				chain := append(chainTo(from, importers), imp)
				out = append(out, violation{from: from, imported: imp, reason: row.reason, chain: chain})
			}
		}
		slices.Sort(tests)
		for _, imp := range slices.Compact(tests) {
			if imp = local(imp); !row.allows(imp) && !slices.ContainsFunc(testOnly, func(p string) bool { return matches(p, imp) }) {
				out = append(out, violation{from: from, imported: imp, test: true, reason: row.reason})
			}
		}
	}
	return out
}

// local strips the module's path, so that its packages are named by their folder.
func local(importPath string) string {
	if importPath == modulePath {
		return "."
	}
	return strings.TrimPrefix(importPath, modulePath+"/")
}

func lawOf(dir string) (law, bool) {
	var best law
	for _, l := range laws {
		if matches(l.dir+"/...", dir) && len(l.dir) > len(best.dir) {
			best = l
		}
	}
	return best, best.dir != ""
}

func (l law) allows(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	inModule := slices.ContainsFunc(laws, func(o law) bool { return matches(o.dir+"/...", imp) })
	if !inModule && !strings.Contains(first, ".") {
		return true // standard library
	}
	for _, pattern := range l.deny {
		if matches(pattern, imp) && imp != l.dir {
			return false
		}
	}
	if l.dir != "" && matches(l.dir+"/...", imp) {
		return true
	}
	return slices.ContainsFunc(l.allow, func(p string) bool { return matches(p, imp) })
}

func matches(pattern, path string) bool {
	prefix, below := strings.CutSuffix(pattern, "...")
	if !below {
		return pattern == path
	}
	return strings.HasPrefix(path+"/", prefix)
}

// chainTo is a shortest path from a package that nobody imports down to dir.
func chainTo(dir string, importers map[string][]string) []string {
	next := map[string]string{dir: ""}
	queue := []string{dir}
	for at := 0; at < len(queue); at++ {
		above := importers[queue[at]]
		if len(above) == 0 {
			var chain []string
			for d := queue[at]; d != ""; d = next[d] {
				chain = append(chain, d)
			}
			return chain
		}
		for _, p := range slices.Sorted(slices.Values(above)) {
			if _, seen := next[p]; !seen {
				next[p] = queue[at]
				queue = append(queue, p)
			}
		}
	}
	return []string{dir}
}

func TestImportLawCatchesWhatBreaksIt(t *testing.T) {
	m := modulePath + "/"
	listing := func(p goPackage) string {
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for name, tc := range map[string]struct {
		packages []goPackage
		want     []string
	}{
		"lawful": {[]goPackage{
			{ImportPath: m + "raftactor", Imports: []string{"time", m + "actors", m + "actors/consensus", m + "raftactor/logstore",
				"go.etcd.io/raft/v3", "go.etcd.io/raft/v3/raftpb", "go.uber.org/zap/zapcore"}, TestImports: []string{"pgregory.net/rapid", "testing"}, XTestImports: []string{m + "raftactor", m + "testkit"}},
			{ImportPath: m + "swimactor/swim", Imports: []string{"fmt"}},
			{ImportPath: m + "remote", Imports: []string{m + "actors/live", "github.com/quic-go/quic-go"}},
			{ImportPath: m + "node/rivven-node", Imports: []string{m + "node/cli", "github.com/spf13/cobra"}},
		}, nil},
		"subsystems meet": {[]goPackage{
			{ImportPath: m + "swimactor", Imports: []string{m + "raftactor"}},
			{ImportPath: m + "node", Imports: []string{m + "swimactor"}},
			{ImportPath: m + "node/rivven-node", Imports: []string{m + "node"}},
		}, []string{"swimactor imports raftactor: subsystems meet through the messages under actors/, node wires them\n\tchain: node/rivven-node -> node -> swimactor -> raftactor"}},
		"wall clock":     {[]goPackage{{ImportPath: m + "ringactor", TestImports: []string{m + "actors/live"}}}, []string{"ringactor imports in its tests actors/live: "}},
		"impure core":    {[]goPackage{{ImportPath: m + "swimactor/swim", Imports: []string{m + "actors"}}}, []string{"swimactor/swim imports actors: the protocol is a pure state machine"}},
		"vocabularies":   {[]goPackage{{ImportPath: m + "actors/partition", Imports: []string{m + "actors/consensus"}}}, []string{"actors/partition imports actors/consensus: "}},
		"seam":           {[]goPackage{{ImportPath: m + "actors", XTestImports: []string{m + "actors", m + "actors/consensus"}}}, []string{"actors imports in its tests actors/consensus: "}},
		"store of bolt":  {[]goPackage{{ImportPath: m + "raftactor", Imports: []string{"go.etcd.io/bbolt"}}}, []string{"raftactor imports go.etcd.io/bbolt: "}},
		"scheduler":      {[]goPackage{{ImportPath: m + "raftactor", Imports: []string{"github.com/asynkron/protoactor-go/scheduler"}}}, []string{"raftactor imports github.com/asynkron/protoactor-go/scheduler: "}},
		"cobra":          {[]goPackage{{ImportPath: m + "remote", Imports: []string{"github.com/spf13/cobra"}}}, []string{"remote imports github.com/spf13/cobra: "}},
		"kit in product": {[]goPackage{{ImportPath: m + "node", Imports: []string{m + "testkit"}}}, []string{"node imports testkit: the product never carries its test kit"}},
		"kit and cli":    {[]goPackage{{ImportPath: m + "testkit", Imports: []string{m + "node/cli"}}}, []string{"testkit imports node/cli: "}},
		"new folder":     {[]goPackage{{ImportPath: m + "common"}}, []string{"common imports anything: architecture.md's table has no row for this package"}},
		"root":           {[]goPackage{{ImportPath: modulePath, XTestImports: []string{m + "node"}}}, []string{". imports in its tests node: "}},
	} {
		var text strings.Builder
		for _, p := range tc.packages {
			text.WriteString(listing(p))
		}
		packages, err := decodePackages(strings.NewReader(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		got := checkImports(packages)
		if len(got) != len(tc.want) {
			t.Errorf("%s: %v, want %q", name, got, tc.want)
			continue
		}
		for i, v := range got {
			if !strings.HasPrefix(v.String(), tc.want[i]) {
				t.Errorf("%s: %s\nwant %s", name, v, tc.want[i])
			}
		}
	}
}
