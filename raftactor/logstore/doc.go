// Package logstore keeps the Raft logs of all groups of a node: the persistence actor "store", which is the only writer of the
// bbolt file, the actor "snapshots", which writes, sends and receives snapshot files, and the [Store] contract that bbolt,
// memory and the test kit's disk fulfil alike.
package logstore
