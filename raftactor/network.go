package raftactor

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/membership"
)

// routesMax is how many replicas are remembered. The group's own are, whatever else is: they are few.
const routesMax = 1024

// routes knows where replicas live, and which start of theirs spoke last.
type routes struct {
	addresses map[uint64]string // by replica
	nodes     map[uint64]uint64 // node ids, by replica
	announced map[uint64]bool   // addresses that the membership vouches for: nobody else replaces them
	instances map[uint64]uint64
	heard     map[uint64]time.Duration // when, by replica
	full      actors.Counter
}

// begin forgets instances; addresses stay good.
func (r *routes) begin() {
	if r.addresses == nil {
		r.addresses, r.nodes, r.announced = make(map[uint64]string), make(map[uint64]uint64), make(map[uint64]bool)
	}
	r.instances, r.heard = make(map[uint64]uint64), make(map[uint64]time.Duration)
}

// learn takes an address from a connection. It yields to the membership's.
func (r *routes) learn(replica, node uint64, address string) {
	if r.room(replica) {
		r.belongs(replica, node, address)
	}
}

// belongs takes the address of a member of the group from the address book. It yields to the membership's.
func (r *routes) belongs(replica, node uint64, address string) {
	if address != "" && !r.announced[replica] {
		r.addresses[replica], r.nodes[replica] = address, node
	}
}

func (r *routes) room(replica uint64) bool {
	if _, known := r.addresses[replica]; known || len(r.addresses) < routesMax {
		return true
	}
	r.full.Add(1)
	return false
}

// member folds a message of the membership actor in, and reports whether it was one.
func (r *routes) member(m any) bool {
	switch e := m.(type) {
	case *membership.Snapshot:
		for _, member := range e.GetMembers() {
			r.announce(member)
		}
	case interface{ GetMember() *membership.Member }:
		r.announce(e.GetMember())
	case *membership.Isolated, *membership.Conflict:
	default:
		return false
	}
	return true
}

func (r *routes) announce(m *membership.Member) {
	directory, ok := actors.IDFromBytes(m.GetDirectoryId())
	if !ok || m.GetAddress() == "" {
		return
	}
	replica := actors.ReplicaID(directory)
	if r.room(replica) {
		r.addresses[replica], r.nodes[replica], r.announced[replica] = m.GetAddress(), m.GetNodeId(), true
	}
}

// silence is how long nothing was heard of a replica, below zero where nothing ever was.
func (g *group) silence(replica uint64) time.Duration {
	at, ok := g.routes.heard[replica]
	switch {
	case replica == g.cfg.Replica || g.rest.asleep:
		return 0
	case !ok:
		return -time.Millisecond
	}
	return g.env.Boot() - at
}

// outgoing is a message on its way to a replica, bound to the start of it that asked.
type outgoing struct {
	message  *raftpb.Message
	instance uint64
}

// address binds messages to the receivers' instances as they are now; responses may wait for the disk from here on.
func (g *group) address(messages []*raftpb.Message) []outgoing {
	if len(messages) == 0 {
		return nil
	}
	out := make([]outgoing, 0, len(messages))
	for _, m := range messages {
		out = append(out, outgoing{m, g.routes.instances[m.GetTo()]})
	}
	return out
}

// classOf keeps all appends of a follower on one lane: an empty one that overtook its predecessor would be rejected.
func classOf(t raftpb.MessageType) actors.Class {
	if t == raftpb.MsgApp || t == raftpb.MsgSnap {
		return actors.Append
	}
	return actors.Control
}

// stepBytes is where a Step ends, though never before its first message: the remote drops what is larger than a frame, and a
// follower that is behind is sent tens of megabytes in one turn.
const stepBytes = 1 << 20

// send gathers what goes to the same replica in the same class into one message, or into several where it is much.
func (g *group) send(ctx actor.Context, out []outgoing) {
	for i := range out {
		if out[i].message == nil {
			continue
		}
		to, class, instance := out[i].message.GetTo(), classOf(out[i].message.GetType()), out[i].instance
		step, size := &Step{Instance: g.instance, ToInstance: instance}, 0
		for j := i; j < len(out); j++ {
			m := out[j].message
			if m == nil || m.GetTo() != to || out[j].instance != instance || classOf(m.GetType()) != class {
				continue
			}
			if size += sizeMessage(m); len(step.Messages) > 0 && size > stepBytes || len(step.Messages) == maxMessages {
				break // what follows must not overtake it
			}
			out[j].message = nil
			if m.GetFrom() == g.cfg.Replica {
				g.leaving(m)
				step.Messages = append(step.Messages, m)
			}
		}
		if g.coalesce && !slices.ContainsFunc(step.Messages, func(m *raftpb.Message) bool { return !idleTraffic(m) }) {
			g.sendBeat(ctx, to, step)
			continue
		}
		g.sendStep(ctx, to, class, step)
	}
}

