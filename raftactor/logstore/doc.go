// Package logstore keeps the Raft logs of all groups of a node: the persistence actor "store" ([Props]), which is the only
// writer of the bbolt file; the actor "snapshots" ([SnapshotsProps]), which writes, sends and receives snapshot files; and
// the [Store] contract that bbolt ([OpenBolt]), memory ([NewMemory]) and the test kit's disk fulfil alike.
//
// The main path of a write:
//
//	group ── *Write ──▶ store: gathers what all groups send while a batch is on its way
//	                      └─ Submit(batch) ──▶ Store: one transaction, synced ── Durable ──▶ store ── *Written ──▶ group
//
// and of a snapshot to a follower, the data before the Raft message:
//
//	group ── *SendSnapshot ──▶ snapshots ═ Offer, Chunk, … in class Bulk ═▶ snapshots of the peer ── file, synced
//	group ◀─ *SnapshotSent ──┘ ◀═ Complete ═┘
//
// Guarantees:
//
//   - A *Written without error, or a Durable without Err, stands behind a sync of the disk. A group's answers come in
//     the order of its writes; after a refused write nothing of the group overtakes it.
//   - A failed commit or sync is final: the store stops, the actor tells everyone who waits and fails fatally, and the disk
//     is read anew at the next start. A disk that is full is found before a transaction begins, and is not final.
//   - What can't be recovered is refused before it is written: a hole in the log, a vote taken back, committed entries
//     replaced, a commit beyond the log ([InvalidWriteError]).
//   - Every record, page and file is checked when it is read. What was lost before it was acknowledged is gone without
//     a trace; anything else that is not as it was written is a [DamageError], never an older state.
//
// Actors and the memory store are deterministic. Files lie behind [Store] and [SnapshotFiles]; the bbolt store has one
// goroutine of its own, which writes.
package logstore
