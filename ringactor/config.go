package ringactor

import (
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/actors/partition"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

// Tags of a member that the registry takes over.
const (
	// TagZone is where a node stands; replicas are spread over zones.
	TagZone = membership.TagZone
	// TagWeight is a node's share of the load, a decimal number; without it the share is 1.
	TagWeight = "weight"
	// TagFeatureLevel is the highest metadata command level that a node can apply, a decimal number; without it the level is 1.
	TagFeatureLevel = "feature-level"
)

// Sort is how the actors of a kind relate to its partitions.
type Sort uint8

// Partition kinds have one actor per partition, on the node that leads it.
const Partition Sort = 0

// Kind is an app's actors spread over the cluster. Its name is the topic whose
// partitions they run on; the topic is made when it does not exist.
type Kind struct {
	Name string
	Sort Sort
	// Partitions and ReplicationFactor are those of the topic if it has to be made. A factor of 0 is Config.ReplicationFactor.
	Partitions        uint32
	ReplicationFactor uint32
	// Props of the actor of one partition. It is called for each ownership anew, in the partition manager's turn.
	Props func(Identity) *actor.Props
}

// Identity is which partition an actor stands for.
type Identity struct {
	Kind      string
	Partition uint32
	// Epoch is the leader epoch of the ownership: a later owner has a higher one, on whatever node. It is the token
	// that fences what the actor writes elsewhere.
	Epoch uint64
}

// ActorID is the well-known name of the partition's actor on its owner.
func (id Identity) ActorID() string {
	return fmt.Sprintf("%s%s/%d", actors.PartitionPrefix, id.Kind, id.Partition)
}

// Config of a partition manager.
type Config struct {
	// NodeID is this node's.
	NodeID uint64
	// Meta is the metadata group's actor; default the local raft/meta.
	Meta *actor.PID
	// Membership is the membership actor; default the local swim.
	Membership *actor.PID
	// Kinds that this node runs. A node may lead partitions of kinds that it doesn't run; it spawns nothing for them.
	Kinds []Kind
	// FailoverGrace is how long a failed node may take to come back before its leadership is moved. Default 15 s.
	// Shorter moves it sooner, and for nothing when nodes restart or links flap.
	FailoverGrace time.Duration
	// ReplicationFactor of topics that ask for none, 1 to 16. Default 3.
	ReplicationFactor int
	// RequestTimeout bounds a proposal, a forwarded request and the reading of the metadata. Default 10 s.
	RequestTimeout time.Duration
	// MaxPending bounds the topic requests that wait for their turn on the leader, and on another node those that
	// wait for the leader's answer. More are refused as busy. Default 256.
	MaxPending int
}

// EnsureDefaults fills in what is zero.
func (c *Config) EnsureDefaults() {
	if c.FailoverGrace == 0 {
		c.FailoverGrace = 15 * time.Second
	}
	if c.ReplicationFactor == 0 {
		c.ReplicationFactor = 3
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 10 * time.Second
	}
	if c.MaxPending == 0 {
		c.MaxPending = 256
	}
}

// Validate returns all faults at once.
func (c *Config) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(c.NodeID == 0, "ring: node id is zero: set NodeID")
	fault(c.FailoverGrace < 0, "ring: failover grace %v: want more than 0", c.FailoverGrace)
	fault(c.ReplicationFactor < 0 || c.ReplicationFactor > metadata.MaxReplicas, "ring: replication factor %d: want 1 to %d", c.ReplicationFactor, metadata.MaxReplicas)
	fault(c.RequestTimeout < 0, "ring: request timeout %v: want more than 0", c.RequestTimeout)
	fault(c.MaxPending < 0, "ring: max pending %d: want more than 0", c.MaxPending)
	seen := map[string]bool{}
	for i, k := range c.Kinds {
		if err := metadata.ValidTopicName(k.Name); err != nil {
			faults = append(faults, fmt.Errorf("ring: kind %d: %w", i, err))
		}
		fault(seen[k.Name], "ring: kind %q is registered twice", k.Name)
		fault(k.Sort != Partition, "ring: kind %q has unknown sort %d", k.Name, k.Sort)
		fault(k.Props == nil, "ring: kind %q has no Props", k.Name)
		fault(k.Partitions == 0 || k.Partitions > metadata.MaxPartitions, "ring: kind %q has %d partitions: want 1 to %d", k.Name, k.Partitions, metadata.MaxPartitions)
		fault(k.ReplicationFactor > metadata.MaxReplicas, "ring: kind %q has replication factor %d: want at most %d", k.Name, k.ReplicationFactor, metadata.MaxReplicas)
		seen[k.Name] = true
	}
	return errors.Join(faults...)
}

// Props makes the partition manager of a node, known as "ring" whoever spawns it. All faults of the config are returned at once.
func Props(cfg Config) (*actor.Props, error) {
	cfg.Kinds = append([]Kind(nil), cfg.Kinds...)
	cfg.EnsureDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return actor.PropsFromProducer(func() actor.Actor { return newManager(cfg) },
		actors.Named(actors.NameRing), actor.WithSupervisor(actors.Supervise(actors.Supervision{GiveUp: stopChild}))), nil
}

// stopChild keeps a partition actor that fails for good from taking the manager along; the manager starts it anew later.
func stopChild(supervisor actor.Supervisor, child *actor.PID, _, _ any) {
	supervisor.StopChildren(child)
}

// WireTypes are the messages that "ring" takes from other nodes.
func WireTypes() []proto.Message {
	return []proto.Message{&partition.CreateTopic{}, &partition.DeleteTopic{}, &partition.ListTopics{}, &partition.DescribeTopic{}}
}

// ReplyTypes are the answers to them.
func ReplyTypes() []proto.Message {
	return []proto.Message{&partition.TopicCreated{}, &partition.TopicDeleted{}, &partition.Topics{}, &partition.Topic{}, &partition.Refused{}}
}
