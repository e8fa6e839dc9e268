// Command soak runs a scenario of the test kit for as long as it is let: seed after seed, in as many processes as there are
// processors, until one fails.
//
//	go run ./testkit/soak                        this project's cluster, without an end
//	go run ./testkit/soak --for 10m              the same for ten minutes
//	go run ./testkit/soak --package ./shop --run '^TestCart$'
//
// It builds the test binary of the package once and hands each process a batch of seeds that no other gets. Every seed runs twice
// and must leave the same trace (--twice=false lets that be). It begins at a seed that the time of day gives, so that no two
// soaks hunt on the same ground; --seed chooses it. While it runs it prints, every ten seconds, how far it came. The first failure
// ends the other processes, is printed whole with the line that reproduces it, and has saved its plan in the testdata of the package, from
// where each later run replays it first.
//
// Exit codes: 0 nothing was found in the time given, or an interrupt came; 1 a seed failed; 2 the soak itself could not go on.
package main
