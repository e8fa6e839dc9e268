// Package placement plans which nodes hold and lead which partitions.
//
// The main path is Solve: in go the committed partitions, the committed nodes and
// a Config, out comes a Plan: an ordered list of moves, each a single change of
// one partition with its reason, the partitions that can't be helped with the
// cause, and the digest of the table that the plan leads to. The caller proposes
// the moves; nothing here has effects, reads a clock or draws random numbers.
//
// What a plan does, in this order:
//
//  1. partitions whose leader is gone get an in-sync live one; a leader that restarted is elected anew
//  2. replicas on failed, left or unknown nodes leave the in-sync set, never below MinISR; live replicas of
//     partitions with ImmediateSync re-enter it; partitions without replicas get them, and a leader
//  3. leaders leave draining nodes
//  4. with Config.BalanceLeaders, leaders are evened out
//
// Guarantees, held by property tests:
//   - A new partition has exactly its replication factor of distinct eligible
//     nodes, at most ⌈factor/zones⌉ of them in one zone where zones are large
//     enough, else the smallest number that works.
//   - With equal weights and equally large zones, replicas per node differ by at most
//     one if they did before, and assigning a new topic moves no other partition.
//   - With equal weights, leaders per node end as even as the in-sync sets allow: within
//     one of each other where all partitions have one replication factor.
//   - leader ∈ ISR ⊆ replicas after every move; a leader was in the in-sync set before the
//     move that elects it, unless the partition allows unclean election.
//   - Any order of input gives the same plan, and a run on its result plans nothing.
//   - All arithmetic is on integers, so every architecture computes the same plan.
//
// Ties are broken by a rendezvous hash of (topic, partition, node), so that
// equal nodes get unrelated mixes of partitions.
package placement
