package admin_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/partition"
	"github.com/hupe1980/rivven-cluster/node/admin"
	"github.com/hupe1980/rivven-cluster/node/client"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"),
		goleak.IgnoreAnyFunction("github.com/asynkron/protoactor-go/actor.NewDeadLetter.NewThrottle.func4.1"))
}

func TestConfigurationKeys(t *testing.T) {
	w := newWorld(t)
	c, ctx := w.client(t), t.Context()
	first, err := c.CompareAndSetConfig(ctx, "limits/rate", []byte("10"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CompareAndSetConfig(ctx, "limits/rate", []byte("11"), 0); !errors.Is(err, client.CodeRevisionMismatch) {
		t.Fatalf("a key that exists was created: %v", err)
	}
	second, err := c.CompareAndSetConfig(ctx, "limits/rate", []byte{0xff, 0}, first.Revision)
	if err != nil || second.Revision <= first.Revision {
		t.Fatal(second, err)
	}
	got, err := c.GetConfig(ctx, "limits/rate")
	if err != nil || string(got.Value) != "\xff\x00" || got.Revision != second.Revision {
		t.Fatal(got, err)
	}
	if _, err := c.CompareAndDeleteConfig(ctx, "limits/rate", first.Revision); !errors.Is(err, client.CodeRevisionMismatch) {
		t.Fatal(err)
	}
	gone, err := c.CompareAndDeleteConfig(ctx, "limits/rate", second.Revision)
	if err != nil || gone.Revision <= second.Revision {
		t.Fatal(gone, err)
	}
	if _, err := c.GetConfig(ctx, "limits/rate"); !errors.Is(err, client.CodeNotFound) {
		t.Fatal(err)
	}
	if gone, err := c.DeleteConfig(ctx, "limits/rate"); err != nil || gone.Revision != 0 {
		t.Fatal(gone, err)
	}
}

func TestKeysOfAnySpelling(t *testing.T) {
	w := newWorld(t)
	c, ctx := w.client(t), t.Context()
	keys := []string{".", "..", "../..", "a//b", "/", "/a/", "a b", "ü?x=1#f", "%2F", "a/./b", "+&=", "key..."}
	for _, key := range keys {
		if _, err := c.PutConfig(ctx, key, []byte(key)); err != nil {
			t.Fatalf("%q: %v", key, err)
		}
	}
	for _, key := range keys {
		if got, err := c.GetConfig(ctx, key); err != nil || string(got.Value) != key || got.Key != key {
			t.Fatalf("%q: %+v %v", key, got, err)
		}
	}
	var listed int
	for after := ""; ; {
		list, err := c.ListConfig(ctx, client.ListOptions{After: after, Limit: 5, Stale: true})
		if err != nil {
			t.Fatal(err)
		}
		listed += len(list.Entries)
		if !list.More {
			break
		}
		after = list.Entries[len(list.Entries)-1].Key
	}
	if listed != len(keys) {
		t.Fatalf("listed %d keys of %d", listed, len(keys))
	}
}

func TestTopics(t *testing.T) {
	w := newWorld(t)
	c, ctx := w.client(t), t.Context()
	if _, err := c.CreateTopic(ctx, client.CreateTopic{Name: "orders", Partitions: 2, ReplicationFactor: 3}); err != nil {
		t.Fatal(err)
	}
	topics, err := c.Topics(ctx, client.ListOptions{})
	if err != nil || len(topics.Topics) != 2 || topics.Topics[1].Name != "orders" || topics.Topics[1].ReplicationFactor != 3 {
		t.Fatal(topics, err)
	}
	topic, err := c.Topic(ctx, "orders")
	if want := (client.Partition{Partition: 1, Leader: 2, LeaderEpoch: 1, Replicas: []uint64{1, 2, 3}, ISR: []uint64{1, 2, 3}}); err != nil ||
		fmt.Sprint(topic.Partitions[1]) != fmt.Sprint(want) {
		t.Fatal(topic, err)
	}
	if err := c.DeleteTopic(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Topic(ctx, "orders"); !errors.Is(err, client.CodeNotFound) {
		t.Fatal(err)
	}
}

// swallow makes the group apply the first n proposals and answer none of them.
func (w *world) swallow(n int) {
	w.on(func(m any) any {
		if _, ok := m.(*consensus.Propose); ok && n > 0 {
			n--
			w.answer(m)
			return silence{}
		}
		return nil
	})
}

func TestWriteWhoseAnswerWasLostIsAppliedOnce(t *testing.T) {
	w := newWorld(t, func(c *admin.Config) { c.RequestTimeout = 4 * time.Second })
	c := w.client(t)
	w.swallow(1)
	before := w.count()
	changed, err := c.CompareAndSetConfig(t.Context(), "k", []byte("v"), 0)
	if err != nil {
		t.Fatalf("the answer to a compare-and-set was lost, and it was not found again: %v", err)
	}
	if applied := w.count() - before; applied != 1 {
		t.Fatalf("applied %d times", applied)
	}
	if got, err := c.GetConfig(t.Context(), "k"); err != nil || got.Revision != changed.Revision {
		t.Fatal(got, changed, err)
	}
}

func TestWriteThatStaysUnansweredIsUnknown(t *testing.T) {
	w := newWorld(t, func(c *admin.Config) { c.RequestTimeout = 200 * time.Millisecond })
	c := w.client(t)
	w.swallow(1 << 20)
	if _, err := c.PutConfig(t.Context(), "k", []byte("v")); !errors.Is(err, client.CodeUnknownOutcome) {
		t.Fatal(err)
	}
	w.on(nil)
	if got, err := c.GetConfigStale(t.Context(), "k"); err != nil || string(got.Value) != "v" {
		t.Fatal("it did take effect, ", got, err)
	}
}

func TestNoEffectAfterALostAnswerIsStillUnknown(t *testing.T) {
	for _, code := range []consensus.Code{consensus.Code_CODE_NOT_LEADER, consensus.Code_CODE_SHUTTING_DOWN} {
		w := newWorld(t, func(c *admin.Config) { c.RequestTimeout = 400 * time.Millisecond })
		first := true
		w.on(func(m any) any {
			if _, ok := m.(*consensus.Propose); !ok {
				return nil
			}
			if first {
				first = false
				w.answer(m)
				return silence{}
			}
			return consensus.NewFailed(code, "", nil)
		})
		if _, err := w.client(t).PutConfig(t.Context(), "k", nil); !errors.Is(err, client.CodeUnknownOutcome) {
			t.Fatalf("%v: %v", code, err)
		}
	}
}

func TestExpiredSessionIsReplaced(t *testing.T) {
	w := newWorld(t)
	c := w.client(t)
	w.on(func(m any) any {
		if p, ok := m.(*consensus.Propose); ok && p.GetId().GetSession() == 1 {
			return consensus.NewFailed(consensus.Code_CODE_UNKNOWN_OUTCOME, "session 1 is unknown", nil)
		}
		return nil
	})
	if _, err := c.PutConfig(t.Context(), "k", nil); !errors.Is(err, client.CodeUnknownOutcome) {
		t.Fatal(err)
	}
	if _, err := c.PutConfig(t.Context(), "k", nil); err != nil {
		t.Fatalf("the expired session is still in use: %v", err)
	}
	if _, err := c.PutConfig(t.Context(), "l", nil); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sessions != 2 {
		t.Fatalf("%d sessions were opened", w.sessions)
	}
}

func TestLeaderlessTimeIsWaitedOut(t *testing.T) {
	w := newWorld(t)
	c := w.client(t)
	refusals := 0
	leaderless := func(m any) any {
		if refusals--; refusals < 0 {
			return nil
		}
		if _, ok := m.(*partition.CreateTopic); ok {
			return &partition.Refused{Code: partition.Code_CODE_NO_LEADER, Message: "no leader"}
		}
		return consensus.NewFailed(consensus.Code_CODE_NOT_LEADER, "", nil)
	}
	for _, try := range []func() error{
		func() error { _, err := c.PutConfig(t.Context(), "k", nil); return err },
		func() error { _, err := c.GetConfig(t.Context(), "k"); return err },
		func() error {
			_, err := c.CreateTopic(t.Context(), client.CreateTopic{Name: "x", Partitions: 1})
			return err
		},
	} {
		w.mu.Lock()
		refusals, w.intercept = 3, leaderless
		w.mu.Unlock()
		if err := try(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLeaderlessForGood(t *testing.T) {
	w := newWorld(t, func(c *admin.Config) { c.RequestTimeout = 2 * time.Second })
	w.on(func(any) any {
		return consensus.NewFailed(consensus.Code_CODE_NOT_LEADER, "", &consensus.Peer{NodeId: 3})
	})
	var failure *client.Error
	if _, err := w.client(t).PutConfig(t.Context(), "k", nil); !errors.As(err, &failure) || failure.Code != client.CodeNotLeader || failure.Leader != 3 {
		t.Fatal(err)
	}
}

func TestStatusAsksTheOtherNodes(t *testing.T) {
	w := newWorld(t)
	peer := w.spawn(t, "another node's raft/meta")
	w.system.ProcessRegistry.RegisterAddressResolver(func(pid *actor.PID) (actor.Process, bool) {
		if pid.Address == "node2:9093" && pid.Id == "raft/meta" {
			return w.system.ProcessRegistry.GetLocal(peer.Id)
		}
		return nil, false
	})
	got, err := w.client(t).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []client.Node{
		{ID: 1, Name: "node1", Address: "node1:9093", GossipAddress: "node1:7946", State: client.StateAlive, RaftRole: client.RoleFollower, AppliedIndex: 4},
		{ID: 2, Name: "node2", Address: "node2:9093", GossipAddress: "node2:7946", State: client.StateSuspect, RaftRole: client.RoleFollower, AppliedIndex: 4},
		{ID: 3, Name: "node3", Address: "node3:9093", GossipAddress: "node3:7946", State: client.StateDead, RaftRole: client.RoleUnknown},
	}
	if fmt.Sprint(got.Nodes) != fmt.Sprint(want) || got.ClusterID != "c1" || got.Leader != 2 || got.Term != 7 {
		t.Fatalf("%+v", got)
	}
	if len(got.Topics) != 1 || len(got.Topics[0].Partitions) != 2 {
		t.Fatalf("%+v", got.Topics)
	}
}

func TestStatusOfPeersThatDoNotAnswer(t *testing.T) {
	w := newWorld(t)
	got, err := w.client(t).Status(t.Context()) // no resolver: node 2 is a dead letter
	if err != nil || got.Nodes[1].RaftRole != client.RoleUnknown || got.Nodes[0].RaftRole != client.RoleFollower {
		t.Fatal(got, err)
	}
	mute := w.spawn(t, "a silent node")
	w.system.ProcessRegistry.RegisterAddressResolver(func(*actor.PID) (actor.Process, bool) { return w.system.ProcessRegistry.GetLocal(mute.Id) })
	w.on(func(m any) any {
		if _, ok := m.(*consensus.GetStatus); ok {
			return silence{}
		}
		return nil
	})
	start := time.Now()
	if got, err = w.client(t).Status(t.Context()); err != nil || got.Leader != 0 || got.Nodes[0].RaftRole != client.RoleUnknown {
		t.Fatal(got, err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Fatalf("took %v", took)
	}
}

func TestToken(t *testing.T) {
	w := newWorld(t, func(c *admin.Config) { c.Token = "s3cret" })
	if _, err := w.client(t).Members(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, header := range []string{"", "s3cret", "Basic s3cret", "Bearer ", "Bearer s3cre", "Bearer s3cret2"} {
		r := request{method: "GET", path: "/v1/members", header: map[string]string{"Authorization": header}}
		if res, _ := r.do(t, w.url); res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%q: %s", header, res.Status)
		}
	}
}

func TestBrowsersFromElsewhere(t *testing.T) {
	w := newWorld(t, func(c *admin.Config) { c.Hosts = []string{"node1.local"} })
	put := request{method: "PUT", path: "/v1/config/k", body: `{"value":""}`}
	for host, want := range map[string]int{"": 200, "localhost:9094": 200, "[::1]:9094": 200, "NODE1.local": 200, "evil.example:9094": 403} {
		put.host = host
		if res, body := put.do(t, w.url); res.StatusCode != want {
			t.Errorf("host %q: %s %s", host, res.Status, body)
		}
	}
	put.host = ""
	put.header = map[string]string{"Sec-Fetch-Site": "cross-site"}
	if res, _ := put.do(t, w.url); res.StatusCode != 403 {
		t.Errorf("a write from another site: %s", res.Status)
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	w := newWorld(t)
	for _, r := range []request{{method: "GET", path: "/"}, {method: "GET", path: "/v2/status"}, {method: "POST", path: "/v1/nodes"}} {
		if res, body := r.do(t, w.url); res.StatusCode != 404 || !strings.Contains(body, `"not_found"`) {
			t.Errorf("%s: %s %s", r.path, res.Status, body)
		}
	}
	res, body := request{method: "PATCH", path: "/v1/config/a/b"}.do(t, w.url)
	if res.StatusCode != 405 || res.Header.Get("Allow") != "DELETE, GET, HEAD, PUT" || !strings.Contains(body, `"method_not_allowed"`) {
		t.Error(res.Status, res.Header.Get("Allow"), body)
	}
}

func TestProfilesOnLoopbackOnly(t *testing.T) {
	w := newWorld(t)
	if res, body := (request{method: "GET", path: "/debug/pprof/"}).do(t, w.url); res.StatusCode != 200 || !strings.Contains(body, "goroutine") {
		t.Error(res.Status)
	}
	rec := httptest.NewRecorder() // a request of no listener
	w.server.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "http://192.0.2.1/debug/pprof/", http.NoBody))
	if rec.Code != 404 {
		t.Error(rec.Code, rec.Body)
	}
}

func TestHealthAddressServesHealthAlone(t *testing.T) {
	w := newWorld(t, func(c *admin.Config) { c.Token = "s3cret" })
	url := serve(t, w.server.HealthHandler())
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": 200, "/v1/status": 404, "/v1/config/k": 404, "/debug/pprof/": 404} {
		if res, body := (request{method: "GET", path: path, host: "any.example"}).do(t, url); res.StatusCode != want {
			t.Errorf("%s: %s %s", path, res.Status, body)
		}
	}
}

func TestHealthIsAnsweredWhileTheAPIIsFull(t *testing.T) {
	w := newWorld(t, func(c *admin.Config) { c.MaxRequests, c.Health.Live = 1, func() error { return nil } })
	url := serve(t, w.server.HealthHandler())
	release := w.occupy(t)
	defer release()
	if res, body := (request{method: "GET", path: "/livez"}).do(t, url); res.StatusCode != 200 {
		t.Error(res.Status, body)
	}
}

func TestPanicIsAnswered(t *testing.T) {
	w := newWorld(t, func(c *admin.Config) { c.Health.Live = func() error { panic("boom") } })
	if res, body := (request{method: "GET", path: "/livez"}).do(t, w.url); res.StatusCode != 500 || !strings.Contains(body, `"internal"`) || strings.Contains(body, "boom") {
		t.Error(res.Status, body)
	}
}

func TestEntityTags(t *testing.T) {
	w := newWorld(t)
	res, _ := request{method: "PUT", path: "/v1/config/k", body: `{"value":"1"}`, header: map[string]string{"If-None-Match": "*"}}.do(t, w.url)
	tag := res.Header.Get("ETag")
	if res.StatusCode != 200 || tag == "" {
		t.Fatal(res.Status, tag)
	}
	if res, _ = (request{method: "GET", path: "/v1/config/k"}).do(t, w.url); res.Header.Get("ETag") != tag {
		t.Fatal(res.Header)
	}
	change := request{method: "PUT", path: "/v1/config/k", body: `{"value":"2"}`, header: map[string]string{"If-Match": tag}}
	if res, body := change.do(t, w.url); res.StatusCode != 200 {
		t.Fatal(res.Status, body)
	}
	if res, _ := change.do(t, w.url); res.StatusCode != 412 || res.Header.Get("ETag") != "" {
		t.Fatal(res.Status, res.Header)
	}
	remove := request{method: "DELETE", path: "/v1/config/k", header: map[string]string{"If-Match": tag}}
	if res, _ := remove.do(t, w.url); res.StatusCode != 412 {
		t.Fatal(res.Status)
	}
}

func TestServeUntilShutdown(t *testing.T) {
	w := newWorld(t)
	listeners := make([]net.Listener, 2)
	results := make(chan error, 2)
	for i, serve := range []func(net.Listener) error{w.server.Serve, w.server.ServeHealth} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[i] = l
		go func() { results <- serve(l) }()
		if res, _ := (request{method: "GET", path: "/livez"}).do(t, "http://"+l.Addr().String()); res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
	}
	if err := w.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range listeners {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
}

func TestNewNamesEverythingThatIsMissing(t *testing.T) {
	_, err := admin.New(admin.Config{})
	for _, want := range []string{"System", "PIDs.Meta", "PIDs.Swim", "PIDs.Ring", "Self.ID", "Self.ClusterID", "Health.Live", "Health.Ready", "Gather"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named: %v", want, err)
		}
	}
}

func TestPeersAreWhatTheRemoteSays(t *testing.T) {
	w := newWorld(t)
	peers, err := w.client(t).Peers(t.Context())
	if err != nil || peers.Self != 1 || peers.Connections != 2 || peers.HalfOpen != 1 || len(peers.Peers) != 2 {
		t.Fatalf("got %+v, %v", peers, err)
	}
	up, down := peers.Peers[0], peers.Peers[1]
	if up.ID != 2 || up.Name != "node2" || up.Generation != 5 || up.State != client.PeerConnected || up.RTTMicros != 90 || up.PacketsLost != 1 ||
		up.Reconnects != 1 || up.WatchesOut != 2 || up.WatchesIn != 3 {
		t.Errorf("connected: %+v", up)
	}
	if c := up.Classes["append"]; len(up.Classes) != 5 || c.SentMessages != 4 || c.SentBytes != 400 || c.QueuedBytesMax != 64<<20 || c.Dropped["unreachable"] != 7 {
		t.Errorf("its classes: %+v", up.Classes)
	}
	if down.ID != 0 || down.State != client.PeerDown || down.Failures != 4 || down.LastError != "timeout" {
		t.Errorf("down: %+v", down)
	}
}
