package node_test

import (
	"sync/atomic"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// brokenAfterStart is a store in memory whose first write fails for good.
func brokenAfterStart(reason error) func(node.Config, actors.Env) (node.Storage, error) {
	return func(cfg node.Config, env actors.Env) (node.Storage, error) {
		memory := logstore.NewMemory(logstore.Identity{NodeID: cfg.ID, DirectoryID: env.NewID(), Generation: 1})
		return node.Storage{Store: &brokenStore{Store: memory, reason: reason}, Files: logstore.NewSnapshotMemory()}, nil
	}
}

type brokenStore struct {
	logstore.Store
	reason error
	notify atomic.Pointer[func(logstore.Durable)]
}

func (s *brokenStore) Attach(notify func(logstore.Durable)) { s.notify.Store(&notify) }

func (s *brokenStore) Submit(_ []logstore.GroupWrite, seq uint64) {
	(*s.notify.Load())(logstore.Durable{Seq: seq, Err: s.reason})
}
