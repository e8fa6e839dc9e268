package raftsuite

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

const etcdSettings = "embedded, proposals through the server in the same process, no TLS; heartbeat 15 ms and election 150 ms (drawn from 150–300), else " +
	"defaults: WAL with fdatasync, PreVote, a backend commit each 100 ms; values under 1,024 keys"

type etcdCluster struct {
	dir     string
	clients []string
	peers   []string
	members []*embed.Etcd
}

func openEtcd(ctx context.Context, dir string, _ int) (cluster, error) {
	addresses, err := freeAddresses("tcp", 6)
	if err != nil {
		return nil, err
	}
	c := &etcdCluster{dir: dir, clients: addresses[:3], peers: addresses[3:], members: make([]*embed.Etcd, 3)}
	for at := range 3 { // all must run before one is ready
		if c.members[at], err = embed.StartEtcd(c.config(at, embed.ClusterStateFlagNew)); err != nil {
			return nil, err
		}
	}
	for at := range 3 {
		if err := c.ready(ctx, at); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *etcdCluster) config(at int, state string) *embed.Config {
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = fmt.Sprintf("m%d", at), filepath.Join(c.dir, fmt.Sprintf("m%d", at))
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = urls(c.clients[at]), urls(c.clients[at])
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = urls(c.peers[at]), urls(c.peers[at])
	var members []string
	for i, peer := range c.peers {
		members = append(members, fmt.Sprintf("m%d=http://%s", i, peer))
	}
	cfg.InitialCluster, cfg.ClusterState = strings.Join(members, ","), state
	cfg.TickMs, cfg.ElectionMs = 15, 150
	cfg.LogLevel, cfg.Logger = "panic", "zap"
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	cfg.QuotaBackendBytes = 8 << 30
	return cfg
}

func urls(address string) []url.URL { return []url.URL{{Scheme: "http", Host: address}} }

func (c *etcdCluster) ready(ctx context.Context, at int) error {
	select {
	case <-c.members[at].Server.ReadyNotify():
		return nil
	case err := <-c.members[at].Err():
		return err
	case <-time.After(30 * time.Second):
		return fmt.Errorf("member %d is not ready within 30s", at)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *etcdCluster) propose(ctx context.Context, at, _ int, value []byte) error {
	id := binary.BigEndian.Uint64(value)
	_, err := c.members[at].Server.Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "%04d", id%1024), Value: value})
	return err
}

func (c *etcdCluster) leader(int) int {
	for at, m := range c.members {
		if m != nil && m.Server.Leader() == m.Server.MemberID() {
			return at
		}
	}
	return -1
}

func (c *etcdCluster) stop(at int) error {
	m := c.members[at]
	c.members[at] = nil
	m.Server.HardStop()
	m.Close()
	return nil
}

func (c *etcdCluster) start(ctx context.Context, at int) (err error) {
	if c.members[at], err = embed.StartEtcd(c.config(at, embed.ClusterStateFlagExisting)); err != nil {
		return err
	}
	return c.ready(ctx, at)
}

func (c *etcdCluster) transfer(ctx context.Context, from, to int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	leader := c.members[from].Server
	if err := leader.MoveLeader(ctx, uint64(leader.MemberID()), uint64(c.members[to].Server.MemberID())); err != nil {
		return fmt.Errorf("%w: %w", errBusy, err)
	}
	return nil
}

func (c *etcdCluster) applied(at int) uint64 {
	if c.members[at] == nil {
		return 0
	}
	return c.members[at].Server.AppliedIndex()
}

func (c *etcdCluster) close() {
	for _, m := range c.members {
		if m != nil {
			m.Server.HardStop()
			m.Close()
		}
	}
}
