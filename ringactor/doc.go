// Package ringactor is the partition manager of a node, the actor "ring": it turns
// membership events and the committed metadata into an assignment of partitions
// to nodes, and runs the actors of those that this node leads.
//
//	swim ──── Joined, Failed, Left, … ──▶ ring ── Propose(plan) ──▶ raft/meta      where raft/meta leads
//	raft/meta ── Applied, LeaderChanged ─▶ ring ── spawn, stop ───▶ partition/<topic>/<n>
//	anybody ── CreateTopic, ListTopics ──▶ ring ── one hop ──▶ ring of the leader
//
// The main path: Props makes the actor from a Config. It subscribes to both
// neighbours, reads the metadata once and applies the same commands as the
// group from then on. On the node whose replica leads the group it is the controller: it
// registers members, plans with package placement, and proposes each plan as one batch of package metadata.
//
// Guarantees:
//   - Membership never changes the table; it only makes the controller plan. All effects are proposals, each a
//     compare-and-set on epochs and generations, so a plan made on an old state is refused and made anew.
//   - One proposal at a time is under way, and the next is planned on a state that contains it. Repairs and topic requests take turns.
//   - A node that fails keeps its leadership for the grace period; if it does not recover, its partitions get
//     live in-sync leaders with higher epochs. One that leaves loses them at once. One that restarts within
//     the period leads on in a higher epoch.
//   - Every node counts grace periods itself, so what happened while nobody led the group is acted on by the next controller.
//   - A node that is back re-enters the in-sync sets, and leaders are evened out once no node is down.
//   - A partition actor starts with the epoch of its ownership, after its predecessor on this node has stopped, and is
//     stopped when the table says that the ownership is over. There are no leases yet: on a node that is cut
//     off from the metadata, an actor runs on until the node hears of it; what it writes must be fenced by its epoch.
//   - A request that is refused says with a code whether it had no effect, or may have had one.
package ringactor
