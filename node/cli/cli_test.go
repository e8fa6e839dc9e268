package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/hupe1980/rivven-cluster/node/cli"
	"github.com/hupe1980/rivven-cluster/node/client"
)

// run executes one command line and shows all of what a caller sees.
func run(t *testing.T, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	var out, err bytes.Buffer
	exit = cli.Main(t.Context(), args, &out, &err)
	return out.String(), err.String(), exit
}

// TestCommands runs the command lines in testdata against an admin API that always says the same; -rewrite makes the
// outputs anew.
func TestCommands(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if !strings.HasSuffix(path, ".txt") {
			return
		}
		server := httptest.NewServer(newStandIn())
		defer server.Close()
		dir := t.TempDir()
		testdata, err := filepath.Abs("testdata")
		if err != nil {
			t.Fatal(err)
		}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			for line := range strings.SplitSeq(strings.TrimSpace(d.Input), "\n") {
				args := strings.Fields(strings.NewReplacer("SERVER", server.URL, "DIR", dir, "TESTDATA", testdata).Replace(line))
				stdout, stderr, exit := run(t, args...)
				out.WriteString(stdout + stderr)
				fmt.Fprintf(&out, "exit %d\n", exit)
			}
			return strings.NewReplacer(server.URL, "SERVER", dir, "DIR", testdata, "TESTDATA", string(filepath.Separator), "/").Replace(out.String())
		})
	})
}

// standIn is an admin API of one state, but for the configuration, which can be written.
type standIn struct {
	*http.ServeMux
	revision uint64
	entries  []client.ConfigEntry
}

