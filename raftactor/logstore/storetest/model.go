package storetest

import (
	"fmt"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// model is the naive store of one group: a slice.
type model struct {
	hard     *raftpb.HardState
	snap     *logstore.SnapshotRef
	first    uint64
	prevTerm uint64
	log      []*raftpb.Entry
}

func (m *model) last() uint64 { return m.first + uint64(len(m.log)) - 1 }

func (m *model) term(i uint64) uint64 {
	if i+1 == m.first {
		return m.prevTerm
	}
	return m.log[i-m.first].GetTerm()
}

// write draws what a group may write next, and applies it to the model.
func (m *model) write(t *rapid.T, group string) logstore.GroupWrite {
	w := logstore.GroupWrite{Group: group}
	commit, term := m.hard.GetCommit(), max(m.hard.GetTerm(), m.term(m.last()))
	switch rapid.SampledFrom([]string{"append", "append", "append", "conflict", "hard", "snapshot", "install", "compact", "remove"}).Draw(t, "what") {
	case "append":
		m.append(t, &w, m.last()+1, term+uint64(rapid.IntRange(0, 1).Draw(t, "term")))
	case "conflict":
		m.append(t, &w, max(m.first, commit+1), term+1)
	case "hard":
		m.hard = Hard(term+1, uint64(rapid.IntRange(0, 3).Draw(t, "vote")), max(commit, m.last()))
		w.HardState = m.hard
	case "snapshot":
		if commit+1 > m.first && (m.snap == nil || commit >= m.snap.Index) {
			m.snap = Snapshot(group, commit, m.term(commit))
			w.Snapshot = m.snap
		}
	case "install":
		m.snap = Snapshot(group, m.last()+uint64(rapid.IntRange(1, 5).Draw(t, "beyond")), term+1)
		w.Snapshot = m.snap
		m.hard = Hard(term+1, 0, m.snap.Index)
		m.first, m.prevTerm, m.log = m.snap.Index+1, m.snap.Term, nil
	case "compact":
		if m.snap != nil && m.snap.Index >= m.first {
			w.Compact = rapid.Uint64Range(m.first, m.snap.Index).Draw(t, "compact")
			m.prevTerm = m.term(w.Compact)
			m.log = m.log[w.Compact+1-m.first:]
			m.first = w.Compact + 1
		}
	case "remove":
		if rapid.IntRange(0, 4).Draw(t, "really") == 0 {
			w.Remove = true
			*m = model{first: 1}
		}
	}
	return w
}

func (m *model) append(t *rapid.T, w *logstore.GroupWrite, first, term uint64) {
	w.Entries = Entries(first, term, rapid.IntRange(1, 20).Draw(t, "n"), rapid.SampledFrom([]int{0, 10, 300, 5000}).Draw(t, "size"))
	m.log = append(m.log[:first-m.first:first-m.first], w.Entries...)
}

func (m *model) compare(s logstore.Store, group string) error {
	got := s.State(group)
	if m.hard == nil && m.snap == nil && len(m.log) == 0 && got.FirstIndex == 0 {
		return nil
	}
	if got.FirstIndex != m.first || got.LastIndex != m.last() || !proto.Equal(got.HardState, m.hard) || (got.Snapshot == nil) != (m.snap == nil) {
		return fmt.Errorf("group %q: %+v, want [%d, %d] %v", group, got, m.first, m.last(), m.hard)
	}
	if m.snap != nil && (got.Snapshot.Index != m.snap.Index || got.Snapshot.Term != m.snap.Term) {
		return fmt.Errorf("group %q: snapshot %+v, want %+v", group, got.Snapshot, m.snap)
	}
	if term, err := s.Term(group, m.first-1); err != nil || term != m.prevTerm {
		return fmt.Errorf("group %q: term before the log %d, %w, want %d", group, term, err, m.prevTerm)
	}
	if len(m.log) == 0 {
		return nil
	}
	entries, err := s.Entries(group, m.first, m.last()+1, 1<<62)
	if err != nil {
		return err
	}
	for i := m.first; i <= m.last(); i++ {
		if term, err := s.Term(group, i); err != nil || term != m.term(i) {
			return fmt.Errorf("group %q: term of %d is %d, %w, want %d", group, i, term, err, m.term(i))
		}
	}
	return sameEntries(entries, m.log)
}

// History draws writes of several groups that a store must take.
type History struct {
	groups []string
	models map[string]*model
}

// NewHistory begins with empty groups.
func NewHistory(groups ...string) *History {
	h := &History{groups: groups, models: make(map[string]*model, len(groups))}
	for _, g := range groups {
		h.models[g] = &model{first: 1}
	}
	return h
}

// Batch draws what some of the groups write next.
func (h *History) Batch(t *rapid.T) []logstore.GroupWrite {
	var batch []logstore.GroupWrite
	for range rapid.IntRange(1, 4).Draw(t, "writes") {
		g := rapid.SampledFrom(h.groups).Draw(t, "group")
		batch = append(batch, h.models[g].write(t, g))
	}
	return batch
}

// Compare says where a store differs from what was drawn.
func (h *History) Compare(s logstore.Store) error {
	for _, g := range h.groups {
		if err := h.models[g].compare(s, g); err != nil {
			return err
		}
	}
	return nil
}

func testModel(t *testing.T, open func(t *testing.T) *Target) {
	rapid.Check(t, func(rt *rapid.T) {
		r := &rig{t: t, target: open(t)}
		r.use(r.target.Store)
		defer func() { _ = r.store.Close() }()
		history := NewHistory("a", "b", "c")
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			batch := history.Batch(rt)
			if d := r.submit(batch...); d.Err != nil || len(d.Refused) > 0 {
				rt.Fatalf("%+v for %+v", d, batch)
			}
			switch rapid.IntRange(0, 9).Draw(rt, "then") {
			case 0:
				if r.target.Reopen != nil {
					r.use(r.target.Reopen())
				}
			case 1:
				if r.target.Crash != nil {
					r.use(r.target.Crash())
				}
			}
			if err := history.Compare(r.store); err != nil {
				rt.Fatal(err)
			}
		}
	})
}
