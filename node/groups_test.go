package node_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/raftactor"
)

// A group of an app's own comes and goes while the node runs, and leaves nothing behind: one of the same name begins anew.
func TestGroupsAreAddedAndRemovedAtRunTime(t *testing.T) {
	f := newFleet(t, 1)
	n := f.start(0)
	f.ready(n)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	add := func() *actor.PID {
		props, err := raftactor.Props(raftactor.Config{
			Group: "counter", Machine: func() consensus.Machine { return &counter{} }, Store: n.Store(), Peers: n.Peers(), Membership: n.Swim(),
		})
		if err != nil {
			t.Fatal(err)
		}
		pid, err := n.System().Root.SpawnNamed(props, "counter")
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	for range 2 {
		pid := add()
		sum, err := consensus.Result[*wrapperspb.Int64Value](live.Ask(ctx, n.System(), pid, consensus.NewPropose(wrapperspb.Int64(7))))
		if err != nil || sum.GetValue() != 7 {
			t.Fatalf("the sum is %v, want 7 of a fresh group: %v", sum, err)
		}
		if _, err := consensus.Reply[*consensus.SnapshotTaken](live.Ask(ctx, n.System(), pid, &consensus.TakeSnapshot{})); err != nil {
			t.Fatal(err)
		}
		ref := n.Store().Reader.State("counter").Snapshot
		file, err := n.Store().Files.Open(*ref)
		if err != nil {
			t.Fatal(err)
		}
		_ = file.Close()
		if err := n.RemoveGroup(ctx, "counter"); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(n.Store().Reader.Groups(), "counter") {
			t.Fatal("its log is still there")
		}
		if _, err := n.Store().Files.Open(*ref); err == nil {
			t.Fatal("its snapshot is still there")
		}
	}
	if err := n.RemoveGroup(ctx, "counter"); err != nil {
		t.Fatalf("of a group that is gone: %v", err)
	}
	if err := n.RemoveGroup(ctx, "meta"); err == nil {
		t.Fatal("the node's own group was removed")
	}
}
