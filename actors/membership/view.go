package membership

import "sort"

// View is what a subscriber knows, by node id.
type View map[uint64]*Member

// Apply folds a Snapshot or an event into the view and returns the member that it spoke of; nil for a snapshot and
// for anything else.
func (v View) Apply(event any) *Member {
	switch e := event.(type) {
	case *Snapshot:
		clear(v)
		for _, m := range e.GetMembers() {
			v[m.GetNodeId()] = m
		}
		return nil
	case interface{ GetMember() *Member }:
		m := e.GetMember()
		if m != nil {
			v[m.GetNodeId()] = m
		}
		return m
	}
	return nil
}

// Sorted returns the members by node id.
func (v View) Sorted() []*Member {
	out := make([]*Member, 0, len(v))
	for _, m := range v {
		out = append(out, m)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].GetNodeId() < out[j].GetNodeId() })
	return out
}

// Up reports whether the member counts as there: alive, or suspect and not yet dead.
func (m *Member) Up() bool {
	return m.GetState() == State_STATE_ALIVE || m.GetState() == State_STATE_SUSPECT
}
