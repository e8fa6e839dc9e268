package logstore_test

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore/storetest"
)

// A log survives its process: what was durable is there when the directory is opened again.
func ExampleOpenBolt() {
	dir, err := os.MkdirTemp("", "logstore")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	opts := logstore.BoltOptions{NodeID: 1, DirectoryID: actors.ID{0xab}, NowMs: 1}

	store, err := logstore.OpenBolt(dir, opts)
	if err != nil {
		fmt.Println(err)
		return
	}
	durable := make(chan logstore.Durable, 1)
	store.Attach(func(d logstore.Durable) { durable <- d })
	store.Submit([]logstore.GroupWrite{
		{Group: "meta", Entries: storetest.Entries(1, 1, 3, 16), HardState: storetest.Hard(1, 1, 2)},
		{Group: "orders", HardState: storetest.Hard(4, 2, 0)},
	}, 1)
	fmt.Println("error:", (<-durable).Err)
	_ = store.Close()

	if store, err = logstore.OpenBolt(dir, opts); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = store.Close() }()
	fmt.Println(store.Groups(), store.State("meta").LastIndex, store.State("orders").HardState.GetTerm())
	entries, err := store.Entries("meta", 2, 4, 1<<20)
	fmt.Println(len(entries), strings.TrimRight(string(entries[0].GetData()), "\x00"), err)
	// Output:
	// error: <nil>
	// [meta orders] 3 4
	// 2 1/2 <nil>
}

// A snapshot file appears when it is complete, and is checked when it is opened.
func ExampleNewSnapshotMemory() {
	files := logstore.NewSnapshotMemory()
	w, err := files.Create(logstore.SnapshotRef{Group: "meta", Index: 40, Term: 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _ = io.WriteString(w, "the state at index 40")
	ref, err := w.Commit()
	fmt.Println(ref.Size, err)
	refs, _ := files.List("meta")
	fmt.Println(len(refs), refs[0].Index)
	// Output:
	// 21 <nil>
	// 1 40
}
