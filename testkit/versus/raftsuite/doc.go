// Package raftsuite measures consensus: what proposals three replicas commit, how soon they do so again after their leader
// stopped, how long a planned transfer takes, and how fast a replica catches up.
//
// The three replicas of a system run in one process of their own, speak over loopback and write to one disk, each to its own
// files. This project speaks QUIC with mutual TLS, the peers plain TCP. Proposers are goroutines of the same process; a
// proposal is done when it is applied at the leader.
package raftsuite
