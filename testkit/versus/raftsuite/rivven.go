package raftsuite

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/remote"
)

const rivvenSettings = "node.StartRaft ×3 and groups of an app's own beside its own group, QUIC with mutual TLS, bbolt with both its syncs; " +
	"defaults: elections 150–300 ms, heartbeat 50 ms, snapshot each 10,000 entries"

// rivven is three nodes; each of the measured groups is an actor that the suite spawns, as an app would.
type rivven struct {
	nodes  []*node.Node
	groups []string
	pids   [][]*actor.PID // by node and group
	mu     sync.Mutex
	seen   []*bytesMachine // of group 0, by node
}

func openRivven(ctx context.Context, dir string, groups int) (cluster, error) {
	c := &rivven{pids: make([][]*actor.PID, 3), seen: make([]*bytesMachine, 3)}
	for i := range groups {
		c.groups = append(c.groups, fmt.Sprintf("g%02d", i))
	}
	configs, err := rivvenConfigs(dir)
	if err != nil {
		return nil, err
	}
	for _, cfg := range configs {
		n, err := node.StartRaft(ctx, node.RaftConfig{Node: cfg, Group: "own", Machine: func() consensus.Machine { return newBytesMachine() }}, node.WithLogger(zap.NewNop()))
		if err != nil {
			return nil, err
		}
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		if err := n.WaitReady(ctx); err != nil {
			return nil, err
		}
	}
	for at := range c.nodes {
		if err := c.start(ctx, at); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// rivvenConfigs makes certificates of one CA and picks free ports.
func rivvenConfigs(dir string) ([]node.Config, error) {
	ca, err := remote.NewCA("rivven", time.Now(), time.Hour)
	if err != nil {
		return nil, err
	}
	addresses, err := freeAddresses("udp", 3)
	if err != nil {
		return nil, err
	}
	var configs []node.Config
	for i, address := range addresses {
		home := filepath.Join(dir, fmt.Sprintf("node%d", i+1))
		files := node.TLSFiles(filepath.Join(home, "ca.pem"), filepath.Join(home, "node.pem"), filepath.Join(home, "node.key"))
		certificate, err := ca.IssueNode(uint64(i+1), time.Now(), time.Hour, "127.0.0.1")
		if err != nil {
			return nil, err
		}
		cert, key, err := remote.EncodeNode(certificate)
		if err != nil {
			return nil, err
		}
		if err := os.MkdirAll(home, 0o700); err != nil {
			return nil, err
		}
		for name, content := range map[string][]byte{files.CA: ca.CertificatePEM(), files.Cert: cert, files.Key: key} {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				return nil, err
			}
		}
		configs = append(configs, node.Config{ID: uint64(i + 1), Bind: address, DataDir: filepath.Join(home, "data"), Peers: addresses,
			TLS: files, Admin: node.AdminSettings{Bind: node.AdminOff}, Gossip: node.GossipSettings{BindPort: node.AnyPort}})
	}
	return configs, nil
}

func freeAddresses(network string, count int) ([]string, error) {
	var out []string
	for range count {
		if network == "udp" {
			c, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				return nil, err
			}
			defer func() { _ = c.Close() }()
			out = append(out, c.LocalAddr().String())
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		out = append(out, l.Addr().String())
	}
	return out, nil
}

func (c *rivven) propose(ctx context.Context, at, group int, value []byte) error {
	n := c.nodes[at]
	_, err := consensus.Result[*wrapperspb.UInt64Value](live.Ask(ctx, n.System(), c.pids[at][group], consensus.NewPropose(&wrapperspb.BytesValue{Value: value})))
	return err
}

func (c *rivven) status(at, group int) *consensus.Status {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.mu.Lock()
	pid := c.pids[at][group]
	c.mu.Unlock()
	s, err := consensus.Reply[*consensus.Status](live.Ask(ctx, c.nodes[at].System(), pid, &consensus.GetStatus{}))
	if err != nil {
		return &consensus.Status{}
	}
	return s
}

func (c *rivven) leader(group int) int {
	for at := range c.nodes {
		if c.status(at, group).GetRole() == consensus.Role_ROLE_LEADER {
			return at
		}
	}
	return -1
}

func (c *rivven) applied(at int) uint64 { return c.status(at, 0).GetApplied() }

func (c *rivven) stop(at int) error {
	for _, pid := range c.pids[at] {
		if err := c.nodes[at].System().Root.StopFuture(pid).Wait(); err != nil {
			return err
		}
	}
	return nil
}

func (c *rivven) start(_ context.Context, at int) error {
	n := c.nodes[at]
	pids := make([]*actor.PID, len(c.groups))
	for i, group := range c.groups {
		cfg := raftactor.Config{Group: group, Store: n.Store(), Peers: n.Peers(), Machine: func() consensus.Machine {
			m := newBytesMachine()
			if i == 0 {
				c.mu.Lock()
				c.seen[at] = m
				c.mu.Unlock()
			}
			return m
		}}
		props, err := raftactor.Props(cfg)
		if err != nil {
			return err
		}
		if pids[i], err = n.System().Root.SpawnNamed(props, group); err != nil {
			return err
		}
	}
	c.mu.Lock()
	c.pids[at] = pids
	c.mu.Unlock()
	return nil
}

func (c *rivven) transfer(ctx context.Context, from, to int) error {
	target := c.status(to, 0).GetSelf().GetReplica()
	_, err := consensus.Reply[*consensus.LeadershipTransferred](live.Ask(ctx, c.nodes[from].System(), c.pids[from][0], &consensus.TransferLeadership{ToReplica: target}))
	if err != nil {
		return fmt.Errorf("%w: %w", errBusy, err)
	}
	return nil
}

func (c *rivven) kept(at int, ids []uint64) int {
	c.mu.Lock()
	m := c.seen[at]
	c.mu.Unlock()
	return m.count(ids)
}

func (c *rivven) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for at, n := range c.nodes {
		if c.pids[at] != nil {
			_ = c.stop(at)
		}
		_ = n.Shutdown(ctx)
	}
}

// bytesMachine keeps the numbers that values begin with.
type bytesMachine struct {
	mu  sync.Mutex
	ids map[uint64]bool
}

func newBytesMachine() *bytesMachine { return &bytesMachine{ids: make(map[uint64]bool)} }

func (m *bytesMachine) add(v []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ids[binary.BigEndian.Uint64(v)] = true
}

func (m *bytesMachine) count(ids []uint64) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if m.ids[id] {
			n++
		}
	}
	return n
}

func (m *bytesMachine) encode() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]byte, 0, 8*len(m.ids))
	for id := range m.ids {
		out = binary.BigEndian.AppendUint64(out, id)
	}
	return out
}

func (m *bytesMachine) decode(b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ids = make(map[uint64]bool)
	for ; len(b) >= 8; b = b[8:] {
		m.ids[binary.BigEndian.Uint64(b)] = true
	}
}

// Apply, Query, Snapshot and Restore are consensus.Machine.
func (m *bytesMachine) Apply(e consensus.Entry) (proto.Message, error) {
	m.add(e.Command.(*wrapperspb.BytesValue).GetValue())
	return wrapperspb.UInt64(e.Index), nil
}

func (m *bytesMachine) Query(proto.Message) (proto.Message, error) {
	return &wrapperspb.UInt64Value{}, nil
}

func (m *bytesMachine) Snapshot() (io.WriterTo, error) { return written(m.encode()), nil }

func (m *bytesMachine) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	m.decode(b)
	return err
}

type written []byte

func (w written) WriteTo(to io.Writer) (int64, error) {
	n, err := to.Write(w)
	return int64(n), err
}
