package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/remote"
)

// program builds rivven-node once for all tests.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "rivven-e2e-*")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "rivven-node")
	out, err := exec.Command("go", "build", "-o", path, "github.com/hupe1980/rivven-cluster/node/rivven-node").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build rivven-node: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// cluster is some processes, their certificates and their files.
type cluster struct {
	t       *testing.T
	dir     string
	ca      *remote.CA
	members []*member
}

// member is one node and the process that it runs as now.
type member struct {
	c           *cluster
	id          int
	main        int // ports
	gossip      int
	admin       int
	config      string
	peers       []string // of raft.peers; nil: all members
	environment []string

	mu      sync.Mutex
	process *exec.Cmd
	ended   chan struct{}
	log     *output
}

func newCluster(t *testing.T, count int) *cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("real processes: skipped with -short")
	}
	ca, err := remote.NewCA("rivven", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, dir: t.TempDir(), ca: ca}
	for i := range count {
		c.add(i + 1)
	}
	return c
}

// add makes a member with a certificate and free ports; it is not started.
func (c *cluster) add(id int) *member {
	c.t.Helper()
	ports := freePorts(c.t, 3)
	m := &member{c: c, id: id, main: ports[0], gossip: ports[1], admin: ports[2], config: filepath.Join(c.dir, fmt.Sprintf("node%d.yaml", id)), log: &output{}}
	c.members = append(c.members, m)
	c.certify(c.ca, uint64(id), m.dataDir())
	return m
}

func (m *member) dataDir() string { return filepath.Join(m.c.dir, "data"+strconv.Itoa(m.id)) }
func (m *member) address() string { return fmt.Sprintf("127.0.0.1:%d", m.main) }

func (c *cluster) certify(ca *remote.CA, id uint64, dataDir string) {
	c.t.Helper()
	certificate, err := ca.IssueNode(id, time.Now(), time.Hour, "127.0.0.1", "localhost", "node1", "node2", "node3")
	if err != nil {
		c.t.Fatal(err)
	}
	writeCertificate(c.t, filepath.Join(dataDir, "tls"), ca, certificate)
}

func writeCertificate(t *testing.T, dir string, ca *remote.CA, certificate *tls.Certificate) {
	t.Helper()
	cert, key, err := remote.EncodeNode(certificate)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"ca.pem": ca.CertificatePEM(), "node.pem": cert, "node.key": key} {
		writeFile(t, filepath.Join(dir, name), b)
	}
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// yaml is the member's configuration: the seed's keys, quick gossip, and a short grace.
func (m *member) yaml() string {
	peers := m.peers
	if peers == nil {
		for _, other := range m.c.members {
			peers = append(peers, other.address())
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "cluster:\n  node_id: %d\n  bind_address: %q\n  data_dir: %q\n", m.id, m.address(), m.dataDir())
	fmt.Fprintf(&b, "  raft:\n    election_timeout_min_ms: 300\n    election_timeout_max_ms: 600\n    peers: [%s]\n", quoted(peers))
	fmt.Fprintf(&b, "  gossip:\n    bind_port: %d\n    protocol_period_ms: 300\n    suspect_timeout_ms: 1500\n", m.gossip)
	fmt.Fprintf(&b, "  partitioning:\n    replication_factor: 3\n    failover_grace_ms: 1000\n")
	fmt.Fprintf(&b, "  admin:\n    bind_address: \"127.0.0.1:%d\"\n", m.admin)
	return b.String()
}

func quoted(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strconv.Quote(s)
	}
	return strings.Join(out, ", ")
}

// start writes the configuration and runs the process.
func (m *member) start() {
	m.c.t.Helper()
	writeFile(m.c.t, m.config, []byte(m.yaml()))
	m.run("run", "--config", m.config)
}

func (m *member) run(args ...string) {
	t := m.c.t
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = m.c.dir, append(os.Environ(), m.environment...)
	cmd.Stdout, cmd.Stderr = m.log, m.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	m.process, m.ended = cmd, ended
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("node %d:\n%s", m.id, m.log.tail(12_000))
		}
	})
}

