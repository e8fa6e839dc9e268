package raftactor

import (
	"io"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

// slowMachine's snapshots are written when the test lets them.
type slowMachine struct {
	*kv
	writing chan<- struct{}
	release <-chan struct{}
}

type slowData struct {
	io.WriterTo
	m *slowMachine
}

func (m *slowMachine) Snapshot() (io.WriterTo, error) {
	data, err := m.kv.Snapshot()
	return &slowData{data, m}, err
}

func (d *slowData) WriteTo(w io.Writer) (int64, error) {
	d.m.writing <- struct{}{}
	<-d.m.release
	return d.WriterTo.WriteTo(w)
}

// While a snapshot is being written the group commits, applies and answers; what the snapshot holds is of its own index all the same.
func TestSnapshotIsWrittenWithoutBlockingTheGroup(t *testing.T) {
	writing, release := make(chan struct{}, 1), make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	t.Cleanup(free)
	nodes := liveCluster(t, 1, func(c *Config) {
		c.Machine = func() consensus.Machine { return &slowMachine{newKV(nil), writing, release} }
	})
	n := nodes[0]
	if _, ok := n.do(consensus.NewPropose(text("set a before"))).(*consensus.Proposed); !ok {
		t.Fatal("no write")
	}
	taking := n.Root.RequestFuture(n.group, &consensus.TakeSnapshot{}, time.Minute)
	<-writing
	var last uint64
	for i := range 100 {
		done, ok := n.do(consensus.NewPropose(text("set a during%d", i))).(*consensus.Proposed)
		if !ok {
			t.Fatal("a write was held up")
		}
		last = done.GetIndex()
	}
	if answer, err := consensus.Result[*wrapperspb.StringValue](n.do(consensus.NewQuery(text("a"))), nil); err != nil || answer.GetValue() != "during99" {
		t.Fatalf("%v, %v", answer, err)
	}
	free()
	res, err := taking.Result()
	taken, ok := res.(*consensus.SnapshotTaken)
	if err != nil || !ok || taken.GetIndex() >= last {
		t.Fatalf("snapshot of index %d, the last write was at %d, %v", taken.GetIndex(), last, err)
	}
}
