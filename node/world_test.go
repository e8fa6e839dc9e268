package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/remote"
)

// fleet is a cluster of real nodes in this process: real sockets on loopback, real certificates, real files.
type fleet struct {
	t     testing.TB
	dir   string
	ca    *remote.CA
	ports []int
	nodes []*node.Node
	log   *zap.Logger
}

func newFleet(t testing.TB, count int) *fleet {
	t.Helper()
	ca, err := remote.NewCA("rivven", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, dir: t.TempDir(), ca: ca, nodes: make([]*node.Node, count), log: zap.NewNop()}
	if testing.Verbose() {
		f.log = zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel))
	}
	for i := range count {
		f.ports = append(f.ports, freePort(t))
		f.certify(uint64(i+1), f.dataDir(i))
	}
	return f
}

func (f *fleet) dataDir(i int) string { return filepath.Join(f.dir, "node"+strconv.Itoa(i+1)) }

// certify puts a certificate for a node id where a node with that data directory looks for it.
func (f *fleet) certify(id uint64, dataDir string) {
	f.t.Helper()
	certificate, err := f.ca.IssueNode(id, time.Now(), time.Hour, "127.0.0.1", "localhost")
	if err != nil {
		f.t.Fatal(err)
	}
	writeCertificate(f.t, filepath.Join(dataDir, "tls"), f.ca, certificate)
}

func (f *fleet) config(i int) node.Config {
	cfg := node.Config{
		ID: uint64(i + 1), NodeName: "node" + strconv.Itoa(i+1), Bind: fmt.Sprintf("127.0.0.1:%d", f.ports[i]), DataDir: f.dataDir(i),
		Gossip: node.GossipSettings{BindPort: node.AnyPort, ProtocolPeriod: 200 * time.Millisecond, SuspectTimeout: time.Second},
		Admin:  node.AdminSettings{Bind: "127.0.0.1:0"},
	}
	for _, port := range f.ports {
		cfg.Peers = append(cfg.Peers, fmt.Sprintf("127.0.0.1:%d", port))
	}
	return cfg
}

func (f *fleet) start(i int, opts ...node.Option) *node.Node {
	f.t.Helper()
	n, err := f.tryStart(f.config(i), opts...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.nodes[i] = n
	return n
}

func (f *fleet) tryStart(cfg node.Config, opts ...node.Option) (*node.Node, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	n, err := node.Start(ctx, live.NewSystem().ActorSystem, cfg, append([]node.Option{node.WithLogger(f.log.Named(cfg.NodeName))}, opts...)...)
	if err == nil {
		f.t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_ = n.Shutdown(ctx)
		})
	}
	return n, err
}

func (f *fleet) ready(nodes ...*node.Node) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for _, n := range nodes {
		if err := n.WaitReady(ctx); err != nil {
			f.t.Fatal(err)
		}
	}
}

// until polls what only real time brings about.
func until(t testing.TB, what string, limit time.Duration, ok func() error) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
	}
}

// nextPort counts through the ports below those that systems give to whoever asks for any.
var nextPort atomic.Uint32

func init() { nextPort.Store(rand.Uint32N(12_000)) }

// freePort is one that nobody takes by chance before it is bound again.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20_000 + int(nextPort.Add(1)%12_000)
		c, err := net.ListenPacket("udp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		_ = c.Close()
		return port
	}
	t.Fatal("no free port between 20000 and 32000")
	return 0
}

func writeFile(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
