package raftactor

import (
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

func validConfig(dir actors.ID) Config {
	pid := actor.NewPID("nonhost", "x")
	return Config{
		Group: "kv", Machine: func() consensus.Machine { return newKV(nil) },
		Store: logstore.Handle{Writer: pid, Snapshots: pid, Files: logstore.NewSnapshotMemory(),
			Reader: logstore.NewMemory(logstore.Identity{DirectoryID: dir, NodeID: 7})},
	}
}

func TestConfigTakesItsIdentityFromTheStore(t *testing.T) {
	dir := actors.ID{1, 2, 3}
	cfg := validConfig(dir)
	cfg.EnsureDefaults()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	if cfg.NodeID != 7 || cfg.Replica != actors.ReplicaID(dir) {
		t.Fatalf("node %d, replica %d", cfg.NodeID, cfg.Replica)
	}
	if cfg.tick() != 5*time.Millisecond || cfg.heartbeatTicks() != 10 || cfg.electionTicks() != 30 {
		t.Fatalf("tick %v, heartbeat %d, election %d", cfg.tick(), cfg.heartbeatTicks(), cfg.electionTicks())
	}
}

func TestConfigReportsAllFaultsAtOnce(t *testing.T) {
	_, err := Props(Config{
		Group: "a/b", ElectionTimeoutMin: 60 * time.Millisecond, ElectionTimeoutMax: 60 * time.Millisecond, MaxCommandBytes: 1 << 30,
		NodeID: 1, Replica: 1<<64 - 1, Peers: []Peer{{NodeID: 2, Replica: 5, Address: "a"}, {NodeID: 2, Replica: 6, Address: "b"}, {NodeID: 3, Replica: 5, Address: "c"}, {}},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`group "a/b"`, "replica id 18446744073709551615 is reserved", "machine is missing", "no writer", "no reader", "no snapshot actor", "no snapshot files",
		"at least twice the heartbeat", "more than the minimum", "max command bytes", "peer node 2 is listed twice", "replica id 5 is listed twice", "node id is zero",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestConfigRefusesAForeignReplicaOfThisNode(t *testing.T) {
	cfg := validConfig(actors.ID{9})
	cfg.Peers = []Peer{{NodeID: 7, Replica: 1234, Address: "a"}}
	if _, err := Props(cfg); err == nil || !strings.Contains(err.Error(), "is this node with replica id 1234") {
		t.Fatal(err)
	}
}

func TestInitialWriteIsTheSameForEveryOrderOfVoters(t *testing.T) {
	a, b := Peer{NodeID: 1, Replica: 11, Address: "a:1"}, Peer{NodeID: 2, Replica: 5, Address: "b:1"}
	x, y := InitialWrite("meta", []Peer{a, b}), InitialWrite("meta", []Peer{b, a})
	if !proto.Equal(x.Snapshot.ConfState, y.Snapshot.ConfState) || string(x.Snapshot.Peers) != string(y.Snapshot.Peers) || !proto.Equal(x.HardState, y.HardState) {
		t.Fatalf("%v\n%v", x, y)
	}
	if x.Snapshot.Index != 1 || x.Snapshot.Term != 1 || x.Snapshot.Size != 0 || x.HardState.GetCommit() != 1 {
		t.Fatalf("%+v", x)
	}
	store := logstore.NewMemory(logstore.Identity{NodeID: 1})
	store.Attach(func(d logstore.Durable) {
		if d.Err != nil || len(d.Refused) > 0 {
			t.Fatal(d)
		}
	})
	store.Submit([]logstore.GroupWrite{x}, 1)
	if s := store.State("meta"); s.FirstIndex != 2 || s.LastIndex != 1 || s.HardState.GetTerm() != 1 {
		t.Fatalf("%+v", s)
	}
}

func TestWireTypesAreWhatAGroupTakes(t *testing.T) {
	for _, m := range WireTypes() {
		if _, step := m.(*Step); !step && !isRequest(m) {
			t.Errorf("%T is registered and refused", m)
		}
		if _, local := m.(*consensus.Subscribe); local {
			t.Errorf("%T must not come from the wire", m)
		}
	}
}