func newStandIn() *standIn {
	s := &standIn{ServeMux: http.NewServeMux(), revision: 6, entries: []client.ConfigEntry{
		{Key: "greeting", Value: []byte("hello"), Revision: 5},
		{Key: "picture", Value: []byte{0xff, 0xd8}, Revision: 6},
	}}
	partitions := []client.Partition{
		{Partition: 0, Leader: 1, LeaderEpoch: 1, Replicas: []uint64{1, 2, 3}, ISR: []uint64{1, 2, 3}},
		{Partition: 1, Leader: 0, LeaderEpoch: 4, Replicas: []uint64{2, 1, 3}, ISR: []uint64{2, 3}},
	}
	topic := client.Topic{Name: "demo", ID: "00ff", ReplicationFactor: 3, Partitions: partitions}
	s.answer("GET /v1/status", 200, client.Status{
		ClusterID: "c0ffee", Leader: 2, Term: 7,
		Nodes: []client.Node{
			{ID: 1, Name: "node1", Address: "node1:9093", GossipAddress: "node1:7946", State: client.StateAlive, RaftRole: client.RoleFollower, AppliedIndex: 41},
			{ID: 2, Name: "node2", Address: "node2:9093", GossipAddress: "node2:7946", State: client.StateAlive, RaftRole: client.RoleLeader, AppliedIndex: 42},
			{ID: 3, Name: "node3", Address: "node3:9093", GossipAddress: "node3:7946", State: client.StateDead, RaftRole: client.RoleUnknown},
		},
		Topics: []client.TopicStatus{{Name: "demo", Partitions: partitions}},
	})
	s.answer("GET /v1/members", 200, client.Members{Self: 1, Members: []client.Member{
		{ID: 1, Name: "node1", Address: "node1:9093", GossipAddress: "node1:7946", State: client.StateAlive, Generation: 10, Tags: map[string]string{"zone": "a", "disk": "ssd"}},
		{ID: 2, Name: "node2", Address: "node2:9093", GossipAddress: "node2:7946", State: client.StateSuspect, Generation: 11, Incarnation: 2, RTTMicros: 1500},
	}})
	s.answer("GET /v1/peers", 200, client.Peers{Self: 1, Connections: 5, HalfOpen: 1, Peers: []client.Peer{
		{ID: 2, Name: "node2", Address: "node2:9093", Generation: 11, State: client.PeerConnected, Reconnects: 1, RTTMicros: 450, PacketsSent: 1000, PacketsLost: 7,
			WatchesOut: 3, Classes: map[string]client.PeerClass{
				"default": {SentMessages: 10, SentBytes: 900, ReceivedMessages: 12, ReceivedBytes: 1000, QueuedBytes: 64, QueuedBytesMax: 4096, Dropped: map[string]uint64{"queue_full": 2}},
				"control": {SentMessages: 30, SentBytes: 700, ReceivedMessages: 31, ReceivedBytes: 750, QueuedBytesMax: 1024, Dropped: map[string]uint64{"unreachable": 1, "queue_full": 1}},
			}},
		{Address: "node3:9093", State: client.PeerDown, Failures: 4, LastError: "timeout: no recent network activity", Classes: map[string]client.PeerClass{}},
	}})
	s.answer("GET /v1/raft", 200, client.RaftNode{NodeID: 1, Groups: []string{"kv", "meta"}, Disk: client.RaftDisk{
		FileBytes: 8 << 20, LiveBytes: 5000, Batches: 12, MedianMicro: 300, P99Micro: 1500, WorstMicro: 20_000,
	}})
	s.answer("GET /v1/raft/meta", 200, client.RaftGroup{Group: "meta", Leader: 2, Term: 7, Replicas: []client.RaftReplica{
		{NodeID: 1, Replica: "11", Role: client.RoleFollower, Voter: true, Term: 7, Commit: 41, Applied: 41, FirstIndex: 2, LastIndex: 42, LogBytes: 900,
			SnapshotIndex: 1, SnapshotAgeMs: -1, WriteMs: 250, Lag: &client.RaftLag{Match: 41, Entries: 1, Ms: 250, Active: true}},
		{NodeID: 2, Replica: "22", Role: client.RoleLeader, Voter: true, Term: 7, Commit: 42, Applied: 42, FirstIndex: 2, LastIndex: 42, LogBytes: 900,
			SnapshotIndex: 30, SnapshotBytes: 70, SnapshotAgeMs: 61_000},
		{NodeID: 3, Replica: "33", Role: client.RoleUnknown, Voter: true, SnapshotAgeMs: -1, Lag: &client.RaftLag{Match: 1, Entries: 41, Ms: 90_000, Snapshotting: true}},
	}})
	s.answer("POST /v1/raft/meta/transfer", 200, client.RaftTransferred{Leader: 1, Term: 8})
	s.answer("POST /v1/raft/meta/members", 200, client.RaftMembers{Index: 43, Voters: []uint64{1, 2}, Learners: []uint64{3}})
	s.answer("POST /v1/raft/meta/snapshot", 200, client.RaftSnapshot{Index: 42})
	s.answer("GET /v1/topics", 200, client.Topics{Topics: []client.Topic{topic}})
	s.answer("GET /v1/topics/demo", 200, topic)
	s.answer("DELETE /v1/topics/demo", 504, client.Error{Code: client.CodeUnknownOutcome, Message: "no answer came in time"})
	s.answer("POST /v1/topics", 409, client.Error{Code: client.CodeAlreadyExists, Message: `topic "demo" already exists`})
	s.answer("/", 404, client.Error{Code: client.CodeNotFound, Message: "it does not exist"})
	s.HandleFunc("GET /v1/config", func(w http.ResponseWriter, r *http.Request) { // a page has one entry
		list := client.ConfigList{Entries: []client.ConfigEntry{}}
		for _, e := range s.entries {
			if strings.HasPrefix(e.Key, r.URL.Query().Get("prefix")) && e.Key > r.URL.Query().Get("after") {
				if list.More = len(list.Entries) > 0; list.More {
					break
				}
				list.Entries = append(list.Entries, e)
			}
		}
		reply(w, 200, list)
	})
	s.HandleFunc("GET /v1/config/{key}", func(w http.ResponseWriter, r *http.Request) {
		for _, e := range s.entries {
			if e.Key == r.PathValue("key") {
				reply(w, 200, e)
				return
			}
		}
		reply(w, 404, client.Error{Code: client.CodeNotFound, Message: "no such key"})
	})
	s.HandleFunc("PUT /v1/config/{key}", s.put)
	s.HandleFunc("DELETE /v1/config/{key}", func(w http.ResponseWriter, r *http.Request) {
		if revision := r.URL.Query().Get("revision"); revision != "" && revision != fmt.Sprint(s.revision) {
			reply(w, 412, client.Error{Code: client.CodeRevisionMismatch, Message: "it has another revision"})
			return
		}
		reply(w, 200, client.ConfigChanged{Key: r.PathValue("key")})
	})
	return s
}

