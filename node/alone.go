package node

import (
	"context"
	"errors"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/live"
)

// parts are what of a node runs. A whole one has all three.
type parts struct{ raft, swim, ring bool }

// RaftConfig is one replica of one Raft group, without membership and partitions: the seed's RaftNode.
type RaftConfig struct {
	// Node says who and where: ID, Bind, DataDir, TLS, and in Peers the group's first voters. Node id and replica come from
	// the data directory.
	Node    Config
	Group   string
	Machine func() consensus.Machine // a fresh machine at each start
}

// StartRaft runs one Raft group on a system of its own, with the remote and the store that it needs. The group is
// [Node.Group]; [Node.WaitReady] returns once it was formed or joined.
func StartRaft(ctx context.Context, cfg RaftConfig, opts ...Option) (*Node, error) {
	if cfg.Group == "" || cfg.Machine == nil {
		return nil, errors.New("start a raft group: Group and Machine are required")
	}
	return start(ctx, live.NewSystem().ActorSystem, cfg.Node, append(opts, func(o *options) {
		o.parts, o.group, o.machine = parts{raft: true}, cfg.Group, cfg.Machine
	}))
}

// StartSwim runs membership alone on a system of its own, with the remote that it needs: the seed's SwimNode. Members find each other
// through Gossip.KnownPeers and Peers; those with the same Name and CA are one cluster.
func StartSwim(ctx context.Context, cfg Config, opts ...Option) (*Node, error) {
	return start(ctx, live.NewSystem().ActorSystem, cfg, append(opts, func(o *options) { o.parts = parts{swim: true} }))
}

// Group is the node's own Raft group: the metadata, or that of StartRaft.
func (n *Node) Group() *actor.PID { return n.system.NewLocalPID(actors.RaftName(n.opts.group)) }
