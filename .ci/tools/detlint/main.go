// Command detlint holds code that the test kit simulates to the determinism rules of CONTRIBUTING.md. go vet runs it, see the Makefile:
//
//	tool=$(go tool -C .ci/tools -n detlint) && go vet -vettool="$tool" ./...
//
// scope.go lists the files of which the rules hold, and the only ways out of them; no comment in the code silences a finding.
// It looks at the files of one operating system, that of the build.
//
// A loop over a map passes where all orders come to the same: see [loop]. That takes for granted what types can't tell: that two
// entries of a map don't point to one object, that nothing but the names in the loop leads to what it changes, and that a
// comparison that sorts tells any two elements apart.
package main

import (
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/unitchecker"
)

var analyzer = &analysis.Analyzer{
	Name:      "detlint",
	Doc:       "finds what would make two runs of one seed differ: clocks, random sources, goroutines, blocking, the order of maps, addresses",
	FactTypes: []analysis.Fact{new(harmless)},
	Run:       run,
}

func main() { unitchecker.Main(analyzer) }

func run(pass *analysis.Pass) (any, error) {
	path, _, _ := strings.Cut(pass.Pkg.Path(), " ")
	folder, ours := strings.CutPrefix(path, module+"/")
	if !ours {
		return nil, nil
	}
	funcs := newFunctions(pass)
	funcs.export()
	for _, f := range pass.Files {
		file := fileName(pass, f)
		if !lawHolds(folder + "/" + file) {
			continue
		}
		checkNames(pass, f, folder+"/"+file)
		checkScheduling(pass, f)
		checkAddresses(pass, f)
		checkMaps(pass, f, funcs)
		checkMarshal(pass, f, funcs)
	}
	return nil, nil
}
