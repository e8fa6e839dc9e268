package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/node/bootstrap"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/raftactor/autopilot"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
	"github.com/hupe1980/rivven-cluster/remote"
	"github.com/hupe1980/rivven-cluster/ringactor"
	"github.com/hupe1980/rivven-cluster/swimactor"
	"github.com/hupe1980/rivven-cluster/swimactor/swim"
)

func (r *root) pid(name string) *actor.PID { return r.node.system.NewLocalPID(name) }

func (r *root) spawn(ctx actor.Context, props *actor.Props, err error, name string) error {
	if err == nil {
		_, err = ctx.SpawnNamed(props, name)
	}
	if err != nil {
		return fmt.Errorf("spawn %s: %w", name, err)
	}
	return nil
}

func (r *root) openStorage(actor.Context) error {
	storage, err := r.node.opts.storage(r.node.cfg, r.node.system.Env())
	if err != nil {
		return err
	}
	r.storage, r.identity = storage, storage.Store.Identity()
	if !r.node.opts.parts.raft { // nothing is agreed upon: those of one name and one CA are one cluster
		r.identity.ClusterID = r.node.cfg.Name
	}
	return nil
}

func (r *root) spawnStorage(ctx actor.Context) error {
	if err := r.spawn(ctx, logstore.Props(r.storage.Store, logstore.WriterConfig{}), nil, actors.NameStore); err != nil {
		return err
	}
	if err := r.spawn(ctx, logstore.SnapshotsProps(r.storage.Files, logstore.SnapshotsConfig{}), nil, actors.NameSnapshots); err != nil {
		return err
	}
	r.publish(func(f *facts) {
		f.replica = actors.ReplicaID(r.storage.Store.Identity().DirectoryID)
		f.store = logstore.Handle{
			Writer: r.pid(actors.NameStore), Reader: r.storage.Store,
			Snapshots: r.pid(actors.NameSnapshots), Files: r.storage.Files,
		}
	})
	return r.spawn(ctx, raftactor.TicksProps(), nil, actors.NameTicks)
}

// startRemote opens the QUIC endpoints. Who may send what to which reserved name is decided here.
func (r *root) startRemote(actor.Context) error {
	cfg := r.node.cfg
	host, port, err := splitHostPort(cfg.Bind)
	if err != nil {
		return err
	}
	opts := []remote.ConfigOption{
		remote.WithTrustDomain(cfg.Name),
		remote.WithIdentity(remote.Identity{
			NodeID: cfg.ID, Name: cfg.NodeName, ClusterID: r.identity.ClusterID,
			DirectoryID: r.identity.DirectoryID, Generation: r.identity.Generation,
		}),
		remote.WithStatelessResetKey(r.storage.ResetKey),
		remote.WithBulkRate(cfg.Remote.BulkRate << 10),
		remote.WithProbePeriod(cfg.Gossip.ProtocolPeriod),
		remote.WithLogger(r.node.system.Log().Named("remote")),
		remote.WithReserved(actors.NameBootstrap, slices.Concat(bootstrap.WireTypes(), bootstrap.ReplyTypes())...),
		remote.WithReserved(actors.NameSnapshots, logstore.SnapshotsWireTypes()...),
		remote.WithReserved(actors.NameSwim, swimactor.WireTypes()...),
		remote.WithReserved(actors.NameRing, ringactor.WireTypes()...),
		remote.WithReserved(actors.RaftPrefix, raftactor.WireTypes()...),
		remote.WithReserved(actors.NameTicks, raftactor.TicksWireTypes()...),
	}
	gossipHost, gossipPort := host, cfg.Gossip.BindPort
	if gossipPort == AnyPort {
		gossipPort = 0
	}
	gossipAddress := ""
	if gossipPort != port || port == 0 {
		opts = append(opts, remote.WithGossip(gossipHost, gossipPort))
		if advertisedHost, _, err := net.SplitHostPort(cfg.Advertise); err == nil {
			gossipAddress = net.JoinHostPort(advertisedHost, strconv.Itoa(gossipPort))
		}
	}
	opts = append(opts, remote.WithAdvertise(cfg.Advertise, gossipAddress))
	resolver, err := r.resolver()
	if err != nil {
		return err
	}
	opts = append(opts, remote.WithResolver(resolver))
	if r.certificates, err = r.findCertificates(); err != nil {
		return err
	}
	if r.node.opts.transport != nil {
		opts = append(opts, remote.WithTransport(r.node.opts.transport))
	} else {
		opts = append(opts, remote.WithTLS(*r.certificates))
	}
	rem := remote.NewRemote(r.node.system.ActorSystem, remote.Configure(host, port, opts...))
	if err := rem.Start(); err != nil {
		return err
	}
	r.remote = rem
	self := rem.Self()
	r.publish(func(f *facts) { f.address, f.gossipAddress = self.Address, self.GossipAddress })
	return nil
}

// findCertificates is nil where a transport that has none replaces QUIC.
func (r *root) findCertificates() (*remote.TLS, error) {
	cfg := r.node.cfg
	if r.node.opts.tls != nil || r.node.opts.transport != nil {
		return r.node.opts.tls, nil
	}
	if err := cfg.CheckTLSFiles(); err != nil {
		return nil, err
	}
	files := remote.TLSFiles(cfg.TLS.CA, cfg.TLS.Cert, cfg.TLS.Key)
	return &files, nil
}

// authority signs membership records with the key of the node's certificate.
func (r *root) authority() swim.Authority {
	if r.certificates == nil {
		return nil
	}
	return remote.NewSigner(*r.certificates, r.node.cfg.Name, r.node.system.Env().Now)
}

