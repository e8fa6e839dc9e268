package logstore

import (
	"fmt"
	"sort"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// MaxGroupName is the longest name of a group, in bytes.
const MaxGroupName = 255

// MaxEntryBytes is the largest entry, in bytes of data.
const MaxEntryBytes = 64 << 20

// position is where a group's log stands, without its entries. It takes writes apart into ops and refuses those that
// would leave a hole, a vote taken back, or a state that can't be recovered.
type position struct {
	hard     *raftpb.HardState
	snap     *SnapshotRef
	first    uint64 // index of the first entry
	last     uint64 // first−1 for an empty log
	prevTerm uint64 // term of first−1
	terms    []termRun
}

func newPosition() *position { return &position{first: 1} }

func (p *position) clone() *position {
	c := *p
	c.terms = append([]termRun(nil), p.terms...)
	return &c
}

func (p *position) state() GroupState {
	return GroupState{HardState: p.hard, Snapshot: p.snap, FirstIndex: p.first, LastIndex: p.last}
}

func (p *position) term(index uint64) (uint64, error) {
	switch {
	case index+1 < p.first:
		return 0, ErrCompacted
	case index > p.last:
		return 0, ErrUnavailable
	case index+1 == p.first:
		return p.prevTerm, nil
	}
	i := sort.Search(len(p.terms), func(i int) bool { return p.terms[i].first > index })
	return p.terms[i-1].term, nil
}

// check says what Entries may read.
func (p *position) check(lo, hi uint64) error {
	switch {
	case lo < p.first:
		return ErrCompacted
	case hi > p.last+1 || lo > hi:
		return ErrUnavailable
	}
	return nil
}

// apply takes over an op. Entries before first, or a hole before an op's entries, are the caller's to exclude.
func (p *position) apply(o *op) {
	switch o.kind {
	case opHard:
		p.hard = o.hard
	case opState:
		p.hard, p.snap = o.hard, o.snap
		if o.reset {
			p.terms, p.last = nil, o.first-1
		}
		p.compact(o.first, o.prevTerm)
	case opEntries:
		p.truncate(o.first)
		for _, r := range o.terms {
			p.terms = appendTerm(p.terms, r.first, r.term)
		}
		p.last = o.first + uint64(o.count) - 1
	}
}

// truncate drops the entries from index on.
func (p *position) truncate(index uint64) {
	if index > p.last {
		return
	}
	n := sort.Search(len(p.terms), func(i int) bool { return p.terms[i].first >= index })
	p.terms = p.terms[:n]
	p.last = index - 1
}

func (p *position) compact(first, prevTerm uint64) {
	p.first, p.prevTerm = first, prevTerm
	p.last = max(p.last, first-1)
	n := sort.Search(len(p.terms), func(i int) bool { return p.terms[i].first > first })
	if n > 0 {
		p.terms = p.terms[n-1:]
		p.terms[0].first = first
	}
	if p.last < first {
		p.terms = nil
	}
}

// resolve takes a write apart into ops and applies them to p. On an error p must be thrown away.
func (p *position) resolve(w *GroupWrite) (ops []op, err error) {
	if w.Group == "" || len(w.Group) > MaxGroupName {
		return nil, &InvalidWriteError{Group: w.Group, Detail: fmt.Sprintf("name of %d bytes, want 1 to %d", len(w.Group), MaxGroupName)}
	}
	if w.Remove {
		if w.HardState != nil || w.Snapshot != nil || len(w.Entries) > 0 || w.Compact != 0 {
			return nil, &InvalidWriteError{Group: w.Group, Detail: "removes the group and writes to it"}
		}
		*p = *newPosition()
		return []op{{kind: opRemove, group: w.Group}}, nil
	}
	for _, step := range [...]func(*position, *GroupWrite) (*op, string){(*position).snapshotOp, (*position).entriesOp, (*position).hardOp, (*position).compactOp} {
		o, refusal := step(p, w)
		if refusal != "" {
			return nil, &InvalidWriteError{Group: w.Group, Detail: refusal}
		}
		if o != nil {
			p.apply(o)
			ops = append(ops, *o)
		}
	}
	return ops, nil
}

func (p *position) stateOp(group string) *op {
	return &op{kind: opState, group: group, hard: p.hard, snap: p.snap, first: p.first, prevTerm: p.prevTerm}
}

func (p *position) snapshotOp(w *GroupWrite) (*op, string) {
	ref := w.Snapshot
	if ref == nil {
		return nil, ""
	}
	if ref.Group != w.Group {
		return nil, fmt.Sprintf("snapshot of group %q", ref.Group)
	}
	if p.snap != nil && ref.Index < p.snap.Index || ref.Index+1 < p.first {
		return nil, fmt.Sprintf("snapshot at index %d, the log begins at %d", ref.Index, p.first)
	}
	if n := proto.Size(ref.ConfState); n > maxConfState || len(ref.Peers) > maxPeers {
		return nil, fmt.Sprintf("snapshot with a configuration of %d and peers of %d bytes", n, len(ref.Peers))
	}
	o := p.stateOp(w.Group)
	o.snap = ref
	if term, err := p.term(ref.Index); err != nil || term != ref.Term {
		if p.hard.GetCommit() > ref.Index {
			return nil, fmt.Sprintf("snapshot at index %d conflicts with committed entries up to %d", ref.Index, p.hard.GetCommit())
		}
		o.reset, o.first, o.prevTerm = true, ref.Index+1, ref.Term
	}
	if p.hard.GetCommit() < ref.Index || p.hard.GetTerm() < ref.Term {
		hard := &raftpb.HardState{Term: proto.Uint64(p.hard.GetTerm()), Vote: proto.Uint64(p.hard.GetVote()),
			Commit: proto.Uint64(max(p.hard.GetCommit(), ref.Index))}
		if p.hard.GetTerm() < ref.Term {
			hard.Term, hard.Vote = proto.Uint64(ref.Term), proto.Uint64(0)
		}
		o.hard = hard
	}
	return o, ""
}

func (p *position) entriesOp(w *GroupWrite) (*op, string) {
	if len(w.Entries) == 0 {
		return nil, ""
	}
	first := w.Entries[0].GetIndex()
	if first < p.first || first > p.last+1 {
		return nil, fmt.Sprintf("entries from %d on, the log is [%d, %d]", first, p.first, p.last)
	}
	if last := first + uint64(len(w.Entries)) - 1; last < p.hard.GetCommit() {
		return nil, fmt.Sprintf("entries [%d, %d] replace committed ones up to %d", first, last, p.hard.GetCommit())
	}
	term, err := p.term(first - 1)
	if err != nil {
		return nil, err.Error()
	}
	for i, e := range w.Entries {
		if e.GetIndex() != first+uint64(i) || e.GetTerm() < term {
			return nil, fmt.Sprintf("entry %d of term %d in the place of entry %d of a term from %d on", e.GetIndex(), e.GetTerm(), first+uint64(i), term)
		}
		if len(e.GetData()) > MaxEntryBytes {
			return nil, fmt.Sprintf("entry %d has %d bytes, at most %d are taken", e.GetIndex(), len(e.GetData()), MaxEntryBytes)
		}
		term = e.GetTerm()
	}
	o := newEntriesOp(opEntries, w.Group, w.Entries)
	return &o, ""
}

func (p *position) hardOp(w *GroupWrite) (*op, string) {
	h := w.HardState
	switch {
	case h == nil:
		return nil, ""
	case h.GetTerm() < p.hard.GetTerm():
		return nil, fmt.Sprintf("term goes back from %d to %d", p.hard.GetTerm(), h.GetTerm())
	case h.GetTerm() == p.hard.GetTerm() && p.hard.GetVote() != 0 && h.GetVote() != p.hard.GetVote():
		return nil, fmt.Sprintf("vote in term %d changes from %x to %x", h.GetTerm(), p.hard.GetVote(), h.GetVote())
	case h.GetCommit() > p.last:
		return nil, fmt.Sprintf("commit %d beyond the log's last index %d", h.GetCommit(), p.last)
	}
	return &op{kind: opHard, group: w.Group, hard: h}, ""
}

func (p *position) compactOp(w *GroupWrite) (*op, string) {
	if w.Compact == 0 || w.Compact < p.first {
		return nil, ""
	}
	if p.snap == nil || w.Compact > p.snap.Index {
		return nil, fmt.Sprintf("compaction up to %d without a snapshot that covers it", w.Compact)
	}
	term, err := p.term(w.Compact)
	if err != nil {
		return nil, fmt.Sprintf("compaction up to %d: %v", w.Compact, err)
	}
	o := p.stateOp(w.Group)
	o.first, o.prevTerm = w.Compact+1, term
	return o, ""
}

// batchPlan resolves a whole Submit against the groups as they stand.
type batchPlan struct {
	ops     []op
	refused []Refused
	after   map[string]*position
	removed map[string]bool // groups of which nothing is left
}

func planBatch(batch []GroupWrite, at func(group string) *position) batchPlan {
	plan := batchPlan{after: make(map[string]*position, len(batch)), removed: make(map[string]bool), ops: make([]op, 0, len(batch))}
	bad := make(map[string]error)
	for i := range batch {
		w := &batch[i]
		if err := bad[w.Group]; err != nil {
			plan.refused = append(plan.refused, Refused{Write: i, Err: err})
			continue
		}
		p := plan.after[w.Group]
		if p == nil {
			p = at(w.Group)
		}
		p = p.clone()
		ops, err := p.resolve(w)
		if err != nil {
			bad[w.Group] = err
			plan.refused = append(plan.refused, Refused{Write: i, Err: err})
			continue
		}
		plan.after[w.Group] = p
		if w.Remove {
			plan.removed[w.Group] = true
		} else if len(ops) > 0 {
			delete(plan.removed, w.Group)
		}
		plan.ops = append(plan.ops, ops...)
	}
	return plan
}
