package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/raftactor"
)

// addCounter spawns a group of an app's own on a node.
func (f *fleet) addCounter(n *node.Node) *actor.PID {
	f.t.Helper()
	props, err := raftactor.Props(raftactor.Config{
		Group: "counter", Machine: func() consensus.Machine { return &counter{} }, Store: n.Store(), Peers: n.Peers(), Membership: n.Swim(),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	pid, err := n.System().Root.SpawnNamed(props, "counter")
	if err != nil {
		f.t.Fatal(err)
	}
	return pid
}

// A group of an app's own comes and goes while the node runs, and leaves nothing behind: one of the same name begins anew.
func TestGroupsAreAddedAndRemovedAtRunTime(t *testing.T) {
	f := newFleet(t, 1)
	n := f.start(0)
	f.ready(n)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for range 2 {
		pid := f.addCounter(n)
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

// A node whose vote the others count can't forget it: not as leader, not as follower, and not once its replica was stopped.
func TestGroupIsNotRemovedWhileItsReplicaVotes(t *testing.T) {
	f := newFleet(t, 3)
	for i := range f.nodes {
		f.start(i)
	}
	f.ready(f.nodes...)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	pids := make([]*actor.PID, len(f.nodes))
	for i, n := range f.nodes {
		pids[i] = f.addCounter(n)
	}
	add := func(i int) error {
		_, err := consensus.Result[*wrapperspb.Int64Value](live.Ask(ctx, f.nodes[i].System(), pids[i], consensus.NewPropose(wrapperspb.Int64(1))))
		return err
	}
	if err := add(0); err != nil {
		t.Fatal(err)
	}
	refused := func(i int) {
		t.Helper()
		var voter *node.StillVoterError
		if err := f.nodes[i].RemoveGroup(ctx, "counter"); !errors.As(err, &voter) || len(voter.Voters) != 3 {
			t.Fatalf("node %d: %v", i+1, err)
		}
		if !slices.Contains(f.nodes[i].Store().Reader.Groups(), "counter") {
			t.Fatal("its log is gone")
		}
	}
	for i := range f.nodes {
		refused(i)
		if err := add(i); err != nil {
			t.Fatalf("after a refusal: %v", err)
		}
	}
	out := 2
	if err := f.nodes[out].System().Root.StopFuture(pids[out]).Wait(); err != nil {
		t.Fatal(err)
	}
	refused(out) // what is on its disk still counts

	own := voterOf(t, f.nodes[0], pids[0], uint64(out+1))
	change := &consensus.ChangeMembership{Changes: []*consensus.Change{{Kind: consensus.ChangeKind_CHANGE_KIND_REMOVE, Peer: &consensus.Peer{Replica: own}}}}
	until(t, "the replica is no member", 30*time.Second, func() error { // the leader may have been the one that was stopped
		_, err := consensus.Reply[*consensus.MembershipChanged](live.Ask(ctx, f.nodes[0].System(), pids[0], change))
		if voterOf(t, f.nodes[0], pids[0], uint64(out+1)) == 0 {
			return nil
		}
		return fmt.Errorf("it still votes: %w", err)
	})
	until(t, "the replica is removed, although it never heard of it", 30*time.Second, func() error {
		err := f.nodes[out].RemoveGroup(ctx, "counter")
		if voter, ok := errors.AsType[*node.StillVoterError](err); ok && voter.Leader != nil {
			t.Fatal(err) // between two leaders nobody can tell
		}
		return err
	})
	if slices.Contains(f.nodes[out].Store().Reader.Groups(), "counter") {
		t.Fatal("its log is still there")
	}
	if err := add(1); err != nil {
		t.Fatal(err)
	}
	for _, n := range f.nodes[:2] {
		if err := n.EndGroup(ctx, "counter"); err != nil || slices.Contains(n.Store().Reader.Groups(), "counter") {
			t.Fatalf("ended: %v", err)
		}
		if err := n.EndGroup(ctx, "meta"); err == nil {
			t.Fatal("the node's own group was ended")
		}
	}
}

func statusOf(n *node.Node, pid *actor.PID) (*consensus.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return consensus.Reply[*consensus.Status](live.Ask(ctx, n.System(), pid, &consensus.GetStatus{}))
}

// voterOf is the replica of a node that votes, as a group's status tells it; zero where none does.
func voterOf(t *testing.T, n *node.Node, pid *actor.PID, id uint64) uint64 {
	t.Helper()
	status, err := statusOf(n, pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range status.GetVoters() {
		if v.GetNodeId() == id {
			return v.GetReplica()
		}
	}
	return 0
}
