package remote

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/hupe1980/rivven-cluster/actors"
)

// core is what the actors of a remote, the processes that it resolves and the lanes of its connections share.
type core struct {
	system  *actor.ActorSystem
	local   *actor.RootContext // without the application's middleware, which messages from the wire do not pass
	env     actors.Env
	log     *zap.Logger
	metrics metrics
	// instruments and nodes make and keep what is measured of each peer.
	instruments actors.Metrics
	nodes       map[string]*nodeMetrics
	limits      Limits
	transport   Transport
	connAge     int64 // nanoseconds; 0 means for ever
	connIdle    time.Duration
	bulkRate    int // bytes per second; 0 means no limit
	// datagramIdle is what the transport does; it stands in the status.
	datagramIdle time.Duration
	codec        codec
	classes      *classes
	reserved     reservedTable
	peers        peerTable
	residents    residents
	blockList    *BlockList
	refusals     refusals
	notSent      limitedLog
	refusedIn    limitedLog
	unusable     limitedLog
	manager      *actor.PID
	// subscribers are the manager's, and outlive its restarts.
	subscribers []*actor.PID

	dialSequence atomic.Uint64

	closed atomic.Bool
	ready  atomic.Bool // this node's addresses are known

	// self changes when the node is given its cluster.
	self atomic.Pointer[actors.PeerInfo]
}

func newCore(system *actor.ActorSystem, config *Config, blockList *BlockList) (*core, error) {
	installed, _ := actors.From(system)
	limits := config.limits
	limits.setDefaults()
	c := &core{
		system: system, local: actor.NewRootContext(system, nil), env: installed.Env(), log: config.log, metrics: newMetrics(installed.Metrics()),
		instruments: installed.Metrics(), nodes: make(map[string]*nodeMetrics),
		limits: limits, connAge: int64(config.connAge), connIdle: config.connIdle, bulkRate: config.bulkRate,
		codec: codec{config.serializers}, classes: &config.classes, reserved: newReservedTable(config.reserved), blockList: blockList,
	}
	c.peers.core, c.datagramIdle = c, config.datagramIdle(limits.Peers)
	if c.log == nil {
		c.log = installed.Log().Named("remote")
	}
	identity, transport, err := config.identify(c)
	if err != nil {
		return nil, err
	}
	c.transport = transport
	c.self.Store(&actors.PeerInfo{
		NodeID: identity.NodeID, Name: identity.Name, ClusterID: identity.ClusterID,
		DirectoryID: identity.DirectoryID, Generation: identity.Generation,
	})
	return c, nil
}

// identify returns who the node is and what carries its messages.
func (cfg *Config) identify(c *core) (Identity, Transport, error) {
	if cfg.transport != nil {
		return *cfg.identity, cfg.transport, nil
	}
	domain := cfg.trustDomain
	if domain == "" {
		domain = DefaultTrustDomain
	}
	if err := checkTrustDomain(domain); err != nil {
		return Identity{}, nil, err
	}
	source := cfg.tls
	if cfg.dev {
		made, err := devTLS(c.env, domain, cfg)
		if err != nil {
			return Identity{}, nil, err
		}
		source = &made
	}
	certificate, err := source.Certificate()
	if err != nil {
		return Identity{}, nil, fmt.Errorf("reading this node's certificate: %w", err)
	}
	if _, err := source.Roots(); err != nil {
		return Identity{}, nil, fmt.Errorf("reading the CA: %w", err)
	}
	certDomain, node, err := CertifiedNode(certificate)
	switch {
	case err != nil:
		return Identity{}, nil, fmt.Errorf("this node's certificate can't be used: %w", err)
	case certDomain != domain:
		return Identity{}, nil, fmt.Errorf("this node's certificate is for trust domain %q, not %q: issue one from the CA of this cluster", certDomain, domain)
	case cfg.identity != nil && cfg.identity.NodeID != node:
		return Identity{}, nil, fmt.Errorf("this node's certificate names node %d, and this is node %d: issue one for its own id", node, cfg.identity.NodeID)
	}
	identity := Identity{
		NodeID: node, Name: "node" + strconv.FormatUint(node, 10), ClusterID: domain,
		DirectoryID: c.env.NewID(), Generation: uint64(max(c.env.Now().UnixMilli(), 1)),
	}
	if cfg.identity != nil {
		identity = *cfg.identity
	}
	return identity, newQUIC(cfg, c, *source, domain), nil
}