// resolver asks the operator's hosts file before the system.
func (r *root) resolver() (remote.Resolver, error) {
	var hosts Hosts
	if r.node.cfg.HostsFile != "" {
		var err error
		if hosts, err = LoadHosts(r.node.cfg.HostsFile); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, host string) ([]netip.Addr, error) { return hosts.Lookup(ctx, host) }, nil
}

func (r *root) spawnBootstrap(ctx actor.Context) error {
	cfg := r.node.cfg
	props, err := bootstrap.Props(bootstrap.Config{
		ClusterName: cfg.Name,
		Address:     r.node.Address(),
		Peers:       slices.Concat(cfg.Peers, cfg.Gossip.KnownPeers),
		Store:       r.storage.Store,
		Remote:      r.pid(actors.NameRemote),
		Meta:        r.node.Group(),
		Initial: func(voters []*consensus.Peer) []logstore.GroupWrite {
			return []logstore.GroupWrite{raftactor.InitialWrite(r.node.opts.group, raftPeers(voters))}
		},
		Report: ctx.Self(),
	})
	return r.spawn(ctx, props, err, actors.NameBootstrap)
}

func (r *root) spawnSwim(ctx actor.Context) error {
	cfg, id := r.node.cfg, r.identity
	props, err := swimactor.Props(swimactor.Config{
		NodeID: cfg.ID, DirectoryID: id.DirectoryID, Generation: id.Generation, Name: cfg.NodeName, ClusterID: id.ClusterID,
		Address: r.node.Address(), GossipAddress: r.node.GossipAddress(),
		KnownPeers: slices.Concat(cfg.Gossip.KnownPeers, cfg.Peers), Tags: cfg.memberTags(buildVersion()), Protocol: cfg.Gossip.protocol(),
		Authority: r.authority(),
	})
	if err := r.spawn(ctx, props, err, actors.NameSwim); err != nil {
		return err
	}
	ctx.Request(r.node.Swim(), &membership.Subscribe{})
	return nil
}

func (r *root) spawnGroup(ctx actor.Context) error {
	cfg := r.node.cfg
	props, err := raftactor.Props(raftactor.Config{
		Group: r.node.opts.group, NodeID: cfg.ID, Replica: actors.ReplicaID(r.identity.DirectoryID),
		ElectionTimeoutMin: cfg.Raft.ElectionTimeoutMin, ElectionTimeoutMax: cfg.Raft.ElectionTimeoutMax,
		HeartbeatInterval: cfg.Raft.Heartbeat, SnapshotThreshold: cfg.Raft.SnapshotThreshold,
		SnapshotTrailing: max(cfg.Raft.SnapshotThreshold/10, 1),
		Machine:          r.node.opts.machine, Store: r.node.Store(), Membership: r.membership(), Ticks: r.pid(actors.NameTicks),
	})
	return r.spawn(ctx, props, err, actors.RaftName(r.node.opts.group))
}

// spawnAutopilot keeps the voters of the group as many as they should be.
func (r *root) spawnAutopilot(ctx actor.Context) error {
	cfg := r.node.cfg
	target := cfg.Raft.TargetVoters
	switch target {
	case AutopilotOff:
		return nil
	case 0:
		configuration, err := bootstrap.ParseConfiguration(r.storage.Store.Identity().InitialConfig)
		if err != nil {
			return err
		}
		if target = 3; len(configuration.GetVoters()) >= 5 {
			target = 5
		}
	}
	props, err := autopilot.Props(autopilot.Config{
		Name: r.node.opts.group, Group: r.node.Group(), Membership: r.membership(), TargetVoters: target, DeadVoterGrace: cfg.Raft.DeadVoterGrace,
	})
	return r.spawn(ctx, props, err, "autopilot")
}

// membership is nil where none runs: a group then knows its peers' addresses from its log alone.
func (r *root) membership() *actor.PID {
	if !r.node.opts.parts.swim {
		return nil
	}
	return r.node.Swim()
}

func (r *root) spawnRing(ctx actor.Context) error {
	cfg := r.node.cfg
	props, err := ringactor.Props(ringactor.Config{
		NodeID: cfg.ID, Meta: r.node.Group(), Membership: r.node.Swim(), Kinds: r.node.opts.kinds,
		ReplicationFactor: cfg.Partitioning.ReplicationFactor, FailoverGrace: cfg.Partitioning.FailoverGrace,
	})
	return r.spawn(ctx, props, err, actors.NameRing)
}

// firstVoters are those of the initial configuration, where this very disk is one of them.
func (r *root) firstVoters() ([]raftactor.Peer, error) {
	id := r.storage.Store.Identity()
	configuration, err := bootstrap.ParseConfiguration(id.InitialConfig)
	if err != nil {
		return nil, err
	}
	own := actors.ReplicaID(id.DirectoryID)
	peers := raftPeers(configuration.Peers())
	if !slices.ContainsFunc(peers, func(p raftactor.Peer) bool { return p.Replica == own }) {
		return nil, nil
	}
	return peers, nil
}

func raftPeers(peers []*consensus.Peer) []raftactor.Peer {
	out := make([]raftactor.Peer, 0, len(peers))
	for _, p := range peers {
		out = append(out, raftactor.Peer{NodeID: p.GetNodeId(), Replica: p.GetReplica(), Address: p.GetAddress()})
	}
	return out
}

func splitHostPort(address string) (string, int, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: %w", address, err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: port %q is not a number", address, text)
	}
	return host, port, nil
}
