package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/node/admin"
	"github.com/hupe1980/rivven-cluster/remote"
)

// doors are the node's HTTP listeners: the admin API, and health alone in the clear.
type doors struct {
	server *admin.Server
	log    *zap.Logger
}

const doorsCloseTimeout = 2 * time.Second

// openDoors listens before the node belongs to a cluster: a node that waits for its peers can be asked what for.
func (r *root) openDoors(actor.Context) error {
	n, cfg := r.node, r.node.cfg.Admin
	if cfg.Bind == AdminOff && cfg.HealthBind == "" {
		return nil
	}
	token, err := readToken(cfg.TokenFile)
	if err != nil {
		return err
	}
	server, err := admin.New(admin.Config{
		System: n.system.ActorSystem,
		PIDs:   admin.PIDs{Meta: n.Group(), Swim: n.Swim(), Ring: n.Ring(), Remote: r.pid(actors.NameRemote)},
		Self: admin.Self{
			ID: n.cfg.ID, Name: n.cfg.NodeName, ClusterName: n.cfg.Name, Address: n.Address(), GossipAddress: n.GossipAddress(), ClusterID: n.ClusterID,
		},
		Health: admin.Health{Live: n.live, Ready: n.conditions},
		Gather: n.opts.gatherer, Store: n.Store(), Token: token, Log: n.system.Log().Named(actors.NameAdmin),
	})
	if err != nil {
		return err
	}
	r.doors = &doors{server: server, log: r.log}
	if cfg.Bind != AdminOff {
		address, err := r.doors.serve(cfg.Bind, r.adminTLS(cfg.Bind), server.Serve)
		if err != nil {
			return fmt.Errorf("admin API: %w", err)
		}
		r.publish(func(f *facts) { f.adminAddress = address })
	}
	if cfg.HealthBind != "" {
		address, err := r.doors.serve(cfg.HealthBind, nil, server.ServeHealth)
		if err != nil {
			return fmt.Errorf("health: %w", err)
		}
		r.publish(func(f *facts) { f.healthAddress = address })
	}
	return nil
}

func (d *doors) serve(bind string, secure *tls.Config, serve func(net.Listener) error) (string, error) {
	listener, err := net.Listen("tcp", bind)
	if err != nil {
		return "", err
	}
	address := listener.Addr().String()
	if secure != nil {
		listener = tls.NewListener(listener, secure)
	}
	go func() {
		if err := serve(listener); err != nil {
			d.log.Error("http server ended", zap.String("address", address), zap.Error(err))
		}
	}()
	return address, nil
}

func (d *doors) close() {
	ctx, cancel := context.WithTimeout(context.Background(), doorsCloseTimeout)
	defer cancel()
	if err := d.server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		d.log.Warn("http server did not close", zap.Error(err))
	}
}

// adminTLS is nil on loopback; elsewhere the API is served with the node's own certificate.
func (r *root) adminTLS(bind string) *tls.Config {
	host, _, err := net.SplitHostPort(bind)
	if err == nil {
		if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
			return nil
		}
	}
	files := r.node.cfg.TLS
	source := remote.TLSFiles(files.CA, files.Cert, files.Key)
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return source.Certificate() },
	}
}

const tokenBytesMax = 4096

func readToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path) //nolint:gosec // a path of the operator's own
	if err != nil {
		return "", fmt.Errorf("admin.token_file: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || len(token) > tokenBytesMax {
		return "", fmt.Errorf("admin.token_file: %s has a token of %d bytes: want 1 to %d", path, len(token), tokenBytesMax)
	}
	return token, nil
}
