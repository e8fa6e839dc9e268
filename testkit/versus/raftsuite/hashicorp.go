package raftsuite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

const hashicorpSettings = "TCP transport with a pool of 3, raft-boltdb/v2 without freelist sync, log cache of 512 as Consul sets it; BatchApplyCh, " +
	"MaxAppendEntries 1024; heartbeat and election timeout 150 ms (drawn from 150–300), lease 100 ms, commit timeout 5 ms"

type hashicorpCluster struct {
	dir       string
	addresses []string
	replicas  []*hashicorpReplica
}

type hashicorpReplica struct {
	raft      *raft.Raft
	transport *raft.NetworkTransport
	store     *raftboltdb.BoltStore
	machine   *hashicorpMachine
}

func openHashicorp(ctx context.Context, dir string, _ int) (cluster, error) {
	addresses, err := freeAddresses("tcp", 3)
	if err != nil {
		return nil, err
	}
	c := &hashicorpCluster{dir: dir, addresses: addresses, replicas: make([]*hashicorpReplica, 3)}
	for at := range 3 {
		if err := c.start(ctx, at); err != nil {
			return nil, err
		}
	}
	var servers []raft.Server
	for _, address := range addresses {
		servers = append(servers, raft.Server{ID: raft.ServerID(address), Address: raft.ServerAddress(address)})
	}
	return c, c.replicas[0].raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error()
}

func (c *hashicorpCluster) config(at int) *raft.Config {
	cfg := raft.DefaultConfig()
	cfg.LocalID = raft.ServerID(c.addresses[at])
	cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaderLeaseTimeout = 150*time.Millisecond, 150*time.Millisecond, 100*time.Millisecond
	cfg.CommitTimeout = 5 * time.Millisecond
	cfg.BatchApplyCh, cfg.MaxAppendEntries = true, 1024
	cfg.Logger = hclog.NewNullLogger()
	return cfg
}

func (c *hashicorpCluster) start(_ context.Context, at int) error {
	home := filepath.Join(c.dir, fmt.Sprintf("node%d", at))
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	store, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(home, "raft.db"), BoltOptions: &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType}})
	if err != nil {
		return err
	}
	cache, err := raft.NewLogCache(512, store)
	if err != nil {
		return err
	}
	snapshots, err := raft.NewFileSnapshotStore(home, 3, io.Discard)
	if err != nil {
		return err
	}
	transport, err := raft.NewTCPTransport(c.addresses[at], nil, 3, 10*time.Second, io.Discard)
	if err != nil {
		return err
	}
	machine := &hashicorpMachine{bytesMachine: newBytesMachine()}
	r, err := raft.NewRaft(c.config(at), machine, cache, store, snapshots, transport)
	c.replicas[at] = &hashicorpReplica{raft: r, transport: transport, store: store, machine: machine}
	return err
}

func (c *hashicorpCluster) propose(_ context.Context, at, _ int, value []byte) error {
	return c.replicas[at].raft.Apply(value, 5*time.Second).Error()
}

func (c *hashicorpCluster) leader(int) int {
	for at, r := range c.replicas {
		if r != nil && r.raft.State() == raft.Leader {
			return at
		}
	}
	return -1
}

func (c *hashicorpCluster) stop(at int) error {
	r := c.replicas[at]
	ended := r.raft.Shutdown()
	return errors.Join(r.transport.Close(), ended.Error(), r.store.Close())
}

func (c *hashicorpCluster) transfer(_ context.Context, from, to int) error {
	address := c.addresses[to]
	if err := c.replicas[from].raft.LeadershipTransferToServer(raft.ServerID(address), raft.ServerAddress(address)).Error(); err != nil {
		return fmt.Errorf("%w: %w", errBusy, err)
	}
	return nil
}

func (c *hashicorpCluster) applied(at int) uint64 { return c.replicas[at].raft.AppliedIndex() }

func (c *hashicorpCluster) kept(at int, ids []uint64) int { return c.replicas[at].machine.count(ids) }

func (c *hashicorpCluster) close() {
	for at, r := range c.replicas {
		if r != nil {
			_ = c.stop(at)
		}
	}
}

// hashicorpMachine also applies in batches, which is the faster interface.
type hashicorpMachine struct{ *bytesMachine }

func (m *hashicorpMachine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

func (m *hashicorpMachine) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	for i, l := range logs {
		if l.Type == raft.LogCommand {
			m.add(l.Data)
		}
		out[i] = l.Index
	}
	return out
}

func (m *hashicorpMachine) Snapshot() (raft.FSMSnapshot, error) {
	return hashicorpSnapshot(m.encode()), nil
}

func (m *hashicorpMachine) Restore(r io.ReadCloser) error {
	b, err := io.ReadAll(r)
	m.decode(b)
	return errors.Join(err, r.Close())
}

type hashicorpSnapshot []byte

func (s hashicorpSnapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (hashicorpSnapshot) Release() {}
