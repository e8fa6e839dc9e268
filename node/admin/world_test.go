package admin_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/actors/partition"
	"github.com/hupe1980/rivven-cluster/node/admin"
	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
	"github.com/hupe1980/rivven-cluster/remote"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

// silence as a reply of world.intercept: the asker hears nothing.
type silence struct{}

// world stands in for the actors of one node, over the real state machine of the metadata.
type world struct {
	system *actor.ActorSystem
	server *admin.Server
	cfg    admin.Config
	url    string

	mu        sync.Mutex
	machine   consensus.Machine
	index     uint64
	sessions  uint64
	results   map[[2]uint64]proto.Message // by session and sequence
	applied   int
	intercept func(message any) any // nil: go on
	live      error
	ready     []client.Condition
	sick      error // of the metrics
}

func newWorld(t *testing.T, change ...func(*admin.Config)) *world {
	t.Helper()
	w := &world{
		machine: metadata.New(), results: map[[2]uint64]proto.Message{}, system: live.NewSystem().ActorSystem,
		ready: []client.Condition{{Name: "joined", OK: true}, {Name: "caught_up", OK: true}},
	}
	for id := uint64(1); id <= 3; id++ {
		w.setUp(t, &metadata.RegisterNode{Node: &metadata.Node{
			NodeId: id, Replica: id * 10, Name: fmt.Sprint("node", id), Address: fmt.Sprintf("node%d:9093", id),
			GossipAddress: fmt.Sprintf("node%d:7946", id), Weight: 1, Generation: 1, FeatureLevel: 1,
		}})
	}
	w.setUp(t, newTopic("demo", 2))
	w.cfg = admin.Config{
		System: w.system,
		PIDs: admin.PIDs{
			Meta: w.spawn(t, actors.RaftName(actors.GroupMeta)), Swim: w.spawn(t, actors.NameSwim), Ring: w.spawn(t, actors.NameRing),
			Remote: w.spawn(t, actors.NameRemote),
		},
		Store: storeOf(t, w.spawn(t, actors.NameStore)),
		Self:  admin.Self{ID: 1, Name: "node1", Address: "node1:9093", GossipAddress: "node1:7946", ClusterID: func() string { return "c1" }},
		Health: admin.Health{
			Live:  func() error { w.mu.Lock(); defer w.mu.Unlock(); return w.live },
			Ready: func() []client.Condition { w.mu.Lock(); defer w.mu.Unlock(); return w.ready },
		},
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(w)
	w.cfg.Gather = registry
	for _, c := range change {
		c(&w.cfg)
	}
	var err error
	if w.server, err = admin.New(w.cfg); err != nil {
		t.Fatal(err)
	}
	w.url = serve(t, w.server.Handler())
	return w
}

// storeOf has one group, as it begins.
func storeOf(t *testing.T, writer *actor.PID) logstore.Handle {
	t.Helper()
	store := logstore.NewMemory(logstore.Identity{NodeID: 1, DirectoryID: actors.ID{1}, Generation: 1})
	id := store.Identity()
	id.ClusterID = "c1"
	first := raftactor.InitialWrite(actors.GroupMeta, []raftactor.Peer{{NodeID: 1, Replica: 10, Address: "node1:9093"}})
	if err := store.SetIdentity(id, []logstore.GroupWrite{first}); err != nil {
		t.Fatal(err)
	}
	return logstore.Handle{Writer: writer, Reader: store, Files: logstore.NewSnapshotMemory()}
}

func serve(t *testing.T, h http.Handler) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func newTopic(name string, partitions uint32) *metadata.CreateTopic {
	c := &metadata.CreateTopic{Name: name, Id: []byte("0123456789abcdef"), ReplicationFactor: 3, MinIsr: 1}
	for p := range partitions {
		c.Assignments = append(c.Assignments, &metadata.Assignment{Partition: p, Replicas: []uint64{1, 2, 3}, Leader: uint64(p%3) + 1})
	}
	return c
}

func (w *world) spawn(t *testing.T, name string) *actor.PID {
	t.Helper()
	pid, err := w.system.Root.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
		if ctx.Sender() == nil {
			return
		}
		if reply := w.receive(ctx.Message()); reply != (silence{}) {
			ctx.Respond(reply)
		}
	}), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.system.Root.Stop(pid) })
	return pid
}

func (w *world) receive(message any) any {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.intercept != nil {
		if reply := w.intercept(message); reply != nil {
			return reply
		}
	}
	return w.answer(message)
}

