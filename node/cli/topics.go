package cli

import (
	"bytes"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hupe1980/rivven-cluster/node/client"
)

func (a *app) topicsCommand() *cobra.Command {
	var o connection
	c := group("topics", "Create, list, describe and delete topics",
		a.topicsCreate(&o), a.topicsList(&o), a.topicsDescribe(&o), a.topicsDelete(&o))
	o.flags(c)
	return c
}

func (a *app) topicsCreate(o *connection) *cobra.Command {
	topic := client.CreateTopic{}
	c := &cobra.Command{
		Use: "create NAME", Short: "Create a topic and assign its partitions", Args: cobra.ExactArgs(1),
		RunE: o.asking(func(ctx context.Context, c *client.Client, args []string) error {
			topic.Name = args[0]
			created, err := c.CreateTopic(ctx, topic)
			if err != nil {
				return err
			}
			return a.print(created, func(b *bytes.Buffer) { a.topicTable(b, *created) })
		}),
	}
	c.Flags().Uint32Var(&topic.Partitions, "partitions", 1, "number of partitions")
	c.Flags().Uint32Var(&topic.ReplicationFactor, "replication-factor", 0, "replicas of each partition; 0: the cluster's default")
	return c
}

func (a *app) topicsList(o *connection) *cobra.Command {
	return &cobra.Command{
		Use: "list [PREFIX]", Short: "List topics", Args: cobra.MaximumNArgs(1),
		RunE: o.asking(func(ctx context.Context, c *client.Client, args []string) error {
			all := client.Topics{Topics: []client.Topic{}}
			for options := (client.ListOptions{Prefix: first(args)}); ; {
				page, err := c.Topics(ctx, options)
				if err != nil {
					return err
				}
				all.Topics = append(all.Topics, page.Topics...)
				if !page.More || len(page.Topics) == 0 {
					break
				}
				options.After = page.Topics[len(page.Topics)-1].Name
			}
			return a.print(all, func(b *bytes.Buffer) {
				t := table{header: []string{"TOPIC", "PARTITIONS", "REPLICATION", "ID"}}
				for _, topic := range all.Topics {
					t.row(topic.Name, len(topic.Partitions), topic.ReplicationFactor, topic.ID)
				}
				t.write(b, a.color)
			})
		}),
	}
}

func (a *app) topicsDescribe(o *connection) *cobra.Command {
	return &cobra.Command{
		Use: "describe NAME", Short: "Show who serves the partitions of a topic", Args: cobra.ExactArgs(1), ValidArgsFunction: o.completeTopics,
		RunE: o.asking(func(ctx context.Context, c *client.Client, args []string) error {
			topic, err := c.Topic(ctx, args[0])
			if err != nil {
				return err
			}
			return a.print(topic, func(b *bytes.Buffer) { a.topicTable(b, *topic) })
		}),
	}
}

func (a *app) topicsDelete(o *connection) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a topic and its partitions", Args: cobra.ExactArgs(1), ValidArgsFunction: o.completeTopics,
		RunE: o.asking(func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.DeleteTopic(ctx, args[0]); err != nil {
				return err
			}
			return a.print(map[string]string{"deleted": args[0]}, func(b *bytes.Buffer) { fmt.Fprintf(b, "topic %s is deleted\n", args[0]) })
		}),
	}
}

func (a *app) topicTable(b *bytes.Buffer, topic client.Topic) {
	t := table{header: []string{"TOPIC", "PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR"}}
	for _, p := range topic.Partitions {
		partitionRow(&t, topic.Name, p)
	}
	t.write(b, a.color)
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
