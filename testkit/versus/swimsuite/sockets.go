package swimsuite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/remote"
)

// Times of a job on sockets. At rest is a cluster in which every member has probed every other once: ours has a datagram connection for each
// pair, and makes it at the first probe.
const (
	socketsForm   = 90 * time.Second
	socketsSettle = time.Second // for each node: a round of probes
	socketsSteady = 30 * time.Second
	socketsLook   = 250 * time.Millisecond
	firstPort     = 20000
)

// cluster is all nodes of a system on sockets, in this process.
type cluster interface {
	// sees is the least number of live members that any node sees.
	sees(ctx context.Context) int
	stop()
}

// sockets measures packets and CPU at rest.
func sockets(j job) (measures, error) {
	ctx := context.Background()
	start := map[string]func(context.Context, int) (cluster, error){own: startNodes, peerName: startLists}
	c, err := start[j.System](ctx, j.Nodes)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	for end := time.Now().Add(socketsForm); c.sees(ctx) < j.Nodes; time.Sleep(socketsLook) {
		if time.Now().After(end) {
			return nil, fmt.Errorf("%d nodes did not see each other within %v", j.Nodes, socketsForm)
		}
	}
	time.Sleep(time.Duration(j.Nodes) * socketsSettle)
	before, err := takeReading()
	if err != nil {
		return nil, err
	}
	time.Sleep(socketsSteady)
	after, err := takeReading()
	if err != nil {
		return nil, err
	}
	perNode := float64(j.Nodes) * after.at.Sub(before.at).Seconds()
	return measures{
		"packets/sockets": float64(after.datagrams-before.datagrams) / perNode,
		"cpu":             float64(after.cpu-before.cpu) / float64(time.Millisecond) / perNode,
	}, nil
}

// reading is how far counters and clocks have come.
type reading struct {
	datagrams uint64
	cpu       time.Duration
	at        time.Time
}

func takeReading() (reading, error) {
	datagrams, err1 := datagramsSent()
	cpu, err2 := cpuTime()
	return reading{datagrams, cpu, time.Now()}, errors.Join(err1, err2)
}

// lists are memberlist nodes on their own transport.
type lists []*memberlist.Memberlist

func startLists(_ context.Context, count int) (cluster, error) {
	var all lists
	for i := range count {
		cfg := memberlist.DefaultLANConfig()
		cfg.Name, cfg.BindAddr, cfg.BindPort, cfg.AdvertisePort = name(i), "127.0.0.1", firstPort+i, firstPort+i
		cfg.LogOutput = io.Discard
		list, err := memberlist.Create(cfg)
		if err != nil {
			return nil, fmt.Errorf("memberlist node %d: %w", i, err)
		}
		all = append(all, list)
		if i > 0 {
			if _, err := list.Join([]string{"127.0.0.1:" + strconv.Itoa(firstPort)}); err != nil {
				return nil, fmt.Errorf("memberlist node %d joins: %w", i, err)
			}
		}
	}
	return all, nil
}

func (l lists) sees(context.Context) int {
	least := len(l)
	for _, list := range l {
		least = min(least, list.NumMembers())
	}
	return least
}

func (l lists) stop() {
	for _, list := range l {
		_ = list.Shutdown()
	}
}

// nodes are ours, whole: remote with mutual TLS, actor and core.
type nodes struct {
	dir string
	all []*node.Node
}

func startNodes(ctx context.Context, count int) (cluster, error) {
	dir, err := os.MkdirTemp("", "versus-swim-*")
	if err != nil {
		return nil, err
	}
	c := &nodes{dir: dir}
	ca, err := remote.NewCA("rivven", time.Now(), time.Hour)
	if err != nil {
		return nil, err
	}
	for i := range count {
		tls, err := certify(ca, uint64(i)+1, filepath.Join(dir, name(i)))
		if err != nil {
			return nil, err
		}
		n, err := node.StartSwim(ctx, node.Config{
			ID: uint64(i) + 1, NodeName: name(i), Bind: "127.0.0.1:" + strconv.Itoa(firstPort+i), DataDir: filepath.Join(dir, name(i)),
			Gossip: node.GossipSettings{BindPort: firstPort + i, KnownPeers: []string{"127.0.0.1:" + strconv.Itoa(firstPort)}},
			TLS:    tls, Admin: node.AdminSettings{Bind: node.AdminOff},
		}, node.WithLogger(zap.NewNop()))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("rivven node %d: %w", i, err), os.RemoveAll(dir))
		}
		c.all = append(c.all, n)
	}
	return c, nil
}

// certify writes a node's certificates.
func certify(ca *remote.CA, id uint64, dir string) (node.TLSSettings, error) {
	cert, err := ca.IssueNode(id, time.Now(), time.Hour, "127.0.0.1")
	if err != nil {
		return node.TLSSettings{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return node.TLSSettings{}, err
	}
	pem, key, err := remote.EncodeNode(cert)
	if err != nil {
		return node.TLSSettings{}, err
	}
	files := node.TLSFiles(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "node.pem"), filepath.Join(dir, "node.key"))
	return files, errors.Join(os.WriteFile(files.CA, ca.CertificatePEM(), 0o600), os.WriteFile(files.Cert, pem, 0o600), os.WriteFile(files.Key, key, 0o600))
}

func (c *nodes) sees(ctx context.Context) int {
	least := len(c.all)
	for _, n := range c.all {
		answer, err := live.Ask(ctx, n.System(), n.Swim(), &membership.GetMembers{})
		members, ok := answer.(*membership.Members)
		if err != nil || !ok {
			return 0
		}
		up := 0
		for _, m := range members.GetMembers() {
			if m.Up() {
				up++
			}
		}
		least = min(least, up)
	}
	return least
}

func (c *nodes) stop() {
	for _, n := range c.all {
		_ = n.Shutdown(context.Background())
	}
	_ = os.RemoveAll(c.dir)
}
