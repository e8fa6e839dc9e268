package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/extensions"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/live"
)

var extensionID = extensions.NextExtensionID()

// ErrClosed is what calls on a remote return that was shut down or never started.
var ErrClosed = errors.New("the remote is not running")

// Remote carries messages between actor systems. Its methods are safe for concurrent use after Start.
type Remote struct {
	system    *actor.ActorSystem
	config    *Config
	core      *core
	kinds     *kindRegistry
	blockList *BlockList
	manager   *actor.PID
	activator *actor.PID
}

// NewRemote makes a remote for a system and opens nothing. A plain system gets the live environment.
func NewRemote(system *actor.ActorSystem, config *Config) *Remote {
	live.Install(system)
	r := &Remote{system: system, config: config, kinds: newKindRegistry(config.kinds), blockList: NewBlockList()}
	r.blockList.log = system.Logger()
	system.Extensions.Register(r)
	return r
}

// GetRemote returns the remote of a system, nil where NewRemote made none.
func GetRemote(system *actor.ActorSystem) *Remote {
	r, _ := system.Extensions.Get(extensionID).(*Remote)
	return r
}

// ExtensionID makes Remote an extension of protoactor.
func (r *Remote) ExtensionID() extensions.ExtensionID { return extensionID }

// Start listens, gives the system its address and spawns the actors "remote" and "activator". It doesn't wait for any
// peer. An error leaves nothing open.
func (r *Remote) Start() error {
	if r.core != nil {
		return errors.New("starting the remote: it was started before, and a remote starts once")
	}
	if err := r.config.validate(); err != nil {
		return fmt.Errorf("configuring the remote: %w", err)
	}
	c, err := newCore(r.system, r.config, r.blockList)
	if err != nil {
		return fmt.Errorf("starting the remote: %w", err)
	}
	manager, err := r.system.Root.SpawnNamed(managerProps(c), actors.NameRemote)
	if err != nil {
		return fmt.Errorf("spawning the actor %q: %w", actors.NameRemote, err)
	}
	c.manager = manager
	endpoints, err := c.transport.Listen(&events{c})
	if err != nil {
		r.system.Root.Stop(manager)
		return fmt.Errorf("listening on %s: %w", r.config.Address(), err)
	}
	c.advertise(r.config, endpoints)
	activator, err := r.system.Root.SpawnNamed(activatorProps(r.kinds, c.log), nameActivator)
	if err != nil {
		c.transport.Close()
		r.system.Root.Stop(manager)
		return fmt.Errorf("spawning the actor %q: %w", nameActivator, err)
	}
	r.core, r.manager, r.activator = c, manager, activator
	self := c.self.Load()
	r.system.ProcessRegistry.Address = self.Address
	r.system.ProcessRegistry.RegisterAddressResolver(c.resolveProcess)
	c.ready.Store(true)
	r.system.Root.Send(manager, &listening{})
	r.blockList.whenMore(func() { r.system.Root.Send(manager, &moreBlocked{}) })
	c.log.Info("listening", zap.String("address", self.Address), zap.String("gossip_address", self.GossipAddress),
		zap.Uint64("node_id", self.NodeID), zap.String("cluster_id", self.ClusterID))
	return nil
}

// drainDeadline is how long a graceful shutdown waits for its peers.
const drainDeadline = 5 * time.Second

// Shutdown ends all connections; messages to peers go to dead letters from then on. A graceful one first sends what is
// queued, has it acknowledged and tells the peers, for at most five seconds.
func (r *Remote) Shutdown(graceful bool) {
	c := r.core
	if c == nil || c.closed.Swap(true) {
		return
	}
	if graceful {
		ctx, cancel := context.WithTimeout(context.Background(), drainDeadline+time.Second)
		if _, err := live.Ask(ctx, r.system, r.manager, &Drain{Timeout: drainDeadline}); err != nil {
			c.log.Warn("peers were not drained", zap.Error(err))
		}
		cancel()
	}
	r.blockList.whenMore(nil)
	c.peers.refuseAll()
	c.transport.Close()
	r.system.Root.Stop(r.activator)
	r.system.Root.Stop(r.manager)
	c.log.Info("stopped", zap.Bool("graceful", graceful))
}

// Drain asks the actor "remote" to send what is queued, have it acknowledged and say goodbye. The answer, after at
// most Timeout, is *Drained. Local message.
type Drain struct{ Timeout time.Duration }

// Drained answers Drain.
type Drained struct{ Peers, Unacknowledged int }

// Resolve says who lives at address, host:port or id@host:port; ctx bounds the wait.
func (r *Remote) Resolve(ctx context.Context, address string) (*actors.PeerInfo, error) {
	if r.core == nil {
		return nil, fmt.Errorf("resolving %s: %w", address, ErrClosed)
	}
	res, err := live.Ask(ctx, r.system, r.manager, &actors.Resolve{Address: address})
	if err != nil {
		return nil, fmt.Errorf("resolving %s: %w", address, err)
	}
	resolved, ok := res.(*actors.Resolved)
	if !ok {
		return nil, fmt.Errorf("resolving %s: unexpected answer %T", address, res)
	}
	return resolved.Peer, resolved.Err
}

// Self returns who this node is, nil before Start.
func (r *Remote) Self() *actors.PeerInfo {
	if r.core == nil {
		return nil
	}
	return r.core.self.Load()
}

// DeliverAs makes class the one for messages of a type that are sent without choosing one. Call it before Start or
// after; messages already queued keep theirs.
func (r *Remote) DeliverAs(class actors.Class, message proto.Message) {
	r.config.classes.set(class, message)
}
