package logstore

import (
	"go.etcd.io/bbolt"
	"go.etcd.io/raft/v3/raftpb"
)

// boltFlush is what one transaction writes: ops packed into records.
type boltFlush struct {
	ops     []op
	in      []int // the record of each op
	records []flushRecord
	segment uint64
	first   uint64 // sequence number of the first record
	spare   [][]byte
}

// spareMax buffers of records are kept for the next transaction: bbolt needs a value no longer than its own takes.
const spareMax = 32

type flushRecord struct{ body []byte }

// splitOps cuts entries where their term changes, and where a record is full.
func splitOps(ops []op) []op {
	out := make([]op, 0, len(ops))
	for _, o := range ops {
		if len(o.entries) == 0 {
			out = append(out, o)
			continue
		}
		for rest := o.entries; len(rest) > 0; {
			n := splitPoint(rest)
			out = append(out, newEntriesOp(o.kind, o.group, rest[:n:n]))
			rest = rest[n:]
		}
	}
	return out
}

func splitPoint(entries []*raftpb.Entry) int {
	size, term := 0, entries[0].GetTerm()
	for i, e := range entries {
		size += 8 + len(e.GetData())
		if i > 0 && (size > maxRecord || e.GetTerm() != term) {
			return i
		}
	}
	return len(entries)
}

func (f *boltFlush) addAll(ops []op) {
	for i := range ops {
		f.add(ops[i])
	}
}

func (f *boltFlush) add(o op) {
	n := len(f.records)
	if n == 0 || len(f.records[n-1].body)+opBytes(&o) > maxRecord {
		f.records = append(f.records, flushRecord{body: f.begin(opBytes(&o))})
		n++
	}
	r := &f.records[n-1]
	r.body = appendOp(r.body, &o)
	f.ops, f.in = append(f.ops, o), append(f.in, n-1)
}

func (f *boltFlush) begin(size int) []byte {
	if n := len(f.spare) - 1; n >= 0 {
		buf := f.spare[n]
		f.spare = f.spare[:n]
		return beginRecord(buf[:0])
	}
	return beginRecord(make([]byte, 0, max(512, size)))
}

// buffers are those that the next transaction may use, once this one has ended.
func (f *boltFlush) buffers() [][]byte {
	for _, r := range f.records {
		if len(f.spare) < spareMax && cap(r.body) <= 2*maxRecord {
			f.spare = append(f.spare, r.body)
		}
	}
	return f.spare
}

func opBytes(o *op) int {
	size := 64 + len(o.group)
	for _, e := range o.entries {
		size += 8 + len(e.GetData())
	}
	if o.snap != nil {
		size += len(o.snap.Peers) + 1024
	}
	return size
}

// place seals the records for where they go.
func (f *boltFlush) place(segment, first uint64) {
	f.segment, f.first = segment, first
	for i := range f.records {
		sealRecord(f.records[i].body, segment, first+uint64(i))
	}
	for i := range f.ops {
		f.ops[i].at.segment, f.ops[i].at.seq = segment, first+uint64(f.in[i])
	}
}

func (f *boltFlush) put(tx *bbolt.Tx) error {
	if len(f.records) == 0 {
		return nil
	}
	bucket, err := tx.CreateBucketIfNotExists(segmentName(f.segment))
	if err != nil {
		return err
	}
	bucket.FillPercent = 1
	for i := range f.records {
		to, key := bucket, seqKey(f.first+uint64(i))
		if len(f.records[i].body) > smallRecord {
			if to, err = bucket.CreateBucket(key); err != nil {
				return err
			}
			key = recordKey
		}
		if err := to.Put(key, f.records[i].body); err != nil {
			return err
		}
	}
	return nil
}

// pagesFor is an upper bound of the pages that a transaction with these ops takes: the records, and what bbolt writes again
// above them.
func pagesFor(ops []op) int64 {
	var bytes, records int64 = 0, 1
	for i := range ops {
		size := int64(opBytes(&ops[i]))
		bytes += size
		records += 1 + size/maxRecord
	}
	records = min(records, 2*bytes/maxRecord+2)
	return 64 + bytes/boltPageSize + 3*records
}
