// Package ring is a consistent-hash ring with virtual nodes: a stateless answer
// to "which of these nodes does this key belong to".
//
// The main path is New, AddNode, PartitionOwner. A HashRing may be read and
// changed from any goroutine: every change builds a new immutable Snapshot and
// publishes it through one atomic pointer, so that lookups take no lock and
// allocate nothing.
//
// Guarantees:
//   - The same set of (name, weight) gives the same ring whatever the order of
//     changes that led to it, in every process and on every architecture.
//   - Positions never change between versions of this module; the golden
//     vectors in testdata hold that.
//   - Adding a node moves keys only to it, removing a node moves only its keys.
//   - The preference list of Replicas holds distinct nodes, starts with the owner,
//     and a shorter list is a prefix of a longer one.
//
// The ring balances well but not exactly (about 9 % standard deviation at 128
// virtual nodes), so it is never the authority for partition assignments: that
// is the committed table that package placement plans and package metadata holds.
//
// A position is the xxhash64 of an eight-byte header and the name. The header, little
// endian, holds the index in bits 0 to 31, the length of the name in bits 32 to 55 and a
// domain letter in bits 56 to 63. Plain concatenation would let "node1"+"11" and
// "node11"+"1" share a position.
package ring
