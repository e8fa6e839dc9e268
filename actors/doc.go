// Package actors is the one general seam between this project and protoactor-go.
//
// It gives every actor of a node the same four things, on a real system and in a simulated one:
//
//   - an [Env]: clock, boot clock, named random streams and ids, with timers that deliver messages.
//     [github.com/hupe1980/rivven-cluster/actors/live] is the real one; the test kit has its own.
//   - a mailbox behind a gate ([Gated], [Named]), so that a message that arrives while the actor is being
//     spawned is held and not lost, and well-known names that are the same on every node.
//   - supervision with exponential back-off and a window on the injected clock ([Supervise]).
//   - [Ask], a request whose answer comes back as a continuation in the actor's own turn.
//
// Messages between nodes choose a delivery [Class]; what comes from another node for a reserved name arrives
// wrapped in [Inbound], which carries the identity of the connection. Who lives at an address is asked of the
// remote with [Resolve].
//
// The main path: [NewSystem] (or [Install] on an app's own system) puts an environment on a protoactor system;
// every actor spawned through it, or through Props made with [Named] or [Gated], hands gate and environment
// on to all its descendants.
//
//	NewSystem ─▶ spawn middleware ─▶ gate ─▶ actor ─▶ spawn middleware ─▶ …
//	                                          │
//	                                          └─ EnvOf(ctx): Now, Boot, After, Rand, NewID
//
// Code in this package is deterministic: it reads no clock, draws no randomness and starts no goroutine.
package actors
