package ringactor

import (
	"strconv"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

// members is what this node sees of the others. Every node keeps it, so that
// the next controller knows at once since when somebody is down.
type members struct {
	view membership.View // nil until the first snapshot
	// downSince has the registered nodes that are alive in the registry and not in the membership, on the boot clock.
	downSince map[uint64]time.Duration
}

func (v *members) init() { v.downSince = map[uint64]time.Duration{} }

func (m *manager) onMembership(ctx actor.Context, event any) {
	if _, first := event.(*membership.Snapshot); first && m.view == nil {
		m.view = membership.View{}
	}
	if m.view == nil {
		return // events before the snapshot say nothing that it will not
	}
	m.view.Apply(event)
	m.dirty = true
	m.watchNodes(ctx)
	m.syncOwned(ctx)
	m.advance(ctx)
}

// watchNodes starts and cancels grace periods.
func (m *manager) watchNodes(ctx actor.Context) {
	if m.view == nil || !m.synced {
		return
	}
	next := make(map[uint64]time.Duration)
	for n := range m.state.Nodes() {
		if n.State != metadata.NodeState_NODE_STATE_ALIVE || m.isUp(n) {
			continue
		}
		since, known := m.downSince[n.NodeId]
		if !known {
			since = m.env.Boot()
			m.env.After(m.cfg.FailoverGrace, ctx.Self(), &graceOver{})
		}
		next[n.NodeId] = since
	}
	m.downSince = next
}

func (m *manager) isUp(n *metadata.Node) bool {
	member := m.view[n.NodeId]
	return member.Up() && member.GetGeneration() >= n.Generation
}

// graceIsOver says that a node was down for so long that it counts as failed.
func (m *manager) graceIsOver(id uint64) bool {
	since, down := m.downSince[id]
	return down && m.env.Boot()-since >= m.cfg.FailoverGrace
}

// nodeCommands are what makes the registry say what the membership does.
func (m *manager) nodeCommands() []proto.Message {
	var commands []proto.Message
	for _, member := range m.view.Sorted() {
		registered := m.state.Node(member.GetNodeId())
		if member.GetGeneration() < registered.GetGeneration() {
			continue
		}
		switch {
		case member.Up():
			if want := m.record(member); want != nil && !sameNode(registered, want) {
				commands = append(commands, &metadata.RegisterNode{Node: want})
			}
		case member.GetState() == membership.State_STATE_LEFT && registered != nil && registered.State != metadata.NodeState_NODE_STATE_LEFT:
			commands = append(commands, setState(registered, metadata.NodeState_NODE_STATE_LEFT))
		}
	}
	for n := range m.state.Nodes() {
		left := m.view[n.NodeId].GetState() == membership.State_STATE_LEFT
		if n.State == metadata.NodeState_NODE_STATE_ALIVE && !left && m.graceIsOver(n.NodeId) {
			commands = append(commands, setState(n, metadata.NodeState_NODE_STATE_FAILED))
		}
	}
	return commands
}

func setState(n *metadata.Node, state metadata.NodeState) *metadata.UpdateNode {
	return &metadata.UpdateNode{NodeId: n.NodeId, Generation: n.Generation, State: state.Enum()}
}

// record is a member as the registry holds it, nil where its directory id is none.
func (m *manager) record(member *membership.Member) *metadata.Node {
	directory, ok := actors.IDFromBytes(member.GetDirectoryId())
	if !ok || directory.IsZero() {
		m.metrics.invalidMembers.Add(1)
		return nil
	}
	return &metadata.Node{
		NodeId: member.GetNodeId(), Replica: actors.ReplicaID(directory), Generation: member.GetGeneration(),
		Name: member.GetName(), Address: member.GetAddress(), GossipAddress: member.GetGossipAddress(),
		Zone: member.GetTags()[TagZone], State: metadata.NodeState_NODE_STATE_ALIVE,
		Weight: tagNumber(member, TagWeight), FeatureLevel: tagNumber(member, TagFeatureLevel),
	}
}

// tagNumber is 1 where the tag is missing or no number.
func tagNumber(member *membership.Member, tag string) uint32 {
	n, err := strconv.ParseUint(member.GetTags()[tag], 10, 32)
	if err != nil {
		return 1
	}
	return uint32(n)
}

func sameNode(registered, want *metadata.Node) bool {
	if registered == nil {
		return false
	}
	want.Drain, want.Revision = registered.Drain, registered.Revision
	return proto.Equal(registered, want)
}
