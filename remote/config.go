package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
)

// DefaultTrustDomain is the SPIFFE trust domain where none is configured.
const DefaultTrustDomain = "rivven"

// Config is what a remote is made of. [Configure] makes one.
type Config struct {
	Host string
	Port int // 0 takes a free one

	identity      *Identity
	trustDomain   string
	tls           *TLS
	dev           bool
	advertise     string
	advertiseGoss string
	gossip        *hostPort
	resolver      Resolver
	transport     Transport
	reserved      []reservedName
	kinds         map[string]*actor.Props
	serializers   []namedSerializer
	limits        Limits
	log           *zap.Logger
	resetKey      *[32]byte
	bulkRate      int
	connAge       time.Duration
	probePeriod   time.Duration
	connIdle      time.Duration
	classes       classes
	listen        func(*net.UDPAddr) (net.PacketConn, error) // a UDP socket where nil
}

type hostPort struct {
	host string
	port int
}

type reservedName struct {
	name  string
	types []proto.Message
}

type namedSerializer struct {
	name string
	Serializer
}

// ConfigOption changes a Config.
type ConfigOption func(*Config)

// Resolver turns a host name into addresses; literal addresses never reach it.
type Resolver func(ctx context.Context, host string) ([]netip.Addr, error)

// Identity is who this node is.
type Identity struct {
	NodeID      uint64 // never 0; the certificate must name the same
	Name        string
	ClusterID   string // empty on a node that belongs to no cluster yet
	DirectoryID actors.ID
	Generation  uint64 // of this process: higher than any before it
}

// Limits bound what a remote holds. Zero fields take the default.
type Limits struct {
	// Queued bytes for each peer: Default 32 MiB, Control 8 MiB, Append 64 MiB, Bulk 16 MiB, Datagram 256 KiB. What
	// comes on top goes to dead letters.
	DefaultBytes, ControlBytes, AppendBytes, BulkBytes, DatagramBytes int
	Peers                                                             int // addresses that are known at a time, default 1024; messages to more go to dead letters
	Watches                                                           int // watches for each peer and direction, default 65536; more are answered with AddressTerminated
	HalfOpen                                                          int // connections without a Hello yet, default 128; the oldest gives way
	Connections                                                       int // accepted connections, default 4096; more are refused
	// Handshakes under way, default 1024; more are refused. From a sixteenth on addresses must be proven (Retry, RFC 9000
	// section 8.1.2), and no host may have more than a quarter.
	Handshakes int
}

// Configure makes the configuration of a remote that listens on host and port.
func Configure(host string, port int, options ...ConfigOption) *Config {
	c := &Config{Host: host, Port: port, kinds: make(map[string]*actor.Props), connAge: time.Hour, connIdle: connIdleDefault}
	for _, option := range options {
		option(c)
	}
	return c
}

// WithTLS says where certificates are read. Exactly one of WithTLS and [WithDevTLS] is needed, unless
// [WithTransport] replaces QUIC.
func WithTLS(t TLS) ConfigOption { return func(c *Config) { c.tls = &t } }

// WithDevTLS makes certificates on the spot, from a CA key that everybody knows. It works between processes on one
// machine and refuses to bind to, or dial, anything but loopback.
func WithDevTLS() ConfigOption { return func(c *Config) { c.dev = true } }

// WithIdentity says who this node is. Without it the node id is the certificate's, the rest is made up, and the
// cluster id is the trust domain.
func WithIdentity(id Identity) ConfigOption { return func(c *Config) { c.identity = &id } }

// WithAdvertise sets the addresses, host:port, that peers dial: main, which PIDs carry, and gossip. Empty ones, and a
// port 0 in either, are filled from what was bound.
func WithAdvertise(main, gossip string) ConfigOption {
	return func(c *Config) { c.advertise, c.advertiseGoss = main, gossip }
}

// WithAdvertisedHost sets the main address alone, by protoactor's name for it.
func WithAdvertisedHost(address string) ConfigOption {
	return func(c *Config) { c.advertise = address }
}

// WithGossip gives datagram connections a UDP socket of their own; without it they share the main one.
func WithGossip(host string, port int) ConfigOption {
	return func(c *Config) { c.gossip = &hostPort{host, port} }
}

// WithResolver replaces the system's name resolution.
func WithResolver(r Resolver) ConfigOption { return func(c *Config) { c.resolver = r } }

// WithTrustDomain sets the SPIFFE trust domain, the cluster's name; default "rivven".
func WithTrustDomain(name string) ConfigOption { return func(c *Config) { c.trustDomain = name } }

// WithTransport replaces QUIC.
func WithTransport(t Transport) ConfigOption { return func(c *Config) { c.transport = t } }

// WithReserved lists the message types that a reserved name takes from the wire; a name that ends with "/" stands for
// every name that begins so. Each use adds to what was there. What a reserved name gets comes as *actors.Inbound.
func WithReserved(name string, types ...proto.Message) ConfigOption {
	return func(c *Config) { c.reserved = append(c.reserved, reservedName{name, types}) }
}

// WithKinds adds kinds that peers may spawn here.
func WithKinds(kinds ...*ActorKind) ConfigOption {
	return func(c *Config) {
		for _, k := range kinds {
			c.kinds[k.Kind] = k.Props
		}
	}
}

// WithSerializer adds a serializer for messages that are no proto.Message; the first that names a message's type
// takes it. Both sides need it under the same name.
func WithSerializer(name string, s Serializer) ConfigOption {
	return func(c *Config) { c.serializers = append(c.serializers, namedSerializer{name, s}) }
}

