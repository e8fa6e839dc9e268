package node

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
	"github.com/hupe1980/rivven-cluster/remote"
	"github.com/hupe1980/rivven-cluster/ringactor"
)

// Option changes what a node is wired with.
type Option func(*options)

type options struct {
	log       *zap.Logger
	registry  prometheus.Registerer
	gatherer  prometheus.Gatherer
	kinds     []ringactor.Kind
	storage   func(Config, actors.Env) (Storage, error)
	transport remote.Transport
	tls       *remote.TLS
	started   func(*Node)
	metrics   actors.Metrics
	parts     parts
	group     string // the group that bootstrap forms
	machine   func() consensus.Machine
}

// Storage is what a node keeps between its lives.
type Storage struct {
	Store logstore.Store
	Files logstore.SnapshotFiles
	// ResetKey lets a restarted node tell its peers at once that it forgot their connections.
	ResetKey [32]byte
}

// WithLogger sets the logger; the default is the system's, or none.
func WithLogger(log *zap.Logger) Option { return func(o *options) { o.log = log } }

// WithMetrics registers the node's metrics and serves gatherer at /metrics. Without it they go to a registry of the node's own.
func WithMetrics(registry prometheus.Registerer, gatherer prometheus.Gatherer) Option {
	return func(o *options) { o.registry, o.gatherer = registry, gatherer }
}

// WithInstruments replaces the Prometheus instruments; /metrics then shows none.
func WithInstruments(m actors.Metrics) Option { return func(o *options) { o.metrics = m } }

// WithKinds registers what runs on partitions.
func WithKinds(kinds ...ringactor.Kind) Option {
	return func(o *options) { o.kinds = append(o.kinds, kinds...) }
}

// WithStorage replaces the files in Config.DataDir.
func WithStorage(open func(Config, actors.Env) (Storage, error)) Option {
	return func(o *options) { o.storage = open }
}

// WithStarted calls f once the node listens, in the root actor's turn: for those who spawn Props under a supervisor of their own.
func WithStarted(f func(*Node)) Option { return func(o *options) { o.started = f } }

// WithTransport replaces QUIC. Without certificates (see [WithCertificates]) the node's membership record then goes unsigned.
func WithTransport(t remote.Transport) Option { return func(o *options) { o.transport = t } }

// WithCertificates replaces the files of Config.TLS.
func WithCertificates(t remote.TLS) Option { return func(o *options) { o.tls = &t } }

// How long the steps of a shutdown may take, each; they end sooner where there is nothing to do.
const (
	transferTimeout = 2 * time.Second
	leaveTimeout    = 6 * time.Second
	handOverTimeout = 3 * time.Second
	closeTimeout    = 3 * time.Second
)
