package membership_test

import (
	"fmt"
	"testing"

	"github.com/hupe1980/rivven-cluster/actors/membership"
)

func TestSnapshotReplacesTheView(t *testing.T) {
	v := membership.View{9: {NodeId: 9}}
	if m := v.Apply(&membership.Snapshot{Members: []*membership.Member{{NodeId: 2}, {NodeId: 1}}}); m != nil {
		t.Fatal("a snapshot speaks of no single member")
	}
	if got := v.Sorted(); len(got) != 2 || got[0].GetNodeId() != 1 || got[1].GetNodeId() != 2 {
		t.Fatal(got)
	}
	if v.Apply("something else") != nil || len(v) != 2 {
		t.Fatal("a foreign message changed the view")
	}
}

func ExampleView() {
	view := membership.View{}
	for _, event := range []any{
		&membership.Snapshot{Self: 1, Members: []*membership.Member{{NodeId: 1, State: membership.State_STATE_ALIVE}}},
		&membership.Joined{Member: &membership.Member{NodeId: 2, State: membership.State_STATE_ALIVE}},
		&membership.Failed{Member: &membership.Member{NodeId: 2, State: membership.State_STATE_DEAD}},
	} {
		view.Apply(event)
	}
	for _, m := range view.Sorted() {
		fmt.Println(m.GetNodeId(), m.GetState(), m.Up())
	}
	// Output:
	// 1 STATE_ALIVE true
	// 2 STATE_DEAD false
}
