package storetest_test

import (
	"fmt"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore/storetest"
)

// A test of one's own writes with the suite's makers and waits for the completion.
func Example() {
	store := logstore.NewMemory(logstore.Identity{NodeID: 1, DirectoryID: actors.ID{1}, Generation: 1})
	store.Attach(func(d logstore.Durable) { fmt.Println("durable:", d.Seq, d.Err) })
	store.Submit([]logstore.GroupWrite{{Group: "meta", Entries: storetest.Entries(1, 1, 3, 16), HardState: storetest.Hard(1, 1, 2)}}, 7)
	state := store.State("meta")
	fmt.Println(state.FirstIndex, state.LastIndex, state.HardState.GetCommit())
	// Output:
	// durable: 7 <nil>
	// 1 3 2
}
