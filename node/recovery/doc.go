// Package recovery brings a cluster back that can't help itself: from a backup, or from what one node of a lost majority has left. All of it
// works on files and streams, offline but for [Writer], which a running node's admin API uses.
//
//	backup:   every group's snapshot ──▶ [Writer] ──▶ checksummed stream ──▶ [Reader], [Inspect]
//	restore:  stream ──▶ [Restore] ──▶ data directory of the first node of a new cluster
//	recovery: data directory of a survivor ──▶ [MakePlan] ──▶ a plan to read ──▶ [Plan.Apply] ──▶ the same, the old data archived
//
// Guarantees:
//
//   - A stream that was cut off, or in which a bit changed, is refused; nothing of it is used.
//   - What is made is the first node of a new cluster: it has a new directory id and a new cluster id, and the group's one voter is this node.
//     Nodes of the old cluster are refused by it, so two halves can never go on as one. They join it with empty data directories.
//   - A data directory changes at once or not at all: the new state is made complete beside the old one. An interruption while the two are
//     exchanged keeps nodes from starting until the command is run again ([Pending]).
//   - No old data is deleted: recovery moves it to an archive, and restore refuses a directory that has any.
package recovery
