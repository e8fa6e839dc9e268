// Package autopilot keeps the membership of a Raft group as it should be, from the node that leads it.
//
// Every node runs the actor beside its group; only the leader's acts, one change at a time, each a joint change where voters are
// concerned:
//
//   - a learner that has caught up becomes a voter while there are fewer than the target;
//   - a replica on a new disk takes the place of its predecessor, the replica of the same node id, at once;
//   - a voter that was silent for a grace is replaced by a learner. Without one it stays: the number of voters doesn't shrink
//     by itself;
//   - a learner that was silent for long is removed;
//   - a node of the cluster that has no replica in the group, for it was replaced while it was away, is added as a learner;
//   - voters are spread over the zones that the nodes' tags name.
//
// [Props] makes the actor; what it decides is a pure function of what it saw.
package autopilot
