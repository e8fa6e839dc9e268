package node

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/node/bootstrap"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
	"github.com/hupe1980/rivven-cluster/remote"
)

// root is the supervisor of everything on a node.
type root struct {
	node         *Node
	log          *zap.Logger
	storage      Storage
	identity     logstore.Identity
	remote       *remote.Remote
	certificates *remote.TLS
	doors        *doors
	members      membership.View
	draining     bool
	stopping     map[string]bool // children that are to be gone before the rest stops
}

func (r *root) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		r.start(ctx)
	case *bootstrap.Waiting:
		r.log.Info("waiting", zap.Strings("for", m.For))
	case *bootstrap.Ready:
		r.onReady(ctx, m)
	case *drain:
		r.drain(ctx)
	case *handOverCheck:
		r.checkHandOver(ctx, m)
	case *Get:
		ctx.Respond(r.node)
	case *actor.Terminated:
		delete(r.stopping, m.Who.GetId())
		r.stopLower(ctx)
	case *actor.Stopped:
		r.close()
	default:
		r.tellRemote(ctx, m)
	}
}

// start opens what everything else stands on. A fault here is final: it is the operator's to mend.
func (r *root) start(ctx actor.Context) {
	n := r.node
	if n.system == nil {
		n.install(ctx.ActorSystem())
	}
	r.log = n.system.Log().Named("node")
	select {
	case <-n.started: // restarted by an app's supervisor: what it was made of is gone
		n.fail(fmt.Errorf("node %d can't be restarted: spawn new Props", n.cfg.ID))
		return
	default:
	}
	r.members = make(membership.View)
	if err := r.open(ctx); err != nil {
		n.setErr(fmt.Errorf("start node %d: %w", n.cfg.ID, err))
		ctx.Stop(ctx.Self())
		return
	}
	close(n.started)
	if n.opts.started != nil {
		n.opts.started(n)
	}
}

// open takes the steps in this order because the remote gives the system its address, which protoactor reads without a lock: no other
// actor of ours may run by then.
func (r *root) open(ctx actor.Context) error {
	for _, step := range []func(actor.Context) error{r.openStorage, r.startRemote, r.spawnStorage, r.openDoors} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if r.node.opts.parts.raft {
		if err := r.spawnBootstrap(ctx); err != nil {
			return err
		}
	} else {
		ctx.Send(ctx.Self(), &bootstrap.Ready{ClusterID: r.identity.ClusterID})
	}
	for _, warning := range r.node.cfg.Warnings() {
		r.log.Warn(warning)
	}
	return nil
}

// onReady starts what needs a cluster.
func (r *root) onReady(ctx actor.Context, m *bootstrap.Ready) {
	r.identity.ClusterID = m.ClusterID
	run := r.node.opts.parts
	for _, step := range []struct {
		runs  bool
		spawn func(actor.Context) error
	}{{run.swim, r.spawnSwim}, {run.raft, r.spawnGroup}, {run.raft, r.spawnAutopilot}, {run.ring, r.spawnRing}} {
		if !step.runs {
			continue
		}
		if err := step.spawn(ctx); err != nil {
			r.node.fail(fmt.Errorf("start node %d: %w", r.node.cfg.ID, err))
			return
		}
	}
	peers, err := r.firstVoters()
	if err != nil {
		r.node.fail(fmt.Errorf("start node %d: %w", r.node.cfg.ID, err))
		return
	}
	r.publish(func(f *facts) { f.clusterID, f.peers = m.ClusterID, peers })
	r.log.Info("node runs", zap.Uint64("node_id", r.node.cfg.ID), zap.String("cluster_id", m.ClusterID),
		zap.String("address", r.node.Address()), zap.String("admin", r.node.AdminAddress()), zap.Bool("joined", m.Joined))
	close(r.node.ready)
}

func (r *root) publish(change func(*facts)) {
	next := *r.node.facts.Load()
	change(&next)
	r.node.facts.Store(&next)
}

// tellRemote passes on what the membership knows of who is there.
func (r *root) tellRemote(ctx actor.Context, event any) {
	switch event.(type) {
	case *membership.Snapshot:
		r.members.Apply(event)
		for _, m := range r.members.Sorted() {
			r.verdict(ctx, m)
		}
	case *membership.Joined, *membership.Updated, *membership.Recovered, *membership.Failed, *membership.Left:
		if m := r.members.Apply(event); m != nil {
			r.verdict(ctx, m)
		}
	}
}

func (r *root) verdict(ctx actor.Context, m *membership.Member) {
	if m.GetNodeId() != r.node.cfg.ID {
		ctx.Send(r.pid(actors.NameRemote), &actors.PeerVerdict{
			NodeID: m.GetNodeId(), Address: m.GetAddress(), GossipAddress: m.GetGossipAddress(), Alive: m.Up(),
		})
	}
}

// close runs when all children have stopped.
func (r *root) close() {
	if r.doors != nil {
		r.doors.close()
	}
	if r.remote != nil {
		r.remote.Shutdown(false) // drained before, or there is no time for it
	}
	if r.storage.Store != nil {
		if err := r.storage.Store.Close(); err != nil {
			r.node.setErr(fmt.Errorf("node %d: close the log: %w", r.node.cfg.ID, err))
		}
	}
	select {
	case <-r.node.started:
	default:
		close(r.node.started)
	}
	r.node.setErr(ErrStopped)
	close(r.node.done)
}
