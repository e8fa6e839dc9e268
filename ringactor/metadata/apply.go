package metadata

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

// FeatureLevel is the highest command level of this version. A command is proposed
// only when State.MinFeatureLevel is at least its level, because a replica that meets
// a command it doesn't know stops.
const FeatureLevel = 1

// CommandLevel returns the feature level of a command, and false for a message that is no command.
func CommandLevel(command proto.Message) (uint32, bool) {
	switch command.(type) {
	case *RegisterNode, *UpdateNode, *DeregisterNode,
		*CreateTopic, *DeleteTopic, *UpdateTopicConfig, *AddPartitions,
		*UpdatePartitionLeader, *UpdatePartitionISR, *ReassignPartition,
		*SetConfig, *Batch, *Noop:
		return 1, true
	}
	return 0, false
}

// Apply returns the state after a command that was committed at index. It is a pure function: every replica gets the
// same state, result and error. An error is a *consensus.Refusal and the state is the old one, or it Is
// consensus.ErrHalt: the command is of a version that this one can't apply.
func (s State) Apply(index uint64, command proto.Message) (State, proto.Message, error) {
	next := s
	result, err := next.apply(index, command, false)
	if err != nil {
		return s, nil, err
	}
	return next, result, nil
}

func (s *State) apply(index uint64, command proto.Message, inBatch bool) (proto.Message, error) {
	if _, known := CommandLevel(command); !known {
		return nil, refuse(ReasonInvalid, "%T is no command of the metadata", command)
	}
	if hasUnknownFields(command.ProtoReflect()) {
		return nil, halt("command %T has fields of a newer version: this node must run it", command)
	}
	switch c := command.(type) {
	case *RegisterNode:
		return s.registerNode(index, c)
	case *UpdateNode:
		return s.updateNode(index, c)
	case *DeregisterNode:
		return s.deregisterNode(c)
	case *CreateTopic:
		return s.createTopic(index, c)
	case *DeleteTopic:
		return s.deleteTopic(c)
	case *UpdateTopicConfig:
		return s.updateTopicConfig(index, c)
	case *AddPartitions:
		return s.addPartitions(index, c)
	case *UpdatePartitionLeader:
		return s.updatePartitionLeader(c)
	case *UpdatePartitionISR:
		return s.updatePartitionISR(c)
	case *ReassignPartition:
		return s.reassignPartition(c)
	case *SetConfig:
		return s.setConfig(index, c)
	case *Batch:
		if inBatch {
			return nil, refuse(ReasonInvalid, "a batch can't hold a batch")
		}
		return s.batch(index, c)
	}
	return &Noop{}, nil
}

// batch may leave s half changed when it fails; Apply throws that away.
func (s *State) batch(index uint64, c *Batch) (proto.Message, error) {
	if len(c.Commands) == 0 || len(c.Commands) > MaxBatch {
		return nil, refuse(ReasonInvalid, "batch has %d commands, allowed are 1 to %d", len(c.Commands), MaxBatch)
	}
	applied := &BatchApplied{}
	for i, packed := range c.Commands {
		if hasUnknownFields(packed.ProtoReflect()) {
			return nil, halt("command %d of a batch has fields of a newer version: this node must run it", i)
		}
		command, err := packed.UnmarshalNew()
		if err != nil {
			return nil, halt("command %d of a batch is of type %q, which can't be decoded: %v", i, packed.GetTypeUrl(), err)
		}
		result, err := s.apply(index, command, true)
		if err != nil {
			return nil, err
		}
		applied.Results = append(applied.Results, consensus.Pack(result))
	}
	return applied, nil
}

// hasUnknownFields finds what a newer version added to a command: a replica that ignores it diverges from those that don't.
func hasUnknownFields(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	found := false
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		found = found || holdsUnknownFields(f, v)
		return true
	})
	return found
}

func holdsUnknownFields(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
	if f.Message() == nil {
		return false
	}
	if !f.IsList() {
		return hasUnknownFields(v.Message())
	}
	for i := range v.List().Len() {
		if hasUnknownFields(v.List().Get(i).Message()) {
			return true
		}
	}
	return false
}
