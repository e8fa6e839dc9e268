package logstore

// location is where a file-backed store keeps the entries of one op: a record by segment and sequence number, and the
// offset of the entries within it.
type location struct {
	segment uint64
	seq     uint64
	offset  uint32
	bytes   uint32
}
