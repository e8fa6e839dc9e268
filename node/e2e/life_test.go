package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/remote"
)

const interrupt = syscall.SIGTERM

func (c *cluster) write(m *member, key string) {
	c.t.Helper()
	cl := m.client()
	c.until("write of "+key, 30*time.Second, func(ctx context.Context) error {
		_, err := cl.PutConfig(ctx, key, []byte(key))
		return err
	})
}

func (c *cluster) reads(m *member, key string) {
	c.t.Helper()
	cl := m.client()
	c.until(fmt.Sprintf("node %d reads %s", m.id, key), 30*time.Second, func(ctx context.Context) error {
		entry, err := cl.GetConfig(ctx, key)
		if err == nil && string(entry.Value) != key {
			err = fmt.Errorf("value %q", entry.Value)
		}
		return err
	})
}

// roles are the Raft roles of the members that are alive, by node.
func roles(status *client.Status) map[uint64]client.Role {
	out := make(map[uint64]client.Role)
	for _, n := range status.Nodes {
		if n.State == client.StateAlive {
			out[n.ID] = n.RaftRole
		}
	}
	return out
}

// A blank node waits for all that it is told of, and says for whom; in any order of starts it comes to one cluster.
func TestLateNodeIsWaitedFor(t *testing.T) {
	c := newCluster(t, 3)
	c.members[2].start()
	c.members[0].start()
	late := c.members[1]
	c.until("node 1 says whom it waits for", 20*time.Second, func(context.Context) error {
		if len(c.members[0].log.lines("waiting", late.address())) == 0 {
			return errors.New("no such line")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := c.members[0].client().Ready(ctx); !errors.Is(err, client.CodeNotReady) {
		t.Fatalf("ready without node 2: %v", err)
	}
	late.start()
	c.ready(c.members...)
	c.write(late, "late")
}

// A voter whose disk was wiped comes back as another replica: it catches up, takes the place of the old one, and nobody panics.
func TestWipedVoterReturns(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	c.write(c.members[0], "before")
	victim := c.members[1]
	victim.kill()
	if err := os.RemoveAll(victim.dataDir()); err != nil {
		t.Fatal(err)
	}
	c.certify(c.ca, uint64(victim.id), victim.dataDir())
	c.write(c.members[0], "meanwhile")
	victim.start()
	c.ready(victim)
	c.reads(victim, "before")
	c.reads(victim, "meanwhile")
	c.until("three voters again", 60*time.Second, func(ctx context.Context) error {
		status, err := victim.client().Status(ctx)
		if err != nil {
			return err
		}
		r := roles(status)
		for id := uint64(1); id <= 3; id++ {
			if r[id] != client.RoleLeader && r[id] != client.RoleFollower {
				return fmt.Errorf("roles %v", r)
			}
		}
		return nil
	})
	// The wiped replica counts: with another node gone the rest is a quorum only together with it.
	c.members[2].kill()
	c.write(c.members[0], "after")
	c.reads(victim, "after")
	c.noPanics()
}

// A blank directory beside an initialised cluster joins it, and forms none of its own.
func TestBlankNodeJoins(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	c.write(c.members[0], "old")
	newcomer := c.add(4)
	newcomer.peers = []string{c.members[0].address(), c.members[1].address()}
	newcomer.start()
	c.ready(newcomer)
	c.reads(newcomer, "old")
	if a, b := c.status(c.members[0]).ClusterID, c.status(newcomer).ClusterID; a == "" || a != b {
		t.Fatalf("clusters %q and %q", a, b)
	}
	c.until("four alive", 30*time.Second, func(ctx context.Context) error {
		status, err := c.members[2].client().Status(ctx)
		if err == nil && len(roles(status)) != 4 {
			err = fmt.Errorf("alive: %v", roles(status))
		}
		return err
	})
	c.noPanics()
}

// A node with a certificate of another CA is refused, and one line on both sides says so.
func TestForeignCertificateIsRefused(t *testing.T) {
	c := newCluster(t, 1)
	c.startAll()
	foreign, err := remote.NewCA("rivven", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	stranger := c.add(4)
	stranger.peers = []string{c.members[0].address()}
	c.certify(foreign, 4, stranger.dataDir())
	stranger.start()
	c.refusedOnce(stranger, "certificate", c.members[0], "certificate")
}

// A node of another cluster, with the same CA and name, is refused by its cluster id.
func TestOtherClusterIsRefused(t *testing.T) {
	c := newCluster(t, 2)
	for _, m := range c.members {
		m.peers = []string{m.address()} // each alone
		m.start()
	}
	c.ready(c.members...)
	a, b := c.members[0], c.members[1]
	b.signal(interrupt)
	if code := b.wait(30 * time.Second); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	b.peers = []string{a.address()}
	b.start()
	c.refusedOnce(b, "cluster", a, "cluster")
}

// refusedOnce waits until both logs name the refusal and the dialer has tried three times, and wants it named once on each side:
// repeated attempts are not repeated lines.
func (c *cluster) refusedOnce(dialer *member, dialerWord string, listener *member, listenerWord string) {
	c.t.Helper()
	both := []struct {
		m    *member
		word string
	}{{dialer, dialerWord}, {listener, listenerWord}}
	for _, side := range both {
		c.until(fmt.Sprintf("node %d names the refusal", side.m.id), 30*time.Second, func(context.Context) error {
			if len(side.m.log.lines("refused", side.word)) == 0 {
				return errors.New("no such line")
			}
			return nil
		})
	}
	c.until("three attempts", 30*time.Second, func(ctx context.Context) error {
		if n := dialer.metric(ctx, "rivven_remote_dial_failures_total"); n < 3 {
			return fmt.Errorf("%v so far", n)
		}
		return nil
	})
	for _, side := range both {
		if lines := side.m.log.lines("refused", side.word); len(lines) != 1 {
			c.t.Errorf("node %d names the refusal in %d lines:\n%s", side.m.id, len(lines), strings.Join(lines, ""))
		}
	}
}

// A node whose certificate is another node's does not start, and says which.
func TestCertificateOfAnotherNodeIsRefused(t *testing.T) {
	c := newCluster(t, 1)
	m := c.members[0]
	c.certify(c.ca, 9, m.dataDir())
	m.start()
	if code := m.wait(20 * time.Second); code == 0 {
		t.Fatal("started with another node's certificate")
	}
	if out := m.log.String(); !strings.Contains(out, "names node 9") || !strings.Contains(out, "node 1") {
		t.Fatalf("output does not name both:\n%s", out)
	}
}

// SIGTERM drains: leadership and partitions are handed over, the members see it leave, and the exit code is 0.
func TestDrainOnSIGTERM(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	c.createTopic()
	leader := c.leader(c.members[0])
	leader.signal(interrupt)
	if code := leader.wait(30 * time.Second); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, leader.log.tail(3000))
	}
	other := c.members[leader.id%3]
	c.until("it left, and leads nothing", 20*time.Second, func(ctx context.Context) error {
		status, err := other.client().Status(ctx)
		if err != nil {
			return err
		}
		led, _ := ledBy(status)
		for _, n := range status.Nodes {
			if n.ID == uint64(leader.id) && n.State != client.StateLeft || led[uint64(leader.id)] > 0 {
				return fmt.Errorf("node %d is %s, led: %v", n.ID, n.State, led)
			}
		}
		return nil
	})
	leader.start()
	c.ready(leader)
	c.noPanics()
}

// A process that is stopped for longer than the suspect time is taken for dead, and is back when it goes on.
func TestStoppedProcessIsNoticedAndRecovers(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	victim, other := c.members[2], c.members[0]
	state := func(want client.State) func(context.Context) error {
		return func(ctx context.Context) error {
			status, err := other.client().Status(ctx)
			if err != nil {
				return err
			}
			for _, n := range status.Nodes {
				if n.ID == uint64(victim.id) && n.State != want {
					return fmt.Errorf("node %d is %s", n.ID, n.State)
				}
			}
			return nil
		}
	}
	c.until("alive", 20*time.Second, state(client.StateAlive))
	victim.signal(syscall.SIGSTOP)
	c.until("dead", 40*time.Second, state(client.StateDead))
	c.write(other, "while stopped")
	victim.signal(syscall.SIGCONT)
	c.until("alive again", 60*time.Second, state(client.StateAlive))
	c.reads(victim, "while stopped")
	c.noPanics()
}

func (c *cluster) noPanics() {
	c.t.Helper()
	for _, m := range c.members {
		for _, word := range []string{"panic:", "goroutine 1 [", "actor failed"} {
			if lines := m.log.lines(word); len(lines) > 0 {
				c.t.Errorf("node %d: %s", m.id, lines[0])
			}
		}
	}
}
