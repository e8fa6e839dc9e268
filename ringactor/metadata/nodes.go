package metadata

import (
	"slices"

	"google.golang.org/protobuf/proto"
)

func (s *State) registerNode(index uint64, c *RegisterNode) (proto.Message, error) {
	if c.Node == nil {
		return nil, refuse(ReasonInvalid, "no node given")
	}
	n := proto.CloneOf(c.Node)
	n.State, n.Drain, n.Revision = NodeState_NODE_STATE_ALIVE, false, index
	if err := checkNode(n); err != nil {
		return nil, err
	}
	if old := s.Node(n.NodeId); old != nil {
		if n.Generation < old.Generation {
			return nil, refuse(ReasonStaleGeneration, "node %d is registered with generation %d, not with the older %d", n.NodeId, old.Generation, n.Generation)
		}
		if n.Generation == old.Generation && n.Replica != old.Replica {
			return nil, refuse(ReasonStaleGeneration, "node %d generation %d is replica %d, not %d", n.NodeId, n.Generation, old.Replica, n.Replica)
		}
		n.Drain = old.Drain
	} else if s.nodes.len() >= MaxNodes {
		return nil, refuse(ReasonLimit, "%d nodes are registered, deregister one that left", s.nodes.len())
	}
	s.putNode(n)
	return &NodeChanged{Node: n}, nil
}

func checkNode(n *Node) error {
	switch {
	case n.NodeId == 0 || n.Replica == 0 || n.Generation == 0:
		return refuse(ReasonInvalid, "node %d has replica %d and generation %d, none may be 0", n.NodeId, n.Replica, n.Generation)
	case n.Weight > MaxNodeWeight:
		return refuse(ReasonInvalid, "node %d has weight %d, allowed are 0 to %d", n.NodeId, n.Weight, MaxNodeWeight)
	case n.FeatureLevel == 0:
		return refuse(ReasonInvalid, "node %d announces no feature level", n.NodeId)
	case n.State < NodeState_NODE_STATE_ALIVE || n.State > NodeState_NODE_STATE_LEFT:
		return refuse(ReasonInvalid, "node %d can't have state %d", n.NodeId, n.State)
	}
	for _, field := range []struct {
		what, text string
		required   bool
	}{{"node name", n.Name, false}, {"node address", n.Address, true}, {"gossip address", n.GossipAddress, false}, {"zone", n.Zone, false}} {
		if err := validText(field.what, field.text, field.required); err != nil {
			return err
		}
	}
	return nil
}

// currentNode returns the record if the generation is its own.
func (s *State) currentNode(id, generation uint64) (*Node, error) {
	n := s.Node(id)
	if n == nil {
		return nil, refuse(ReasonNotFound, "node %d is not registered", id)
	}
	if n.Generation != generation {
		return nil, refuse(ReasonStaleGeneration, "node %d has generation %d, the command is for %d", id, n.Generation, generation)
	}
	return n, nil
}

func (s *State) updateNode(index uint64, c *UpdateNode) (proto.Message, error) {
	old, err := s.currentNode(c.NodeId, c.Generation)
	if err != nil {
		return nil, err
	}
	n := proto.CloneOf(old)
	n.Revision = index
	set(&n.State, c.State)
	set(&n.Drain, c.Drain)
	set(&n.Weight, c.Weight)
	set(&n.Name, c.Name)
	set(&n.Address, c.Address)
	set(&n.GossipAddress, c.GossipAddress)
	set(&n.Zone, c.Zone)
	set(&n.FeatureLevel, c.FeatureLevel)
	if err := checkNode(n); err != nil {
		return nil, err
	}
	s.putNode(n)
	return &NodeChanged{Node: n}, nil
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

func (s *State) deregisterNode(c *DeregisterNode) (proto.Message, error) {
	n, err := s.currentNode(c.NodeId, c.Generation)
	if err != nil {
		return nil, err
	}
	for p := range s.Partitions() {
		if slices.Contains(p.Replicas, c.NodeId) {
			return nil, refuse(ReasonNodeInUse, "node %d still holds a replica of %s/%d, move its replicas first", c.NodeId, p.Topic, p.Partition)
		}
	}
	s.dropNode(c.NodeId)
	return &NodeChanged{Node: n}, nil
}

// liveNode is the node that a change counts on.
func (s *State) liveNode(g *NodeGeneration) error {
	n := s.Node(g.GetNodeId())
	switch {
	case n == nil:
		return refuse(ReasonNodeUnavailable, "node %d is not registered", g.GetNodeId())
	case n.Generation != g.GetGeneration():
		return refuse(ReasonStaleGeneration, "node %d has generation %d, the command is for %d", n.NodeId, n.Generation, g.GetGeneration())
	case n.State != NodeState_NODE_STATE_ALIVE:
		return refuse(ReasonNodeUnavailable, "node %d is not alive", n.NodeId)
	}
	return nil
}
