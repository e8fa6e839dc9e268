package actors

import (
	"encoding/binary"
	"math"
)

// ReplicaID derives the Raft id of a replica from the directory id of its disk, so that a wiped disk is another
// replica by construction. It is never zero, and never one of the two ids that etcd raft reserves for its local
// threads (MaxUint64 and MaxUint64−1).
func ReplicaID(directory ID) uint64 {
	r := binary.BigEndian.Uint64(directory[:8]) ^ binary.BigEndian.Uint64(directory[8:])
	switch r {
	case 0:
		return 1
	case math.MaxUint64, math.MaxUint64 - 1:
		return math.MaxUint64 - 2
	}
	return r
}
