package logstore

import (
	"fmt"
	"slices"
	"sort"

	"go.etcd.io/raft/v3/raftpb"
)

// run is where a stretch of a group's entries of one term lies.
type run struct {
	first uint64
	term  uint64
	count uint32
	at    location
}

func (r *run) end() uint64 { return r.first + uint64(r.count) }

// boltGroup is what is known in memory of one group: its position, where its entries lie, and the newest of them.
type boltGroup struct {
	*position
	runs []run
	tail []*raftpb.Entry // the newest entries, without a hole up to last

	hardIn, stateIn uint64 // segments of the newest hard state and of the newest state; 0: none
}

// segment is one bucket of records. The oldest is dropped when nothing in it is needed any more.
type segment struct {
	id    uint64
	bytes uint64
	live  uint64 // bytes of entries that a run still covers
}

// index knows all groups and segments. The writer changes it behind a lock, after the disk.
type index struct {
	groups   map[string]*boltGroup
	segments []*segment // by id, without gaps
	lastSeq  uint64

	tailBytes, maxTail int
	arrivals           []arrival // of what may be in a tail, the oldest first
}

type arrival struct {
	group string
	last  uint64
}

func newIndex(maxTail int) *index {
	return &index{groups: make(map[string]*boltGroup), maxTail: maxTail}
}

func (x *index) segment(id uint64) *segment {
	if len(x.segments) == 0 || id < x.segments[0].id || id > x.segments[len(x.segments)-1].id {
		return nil
	}
	return x.segments[id-x.segments[0].id]
}

// idle says whether nothing in a segment is needed any more.
func (x *index) idle(s *segment) bool {
	if s.live > 0 {
		return false
	}
	for _, g := range x.groups {
		if g.hardIn == s.id || g.stateIn == s.id {
			return false
		}
	}
	return true
}

func (x *index) group(name string) *boltGroup {
	g, ok := x.groups[name]
	if !ok {
		g = &boltGroup{position: newPosition()}
		x.groups[name] = g
	}
	return g
}

// apply takes over what an op says of runs and segments. Positions are the caller's.
func (x *index) apply(o *op) {
	if o.kind == opRemove {
		if g, ok := x.groups[o.group]; ok {
			x.dropRuns(g, 0, len(g.runs))
			x.trimTail(g, len(g.tail))
			delete(x.groups, o.group)
		}
		return
	}
	g := x.group(o.group)
	switch o.kind {
	case opHard:
		g.hardIn = o.at.segment
	case opState:
		g.hardIn, g.stateIn = o.at.segment, o.at.segment
		x.applyState(g, o)
	case opEntries:
		x.truncate(g, o.first)
		g.runs = append(g.runs, x.use(o))
		x.addTail(g, o)
	case opCarry:
		x.carry(g, o)
	}
}

func (x *index) applyState(g *boltGroup, o *op) {
	n := sort.Search(len(g.runs), func(i int) bool { return g.runs[i].end() > o.first })
	if o.reset {
		n = len(g.runs)
		x.trimTail(g, len(g.tail))
	}
	x.dropRuns(g, 0, n)
	drop := 0
	for drop < len(g.tail) && g.tail[drop].GetIndex() < o.first {
		drop++
	}
	x.trimTail(g, drop)
}

func (x *index) truncate(g *boltGroup, first uint64) {
	if n := len(g.runs); n == 0 || g.runs[n-1].end() <= first {
		return
	}
	n := sort.Search(len(g.runs), func(i int) bool { return g.runs[i].first >= first })
	x.dropRuns(g, n, len(g.runs))
	if n > 0 && g.runs[n-1].end() > first {
		g.runs[n-1].count = uint32(first - g.runs[n-1].first)
	}
	keep := len(g.tail)
	for keep > 0 && g.tail[keep-1].GetIndex() >= first {
		keep--
		x.tailBytes -= tailSize(g.tail[keep])
		g.tail[keep] = nil
	}
	g.tail = g.tail[:keep]
}

// carry puts a run in the place of the one that holds the same entries in an older segment, or none any more.
func (x *index) carry(g *boltGroup, o *op) {
	end := o.first + uint64(o.count)
	from := sort.Search(len(g.runs), func(i int) bool { return g.runs[i].end() > o.first })
	to := max(from, sort.Search(len(g.runs), func(i int) bool { return g.runs[i].first >= end }))
	for _, r := range g.runs[from:to] {
		x.unuse(r)
	}
	g.runs = slices.Replace(g.runs, from, to, x.use(o))
}

