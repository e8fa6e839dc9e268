package raftactor

import (
	"sort"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// Props makes the actor of one replica, known as raft/<group> whoever spawns it. All faults of the configuration are
// returned at once. A failure of its children is its own: both start again from what is durable, and subscribers stay
// subscribed. The Props are for one actor.
func Props(cfg Config) (*actor.Props, error) {
	cfg.Peers = append([]Peer(nil), cfg.Peers...)
	cfg.EnsureDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	events := &subscribers{}
	return actor.PropsFromProducer(func() actor.Actor { return &group{cfg: cfg, events: events} },
		actors.Named(actors.RaftName(cfg.Group)), actor.WithSupervisor(escalate{})), nil
}

// escalate makes a child's failure the group's own: a state machine actor that started alone would have lost its state.
type escalate struct{}

func (escalate) HandleFailure(_ *actor.ActorSystem, s actor.Supervisor, _ *actor.PID, _ *actor.RestartStatistics, reason, message any) {
	s.EscalateFailure(reason, message)
}

// WireTypes are the messages that raft/<group> takes from the wire.
func WireTypes() []proto.Message {
	return []proto.Message{
		&Step{},
		&consensus.Propose{}, &consensus.Query{}, &consensus.ReadIndex{}, &consensus.OpenSession{}, &consensus.GetStatus{},
		&consensus.TransferLeadership{}, &consensus.ChangeMembership{}, &consensus.TakeSnapshot{},
	}
}

// InitialWrite is how a group begins: a snapshot of a fresh machine at index 1 and term 1 whose configuration is the
// voters. Every first voter writes the same.
func InitialWrite(group string, voters []Peer) logstore.GroupWrite {
	book := newBook()
	ids := make([]uint64, 0, len(voters))
	for _, p := range voters {
		ids = append(ids, p.Replica)
		book.put(p.wire())
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	return logstore.GroupWrite{
		Group:     group,
		HardState: &raftpb.HardState{Term: new(uint64(1)), Vote: new(uint64(0)), Commit: new(uint64(1))},
		Snapshot: &logstore.SnapshotRef{
			Group: group, Index: 1, Term: 1,
			ConfState: &raftpb.ConfState{Voters: ids, AutoLeave: new(false)},
			Peers:     book.encode(),
		},
	}
}

func (p Peer) wire() *consensus.Peer {
	return &consensus.Peer{NodeId: p.NodeID, Replica: p.Replica, Address: p.Address}
}
