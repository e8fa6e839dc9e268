package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

// NameNode is the root actor's.
const NameNode = "node"

// ErrStopped is what Err says of a node that was shut down in good order: nothing went wrong.
var ErrStopped = errors.New("the node was shut down")

// Node is a running node. Its methods are safe for concurrent use.
type Node struct {
	cfg     Config
	opts    options
	system  *actors.System
	root    *actor.PID
	started chan struct{} // the doors are open, or it failed before
	ready   chan struct{} // it belongs to a cluster and everything runs
	done    chan struct{}
	facts   atomic.Pointer[facts]

	mu  sync.Mutex
	err error
}

// facts are what a running node knows of itself, published by the root actor.
type facts struct {
	store         logstore.Handle
	replica       uint64 // of this node in every group
	address       string
	gossipAddress string
	adminAddress  string
	healthAddress string
	clusterID     string
	peers         []raftactor.Peer
	draining      bool
}

// Get asks the root actor for its *Node, for those who spawned Props under a supervisor of their own.
type Get struct{}

// Start runs a node on system and returns once it listens; ctx bounds that. It goes on forming or joining a cluster afterwards:
// see WaitReady. A system without an environment gets the live one.
func Start(ctx context.Context, system *actor.ActorSystem, cfg Config, opts ...Option) (*Node, error) {
	return start(ctx, system, cfg, opts)
}

func start(ctx context.Context, system *actor.ActorSystem, cfg Config, opts []Option) (*Node, error) {
	n, err := newNode(cfg, opts)
	if err != nil {
		return nil, err
	}
	n.install(system)
	if _, err := system.Root.SpawnNamed(n.props(), NameNode); err != nil {
		return nil, fmt.Errorf("start node %d: %w", n.cfg.ID, err)
	}
	select {
	case <-n.started:
	case <-ctx.Done():
		system.Root.Stop(system.NewLocalPID(NameNode))
		return nil, fmt.Errorf("start node %d: %w", n.cfg.ID, ctx.Err())
	}
	select {
	case <-n.done:
		return nil, n.Err()
	default:
		return n, nil
	}
}

// Props makes a node to be spawned under an app's own supervisor; see [WithStarted], and the root actor answers [Get]. All faults of the
// config are returned at once. A node that stopped for a reason does not start again by being restarted: spawn new Props.
//
// protoactor keeps the system's address in a plain field, which the node sets while it starts. Let nothing else on the system send
// messages meanwhile.
func Props(cfg Config, opts ...Option) (*actor.Props, error) {
	n, err := newNode(cfg, opts)
	if err != nil {
		return nil, err
	}
	return n.props(), nil
}

func newNode(cfg Config, opts []Option) (*Node, error) {
	cfg = cfg.Clone()
	cfg.EnsureDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, started: make(chan struct{}), ready: make(chan struct{}), done: make(chan struct{})}
	n.opts = options{
		storage: openFiles, parts: parts{raft: true, swim: true, ring: true},
		group: actors.GroupMeta, machine: metadata.New,
	}
	for _, opt := range opts {
		opt(&n.opts)
	}
	if n.opts.registry == nil {
		own := prometheus.NewRegistry()
		n.opts.registry, n.opts.gatherer = own, own
	}
	n.facts.Store(&facts{})
	return n, nil
}

func (n *Node) props() *actor.Props {
	return actor.PropsFromProducer(func() actor.Actor { return &root{node: n} },
		actors.Named(NameNode), actor.WithSupervisor(n.supervision()))
}

// install gives the system what it lacks: an environment, and this node's logger and metrics.
func (n *Node) install(system *actor.ActorSystem) {
	if n.opts.metrics == nil {
		n.opts.metrics = newMetrics(n.opts.registry)
	}
	add := []actors.Option{actors.WithMetrics(n.opts.metrics)}
	if n.opts.log != nil {
		add = append(add, actors.WithLogger(n.opts.log))
	}
	n.system = live.Install(system, add...)
	n.root = system.NewLocalPID(NameNode)
}

func (n *Node) supervision() actor.SupervisorStrategy {
	return actors.Supervise(actors.Supervision{GiveUp: func(_ actor.Supervisor, child *actor.PID, reason, _ any) {
		err, ok := reason.(error)
		if !ok {
			err = fmt.Errorf("%v", reason)
		}
		n.fail(fmt.Errorf("node %d: actor %s can't go on: %w", n.cfg.ID, child.Id, err))
	}})
}

// fail stops the node for a reason; the first one stays.
func (n *Node) fail(err error) {
	n.setErr(err)
	n.system.Log().Named("node").Error("node stops", zap.Error(err))
	n.system.Root.Stop(n.system.NewLocalPID(NameNode))
}

func (n *Node) setErr(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err == nil {
		n.err = err
	}
}

// Done is closed when the node has stopped, its files closed.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err says why the node stopped, once Done is closed: nil after Shutdown, and while it runs.
func (n *Node) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if errors.Is(n.err, ErrStopped) {
		return nil
	}
	return n.err
}

// WaitReady returns once the node belongs to a cluster and all its actors run.
func (n *Node) WaitReady(ctx context.Context) error {
	select {
	case <-n.ready:
		return nil
	case <-n.done:
		return errors.Join(fmt.Errorf("node %d stopped", n.cfg.ID), n.Err())
	case <-ctx.Done():
		return fmt.Errorf("node %d is not ready: %w", n.cfg.ID, ctx.Err())
	}
}

// Shutdown drains the node and stops it; ctx bounds the draining. Without time to drain it stops all the same.
func (n *Node) Shutdown(ctx context.Context) error {
	n.setErr(ErrStopped)
	n.system.Root.Send(n.system.NewLocalPID(NameNode), &drain{})
	select {
	case <-n.done:
		return n.Err()
	case <-ctx.Done():
		n.system.Root.Stop(n.system.NewLocalPID(NameNode))
		<-n.done
		return fmt.Errorf("node %d stopped before it was drained: %w", n.cfg.ID, ctx.Err())
	}
}

// System is what the node runs on.
func (n *Node) System() *actor.ActorSystem { return n.system.ActorSystem }

// Config returns the configuration in force, defaults filled in.
func (n *Node) Config() Config { return n.cfg.Clone() }

// Store is the node's log store, for Raft groups of an app's own.
func (n *Node) Store() logstore.Handle { return n.facts.Load().store }

// Peers are the cluster's first voters: the first voters of an app's own group, the same on each of them. It is empty on a node that
// joined later, where a leader adds the replica, and before WaitReady.
func (n *Node) Peers() []raftactor.Peer { return n.facts.Load().peers }

// ClusterID is empty until the node belongs to one.
func (n *Node) ClusterID() string { return n.facts.Load().clusterID }

// Address is the main address, the one that PIDs of this node's actors carry.
func (n *Node) Address() string { return n.facts.Load().address }

// GossipAddress is where probes go.
func (n *Node) GossipAddress() string { return n.facts.Load().gossipAddress }

// AdminAddress is where the admin API listens; empty where it is off.
func (n *Node) AdminAddress() string { return n.facts.Load().adminAddress }

// HealthAddress is where /livez, /readyz and /metrics listen in the clear; empty where it is off.
func (n *Node) HealthAddress() string { return n.facts.Load().healthAddress }

// Swim is the membership actor.
func (n *Node) Swim() *actor.PID { return n.system.NewLocalPID(actors.NameSwim) }

// Ring is the partition manager.
func (n *Node) Ring() *actor.PID { return n.system.NewLocalPID(actors.NameRing) }
