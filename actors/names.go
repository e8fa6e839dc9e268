package actors

import "strings"

// Names of the actors that every node has. They are the same on every node, whoever their parent is.
const (
	NameRemote    = "remote"
	NameStore     = "store"
	NameSnapshots = "snapshots"
	NameTicks     = "ticks"
	NameBootstrap = "bootstrap"
	NameSwim      = "swim"
	NameRing      = "ring"
	NameAdmin     = "admin"
	// RaftPrefix comes before the name of a group: raft/meta.
	RaftPrefix = "raft/"
	// PartitionPrefix comes before topic and number of a partition: partition/orders/3.
	PartitionPrefix = "partition/"
)

// GroupMeta is the Raft group that keeps the cluster's metadata.
const GroupMeta = "meta"

// RaftName is the well-known name of a group's actor.
func RaftName(group string) string { return RaftPrefix + group }

// Reserved reports whether an actor of this id belongs to the runtime: it, or a parent of it, has one of the names above. A
// reserved actor takes only the message types that it registered from the wire, no system messages, and sees what comes
// from there as [Inbound].
func Reserved(id string) bool {
	name, _, _ := strings.Cut(id, "/")
	switch name {
	case NameRemote, NameStore, NameSnapshots, NameTicks, NameBootstrap, NameSwim, NameRing, NameAdmin:
		return true
	}
	return strings.HasPrefix(id, RaftPrefix) || strings.HasPrefix(id, "guardian")
}
