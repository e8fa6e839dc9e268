// Package raftactor is a Raft group as an actor: it turns the messages of its mailbox into steps of etcd raft's RawNode, and
// what RawNode wants done into messages to the log store, the state machine and the other replicas.
//
// The main path: [Props] makes the actor raft/<group> from a [Config]; anybody sends it the messages of
// [github.com/hupe1980/rivven-cluster/actors/consensus]. It finds its log through the logstore handle of its node and
// its peers under the same name on their nodes. [TicksProps] makes the one timer of all groups of a node.
//
//	Propose ─▶ raft/<group> ─▶ RawNode ─▶ Ready ┬▶ MsgApp ──────────▶ raft/<group> of the peers
//	              ▲  ▲  ▲                       ├▶ MsgStorageAppend ▶ store ──▶ Written ─┐
//	              │  │  └── Step (guarded) ◀────┼─ peers                                 │
//	              │  └──────────────────────────┼────────────── responses, when durable ◀┘
//	              └───────────── results ◀──────┴▶ MsgStorageApply ─▶ raft/<group>/apply ─▶ Machine
//
// Guarantees:
//
//   - No message that promises durability leaves before the store said so: appends and votes are answered, and a
//     candidate asks for votes, only after term, vote and entries are on disk.
//   - Nothing from the wire reaches RawNode before the guard has checked sender, shape and range; what is refused is
//     counted by reason.
//   - A proposal is answered with its result, with a refusal that says it had no effect, or with CODE_UNKNOWN_OUTCOME. With a
//     session it is applied once, however often it is sent.
//   - Queries and read indexes are linearizable from any replica; stale queries say so themselves.
//   - A restart of the actor reads what its predecessor made durable and nothing else; answers to the predecessor are
//     dropped.
//   - A command that panics, or that this version doesn't know, halts the replica at its index. The node's other groups
//     go on.
//   - Every table and queue is bounded; what doesn't fit is answered with CODE_BUSY and counted.
package raftactor
