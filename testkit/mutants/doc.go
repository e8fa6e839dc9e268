// Package mutants tests the test kit: it holds known bugs, and each of them must be found.
//
// A bug is a file under testdata: a few lines on what it breaks, the hunt that should find it (a subtest of TestHunt in package testkit),
// the invariants that may, a budget of seeds and seconds, and edits, each a piece of a product file that occurs there exactly once and what
// stands in its place. [Read] takes such a file, [Mutant.Apply] edits copies and writes what go build's -overlay wants. No bug lives in
// product code, and an edit that no longer fits fails the test with the mutant's name.
//
//	go test ./testkit/mutants -run '^TestMutants$' -v -timeout 60m -mutants.all
//
// builds the kit's tests once for each mutant, runs its hunt until an invariant fails, prints what was found by which invariant in how
// many seeds and seconds, and then runs the same hunts as far on the code as it is, which must pass.
package mutants
