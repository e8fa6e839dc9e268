package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/remote"
)

const (
	devNodesMax     = 9
	devFormTimeout  = time.Minute      // for the cluster to form and to take the demo topic
	devSettleGrace  = 15 * time.Second // beyond --exit-after, for what is still moving
	devDrainTimeout = 15 * time.Second
	devPoll         = 200 * time.Millisecond
	devDraw         = time.Second
)

type devOptions struct {
	nodes      int
	dataDir    string
	ephemeral  bool
	exitAfter  time.Duration
	topic      string
	partitions uint32
	verbose    bool
}

func (a *app) devCommand() *cobra.Command {
	var o devOptions
	c := &cobra.Command{
		Use: "dev", Short: "Run a whole cluster in this process", Args: cobra.NoArgs,
		Long: "Run a cluster of full nodes in this process, on loopback: QUIC with certificates made on the spot, state on disk, a demo\ntopic, an admin address for each. On a terminal it shows a live table, elsewhere what changes. With -o json it prints one\nobject, the status, once the cluster has settled: all nodes alive, one leader, the topic's partitions led evenly, with all\nreplicas in sync. It fails where that takes longer than --exit-after and 15 s.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.nodes < 1 || o.nodes > devNodesMax {
				return usage("--nodes is %d, want 1 to %d", o.nodes, devNodesMax)
			}
			if o.partitions == 0 {
				return usage("--partitions is 0, want 1 or more")
			}
			if o.ephemeral && cmd.Flags().Changed("data-dir") {
				return usage("give either --ephemeral or --data-dir")
			}
			return a.dev(cmd.Context(), o)
		},
	}
	f := c.Flags()
	f.IntVar(&o.nodes, "nodes", 3, "number of nodes")
	f.StringVar(&o.dataDir, "data-dir", defaultDataDir, "where the nodes keep their state")
	f.BoolVar(&o.ephemeral, "ephemeral", false, "keep nothing: a temporary directory that is removed at the end")
	f.DurationVar(&o.exitAfter, "exit-after", 0, "stop after that long; 0: run until interrupted")
	f.StringVar(&o.topic, "topic", "demo", "name of the demo topic")
	f.Uint32Var(&o.partitions, "partitions", 6, "partitions of the demo topic")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log to the standard error instead of node.log in each node's directory")
	must(c.MarkFlagDirname("data-dir"))
	return c
}

func (a *app) dev(ctx context.Context, o devOptions) (err error) {
	if o.ephemeral {
		if o.dataDir, err = os.MkdirTemp("", "rivven-dev-"); err != nil {
			return fmt.Errorf("make a temporary directory: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dataDir)) }()
	}
	began := time.Now()
	c, err := a.startCluster(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if o.exitAfter > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, began.Add(o.exitAfter))
		defer cancel()
	}
	if a.output == outputJSON {
		return c.sample(ctx, a)
	}
	return c.show(ctx, a)
}

// cluster is the nodes of this process.
type cluster struct {
	options devOptions
	nodes   []*node.Node
	logs    []*os.File
	client  *client.Client
	admin   map[uint64]string
	failed  chan error // a node that stopped by itself
}

func (a *app) startCluster(ctx context.Context, o devOptions) (c *cluster, err error) {
	configs, err := devConfigs(o)
	if err != nil {
		return nil, err
	}
	c = &cluster{options: o, admin: map[uint64]string{}, failed: make(chan error, len(configs))}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	var addresses []string
	for _, cfg := range configs {
		log, err := a.devLogger(c, cfg)
		if err != nil {
			return nil, err
		}
		n, err := startNode(ctx, cfg, log)
		if err != nil {
			return nil, err
		}
		c.nodes = append(c.nodes, n)
		c.admin[cfg.ID] = n.AdminAddress()
		addresses = append(addresses, n.AdminAddress())
		go func() {
			<-n.Done()
			c.failed <- n.Err()
		}()
	}
	c.client, err = client.New(client.Config{Addresses: addresses})
	return c, err
}

func (a *app) devLogger(c *cluster, cfg node.Config) (*zap.Logger, error) {
	if c.options.verbose {
		log, err := newLogger(node.LogSettings{Level: "info", Format: "console"}, a.err)
		return log.With(zap.Uint64("node_id", cfg.ID)), err
	}
	f, err := os.OpenFile(filepath.Join(cfg.DataDir, "node.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open a log file: %w", err)
	}
	c.logs = append(c.logs, f)
	return newLogger(node.LogSettings{Level: "info", Format: "json"}, f)
}

// stop drains all nodes at once. What of that is not done in time does not matter any more.
func (c *cluster) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), devDrainTimeout)
	defer cancel()
	var all sync.WaitGroup
	for _, n := range c.nodes {
		all.Go(func() { _ = n.Shutdown(ctx) })
	}
	all.Wait()
	if c.client != nil {
		c.client.Close()
	}
	var faults []error
	for _, f := range c.logs {
		faults = append(faults, f.Close())
	}
	return errors.Join(faults...)
}