func (w *world) answer(message any) any {
	switch m := message.(type) {
	case *consensus.OpenSession:
		w.sessions++
		return &consensus.Session{Id: w.sessions}
	case *consensus.Propose:
		command, err := consensus.Unpack(m.GetCommand())
		if err != nil {
			return consensus.NewFailed(consensus.Code_CODE_INVALID, err.Error(), nil)
		}
		return w.apply(m.GetId(), command)
	case *consensus.Query:
		request, err := consensus.Unpack(m.GetRequest())
		if err != nil {
			return consensus.NewFailed(consensus.Code_CODE_INVALID, err.Error(), nil)
		}
		result, err := w.machine.Query(request)
		if err != nil {
			return consensus.FailedFrom(err)
		}
		return &consensus.Answer{Index: w.index, Result: consensus.Pack(result)}
	case *consensus.ReadIndex:
		return &consensus.ReadIndexed{Index: w.index}
	case *consensus.TakeSnapshot:
		return &consensus.SnapshotTaken{Index: w.index}
	case *consensus.GetStatus:
		voters := []*consensus.Peer{{NodeId: 1, Replica: 10}, {NodeId: 2, Replica: 20, Address: "node2:9093"}}
		return &consensus.Status{Self: voters[0], Role: consensus.Role_ROLE_FOLLOWER, Term: 7, Leader: voters[1], Applied: w.index, Voters: voters}
	case *consensus.TransferLeadership:
		return &consensus.LeadershipTransferred{Leader: &consensus.Peer{NodeId: max(m.GetToReplica()/10, 1), Replica: m.GetToReplica()}, Term: 8}
	case *consensus.ChangeMembership:
		changed := &consensus.MembershipChanged{Index: w.index, Voters: []*consensus.Peer{{NodeId: 2, Replica: 20}, {NodeId: 1, Replica: 10}}}
		if c := m.GetChanges()[0]; c.GetKind() == consensus.ChangeKind_CHANGE_KIND_DEMOTE {
			changed = &consensus.MembershipChanged{Index: w.index, Voters: []*consensus.Peer{{NodeId: 2, Replica: 20}}, Learners: []*consensus.Peer{c.GetPeer()}}
		}
		return changed
	case *logstore.GetStoreStatus:
		return &logstore.StoreStatus{Size: logstore.Size{File: 4096, Live: 100}, Batches: 3, Median: time.Millisecond, P99: 2 * time.Millisecond, Worst: 3 * time.Millisecond}
	case *remote.GetStatus:
		connected := remote.PeerStatus{
			Address: "node2:9093", Info: &actors.PeerInfo{NodeID: 2, Name: "node2", Generation: 5}, State: remote.PeerConnected,
			RTT: 90 * time.Microsecond, PacketsSent: 10, PacketsLost: 1, Reconnects: 1, WatchesOut: 2, WatchesIn: 3,
		}
		connected.Classes[actors.Append] = remote.ClassStatus{SentMessages: 4, SentBytes: 400, QueuedBytesMax: 64 << 20, Dropped: map[string]uint64{"unreachable": 7}}
		return &remote.Status{Accepted: 2, HalfOpen: 1, Peers: []remote.PeerStatus{
			connected, {Address: "node3:9093", State: remote.PeerDown, Failures: 4, LastError: "timeout"},
		}}
	case *membership.GetMembers:
		return &membership.Members{Self: 1, Members: []*membership.Member{
			{NodeId: 3, Name: "node3", Address: "node3:9093", GossipAddress: "node3:7946", State: membership.State_STATE_DEAD, Generation: 5},
			{NodeId: 1, Name: "node1", Address: "node1:9093", GossipAddress: "node1:7946", State: membership.State_STATE_ALIVE, Generation: 5, Tags: map[string]string{"zone": "a"}},
			{NodeId: 2, Name: "node2", Address: "node2:9093", GossipAddress: "node2:7946", State: membership.State_STATE_SUSPECT, Generation: 5, RttUs: 90},
		}}
	case *partition.CreateTopic:
		reply := w.apply(nil, newTopic(m.GetName(), m.GetPartitions()))
		if failed, ok := reply.(*consensus.Failed); ok {
			return &partition.Refused{Code: partition.Code_CODE_ALREADY_EXISTS, Message: failed.GetMessage()}
		}
		return &partition.TopicCreated{Topic: &partition.Topic{Name: m.GetName(), Id: []byte{1}, ReplicationFactor: 3,
			Partitions: []*partition.Partition{{Leader: 1, LeaderEpoch: 1, Replicas: []uint64{1, 2, 3}, Isr: []uint64{1, 2, 3}}}}}
	case *partition.DeleteTopic:
		if failed, ok := w.apply(nil, &metadata.DeleteTopic{Name: m.GetName()}).(*consensus.Failed); ok {
			return &partition.Refused{Code: partition.Code_CODE_NOT_FOUND, Message: failed.GetMessage()}
		}
		return &partition.TopicDeleted{Name: m.GetName()}
	}
	return silence{}
}

// apply runs a command, once where it has an id.
func (w *world) apply(id *consensus.ProposalID, command proto.Message) proto.Message {
	key := [2]uint64{id.GetSession(), id.GetSequence()}
	if stored, ok := w.results[key]; ok && id != nil {
		return stored
	}
	w.index++
	w.applied++
	var reply proto.Message
	if result, err := w.machine.Apply(consensus.Entry{Index: w.index, Command: command}); err != nil {
		reply = consensus.FailedFrom(err)
	} else {
		reply = &consensus.Proposed{Index: w.index, Result: consensus.Pack(result)}
	}
	w.results[key] = reply
	return reply
}

func (w *world) setUp(t *testing.T, command proto.Message) {
	t.Helper()
	if failed, ok := w.apply(nil, command).(*consensus.Failed); ok {
		t.Fatal(failed)
	}
}

// on changes what the actors do from now on.
func (w *world) on(intercept func(message any) any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.intercept = intercept
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.applied
}

func (w *world) client(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{Addresses: []string{w.url}, Token: w.cfg.Token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// request is one exchange with the server, as raw as the tests of errors need it.
type request struct {
	method, path, body string
	header             map[string]string
	host               string
}

func (r request) do(t *testing.T, base string) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, base+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	req.Host = r.host
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

var upMetric = prometheus.NewDesc("rivven_test_up", "Whether the test runs.", nil, nil)

// Describe makes the world a collector of metrics.
func (w *world) Describe(ch chan<- *prometheus.Desc) { ch <- upMetric }

// Collect fails where the world is sick.
func (w *world) Collect(ch chan<- prometheus.Metric) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sick != nil {
		ch <- prometheus.NewInvalidMetric(upMetric, w.sick)
		return
	}
	ch <- prometheus.MustNewConstMetric(upMetric, prometheus.GaugeValue, 1)
}
