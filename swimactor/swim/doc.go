// Package swim is the SWIM membership and failure detection protocol with the
// Lifeguard extensions, as a pure state machine: no clock, no goroutine, no
// socket. A Core is fed with inputs (Start, Tick, Receive, Join, Resolved,
// Leave, UpdateTags, PeerLost, PeerBack), each stamped with the reading of a monotonic clock, and
// answers with an Output: messages to send, events to publish, seeds to
// resolve, and the time at which Tick is due.
//
//	           Tick(now)  Receive(now, from, msg)  Leave(now) …
//	                │            │                    │
//	                ▼            ▼                    ▼
//	┌──────────────────────────── Core ────────────────────────────┐
//	│ probe ─ suspicion ─ awareness     members ─ merge ─ conflict  │
//	│ gossip ─ broadcast queue          sync (digest, differences)  │
//	│ join ─ leave ─ heal ─ isolation                               │
//	└───────────────────────────────┬───────────────────────────────┘
//	                                ▼
//	        Output{Sends, Events, Resolve, Wake}
//
// Guarantees:
//   - The same configuration, random source and inputs give the same outputs.
//   - Whatever a message holds, Receive does not panic: what is malformed is
//     refused and counted in Stats.Refused.
//   - Work per input is independent of the number of members, amortised: the
//     exceptions are Members, a pass's reshuffle (once in N periods), and the
//     first synchronisation of a joining node.
//   - Every table, queue and retry is bounded by a field of Config or a
//     constant of this package.
//   - In a quiet cluster a node sends one ping and one ack a period, whatever
//     the number of members.
//
// A Core is not safe for concurrent use.
//
// Sources: Das, Gupta, Motivala, "SWIM" (DSN 2002); Dadgar, Phillips, Currey,
// "Lifeguard: Local Health Awareness for More Accurate Failure Detection"
// (2017).
package swim
