package e2e

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/node/client"
)

const (
	demoTopic      = "orders"
	demoPartitions = 6
)

func (c *cluster) createTopic() {
	c.t.Helper()
	cl := c.clientOf(c.members...)
	c.until("the topic", 30*time.Second, func(ctx context.Context) error {
		if _, err := cl.Topic(ctx, demoTopic); err == nil {
			return nil
		}
		_, err := cl.CreateTopic(ctx, client.CreateTopic{Name: demoTopic, Partitions: demoPartitions, ReplicationFactor: 3})
		return err
	})
}

// ledBy counts the partitions that each node leads, and the sum of their epochs.
func ledBy(status *client.Status) (led map[uint64]int, epochs uint64) {
	led = make(map[uint64]int)
	for _, t := range status.Topics {
		for _, p := range t.Partitions {
			led[p.Leader]++
			epochs += p.LeaderEpoch
		}
	}
	return led, epochs
}

// TestThreeProcesses: three real processes, a topic, 200 keys written by four clients at once, kill -9 of the leader in the middle. No
// acknowledged write is lost, what clients saw is linearizable, the partitions move off the dead node at higher epochs, and the
// killed node comes back and catches up.
func TestThreeProcesses(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	c.createTopic()
	c.until("partitions led evenly", 30*time.Second, func(ctx context.Context) error {
		status, err := c.members[0].client().Status(ctx)
		if err != nil {
			return err
		}
		if led, _ := ledBy(status); led[1] != 2 || led[2] != 2 || led[3] != 2 {
			return fmt.Errorf("led: %v", led)
		}
		return nil
	})
	victim := c.leader(c.members[0])
	_, epochsBefore := ledBy(c.status(victim))

	h := newHistory()
	c.writeAndKill(h, victim)

	survivor := c.members[victim.id%3]
	c.until("partitions led by the survivors", 30*time.Second, func(ctx context.Context) error {
		status, err := survivor.client().Status(ctx)
		if err != nil {
			return err
		}
		led, epochs := ledBy(status)
		if led[uint64(victim.id)] != 0 || led[0] != 0 || epochs <= epochsBefore {
			return fmt.Errorf("led: %v, epochs %d after %d", led, epochs, epochsBefore)
		}
		return nil
	})

	victim.start()
	c.ready(victim)
	c.until("the killed node caught up and leads again", 60*time.Second, func(ctx context.Context) error {
		status, err := victim.client().Status(ctx)
		if err != nil {
			return err
		}
		applied := make(map[uint64]uint64)
		for _, n := range status.Nodes {
			if n.State != client.StateAlive {
				return fmt.Errorf("node %d is %s", n.ID, n.State)
			}
			applied[n.ID] = n.AppliedIndex
		}
		if applied[1] != applied[2] || applied[2] != applied[3] || applied[1] == 0 {
			return fmt.Errorf("applied %v", applied)
		}
		if led, _ := ledBy(status); led[1] != 2 || led[2] != 2 || led[3] != 2 {
			return fmt.Errorf("led: %v", led)
		}
		return nil
	})
	c.nothingLost(h)
	h.judge(t)
}

// writeAndKill writes 200 keys through four clients, each key once more after it was not acknowledged, and kills the victim at the hundredth.
func (c *cluster) writeAndKill(h *history, victim *member) {
	c.t.Helper()
	const keys, clients = 200, 4
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var written atomic.Int64
	var killed sync.Once
	var wg sync.WaitGroup
	for id := range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			cl := c.clientOf(c.members...)
			for k := id; k < keys; k += clients {
				key := fmt.Sprintf("key%03d", k)
				for attempt := 0; ctx.Err() == nil; attempt++ {
					if h.put(ctx, id, cl, key, fmt.Sprintf("v%d.%d", k, attempt)) {
						break
					}
				}
				if written.Add(1) == keys/2 {
					killed.Do(victim.kill)
				}
				_ = h.get(ctx, id, cl, fmt.Sprintf("key%03d", max(0, k-clients))) // none is no read
			}
		}()
	}
	wg.Wait()
	if ctx.Err() != nil {
		c.t.Fatalf("only %d of %d keys within two minutes", written.Load(), keys)
	}
}

// nothingLost wants all 200 keys acknowledged, and kept.
func (c *cluster) nothingLost(h *history) {
	c.t.Helper()
	if len(h.acked) != 200 {
		c.t.Errorf("%d keys were acknowledged, want 200", len(h.acked))
	}
	c.keeps(h)
}

// keeps reads every acknowledged key through every node.
func (c *cluster) keeps(h *history) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute+time.Duration(len(h.acked))*50*time.Millisecond)
	defer cancel()
	for _, m := range c.members {
		cl := m.client()
		for key, value := range h.acked {
			entry, err := cl.GetConfig(ctx, key)
			if err != nil {
				c.t.Fatalf("node %d: acknowledged %s: %v", m.id, key, err)
			}
			if string(entry.Value) != value {
				c.t.Errorf("node %d: %s is %q, acknowledged was %q", m.id, key, entry.Value, value)
			}
		}
	}
}
