package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/node/client"
)

func TestRaftIsOperatedThroughAnyNode(t *testing.T) {
	f := newFleet(t, 3)
	for i := range 3 {
		f.start(i)
	}
	f.ready(f.nodes...)
	until(t, "a write", 10*time.Second, func() error { return put(f.nodes[0], "a", "1") })
	c, err := client.New(client.Config{Addresses: []string{f.nodes[1].AdminAddress()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)

	var g *client.RaftGroup
	until(t, "a status of all replicas", 10*time.Second, func() error {
		var err error
		if g, err = c.RaftGroup(t.Context(), actors.GroupMeta); err != nil {
			return err
		}
		lags := 0
		for _, r := range g.Replicas {
			if r.Lag != nil && r.Lag.Active && r.Lag.Entries == 0 {
				lags++
			}
			if r.Role == client.RoleUnknown || !r.Voter || r.Term != g.Term || r.LastIndex == 0 || r.LogBytes == 0 {
				return fmt.Errorf("%+v", r)
			}
		}
		if len(g.Replicas) != 3 || g.Leader == 0 || lags != 2 {
			return fmt.Errorf("%+v", g)
		}
		return nil
	})
	to := g.Leader%3 + 1
	until(t, "a transfer", 10*time.Second, func() error {
		done, err := c.TransferLeadership(t.Context(), actors.GroupMeta, to)
		if err == nil && done.Leader != to {
			err = fmt.Errorf("%+v", done)
		}
		return err
	})
	var changed *client.RaftMembers
	until(t, "a demotion", 10*time.Second, func() error {
		var err error
		changed, err = c.ChangeRaftMember(t.Context(), actors.GroupMeta, client.RaftDemote, to%3+1, "")
		return err
	})
	if len(changed.Voters) != 2 || len(changed.Learners) != 1 || changed.Learners[0] != to%3+1 {
		t.Fatalf("%+v after node %d was demoted", changed, to%3+1)
	}
	until(t, "the autopilot to fill the voters up again", 30*time.Second, func() error {
		g, err := c.RaftGroup(t.Context(), actors.GroupMeta)
		if err != nil {
			return err
		}
		for _, r := range g.Replicas {
			if !r.Voter {
				return fmt.Errorf("%+v", r)
			}
		}
		return nil
	})
	taken, err := c.TakeSnapshot(t.Context(), actors.GroupMeta)
	if err != nil || taken.Index == 0 {
		t.Fatalf("%+v, %v", taken, err)
	}
	until(t, "the snapshot in the status", 10*time.Second, func() error {
		g, err := c.RaftGroup(t.Context(), actors.GroupMeta)
		if err != nil {
			return err
		}
		for _, r := range g.Replicas {
			if r.NodeID == 2 && (r.SnapshotIndex < taken.Index || r.SnapshotBytes == 0 || r.SnapshotAgeMs < 0) {
				return fmt.Errorf("%+v", r)
			}
		}
		return nil
	})
	n, err := c.Raft(t.Context())
	if err != nil || n.NodeID != 2 || len(n.Groups) != 1 || n.Disk.FileBytes == 0 || n.Disk.LiveBytes == 0 || n.Disk.Batches == 0 || n.Disk.MedianMicro == 0 {
		t.Fatalf("%+v, %v", n, err)
	}
}
