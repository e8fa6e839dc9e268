package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hupe1980/rivven-cluster/node/client"
)

// metaGroup is the group that every cluster has.
const metaGroup = "meta"

func (a *app) raftCommand() *cobra.Command {
	var o connection
	c := group("raft", "Look at Raft groups, move their leadership, take snapshots", a.raftStatus(&o), a.raftTransfer(&o), a.raftSnapshot(&o),
		a.raftMember(&o, client.RaftAddLearner, "Add a node's replica to a group (default meta) as a learner"),
		a.raftMember(&o, client.RaftPromote, "Give a learner a vote"),
		a.raftMember(&o, client.RaftDemote, "Make a voter a learner"),
		a.raftMember(&o, client.RaftRemove, "Remove a node's replica; stop the node first, or the autopilot adds it again"))
	o.flags(c)
	return c
}

// raftOverview is what raft status shows: a node's groups and disk, and the replicas of one group.
type raftOverview struct {
	Node  *client.RaftNode  `json:"node"`
	Group *client.RaftGroup `json:"group"`
}

func groupArg(args []string) string {
	if len(args) == 0 {
		return metaGroup
	}
	return args[0]
}

func (a *app) raftStatus(o *connection) *cobra.Command {
	return &cobra.Command{
		Use: "status [GROUP]", Short: "Show the replicas of a group (default meta): log, lag, snapshot, disk", Args: cobra.MaximumNArgs(1),
		RunE: o.asking(func(ctx context.Context, c *client.Client, args []string) error {
			node, err := c.Raft(ctx)
			if err != nil {
				return err
			}
			g, err := c.RaftGroup(ctx, groupArg(args))
			if err != nil {
				return err
			}
			return a.print(raftOverview{node, g}, func(b *bytes.Buffer) { a.raftTables(b, node, g) })
		}),
	}
}

func (a *app) raftTables(b *bytes.Buffer, n *client.RaftNode, g *client.RaftGroup) {
	fmt.Fprintf(b, "group %s, leader %s, term %d\n\n", g.Group, leaderCell(g.Leader).text, g.Term)
	t := table{header: []string{"NODE", "ROLE", "VOTER", "TERM", "COMMIT", "APPLIED", "LOG", "BYTES", "LAG", "BEHIND FOR", "SNAPSHOT", "AGE", "DISK"}}
	for _, r := range g.Replicas {
		lag, behind := "-", "-"
		if r.Lag != nil {
			lag, behind = fmt.Sprint(r.Lag.Entries), millis(r.Lag.Ms)
			if r.Lag.Snapshotting {
				lag += " (snapshot)"
			}
		}
		t.row(r.NodeID, roleCell(r.Role), r.Voter, r.Term, r.Commit, r.Applied, fmt.Sprintf("%d-%d", r.FirstIndex, r.LastIndex), r.LogBytes,
			lag, behind, r.SnapshotIndex, age(r.SnapshotAgeMs), diskCell(r))
	}
	t.write(b, a.color)
	for _, r := range g.Replicas {
		if r.Halted != "" {
			fmt.Fprintf(b, "\nnode %d halted: %s\n", r.NodeID, r.Halted)
		}
	}
	d := n.Disk
	fmt.Fprintf(b, "\ndisk of node %d: file %d bytes, %d live, %d queued; %d batches, fsync %s median, %s p99, %s worst\n", n.NodeID,
		d.FileBytes, d.LiveBytes, d.QueuedBytes, d.Batches, micros(d.MedianMicro), micros(d.P99Micro), micros(d.WorstMicro))
	if d.Error != "" {
		fmt.Fprintf(b, "the log store stopped: %s\n", d.Error)
	}
	fmt.Fprintf(b, "groups of node %d: %s\n", n.NodeID, strings.Join(n.Groups, " "))
}

func millis(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() }
func micros(us int64) string { return (time.Duration(us) * time.Microsecond).String() }

func age(ms int64) string {
	if ms < 0 {
		return "-"
	}
	return millis(ms)
}

// diskCell shows a write that hangs.
func diskCell(r client.RaftReplica) cell {
	switch {
	case r.Halted != "":
		return cell{"halted", red}
	case r.Role == client.RoleUnknown:
		return cell{text: "-"}
	case r.WriteMs > 0:
		return cell{"waits " + millis(r.WriteMs), yellow}
	}
	return cell{text: "ok"}
}

func (a *app) raftTransfer(o *connection) *cobra.Command {
	var to uint64
	c := &cobra.Command{
		Use: "transfer [GROUP]", Short: "Hand a group's leadership (default meta's) to another voter", Args: cobra.MaximumNArgs(1),
		RunE: o.asking(func(ctx context.Context, c *client.Client, args []string) error {
			done, err := c.TransferLeadership(ctx, groupArg(args), to)
			if err != nil {
				return err
			}
			return a.print(done, func(b *bytes.Buffer) {
				fmt.Fprintf(b, "node %d leads group %s in term %d\n", done.Leader, groupArg(args), done.Term)
			})
		}),
	}
	c.Flags().Uint64Var(&to, "to", 0, "node that shall lead; without it the voter that is caught up best")
	return c
}

func (a *app) raftSnapshot(o *connection) *cobra.Command {
	return &cobra.Command{
		Use: "snapshot [GROUP]", Short: "Make the node that is asked take a snapshot of its replica (default meta's)", Args: cobra.MaximumNArgs(1),
		RunE: o.asking(func(ctx context.Context, c *client.Client, args []string) error {
			taken, err := c.TakeSnapshot(ctx, groupArg(args))
			if err != nil {
				return err
			}
			return a.print(taken, func(b *bytes.Buffer) {
				fmt.Fprintf(b, "group %s has a snapshot of index %d\n", groupArg(args), taken.Index)
			})
		}),
	}
}

func (a *app) raftMember(o *connection, change client.RaftChange, short string) *cobra.Command {
	var node uint64
	var replica string
	c := &cobra.Command{
		Use: string(change) + " [GROUP]", Short: short, Args: cobra.MaximumNArgs(1),
		RunE: o.asking(func(ctx context.Context, c *client.Client, args []string) error {
			done, err := c.ChangeRaftMember(ctx, groupArg(args), change, node, replica)
			if err != nil {
				return err
			}
			return a.print(done, func(b *bytes.Buffer) {
				fmt.Fprintf(b, "group %s: voters %v, learners %v\n", groupArg(args), done.Voters, done.Learners)
			})
		}),
	}
	c.Flags().Uint64Var(&node, "node", 0, "the node's id")
	c.Flags().StringVar(&replica, "replica", "", "its replica, where it has several in the group")
	_ = c.MarkFlagRequired("node")
	return c
}
