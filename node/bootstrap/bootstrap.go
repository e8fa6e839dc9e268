package bootstrap

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// Store is what bootstrap needs of the node's log store.
type Store interface {
	Identity() logstore.Identity
	SetIdentity(id logstore.Identity, groups []logstore.GroupWrite) error
}

// Config is one node's.
type Config struct {
	ClusterName string
	// Address is the main address that others reach this node at.
	Address string
	// Peers are the configured addresses of others, main or gossip ones. A name with several addresses stands for them all, 64 at most.
	// None at all: this node bootstraps alone.
	Peers []string
	// RoundInterval is how often a blank node asks around; default 250 ms, with up to a fifth more at random.
	RoundInterval time.Duration
	Store         Store
	Remote        *actor.PID // takes actors.Lookup, actors.Resolve and actors.SetClusterID
	Meta          *actor.PID // the metadata group, once it runs
	// Initial makes the metadata group's state that a configuration starts with.
	Initial func(voters []*consensus.Peer) []logstore.GroupWrite
	// Report gets *Ready once, and *Waiting at the first round and every ten seconds while it waits.
	Report *actor.PID
}

// Ready says that the node belongs to a cluster: its identity is durable and the remote announces it.
type Ready struct {
	ClusterID string
	// Joined: this node was not among the cluster's first voters.
	Joined bool
}

// Waiting says what a blank node waits for.
type Waiting struct{ For []string }

// WireTypes are the messages that the name "bootstrap" accepts from other nodes.
func WireTypes() []proto.Message {
	return []proto.Message{&Report{}, &Join{}}
}

// ReplyTypes are the answers to them.
func ReplyTypes() []proto.Message {
	return []proto.Message{&Report{}, &Initialised{}, &Joined{}, &Refused{}}
}

// Props checks the config and makes the actor, known as "bootstrap".
func Props(cfg Config) (*actor.Props, error) {
	if cfg.RoundInterval == 0 {
		cfg.RoundInterval = 250 * time.Millisecond
	}
	var faults []error
	if cfg.Store == nil || cfg.Remote == nil || cfg.Meta == nil || cfg.Initial == nil || cfg.Report == nil {
		faults = append(faults, errors.New("bootstrap needs Store, Remote, Meta, Initial and Report"))
	}
	if cfg.Address == "" {
		faults = append(faults, errors.New("bootstrap needs the node's own address"))
	}
	if len(cfg.Peers) > maxPeers {
		faults = append(faults, fmt.Errorf("%d peer addresses: want at most %d", len(cfg.Peers), maxPeers))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return actor.PropsFromProducer(func() actor.Actor { return &bootstrap{cfg: cfg} }, actors.Named(actors.NameBootstrap)), nil
}

// round is the actor's own timer.
type round struct{}

// bootstrap is blank until configuration is set, and a member from then on.
type bootstrap struct {
	cfg           Config
	id            logstore.Identity
	configuration *Configuration
	ready         bool
	announced     bool // Ready was sent
	view          *view
	log           *zap.Logger
	rand          *rand.Rand
	waitingSince  time.Duration
	lastWaiting   time.Duration
	joining       bool
}

func (b *bootstrap) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		b.start(ctx)
	case *round:
		b.onRound(ctx)
	case *actors.Inbound:
		b.serve(ctx, m)
	}
}

func (b *bootstrap) start(ctx actor.Context) {
	sys := actors.Of(ctx)
	b.log, b.rand = sys.Log().Named("bootstrap"), sys.Env().Rand("bootstrap")
	b.id = b.cfg.Store.Identity()
	b.waitingSince, b.lastWaiting = sys.Env().Boot(), -time.Hour
	b.view = newView(b.id.NodeID, b.id.DirectoryID, b.cfg.Address, b.cfg.Peers)
	configuration, err := ParseConfiguration(b.id.InitialConfig)
	if err != nil {
		panic(actors.Fatal(err))
	}
	switch {
	case b.id.ClusterID != "":
		b.becomeMember(ctx, configuration)
	case len(b.view.configured) == 0:
		b.initialise(ctx, []*Candidate{b.view.self})
	default:
		b.look(ctx)
	}
	b.schedule(ctx)
}

func (b *bootstrap) schedule(ctx actor.Context) {
	if d := b.cfg.RoundInterval; !b.ready {
		actors.EnvOf(ctx).After(d+time.Duration(b.rand.Int64N(int64(d)/5)), ctx.Self(), &round{})
	}
}

// onRound looks around while the node is blank.
func (b *bootstrap) onRound(ctx actor.Context) {
	if !b.ready {
		b.look(ctx)
	}
	b.schedule(ctx)
}

// initialise writes the configuration that everybody agreed on.
func (b *bootstrap) initialise(ctx actor.Context, candidates []*Candidate) {
	configuration, err := configurationOf(b.cfg.ClusterName, candidates)
	if err != nil {
		b.waiting(ctx, []string{err.Error()})
		return
	}
	b.adopt(ctx, configuration)
}

// adopt makes this node one of the configuration's first voters.
func (b *bootstrap) adopt(ctx actor.Context, configuration *Configuration) {
	b.write(configuration.clusterID(), configuration, b.cfg.Initial(configuration.Peers()))
	b.log.Info("cluster formed", zap.String("cluster_id", b.id.ClusterID), zap.Int("voters", len(configuration.GetVoters())))
	b.becomeMember(ctx, configuration)
}

func (b *bootstrap) write(clusterID string, configuration *Configuration, groups []logstore.GroupWrite) {
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(configuration)
	if err != nil {
		panic(actors.Fatal(fmt.Errorf("encode the initial configuration: %w", err)))
	}
	b.id.ClusterID, b.id.InitialConfig = clusterID, encoded
	if err := b.cfg.Store.SetIdentity(b.id, groups); err != nil {
		panic(actors.Fatal(fmt.Errorf("write the cluster's identity: %w", err)))
	}
}

// becomeMember tells the remote first: what follows must not meet peers as a blank node.
func (b *bootstrap) becomeMember(ctx actor.Context, configuration *Configuration) {
	b.ready, b.configuration = true, configuration
	joined := !configuration.names(b.id.NodeID, b.id.DirectoryID)
	actors.Ask(ctx, b.cfg.Remote, &actors.SetClusterID{ClusterID: b.id.ClusterID}, time.Minute, func(_ any, err error) {
		if err != nil {
			panic(fmt.Errorf("announce the cluster id to the remote: %w", err))
		}
		if !b.announced {
			b.announced = true
			ctx.Send(b.cfg.Report, &Ready{ClusterID: b.id.ClusterID, Joined: joined})
		}
	})
}

func (b *bootstrap) waiting(ctx actor.Context, why []string) {
	now := actors.EnvOf(ctx).Boot()
	if now-b.lastWaiting < 10*time.Second {
		return
	}
	b.lastWaiting = now
	slices.Sort(why)
	b.log.Info("waiting to form or join a cluster", zap.Strings("for", why), zap.Duration("since", now-b.waitingSince))
	ctx.Send(b.cfg.Report, &Waiting{For: why})
}
