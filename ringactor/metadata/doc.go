// Package metadata is the replicated state machine of a cluster's meta group: its
// nodes, topics, partitions and configuration keys.
//
// The main path: a command (a protobuf message of rivven.metadata.v1) is proposed to the group, is
// committed, and Machine.Apply turns one State into the next. A State is an
// immutable value in persistent trees: a snapshot is a pointer, a batch that
// fails is forgotten, and every iteration is in the order of keys.
//
//	RegisterNode, UpdateNode, DeregisterNode                            nodes
//	CreateTopic, DeleteTopic, UpdateTopicConfig, AddPartitions          topics
//	UpdatePartitionLeader, UpdatePartitionISR, ReassignPartition        partitions
//	SetConfig                                                           configuration keys
//	Batch (all or nothing), Noop
//
// Guarantees:
//   - leader ∈ ISR ⊆ replicas, and replicas are distinct registered nodes, after every command.
//   - Leader epochs and partition epochs only rise. A change of a partition is a compare-and-set on both, and
//     on the generation of each node that it counts on; stale and future ones are refused.
//   - An election never makes a replica leader that was not in sync, and no change shrinks the in-sync set below
//     the topic's min ISR, unless the topic allows unclean election and the command asks for it.
//   - A refusal is a *consensus.Refusal with one of the Reason constants, and changes nothing.
//   - Every name, value, list and table is bounded; see the Max constants.
//   - Equal states write equal snapshots. Reading one checks format, checksum, order, rules, counts and digest.
//   - A command with fields or members of a newer version halts the replica (consensus.ErrHalt): to skip what others
//     apply would make it another state. CommandLevel and State.MinFeatureLevel keep such commands out of the
//     log until every node knows them. A message type that is no command today never becomes one.
//
// Retries are deduplicated by the group's session table, not here.
package metadata