// devConfigs prepares directories, certificates and ports.
func devConfigs(o devOptions) ([]node.Config, error) {
	ca, err := devCA(filepath.Join(o.dataDir, "tls"))
	if err != nil {
		return nil, err
	}
	ports, err := devPorts(filepath.Join(o.dataDir, "dev.json"), o.nodes)
	if err != nil {
		return nil, err
	}
	var peers, gossip []string
	for i, p := range ports {
		peers = append(peers, fmt.Sprintf("%d@%s", i+1, local(p.Main)))
		gossip = append(gossip, fmt.Sprintf("%d@%s", i+1, local(p.Gossip)))
	}
	configs := make([]node.Config, 0, o.nodes)
	for i, p := range ports {
		cfg := node.Config{
			ID: uint64(i) + 1, Name: ca.TrustDomain, NodeName: fmt.Sprintf("node%d", i+1),
			DataDir: filepath.Join(o.dataDir, fmt.Sprintf("node%d", i+1)), Bind: local(p.Main), Advertise: local(p.Main),
			Admin: node.AdminSettings{Bind: local(p.Admin)},
		}
		cfg.Gossip.BindPort = p.Gossip
		if o.nodes > 1 {
			cfg.Peers, cfg.Gossip.KnownPeers = peers, gossip
		}
		cfg.EnsureDefaults()
		if cfg.CheckTLSFiles() != nil {
			if _, err := nodeFiles(ca, cfg.ID, filepath.Join(cfg.DataDir, "tls"), 0, []string{"localhost", "127.0.0.1"}); err != nil {
				return nil, err
			}
		}
		configs = append(configs, cfg)
	}
	return configs, nil
}

// devCA reads the certificate authority of an earlier run, or makes one.
func devCA(dir string) (*remote.CA, error) {
	ca, err := remote.LoadCA(filepath.Join(dir, caFile), filepath.Join(dir, caKeyFile))
	if !errors.Is(err, fs.ErrNotExist) {
		return ca, err
	}
	if ca, err = remote.NewCA(defaultClusterName, time.Now(), 0); err != nil {
		return nil, err
	}
	_, err = caFiles(ca, dir)
	return ca, err
}

type nodePorts struct {
	Main   int `json:"main"`   // UDP
	Gossip int `json:"gossip"` // UDP
	Admin  int `json:"admin"`  // TCP
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// devPorts returns the ports of an earlier run, for that is where the nodes know each other, and free ones for nodes
// that are new.
func devPorts(file string, nodes int) ([]nodePorts, error) {
	var ports []nodePorts
	b, err := os.ReadFile(file) //nolint:gosec // a path of the caller's own
	switch {
	case err == nil:
		if err := json.Unmarshal(b, &ports); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read the ports of an earlier run: %w", err)
	}
	if len(ports) >= nodes {
		return ports[:nodes], nil
	}
	fresh, err := freePorts(nodes - len(ports))
	if err != nil {
		return nil, err
	}
	ports = append(ports, fresh...)
	if b, err = json.MarshalIndent(ports, "", "  "); err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, b, 0o640); err != nil { //nolint:gosec // ports are no secret
		return nil, fmt.Errorf("keep the ports: %w", err)
	}
	return ports, nil
}

// freePorts asks the system, and holds all sockets until it has them all so that no port comes twice.
func freePorts(n int) ([]nodePorts, error) {
	out := make([]nodePorts, n)
	var open []interface{ Close() error }
	defer func() {
		for _, s := range open {
			_ = s.Close() // nothing was sent on it
		}
	}()
	for i := range out {
		for _, port := range []*int{&out[i].Main, &out[i].Gossip} {
			s, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				return nil, fmt.Errorf("find a free port: %w", err)
			}
			open = append(open, s)
			*port = s.LocalAddr().(*net.UDPAddr).Port
		}
		s, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		open = append(open, s)
		out[i].Admin = s.Addr().(*net.TCPAddr).Port
	}
	return out, nil
}