// onCertificateFault says that files of the operator's are not in use, while the last good ones are.
func (c *core) onCertificateFault(err error) {
	c.metrics.certificateFaults.Add(1)
	c.unusable.warn(c, "new certificates not taken: mend the files, nothing needs a restart", zap.Error(err))
}

// advertise settles this node's addresses once its endpoints are open.
func (c *core) advertise(cfg *Config, bound Endpoints) {
	self := *c.self.Load()
	self.Address = advertised(cfg.advertise, bound.Main)
	gossipDefault := bound.Gossip
	if host, _, err := net.SplitHostPort(bound.Gossip); cfg.advertise != "" || err == nil && unspecified(host) {
		gossipDefault = withPortOf(self.Address, bound.Gossip)
	}
	self.GossipAddress = advertised(cfg.advertiseGoss, gossipDefault)
	c.self.Store(&self)
}

func advertised(configured, bound string) string {
	if configured == "" {
		return bound
	}
	if host, port, err := net.SplitHostPort(configured); err == nil && port == "0" {
		return withPortOf(net.JoinHostPort(host, "0"), bound)
	}
	return configured
}

func withPortOf(address, bound string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return bound
	}
	_, port, err := net.SplitHostPort(bound)
	if err != nil {
		return bound
	}
	return net.JoinHostPort(host, port)
}

// blank reports whether so little is known between two nodes that only bootstrap may talk.
func (c *core) blank(peer *actors.PeerInfo) bool {
	return peer == nil || peer.ClusterID == "" || c.self.Load().ClusterID == ""
}

// transient reports whether an id is of a process that waits for one answer.
func transient(id string) bool {
	return strings.HasPrefix(id, "future$") || strings.HasPrefix(id, "ask$")
}

// reservedTable knows which message types a reserved name takes from the wire.
type reservedTable struct {
	exact    map[string]typeSet
	prefixes []reservedPrefix // longest first
}

type reservedPrefix struct {
	prefix string
	types  typeSet
}

type typeSet map[protoreflect.FullName]struct{}

var nothingTaken = typeSet{}

func newReservedTable(names []reservedName) reservedTable {
	t := reservedTable{exact: map[string]typeSet{
		nameActivator: {(&ActorPidRequest{}).ProtoReflect().Descriptor().FullName(): {}},
	}}
	for _, r := range names {
		types := t.exact[r.name]
		if types == nil {
			types = make(typeSet)
			t.exact[r.name] = types
			if strings.HasSuffix(r.name, "/") {
				t.prefixes = append(t.prefixes, reservedPrefix{r.name, types})
			}
		}
		for _, m := range r.types {
			types[m.ProtoReflect().Descriptor().FullName()] = struct{}{}
		}
	}
	slices.SortFunc(t.prefixes, func(a, b reservedPrefix) int { return len(b.prefix) - len(a.prefix) })
	return t
}

// of returns what a name takes from the wire, nil where it is not reserved.
func (t *reservedTable) of(id string) typeSet {
	if types, ok := t.exact[id]; ok {
		return types
	}
	for _, p := range t.prefixes {
		if strings.HasPrefix(id, p.prefix) {
			return p.types
		}
	}
	if actors.Reserved(id) {
		return nothingTaken
	}
	return nil
}

// splitAddress reads host:port and id@host:port.
func splitAddress(s string) (address string, expect uint64, err error) {
	address = s
	if id, rest, ok := strings.Cut(s, "@"); ok {
		if expect, err = strconv.ParseUint(id, 10, 64); err != nil || expect == 0 {
			return "", 0, fmt.Errorf("address %s: %s is no node id", quoteShort(s), quoteShort(id))
		}
		address = rest
	}
	return address, expect, checkAddress(address)
}

const addressMax = 300

func checkAddress(address string) error {
	if len(address) > addressMax {
		return fmt.Errorf("address %s is longer than %d bytes", quoteShort(address), addressMax)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %s is not host:port", quoteShort(address))
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if host == "" || err != nil || number == 0 {
		return fmt.Errorf("address %s is not host:port", quoteShort(address))
	}
	return nil
}

var errPeerLimit = errors.New("too many peers: raise Limits.Peers")
