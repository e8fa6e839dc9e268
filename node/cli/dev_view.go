package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hupe1980/rivven-cluster/node/client"
)

// settled says what the cluster still lacks; nil where it lacks nothing.
func (c *cluster) settled(s *client.Status) error {
	replicas := min(3, c.options.nodes)
	leaders := 0
	led := map[uint64]int{}
	for _, n := range s.Nodes {
		if n.State != client.StateAlive {
			return fmt.Errorf("node %d is %s", n.ID, n.State)
		}
		if n.RaftRole == client.RoleUnknown {
			return fmt.Errorf("node %d does not answer", n.ID)
		}
		if n.RaftRole == client.RoleLeader {
			leaders++
		}
		led[n.ID] = 0
	}
	switch {
	case len(s.Nodes) != c.options.nodes:
		return fmt.Errorf("%d of %d nodes are known", len(s.Nodes), c.options.nodes)
	case s.Leader == 0 || leaders != 1:
		return fmt.Errorf("%d nodes lead", leaders)
	}
	topic := topicIn(s, c.options.topic)
	if topic == nil {
		return fmt.Errorf("topic %s is not created", c.options.topic)
	}
	for _, p := range topic.Partitions {
		if p.Leader == 0 {
			return fmt.Errorf("partition %d has no leader", p.Partition)
		}
		if len(p.Replicas) != replicas || len(p.ISR) != replicas {
			return fmt.Errorf("partition %d has %d replicas of %d, %d in sync", p.Partition, len(p.Replicas), replicas, len(p.ISR))
		}
		led[p.Leader]++
	}
	least, most := len(topic.Partitions), 0
	for _, n := range led {
		least, most = min(least, n), max(most, n)
	}
	if most-least > 1 {
		return fmt.Errorf("one node leads %d partitions, another %d", most, least)
	}
	return nil
}

func topicIn(s *client.Status, name string) *client.TopicStatus {
	for i := range s.Topics {
		if s.Topics[i].Name == name {
			return &s.Topics[i]
		}
	}
	return nil
}

// createTopic goes on until the topic is there.
func (c *cluster) createTopic(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, devFormTimeout)
	defer cancel()
	for {
		_, err := c.client.CreateTopic(ctx, client.CreateTopic{
			Name: c.options.topic, Partitions: c.options.partitions, ReplicationFactor: uint32(min(3, c.options.nodes)),
		})
		switch {
		case err == nil, errors.Is(err, client.CodeAlreadyExists):
			return nil
		case errors.Is(err, client.CodeInvalid):
			return err
		}
		if stopped := c.wait(ctx, devPoll); stopped != nil {
			return fmt.Errorf("create topic %s: %w: %w%s", c.options.topic, stopped, err, c.hint())
		}
	}
}

// hint says where to look.
func (c *cluster) hint() string {
	if c.options.verbose {
		return ""
	}
	if c.options.ephemeral {
		return "\nrun with -v to see the nodes' logs"
	}
	return "\nsee node.log in the directories below " + c.options.dataDir
}

// wait returns after d, or why there is nothing more to wait for.
func (c *cluster) wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case err := <-c.failed:
		if err == nil {
			err = errors.New("a node stopped")
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sample prints the status once: when the time is over, or without a time as soon as the cluster has settled. ctx ends at
// that time.
func (c *cluster) sample(ctx context.Context, a *app) error {
	grace, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	deadline, timed := ctx.Deadline()
	if timed {
		var cancel context.CancelFunc
		grace, cancel = context.WithDeadline(grace, deadline.Add(devSettleGrace))
		defer cancel()
		// Interrupted before the time, it does not go on.
		defer context.AfterFunc(ctx, func() {
			if errors.Is(ctx.Err(), context.Canceled) {
				cancel()
			}
		})()
	} else {
		grace = ctx
	}
	if err := c.createTopic(grace); err != nil {
		return err
	}
	if timed {
		if err := c.wait(ctx, time.Until(deadline)+devPoll); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	status, lacks := c.settle(grace)
	if status != nil {
		if err := a.print(status, nil); err != nil {
			return err
		}
	}
	if lacks != nil {
		return &client.Error{Code: client.CodeNotReady, Message: fmt.Sprintf("the cluster did not settle: %v%s", lacks, c.hint()), Cause: lacks}
	}
	if !timed {
		if err := c.wait(ctx, 1<<62); !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return nil
}

// settle waits until the cluster lacks nothing, and returns the last status and what it lacked.
func (c *cluster) settle(ctx context.Context) (*client.Status, error) {
	var last *client.Status
	for {
		status, err := c.client.Status(ctx)
		if err == nil {
			last = status
			if err = c.settled(status); err == nil {
				return last, nil
			}
		}
		if stopped := c.wait(ctx, devPoll); stopped != nil {
			return last, err
		}
	}
}

// show draws the status until ctx ends.
func (c *cluster) show(ctx context.Context, a *app) error {
	live := terminal(a.out)
	created := make(chan error, 1)
	go func() { created <- c.createTopic(ctx) }()
	drawn, before := 0, ""
	for {
		select {
		case err := <-created:
			if err != nil && ctx.Err() == nil {
				return err
			}
			created = nil
		default:
		}
		text, key := c.picture(ctx, a, live)
		if ctx.Err() == nil && key != before {
			var b bytes.Buffer
			if live && drawn > 0 {
				fmt.Fprintf(&b, "\x1b[%dA\x1b[J", drawn)
			} else if drawn > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(text)
			if _, err := a.out.Write(b.Bytes()); err != nil {
				return err
			}
			drawn, before = bytes.Count([]byte(text), []byte("\n")), key
		}
		if err := c.wait(ctx, devDraw); err != nil {
			if ctx.Err() != nil {
				return c.verdict(ctx)
			}
			return fmt.Errorf("%w%s", err, c.hint())
		}
	}
}

// verdict of a run that ended by time: a cluster that never formed is a failure. One that was interrupted has none.
func (c *cluster) verdict(ctx context.Context) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), devSettleGrace)
	defer cancel()
	if _, lacks := c.settle(ctx); lacks != nil {
		return &client.Error{Code: client.CodeNotReady, Message: fmt.Sprintf("the cluster did not settle: %v%s", lacks, c.hint()), Cause: lacks}
	}
	return nil
}

// picture is the status, or why there is none yet, and a key that changes when it is worth drawing again: indexes that rise all
// the time are worth it on a terminal alone.
func (c *cluster) picture(ctx context.Context, a *app, live bool) (text, key string) {
	status, err := c.client.Status(ctx)
	draw := func() string {
		var b bytes.Buffer
		if err == nil {
			a.statusTables(&b, status, c.admin)
		} else {
			fmt.Fprintf(&b, "forming a cluster of %d nodes: %v\n", c.options.nodes, err)
		}
		fmt.Fprintf(&b, "\nstate in %s, stop with Ctrl-C\n", c.options.dataDir)
		return b.String()
	}
	text = draw()
	if live || err != nil {
		return text, text
	}
	for i := range status.Nodes {
		status.Nodes[i].AppliedIndex = 0
	}
	return text, draw()
}
