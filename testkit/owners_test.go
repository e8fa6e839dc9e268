package testkit_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/ringactor"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
	"github.com/hupe1980/rivven-cluster/testkit"
)

// owners notes where the actors of a kind run. An epoch of a partition is owned by one life of one node.
type owners struct {
	name   string
	epochs map[ringactor.Identity]*actor.ActorSystem
	live   map[ringactor.Identity]*actor.ActorSystem
	err    error
}

func newOwners() *owners { return &owners{} }

func (o *owners) kind(name string, partitions uint32) ringactor.Kind {
	o.name = name
	return ringactor.Kind{Name: name, Partitions: partitions, ReplicationFactor: 3, Props: func(id ringactor.Identity) *actor.Props {
		return actor.PropsFromFunc(func(ctx actor.Context) {
			switch ctx.Message().(type) {
			case *actor.Started:
				o.started(id, ctx.ActorSystem())
			case *actor.Stopped:
				if o.live[id] == ctx.ActorSystem() {
					delete(o.live, id)
				}
			}
		})
	}}
}

func (o *owners) started(id ringactor.Identity, system *actor.ActorSystem) {
	if before, owned := o.epochs[id]; owned && before != system {
		o.err = fmt.Errorf("%s/%d is owned twice in epoch %d", id.Kind, id.Partition, id.Epoch)
	}
	o.epochs[id], o.live[id] = system, system
}

// watch begins a seed.
func (o *owners) watch(w *testkit.World) {
	o.epochs, o.live, o.err = make(map[ringactor.Identity]*actor.ActorSystem), make(map[ringactor.Identity]*actor.ActorSystem), nil
	w.Invariant("ring: one owner", func(testkit.View) error { return o.err })
}

// settled: each partition's actor runs where the table says, in its epoch, and nowhere else in that life.
func (o *owners) settled(v testkit.View) error {
	systems := make(map[*actor.ActorSystem]uint64)
	for _, n := range v.Nodes() {
		if n.Up() {
			systems[n.System()] = uint64(n.ID()) //nolint:gosec // counted from 1
		}
	}
	table, partitions := v.Table(), 0
	for p := range table.PartitionsOf(o.name) {
		partitions++
		id := ringactor.Identity{Kind: o.name, Partition: p.GetPartition(), Epoch: p.GetLeaderEpoch()}
		if at := systems[o.live[id]]; at != p.GetLeader() {
			return fmt.Errorf("%s/%d of epoch %d belongs to node %d and runs on node %d", id.Kind, id.Partition, id.Epoch, p.GetLeader(), at)
		}
	}
	running := 0
	for _, system := range o.live { //nolint:determinism // a sum
		if systems[system] != 0 {
			running++
		}
	}
	if partitions == 0 || running != partitions {
		return fmt.Errorf("%d actors run for %d partitions", running, partitions)
	}
	return nil
}

// intrude proposes changes for epochs before and after those that are, and leaders that are not in sync.
func (o *owners) intrude(w *testkit.World) {
	r := w.Rand("intruder")
	var again func()
	again = func() {
		w.At(w.Now()+time.Duration(r.Int64N(int64(500*time.Millisecond))), again)
		if p := o.any(r, testkit.View{World: w}); p != nil {
			off := uint64(1 + r.IntN(2)) //nolint:gosec // small
			leader, partition := p.GetLeaderEpoch(), p.GetPartitionEpoch()
			inSync := slices.Clone(p.GetIsr())
			switch r.IntN(4) {
			case 0:
				inSync = slices.DeleteFunc(inSync, func(id uint64) bool { return id == p.GetLeader() })
			case 1:
				leader, partition = leader+off, partition+off
			case 2:
				partition += off
			default:
				partition -= min(off, partition)
			}
			command := &metadata.UpdatePartitionISR{
				Topic: p.GetTopic(), Partition: p.GetPartition(), LeaderEpoch: leader, PartitionEpoch: partition, Isr: inSync,
			}
			w.Nodes()[r.IntN(5)].Request(metaActor, consensus.NewPropose(command), time.Second, func(any, error) {})
		}
	}
	again()
}

func (o *owners) any(r *rand.Rand, v testkit.View) *metadata.Partition {
	var all []*metadata.Partition
	table := v.Table()
	for p := range table.PartitionsOf(o.name) {
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil
	}
	return all[r.IntN(len(all))]
}
