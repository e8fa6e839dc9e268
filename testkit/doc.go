// Package testkit is a deterministic world for actors: it runs whole nodes, and an app's own actors on them, on one goroutine, in a seeded
// order, in virtual time, over a simulated network and simulated disks. The same seed gives the same trace, byte for byte, on every
// machine, so any failure can be replayed.
//
// The main path: [Run] takes a [Scenario] and, for each seed, makes a [World]; the scheduler draws the next actor that has something to do,
// lets it handle one message, and moves the clock when nobody has. Faults come from a [Plan] and from [World.On]; invariants are judged where
// things happen; when the time is over the faults stop ([World.Heal]) and what was asked for with [World.Eventually] must come true.
//
//	seed ─▶ scheduler ─▶ one turn of one actor ─▶ messages, timers, frames, writes ─▶ events in virtual time ─▶ …
//	           │                                                                           │
//	           └── invariants ◀── observer on every node                    faults ────────┘
//
// What is real: the wiring of package node, the Raft groups, membership, partition manager, bootstrap, the remote's session core with
// every message encoded and decoded, the persistence and snapshot actors. What is simulated: the transport under the remote, the disk
// under the store, clocks and randomness.
//
// One process runs one world at a time, because a world stands in for crypto/rand.Reader.
package testkit