// WithLimits sets bounds.
func WithLimits(l Limits) ConfigOption { return func(c *Config) { c.limits = l } }

// WithLogger sets the logger; the default is the actor system's.
func WithLogger(log *zap.Logger) ConfigOption { return func(c *Config) { c.log = log } }

// WithStatelessResetKey sets the key that outlives this process: with it a restarted node tells its peers at their
// first packet that it forgot their connections, and without it they wait for a timeout.
func WithStatelessResetKey(key [32]byte) ConfigOption {
	return func(c *Config) { c.resetKey = &key }
}

// bulkRateMin sends a chunk, and the next one, within the time that a peer waits for it.
const bulkRateMin = 16 << 10

// WithBulkRate limits what the lane Bulk sends to each peer, in bytes per second; 0 means no limit, and less than
// 16 KiB/s is refused by Start.
func WithBulkRate(bytesPerSecond int) ConfigOption {
	return func(c *Config) { c.bulkRate = bytesPerSecond }
}

// WithConnectionAge sets how long a connection lives before it is renewed in good order, so that new certificates
// take effect; default one hour, up to a tenth more at random.
func WithConnectionAge(d time.Duration) ConfigOption { return func(c *Config) { c.connAge = d } }

// WithProbePeriod says how long the membership waits between two probes, each of another member. Nothing else keeps datagram connections
// alive, so they may be idle for three rounds through as many peers as there may be ([Limits]), and at least for 15 minutes: a probe then
// seldom has to wait for a handshake.
func WithProbePeriod(d time.Duration) ConfigOption { return func(c *Config) { c.probePeriod = d } }

const datagramIdleMax = 24 * time.Hour

func (c *Config) datagramIdle(peersMax int) time.Duration {
	return min(max(datagramIdleMin, 3*time.Duration(peersMax)*c.probePeriod), datagramIdleMax)
}

// connIdleDefault is long beside what a connection costs (some 40 packets), and short beside what keeping it would.
const connIdleDefault = 10 * time.Second

// WithConnectionIdle sets after how long, and up to half of it more, a connection that nobody uses is ended in good order; default 10 s, 0
// is never. In use it is while messages other than heartbeats go or come, while one of the two watches an actor of the other, and while a
// future or an [actors.Ask] here waits for an answer. The next message opens it again, and peers count as connected meanwhile.
func WithConnectionIdle(d time.Duration) ConfigOption { return func(c *Config) { c.connIdle = d } }

// Address returns host and port as configured.
func (c *Config) Address() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

func (l *Limits) setDefaults() {
	for _, f := range []struct {
		field *int
		value int
	}{
		{&l.DefaultBytes, 32 << 20},
		{&l.ControlBytes, 8 << 20},
		{&l.AppendBytes, 64 << 20},
		{&l.BulkBytes, 16 << 20},
		{&l.DatagramBytes, 256 << 10},
		{&l.Peers, 1024},
		{&l.Watches, 65536},
		{&l.HalfOpen, 128},
		{&l.Connections, 4096},
		{&l.Handshakes, 1024},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
}

func (l *Limits) queued(class actors.Class) int {
	switch class {
	case actors.Control:
		return l.ControlBytes
	case actors.Append:
		return l.AppendBytes
	case actors.Bulk:
		return l.BulkBytes
	case actors.Datagram:
		return l.DatagramBytes
	}
	return l.DefaultBytes
}

func (c *Config) validate() error {
	var errs []error
	if c.Port < 0 || c.Port > 65535 {
		errs = append(errs, fmt.Errorf("port %d is not between 0 and 65535", c.Port))
	}
	if c.transport == nil && (c.tls == nil) == !c.dev {
		errs = append(errs, errors.New("need exactly one of WithTLS and WithDevTLS"))
	}
	if c.bulkRate != 0 && c.bulkRate < bulkRateMin {
		errs = append(errs, fmt.Errorf("bulk rate of %d B/s: want 0, for none, or at least %d", c.bulkRate, bulkRateMin))
	}
	if c.probePeriod < 0 || c.probePeriod > time.Hour {
		errs = append(errs, fmt.Errorf("probe period of %v: want 0 to 1h", c.probePeriod))
	}
	if c.identity != nil && c.identity.NodeID == 0 {
		errs = append(errs, errors.New("node id 0 in WithIdentity: ids start at 1"))
	}
	if c.transport != nil && c.identity == nil {
		errs = append(errs, errors.New("WithTransport needs WithIdentity: there is no certificate to take the node id from"))
	}
	if c.advertise == "" && c.transport == nil && unspecified(c.Host) {
		errs = append(errs, fmt.Errorf("%s is no address that peers can dial: set one with WithAdvertise", c.Address()))
	}
	for _, address := range []string{c.advertise, c.advertiseGoss} {
		host, port, err := net.SplitHostPort(address)
		if address != "" && (err != nil || port != "0" && checkAddress(address) != nil || unspecified(host)) {
			errs = append(errs, fmt.Errorf("advertised address %s: want host:port that peers can dial", quoteShort(address)))
		}
	}
	if c.identity != nil && (len(c.identity.Name) > helloNameMax || len(c.identity.ClusterID) > helloClusterMax || c.identity.Generation == 0) {
		errs = append(errs, fmt.Errorf("identity: want a name of at most %d bytes, a cluster id of at most %d, and a generation above 0", helloNameMax, helloClusterMax))
	}
	for _, r := range c.reserved {
		if len(r.types) == 0 {
			errs = append(errs, fmt.Errorf("WithReserved(%q) lists no message type", r.name))
		}
	}
	return errors.Join(errs...)
}

func unspecified(host string) bool {
	if host == "" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsUnspecified()
}
