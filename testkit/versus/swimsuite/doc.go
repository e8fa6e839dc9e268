// Package swimsuite holds this project's membership protocol against hashicorp/memberlist.
//
// The virtual cases run the bare protocol cores, ours (swimactor/swim) and memberlist on a Transport, on one and the same
// simulated network inside a bubble of testing/synctest: the same latency, losses, cuts, blocked nodes and deaths, the
// LAN defaults on both sides, and the same code that watches what each node reports. The cases on sockets run ours whole,
// as node.StartSwim does, over QUIC, against memberlist on its own transport.
//
//	measure ─▶ runner.Start ─▶ process ─▶ testing.Main ─▶ synctest.Test ─▶ run ─▶ lab ─▶ network
//	                              └─ sockets, in a network namespace of its own
//
// Virtual time needs a *testing.T, which package testing alone makes: so a process of the suite hands over to
// testing.Main with its job as the one test.
package swimsuite