// use is the run of an op; its bytes count as alive from here on, until unuse.
func (x *index) use(o *op) run {
	if s := x.segment(o.at.segment); s != nil {
		s.live += uint64(o.at.bytes)
	}
	return run{first: o.first, term: o.terms[0].term, count: uint32(o.count), at: o.at}
}

func (x *index) unuse(r run) {
	if s := x.segment(r.at.segment); s != nil {
		s.live -= uint64(r.at.bytes)
	}
}

func (x *index) dropRuns(g *boltGroup, from, to int) {
	if from == to {
		return
	}
	for _, r := range g.runs[from:to] {
		x.unuse(r)
	}
	if from == 0 {
		g.runs = g.runs[to:]
		return
	}
	g.runs = append(g.runs[:from], g.runs[to:]...)
}

func tailSize(e *raftpb.Entry) int { return 64 + len(e.GetData()) }

func (x *index) addTail(g *boltGroup, o *op) {
	if len(o.entries) == 0 {
		return
	}
	for _, e := range o.entries {
		x.tailBytes += tailSize(e)
	}
	g.tail = append(g.tail, o.entries...)
	x.arrivals = append(x.arrivals, arrival{o.group, o.first + uint64(o.count) - 1})
	for x.tailBytes > x.maxTail && len(x.arrivals) > 0 {
		a := x.arrivals[0]
		x.arrivals = x.arrivals[1:]
		old, ok := x.groups[a.group]
		if !ok {
			continue
		}
		drop := 0
		for drop < len(old.tail) && old.tail[drop].GetIndex() <= a.last {
			drop++
		}
		x.trimTail(old, drop)
	}
}

func (x *index) trimTail(g *boltGroup, drop int) {
	for i := range drop {
		x.tailBytes -= tailSize(g.tail[i])
		g.tail[i] = nil
	}
	if g.tail = g.tail[drop:]; len(g.tail) == 0 {
		g.tail = nil
	}
}

// replay takes over an op that was read from disk; settle ends a replay.
func (x *index) replay(o *op) {
	x.apply(o)
	switch o.kind {
	case opHard:
		x.groups[o.group].hard = o.hard
	case opState:
		p := x.groups[o.group].position
		p.hard, p.snap, p.first, p.prevTerm = o.hard, o.snap, o.first, o.prevTerm
	}
}

// settle derives the positions from the runs, and finds holes.
func (x *index) settle() error {
	for _, name := range sortedKeys(x.groups) {
		g := x.groups[name]
		g.last, g.terms = g.first-1, nil
		for _, r := range g.runs {
			if r.end() <= g.first {
				continue
			}
			if r.first > g.last+1 {
				return &DamageError{Group: name, Index: g.last + 1, Detail: fmt.Sprintf("entries are missing before index %d", r.first)}
			}
			g.terms = appendTerm(g.terms, max(r.first, g.first), r.term)
			g.last = r.end() - 1
		}
		if g.hard.GetCommit() > g.last {
			return &DamageError{Group: name, Index: g.last + 1, Detail: fmt.Sprintf("committed entries are missing up to index %d", g.hard.GetCommit())}
		}
	}
	return nil
}

// fromTail returns entries [lo, hi) where all of them are in memory.
func (g *boltGroup) fromTail(lo, hi, maxBytes uint64) ([]*raftpb.Entry, bool) {
	if len(g.tail) == 0 || lo < g.tail[0].GetIndex() {
		return nil, false
	}
	first := g.tail[0].GetIndex()
	return limitEntries(nil, g.tail[lo-first:hi-first], maxBytes), true
}

// runsFrom returns the runs that hold [lo, hi), stopping once maxBytes are covered for sure.
func (g *boltGroup) runsFrom(lo, hi, maxBytes uint64) []run {
	from := sort.Search(len(g.runs), func(i int) bool { return g.runs[i].end() > lo })
	var size uint64
	to := from
	for to < len(g.runs) && g.runs[to].first < hi && (to == from || size <= maxBytes) {
		if to > from {
			size += uint64(g.runs[to].at.bytes)
		}
		to++
	}
	return append([]run(nil), g.runs[from:to]...)
}
