package logstore

import (
	"go.etcd.io/raft/v3/raftpb"
)

// opKind is the kind of one resolved change of a group. The numbers are on disk.
type opKind uint8

const (
	opHard    opKind = 1 // hard state alone
	opState   opKind = 2 // hard state, snapshot and where the log begins; with reset the log is empty behind it
	opEntries opKind = 3 // entries that replace all from the first one's index on
	opCarry   opKind = 4 // entries that are in the log already, written once more
	opRemove  opKind = 5 // the group is forgotten
)

// op is a change with every decision taken: replaying it needs no look at what was there before, so a log whose
// oldest segments are gone replays to the same state.
type op struct {
	kind  opKind
	group string

	hard     *raftpb.HardState // opHard, opState; nil: none
	snap     *SnapshotRef      // opState; nil: none
	first    uint64            // opState: FirstIndex; opEntries, opCarry: the first entry's index
	prevTerm uint64            // opState: term of first−1
	reset    bool              // opState

	entries []*raftpb.Entry // opEntries, opCarry; not set by replay
	count   int             // of entries
	terms   []termRun       // of entries
	at      location        // of entries, in stores with a file
}

// termRun says that the entries from first on have this term, until the next run begins.
type termRun struct{ first, term uint64 }

func newEntriesOp(kind opKind, group string, entries []*raftpb.Entry) op {
	o := op{kind: kind, group: group, first: entries[0].GetIndex(), entries: entries, count: len(entries)}
	for _, e := range entries {
		o.terms = appendTerm(o.terms, e.GetIndex(), e.GetTerm())
	}
	return o
}

func appendTerm(runs []termRun, index, term uint64) []termRun {
	if n := len(runs); n > 0 && runs[n-1].term == term {
		return runs
	}
	return append(runs, termRun{first: index, term: term})
}
