// Package live is the real environment of actors: the machine's clocks, its randomness, and timers of the Go runtime.
// It is the one place with a wall clock, and exempt from the determinism law. Only remote and node import it; what
// runs on it never knows.
//
// The main path: [Install] makes the environment a system extension, [NewSystem] makes a system with it. [Ask] is the
// request from outside an actor, bounded by a context.
package live