func (m *member) signal(s syscall.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.process.Process.Signal(s)
}

// kill is kill -9, and waits until the process is gone.
func (m *member) kill() {
	m.signal(syscall.SIGKILL)
	<-m.ended
}

// wait returns the exit code.
func (m *member) wait(limit time.Duration) int {
	m.c.t.Helper()
	select {
	case <-m.ended:
		return m.process.ProcessState.ExitCode()
	case <-time.After(limit):
		m.c.t.Fatalf("node %d still runs after %v:\n%s", m.id, limit, m.log.tail(4000))
		return -1
	}
}

// metric reads a counter without labels; 0 where it is not there.
func (m *member) metric(ctx context.Context, name string) float64 {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", m.admin), nil)
	if err != nil {
		m.c.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(res.Body)
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			v, _ := strconv.ParseFloat(text, 64)
			return v
		}
	}
	return 0
}

func (m *member) client() *client.Client {
	m.c.t.Helper()
	return m.c.clientOf(m)
}

func (c *cluster) clientOf(members ...*member) *client.Client {
	c.t.Helper()
	var addresses []string
	for _, m := range members {
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", m.admin))
	}
	cl, err := client.New(client.Config{Addresses: addresses, Timeout: 5 * time.Second})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	return cl
}

func (c *cluster) startAll() {
	c.t.Helper()
	for _, m := range c.members {
		m.start()
	}
	c.ready(c.members...)
}

func (c *cluster) ready(members ...*member) {
	c.t.Helper()
	for _, m := range members {
		cl := m.client()
		c.until(fmt.Sprintf("node %d is ready", m.id), 60*time.Second, func(ctx context.Context) error {
			_, err := cl.Ready(ctx)
			return err
		})
	}
}

// until polls, because real processes tell nobody when they are done.
func (c *cluster) until(what string, limit time.Duration, ok func(context.Context) error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		if err := ok(ctx); err == nil {
			return
		} else if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.t.Fatalf("%s: not within %v: %v", what, limit, last)
		}
	}
}

func (c *cluster) status(m *member) *client.Status {
	c.t.Helper()
	var status *client.Status
	cl := m.client()
	c.until("status", 20*time.Second, func(ctx context.Context) (err error) {
		status, err = cl.Status(ctx)
		return err
	})
	return status
}

// leader returns the member that leads the metadata, as the given ones see it.
func (c *cluster) leader(seenBy *member) *member {
	c.t.Helper()
	var leader *member
	cl := seenBy.client()
	c.until("a leader", 30*time.Second, func(ctx context.Context) error {
		status, err := cl.Status(ctx)
		if err != nil {
			return err
		}
		for _, m := range c.members {
			if uint64(m.id) == status.Leader {
				leader = m
				return nil
			}
		}
		return errors.New("no leader is known")
	})
	return leader
}

// nextPort counts through ports below those that systems give to whoever asks for any, and that no other package's tests take.
var nextPort atomic.Uint32

func init() { nextPort.Store(rand.Uint32N(8_000)) }

// freePorts are free for UDP and for TCP, and nobody takes them by chance before they are bound again.
func freePorts(t *testing.T, count int) []int {
	t.Helper()
	var ports []int
	for range 1_000 {
		if len(ports) == count {
			return ports
		}
		port := 11_000 + int(nextPort.Add(1)%8_000)
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		udp, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		_ = udp.Close()
		tcp, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		_ = tcp.Close()
		ports = append(ports, port)
	}
	t.Fatalf("%d of %d free ports between 11000 and 19000", len(ports), count)
	return nil
}

// output keeps what a process printed.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func (o *output) tail(n int) string {
	s := o.String()
	return s[max(0, len(s)-n):]
}

func (o *output) lines(having ...string) []string {
	var out []string
lines:
	for line := range strings.Lines(o.String()) {
		for _, h := range having {
			if !strings.Contains(line, h) {
				continue lines
			}
		}
		out = append(out, line)
	}
	return out
}