func (s *standIn) put(w http.ResponseWriter, r *http.Request) {
	var in client.ConfigWrite
	body, _ := io.ReadAll(r.Body)
	if err := json.Unmarshal(body, &in); err != nil {
		reply(w, 400, client.Error{Code: client.CodeInvalid, Message: err.Error()})
		return
	}
	if in.Revision != nil && *in.Revision != s.revision {
		reply(w, 412, client.Error{Code: client.CodeRevisionMismatch, Message: "it has another revision"})
		return
	}
	s.revision++
	s.entries = append(s.entries, client.ConfigEntry{Key: r.PathValue("key"), Value: in.Value, Revision: s.revision})
	reply(w, 200, client.ConfigChanged{Key: r.PathValue("key"), Revision: s.revision})
}

func (s *standIn) answer(pattern string, status int, body any) {
	s.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { reply(w, status, body) })
}

func reply(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func TestNobodyListens(t *testing.T) {
	_, stderr, exit := run(t, "status", "--server", "127.0.0.1:1")
	if exit != cli.ExitUnavailable || !strings.Contains(stderr, "127.0.0.1:1") {
		t.Fatal(exit, stderr)
	}
}

func TestEveryCommandHasHelpAndTheShellsHaveCompletion(t *testing.T) {
	for _, command := range []string{
		"dev", "run", "config check", "config print", "tls ca create", "tls cert create", "status", "members", "peers",
		"topics create", "topics list", "topics describe", "topics delete", "kv get", "kv put", "kv cas", "kv delete", "kv list",
	} {
		stdout, stderr, exit := run(t, append(strings.Fields(command), "--help")...)
		if exit != 0 || !strings.Contains(stdout, "rivven-node "+command) {
			t.Errorf("%s: %d %s%s", command, exit, stdout, stderr)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if stdout, _, exit := run(t, "completion", shell); exit != 0 || !strings.Contains(stdout, "rivven-node") {
			t.Errorf("%s: %d", shell, exit)
		}
	}
}

func TestCompletionOfTopics(t *testing.T) {
	server := httptest.NewServer(newStandIn())
	defer server.Close()
	stdout, _, exit := run(t, "__complete", "topics", "describe", "--server", server.URL, "d")
	if exit != 0 || !strings.HasPrefix(stdout, "demo\t2 partitions\n") {
		t.Fatal(exit, stdout)
	}
}

func TestCertificatesAreNotOverwritten(t *testing.T) {
	dir := t.TempDir()
	ca, out := filepath.Join(dir, "ca"), filepath.Join(dir, "node1")
	if _, stderr, exit := run(t, "tls", "ca", "create", "--out", ca); exit != 0 {
		t.Fatal(stderr)
	}
	if _, stderr, exit := run(t, "tls", "cert", "create", "--id", "1", "--ca", ca, "--out", out); exit != 0 {
		t.Fatal(stderr)
	}
	key, err := os.ReadFile(filepath.Join(out, "node.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"tls", "ca", "create", "--out", ca}, {"tls", "cert", "create", "--id", "1", "--ca", ca, "--out", out}} {
		if _, stderr, exit := run(t, args...); exit != cli.ExitFailure || !strings.Contains(stderr, "exists and is kept") {
			t.Errorf("%v: %d %s", args, exit, stderr)
		}
	}
	if again, err := os.ReadFile(filepath.Join(out, "node.key")); err != nil || !bytes.Equal(key, again) {
		t.Fatal("the key changed", err)
	}
	if info, err := os.Stat(filepath.Join(out, "node.key")); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Fatal("others may read the key", info.Mode(), err)
	}
}
