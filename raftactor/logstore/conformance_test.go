package logstore_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) *storetest.Target {
		return &storetest.Target{Store: logstore.NewMemory(logstore.Identity{NodeID: 1, DirectoryID: actors.ID{1}, Generation: 1})}
	})
}

// TestBolt has small segments and a small tail, so that rolling, carrying, dropping and reading from disk all happen.
func TestBolt(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *storetest.Target {
		return boltTarget(t, logstore.BoltOptions{NodeID: 1, DirectoryID: actors.ID{1}, SegmentBytes: 4000, TailBytes: 2000, PreallocateBytes: 64 << 10})
	})
}

func TestBoltWithDefaults(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *storetest.Target {
		return boltTarget(t, logstore.BoltOptions{NodeID: 1, DirectoryID: actors.ID{1}, PreallocateBytes: 64 << 10})
	})
}

func boltTarget(t *testing.T, opts logstore.BoltOptions) *storetest.Target {
	dir, err := os.MkdirTemp(t.TempDir(), "store")
	if err != nil {
		t.Fatal(err)
	}
	open := func() logstore.Store {
		s, err := logstore.OpenBolt(dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	target := &storetest.Target{Store: open()}
	store := target.Store
	target.Reopen = func() logstore.Store {
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		store = open()
		return store
	}
	// A killed process leaves what it wrote in the page cache: a copy of the file is what its successor finds.
	target.Crash = func() logstore.Store {
		next := dir + "+"
		if err := os.Mkdir(next, 0o700); err != nil {
			t.Fatal(err)
		}
		copyFile(t, filepath.Join(dir, logstore.DatabaseFile), filepath.Join(next, logstore.DatabaseFile))
		_ = store.Close()
		dir = next
		store = open()
		return store
	}
	return target
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
