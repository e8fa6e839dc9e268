package node

import (
	"context"
	"fmt"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// RemoveGroup stops this node's replica of an app's own group, waits until it is gone, and removes its log and snapshots. A group that
// doesn't run here any more loses what is left of it on disk. ctx bounds it; tried again, it goes on where it was.
//
// A replica that forgets its votes while the others still count it can break their promises. So the replica must have been removed from the
// group's members (consensus.ChangeMembership), or be its only voter: otherwise the answer is a [*StillVoterError] and nothing has changed.
// Nobody may make it a voter again meanwhile. Where the group ends on every node, see [Node.EndGroup].
func (n *Node) RemoveGroup(ctx context.Context, group string) error {
	if err := n.notOwn(group); err != nil {
		return err
	}
	if err := n.mayForget(ctx, group); err != nil {
		return err
	}
	return n.dropGroup(ctx, group)
}

// EndGroup is RemoveGroup without its question whether others count this replica's vote: for a group that ends on every node and whose
// name isn't used again. While it runs on other nodes and has this replica as a voter, writes that were acknowledged may be lost.
func (n *Node) EndGroup(ctx context.Context, group string) error {
	if err := n.notOwn(group); err != nil {
		return err
	}
	return n.dropGroup(ctx, group)
}

func (n *Node) notOwn(group string) error {
	if group == n.opts.group {
		return fmt.Errorf("group %s is the node's own: stop the node instead", group)
	}
	return nil
}

func (n *Node) dropGroup(ctx context.Context, group string) error {
	pid := n.system.NewLocalPID(actors.RaftName(group))
	if _, runs := n.system.ProcessRegistry.GetLocal(pid.Id); runs {
		if err := n.system.Root.StopFuture(pid).Wait(); err != nil {
			return fmt.Errorf("stop group %s: %w", group, err)
		}
	}
	store := n.Store()
	if _, err := live.Ask(ctx, n.System(), store.Writer, &logstore.Open{Group: group}); err != nil { // whatever it had refused is over
		return fmt.Errorf("remove the log of group %s: %w", group, err)
	}
	res, err := live.Ask(ctx, n.System(), store.Writer, &logstore.Write{GroupWrite: logstore.GroupWrite{Group: group, Remove: true}})
	if written, ok := res.(*logstore.Written); err == nil && ok {
		err = written.Err
	}
	if err != nil {
		return fmt.Errorf("remove the log of group %s: %w", group, err)
	}
	res, err = live.Ask(ctx, n.System(), store.Snapshots, &logstore.RemoveSnapshots{Group: group})
	if removed, ok := res.(*logstore.SnapshotsRemoved); err == nil && ok {
		err = removed.Err
	}
	if err != nil {
		return fmt.Errorf("remove the snapshots of group %s: %w", group, err)
	}
	return nil
}
