package ringactor

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/partition"
)

// ownership is the partition actors of this node.
type ownership struct {
	owned map[string]*ownedActor // by actor id
}

type ownedActor struct {
	pid      *actor.PID
	epoch    uint64
	stopping bool
}

func (o *ownership) init() { o.owned = map[string]*ownedActor{} }

func (m *manager) kind(name string) *Kind {
	for i := range m.cfg.Kinds {
		if m.cfg.Kinds[i].Name == name {
			return &m.cfg.Kinds[i]
		}
	}
	return nil
}

// createKinds makes the topics of kinds that have none; every node does, and the second is told that it exists.
func (m *manager) createKinds(ctx actor.Context) {
	if !m.synced || m.leader == nil {
		return
	}
	for _, k := range m.cfg.Kinds {
		if m.state.Topic(k.Name) != nil || m.creating[k.Name] {
			continue
		}
		m.creating[k.Name] = true
		request := &partition.CreateTopic{Name: k.Name, Partitions: k.Partitions, ReplicationFactor: k.ReplicationFactor}
		m.change(ctx, request, k.Name, false, func(_ actor.Context, answer proto.Message) {
			delete(m.creating, k.Name)
			if r, no := answer.(*partition.Refused); no && r.GetCode() != partition.Code_CODE_ALREADY_EXISTS {
				m.log.Info("can't create the topic of a kind yet", zap.String("kind", k.Name), zap.String("reason", r.GetMessage()))
			}
		})
	}
}

// syncOwned starts and stops partition actors until they are what the table says. An actor whose epoch is over
// stops before its successor starts, for both have one name.
func (m *manager) syncOwned(ctx actor.Context) {
	if !m.synced || m.view == nil {
		return
	}
	generation := m.view[m.cfg.NodeID].GetGeneration()
	wanted := map[string]bool{}
	for i := range m.cfg.Kinds {
		kind := &m.cfg.Kinds[i]
		for p := range m.state.PartitionsOf(kind.Name) {
			// An older generation led by another process of this node; the controller raises the epoch for this one.
			if p.Leader != m.cfg.NodeID || p.LeaderGeneration != generation {
				continue
			}
			id := Identity{Kind: kind.Name, Partition: p.Partition, Epoch: p.LeaderEpoch}
			wanted[id.ActorID()] = true
			m.own(ctx, kind, id)
		}
	}
	for _, id := range sortedKeys(m.owned) {
		if o := m.owned[id]; !wanted[id] && !o.stopping {
			m.stopOwned(ctx, id, o)
		}
	}
	m.metrics.owned.Set(float64(len(m.owned)))
}

func (m *manager) own(ctx actor.Context, kind *Kind, id Identity) {
	name := id.ActorID()
	if o, exists := m.owned[name]; exists {
		if o.epoch != id.Epoch && !o.stopping {
			m.stopOwned(ctx, name, o)
		}
		return
	}
	pid, err := spawnOwned(ctx, kind, id)
	if err != nil {
		m.log.Error("can't start a partition actor, trying again", zap.String("actor", name), zap.Error(err))
		return
	}
	m.owned[name] = &ownedActor{pid: pid, epoch: id.Epoch}
	m.log.Info("owns a partition", zap.String("actor", name), zap.Uint64("epoch", id.Epoch))
}

// spawnOwned contains the app's own code, a fault of which must not take the manager along.
func spawnOwned(ctx actor.Context, kind *Kind, id Identity) (pid *actor.PID, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("kind %q panicked: %v", kind.Name, fault)
		}
	}()
	props := kind.Props(id)
	if props == nil {
		return nil, fmt.Errorf("kind %q has no Props for partition %d", kind.Name, id.Partition)
	}
	return ctx.SpawnNamed(props.Clone(actors.Named(id.ActorID())), id.ActorID())
}

func (m *manager) stopOwned(ctx actor.Context, name string, o *ownedActor) {
	o.stopping = true
	m.log.Info("gives a partition up", zap.String("actor", name), zap.Uint64("epoch", o.epoch))
	ctx.Stop(o.pid)
}

// onTerminated lets a successor start at once; an actor that ended by itself starts again at the next tick.
func (m *manager) onTerminated(ctx actor.Context, who *actor.PID) {
	o, exists := m.owned[who.GetId()]
	if !exists {
		return
	}
	delete(m.owned, who.GetId())
	if o.stopping {
		m.syncOwned(ctx)
		return
	}
	m.log.Warn("a partition actor ended by itself, starting it again", zap.String("actor", who.GetId()))
}
