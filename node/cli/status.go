package cli

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hupe1980/rivven-cluster/node/client"
)

func (a *app) statusCommand() *cobra.Command {
	var o connection
	c := &cobra.Command{
		Use: "status", Short: "Show the cluster as one node sees it: nodes, leader, topics", Args: cobra.NoArgs,
		RunE: o.asking(func(ctx context.Context, c *client.Client, _ []string) error {
			status, err := c.Status(ctx)
			if err != nil {
				return err
			}
			return a.print(status, func(b *bytes.Buffer) { a.statusTables(b, status, nil) })
		}),
	}
	o.flags(c)
	return c
}

// statusTables shows a status; admin, where given, are the nodes' admin addresses.
func (a *app) statusTables(b *bytes.Buffer, s *client.Status, admin map[uint64]string) {
	leader := leaderCell(s.Leader).text
	fmt.Fprintf(b, "cluster %s, leader %s, term %d\n\n", orNone(s.ClusterID), leader, s.Term)
	nodes := table{header: []string{"ID", "NAME", "STATE", "ROLE", "APPLIED", "ADDRESS", "GOSSIP"}}
	if admin != nil {
		nodes.header = append(nodes.header, "ADMIN")
	}
	for _, n := range s.Nodes {
		row := []any{n.ID, n.Name, stateCell(n.State), roleCell(n.RaftRole), n.AppliedIndex, n.Address, n.GossipAddress}
		if admin != nil {
			row = append(row, admin[n.ID])
		}
		nodes.row(row...)
	}
	nodes.write(b, a.color)
	if len(s.Topics) == 0 {
		return
	}
	b.WriteByte('\n')
	topics := table{header: []string{"TOPIC", "PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR"}}
	for _, t := range s.Topics {
		for _, p := range t.Partitions {
			partitionRow(&topics, t.Name, p)
		}
	}
	topics.write(b, a.color)
}

func partitionRow(t *table, topic string, p client.Partition) {
	isr := cell{text: idList(p.ISR)}
	if len(p.ISR) < len(p.Replicas) {
		isr.color = yellow
	}
	t.row(topic, p.Partition, leaderCell(p.Leader), p.LeaderEpoch, idList(p.Replicas), isr)
}

func (a *app) membersCommand() *cobra.Command {
	var o connection
	c := &cobra.Command{
		Use: "members", Short: "Show the membership as one node sees it", Args: cobra.NoArgs,
		RunE: o.asking(func(ctx context.Context, c *client.Client, _ []string) error {
			members, err := c.Members(ctx)
			if err != nil {
				return err
			}
			return a.print(members, func(b *bytes.Buffer) { a.memberTable(b, members) })
		}),
	}
	o.flags(c)
	return c
}

func (a *app) memberTable(b *bytes.Buffer, m *client.Members) {
	t := table{header: []string{"ID", "NAME", "STATE", "ADDRESS", "GOSSIP", "GENERATION", "INCARNATION", "RTT", "TAGS"}}
	for _, n := range m.Members {
		name, rtt := n.Name, "-"
		if n.ID == m.Self {
			name += " (asked)"
		}
		if n.RTTMicros > 0 {
			rtt = (time.Duration(n.RTTMicros) * time.Microsecond).String()
		}
		var tags []string
		for _, k := range slices.Sorted(maps.Keys(n.Tags)) {
			tags = append(tags, k+"="+n.Tags[k])
		}
		t.row(n.ID, name, stateCell(n.State), n.Address, n.GossipAddress, n.Generation, n.Incarnation, rtt, strings.Join(tags, ","))
	}
	t.write(b, a.color)
}

func orNone(s string) string {
	if s == "" {
		return "none yet"
	}
	return s
}
