package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/node/recovery"
)

func (f *fleet) stop(i int) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := f.nodes[i].Shutdown(ctx); err != nil {
		f.t.Fatal(err)
	}
}

// wipe empties a data directory but for the certificates.
func (f *fleet) wipe(i int) {
	f.t.Helper()
	if err := os.RemoveAll(f.dataDir(i)); err != nil {
		f.t.Fatal(err)
	}
	f.certify(uint64(i+1), f.dataDir(i))
}

func (f *fleet) target(i int) recovery.Target {
	env := live.NewSystem().Env()
	cfg := f.config(i)
	cfg.EnsureDefaults()
	return recovery.Target{DataDir: cfg.DataDir, ClusterName: cfg.Name, NodeID: cfg.ID, Address: cfg.Advertise, DirectoryID: env.NewID(), Now: env.Now()}
}

func reads(n *node.Node, key, want string) func() error {
	return func() error {
		v, err := get(n, key)
		if err == nil && v != want {
			err = fmt.Errorf("%s is %q, want %q", key, v, want)
		}
		return err
	}
}

func voters(n *node.Node, want int) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s, err := consensus.Reply[*consensus.Status](live.Ask(ctx, n.System(), n.Group(), &consensus.GetStatus{}))
		if err == nil && len(s.GetVoters()) != want {
			err = fmt.Errorf("%d voters, want %d", len(s.GetVoters()), want)
		}
		return err
	}
}

func TestBackupOfAClusterBecomesAnother(t *testing.T) {
	f := newFleet(t, 3)
	for i := range 3 {
		f.start(i)
	}
	f.ready(f.nodes...)
	until(t, "a write", 10*time.Second, func() error { return put(f.nodes[0], "a", "1") })
	old := f.nodes[0].ClusterID()
	var backup bytes.Buffer
	until(t, "a backup", 20*time.Second, func() error {
		backup.Reset()
		// Of a follower as well as of the leader: it holds what was acknowledged anywhere.
		c, err := client.New(client.Config{Addresses: []string{f.nodes[2].AdminAddress()}})
		if err != nil {
			return err
		}
		defer c.Close()
		return c.Backup(t.Context(), &backup)
	})
	if err := put(f.nodes[0], "a", "later"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		f.stop(i)
		f.wipe(i)
	}
	founded, err := recovery.Restore(bytes.NewReader(backup.Bytes()), f.target(1))
	if err != nil {
		t.Fatal(err)
	}
	f.ready(f.start(1))
	if id := f.nodes[1].ClusterID(); id == old || id != founded.ClusterID {
		t.Fatalf("cluster %s, before %s, founded %s", id, old, founded.ClusterID)
	}
	until(t, "what the backup held", 10*time.Second, reads(f.nodes[1], "a", "1"))
	f.ready(f.start(0), f.start(2))
	until(t, "three voters", 30*time.Second, voters(f.nodes[1], 3))
	until(t, "a write", 10*time.Second, func() error { return put(f.nodes[0], "b", "2") })
	until(t, "a read from a node that joined", 10*time.Second, reads(f.nodes[2], "b", "2"))
	until(t, "the old state there", 10*time.Second, reads(f.nodes[2], "a", "1"))
}

func TestSurvivorOfALostMajorityFoundsANewCluster(t *testing.T) {
	f := newFleet(t, 3)
	for i := range 3 {
		f.start(i)
	}
	f.ready(f.nodes...)
	for i := range 20 {
		until(t, "a write", 10*time.Second, func() error { return put(f.nodes[0], fmt.Sprint("k", i), "v") })
	}
	until(t, "the write on node 2", 10*time.Second, reads(f.nodes[1], "k19", "v"))
	old := f.nodes[0].ClusterID()
	for i := range 3 {
		f.stop(i)
	}
	plan, err := recovery.MakePlan(f.dataDir(1), 2, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	founded, err := plan.Apply(f.target(1))
	if err != nil {
		t.Fatal(err)
	}
	f.wipe(2)
	f.ready(f.start(1))
	if id := f.nodes[1].ClusterID(); id == old || id != founded.ClusterID {
		t.Fatalf("cluster %s, before %s, founded %s", id, old, founded.ClusterID)
	}
	until(t, "every acknowledged write", 10*time.Second, reads(f.nodes[1], "k19", "v"))
	// Node 1 comes back with what it had: the lost cluster must not go on beside the new one, nor within it.
	f.start(0)
	f.ready(f.start(2))
	until(t, "node 3 votes", 30*time.Second, voters(f.nodes[1], 2))
	until(t, "a write", 10*time.Second, func() error { return put(f.nodes[2], "new", "1") })
	if err := put(f.nodes[0], "split", "1"); err == nil {
		t.Fatal("a node of the lost cluster took a write")
	}
	if v, err := get(f.nodes[1], "split"); !errors.Is(err, consensus.ErrRefused) {
		t.Fatalf("the new cluster has %q of the lost one: %v", v, err)
	}
	f.stop(0)
	f.wipe(0)
	f.ready(f.start(0))
	until(t, "three voters", 30*time.Second, voters(f.nodes[1], 3))
	until(t, "a read from node 1", 10*time.Second, reads(f.nodes[0], "new", "1"))
}