// leaving notes what the guard will compare answers with.
func (g *group) leaving(m *raftpb.Message) {
	switch {
	case m.GetType() == raftpb.MsgHeartbeat && len(m.GetContext()) == 8:
		g.view.readsSent = max(g.view.readsSent, binary.LittleEndian.Uint64(m.GetContext()))
	case m.GetType() == raftpb.MsgReadIndexResp:
		g.reads.served()
	}
}

func (g *group) sendStep(ctx actor.Context, to uint64, class actors.Class, step *Step) {
	if len(step.Messages) == 0 && !step.Wake && step.Rest == nil {
		return
	}
	pid := g.pid(to, actors.RaftName(g.cfg.Group))
	if pid == nil {
		g.meter.noRoute.Add(uint64(len(step.Messages)))
		return
	}
	actors.Send(class, ctx, pid, step)
}

// sendBeat sends a heartbeat, its answer, or what ends them: together with those of the node's other groups, if there are any.
func (g *group) sendBeat(ctx actor.Context, to uint64, step *Step) {
	address := g.routes.addresses[to]
	if !g.coalesce || address == "" {
		g.sendStep(ctx, to, actors.Control, step)
		return
	}
	if len(step.Messages) > 0 || step.Rest != nil {
		ctx.Send(g.cfg.Ticks, &beat{To: address, Step: &GroupStep{Group: g.cfg.Group, Step: step}})
	}
}

// pid is an actor on a replica's node, nil while nobody knows where that is.
func (g *group) pid(replica uint64, name string) *actor.PID {
	address := g.routes.addresses[replica]
	if address == "" {
		return nil
	}
	return actor.NewPID(address, name)
}

// inbound takes what another node sent. Who that is, the connection says.
func (g *group) inbound(ctx actor.Context, m *actors.Inbound) {
	if m.Peer == nil {
		return
	}
	switch body := m.Message.(type) {
	case *Step:
		g.guarded(ctx, func() { g.receiveStep(ctx, m.Peer, body) })
	case *consensus.Subscribe:
		g.refuse("type", m.Peer.Replica())
	default:
		if !isRequest(body) {
			g.refuse("type", m.Peer.Replica())
			return
		}
		g.request(ctx, request{message: body, from: ctx.Sender()})
	}
}

func (g *group) receiveStep(ctx actor.Context, peer *actors.PeerInfo, s *Step) {
	if g.phase != running {
		g.meter.dropped.Add(uint64(len(s.GetMessages())))
		return
	}
	from := peer.Replica()
	if s.GetInstance() == 0 || len(s.GetMessages()) > maxMessages {
		g.refuse("shape", from, zap.Uint64("node", peer.NodeID))
		return
	}
	g.meet(ctx, from, peer, s.GetInstance())
	for _, m := range s.GetMessages() {
		if g.phase != running {
			return
		}
		if s.GetToInstance() != g.instance && raft.IsResponseMsg(m.GetType()) {
			g.meter.stale.Add(1)
			continue
		}
		if g.view.dirty && (m.GetType() == raftpb.MsgHeartbeat && m.GetCommit() > g.view.commit || m.GetType() == raftpb.MsgAppResp) {
			g.ready(ctx)
		}
		if reason := g.view.check(m, from); reason != "" {
			g.refuse(reason, from, zap.Uint64("node", peer.NodeID), zap.Stringer("type", m.GetType()),
				zap.Uint64("term", m.GetTerm()), zap.Uint64("index", m.GetIndex()), zap.Uint64("commit", m.GetCommit()))
			continue
		}
		if g.rest.asleep && g.wakes(m) || !idleTraffic(m) && !g.ignores(m) {
			g.stir(ctx, from)
		}
		g.accept(ctx, m)
	}
	switch {
	case s.GetWake() && g.config.member(from):
		g.stir(ctx, from)
	case s.GetRest() != nil:
		g.follow(ctx, from, s)
	}
	g.wake(ctx)
}

// meet notes who speaks. What an earlier start of that replica asked is answered before a later one is heard, so that no
// answer goes to the wrong one.
func (g *group) meet(ctx actor.Context, from uint64, peer *actors.PeerInfo, instance uint64) {
	if known := g.routes.instances[from]; known != instance {
		if known != 0 {
			g.ready(ctx)
		} else if len(g.routes.instances) >= routesMax && !g.config.member(from) {
			g.routes.full.Add(1)
			return
		}
		g.routes.instances[from] = instance
	}
	g.routes.heard[from] = g.env.Boot()
	g.routes.learn(from, peer.NodeID, peer.Address)
}

// accept steps what the guard let through.
func (g *group) accept(ctx actor.Context, m *raftpb.Message) {
	switch m.GetType() {
	case raftpb.MsgSnap:
		g.receiveSnapshot(ctx, m)
	case raftpb.MsgReadIndex:
		g.reads.fromPeer(g, m)
	case raftpb.MsgApp:
		g.view.dirty = true
		g.step(m)
	default:
		g.step(m)
	}
}
