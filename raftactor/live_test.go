package raftactor

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// liveNode is a node on real goroutines and a real clock, for the race detector and for benchmarks.
type liveNode struct {
	*actors.System
	id    byte
	peers []*liveNode
	group *actor.PID
}

func (n *liveNode) Now() time.Time      { return time.Now() }
func (n *liveNode) Boot() time.Duration { return time.Since(liveStart) }
func (n *liveNode) Rand(string) *rand.Rand {
	return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
}
func (n *liveNode) NewID() actors.ID { return actors.ID{n.id, byte(rand.Uint32())} }

var liveStart = time.Now()

func (n *liveNode) After(d time.Duration, pid *actor.PID, msg any) actors.Timer {
	return time.AfterFunc(d, func() { n.Root.Send(actor.NewPID(pid.Address, pid.Id), msg) })
}

func (n *liveNode) dir() actors.ID  { return actors.ID{n.id} }
func (n *liveNode) address() string { return fmt.Sprintf("node%d:1", n.id) }

func (n *liveNode) Stop(*actor.PID)                   {}
func (n *liveNode) SendSystemMessage(*actor.PID, any) {}
func (n *liveNode) SendUserMessage(pid *actor.PID, m any) {
	_, msg, sender := actor.UnwrapEnvelope(m)
	n.SendClass(actors.Default, pid, &actor.MessageEnvelope{Message: msg, Sender: sender})
}

func (n *liveNode) SendClass(class actors.Class, pid *actor.PID, e *actor.MessageEnvelope) {
	for _, to := range n.peers {
		process, ok := to.ProcessRegistry.GetLocal(pid.Id)
		if to.address() != pid.Address || !ok {
			continue
		}
		var msg any = proto.Clone(e.Message.(proto.Message))
		if actors.Reserved(pid.Id) {
			msg = &actors.Inbound{Class: class, Message: msg, Peer: &actors.PeerInfo{NodeID: uint64(n.id), DirectoryID: n.dir(), Address: n.address()}}
		}
		out := &actor.MessageEnvelope{Message: msg}
		if e.Sender != nil {
			out.Sender = actor.NewPID(e.Sender.Address, e.Sender.Id)
		}
		process.SendUserMessage(pid, out)
	}
}

func liveCluster(t testing.TB, size int, change ...func(*Config)) []*liveNode {
	t.Helper()
	var nodes []*liveNode
	var peers []Peer
	for i := range size {
		n := &liveNode{id: byte(i + 1)}
		n.System = actors.NewSystem(n)
		n.ProcessRegistry.Address = n.address()
		n.ProcessRegistry.RegisterAddressResolver(func(*actor.PID) (actor.Process, bool) { return n, true })
		nodes = append(nodes, n)
		peers = append(peers, Peer{NodeID: uint64(n.id), Replica: actors.ReplicaID(n.dir()), Address: n.address()})
	}
	for _, n := range nodes {
		n.peers = nodes
		store, files := logstore.NewMemory(logstore.Identity{DirectoryID: n.dir(), NodeID: uint64(n.id)}), logstore.NewSnapshotMemory()
		ticks := n.Root.Spawn(TicksProps())
		cfg := Config{Group: "kv", Peers: peers, Machine: func() consensus.Machine { return newKV(nil) }, Store: logstore.Handle{
			Writer: n.Root.Spawn(logstore.Props(store, logstore.WriterConfig{})), Reader: store,
			Snapshots: n.Root.Spawn(logstore.SnapshotsProps(files, logstore.SnapshotsConfig{})), Files: files}}
		for _, f := range change {
			f(&cfg)
		}
		props, err := Props(cfg)
		if err != nil {
			t.Fatal(err)
		}
		n.group = n.Root.Spawn(props)
		t.Cleanup(func() {
			_ = n.Root.StopFuture(n.group).Wait()
			_ = n.Root.StopFuture(ticks).Wait()
		})
	}
	return nodes
}

func (n *liveNode) do(m any) any {
	for {
		res, err := n.Root.RequestFuture(n.group, m, 10*time.Second).Result()
		if f, ok := res.(*consensus.Failed); ok && f.GetCode() == consensus.Code_CODE_NOT_LEADER {
			continue
		}
		if err != nil {
			return err
		}
		return res
	}
}

func TestManyGoroutinesAgainstOneGroup(t *testing.T) {
	nodes := liveCluster(t, 3, small)
	var wait sync.WaitGroup
	var failed atomic.Value
	for c := range 12 {
		wait.Go(func() {
			n := nodes[c%3]
			for i := range 40 {
				if res, ok := n.do(consensus.NewPropose(text("set k%d %d", c, i))).(*consensus.Proposed); !ok {
					failed.Store(fmt.Sprintf("propose: %v", res))
				}
				res, ok := n.do(consensus.NewQuery(text("k%d", c))).(*consensus.Answer)
				want := consensus.Pack(text("%d", i))
				if !ok || !proto.Equal(res.GetResult(), want) {
					failed.Store(fmt.Sprintf("query: %v, want %d", res, i))
				}
				n.do(&consensus.GetStatus{})
			}
		})
	}
	wait.Wait()
	if err := failed.Load(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkPropose(b *testing.B) {
	for _, proposers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("proposers=%d", proposers), func(b *testing.B) {
			nodes := liveCluster(b, 3)
			leader := nodes[0]
			nodes[0].do(consensus.NewPropose(text("set a 1")))
			for _, n := range nodes {
				if n.do(&consensus.GetStatus{}).(*consensus.Status).GetRole() == consensus.Role_ROLE_LEADER {
					leader = n
				}
			}
			m := consensus.NewPropose(text("set a %0128d", 1))
			b.ReportAllocs()
			b.ResetTimer()
			var wait sync.WaitGroup
			var left atomic.Int64
			left.Store(int64(b.N))
			for range proposers {
				wait.Go(func() {
					for left.Add(-1) >= 0 {
						if _, ok := leader.do(m).(*consensus.Proposed); !ok {
							b.Error("not proposed")
							return
						}
					}
				})
			}
			wait.Wait()
		})
	}
}
