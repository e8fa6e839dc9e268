package main

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"
)

// findingsOnly leaves facts out: which functions are harmless shows in the loops that call them.
type findingsOnly struct{ *testing.T }

func (t findingsOnly) Errorf(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !strings.Contains(text, "unexpected fact") {
		t.Error(text)
	}
}

func TestFindings(t *testing.T) {
	const module = "github.com/hupe1980/rivven-cluster/"
	analysistest.Run(findingsOnly{t}, analysistest.TestData(), analyzer, module+"raftactor", module+"remote", module+"node")
}

func TestWhereTheRulesHold(t *testing.T) {
	for file, want := range map[string]bool{
		"actors/gate.go": true, "actors/live/env.go": false, "actors/consensus/machine.go": true,
		"raftactor/group.go": true, "raftactor/group_test.go": false, "raftactor/raft.pb.go": false, "raftactor/snapshot_file.go": true,
		"raftactor/logstore/store.go": true, "raftactor/logstore/bolt.go": false, "raftactor/logstore/bolt_flush.go": false,
		"raftactor/logstore/snapshot_dir.go": false, "raftactor/logstore/snapshots_send.go": true, "raftactor/logstore/storetest/model.go": false,
		"remote/quic.go": false, "remote/quic_conn.go": false, "remote/session.go": true, "remote/tls.go": false, "remote/ca.go": false,
		"node/bootstrap/bootstrap.go": true, "node/node.go": false, "node/cli/run.go": false,
		"testkit/world.go": true, "testkit/run.go": false, "testkit/bubble.go": false, "testkit/mutants/mutant.go": false,
	} {
		if got := lawHolds(file); got != want {
			t.Errorf("%s: %v", file, got)
		}
	}
}

func TestUUIDLibrariesAreKnown(t *testing.T) {
	for path, want := range map[string]bool{
		"github.com/google/uuid": true, "github.com/gofrs/uuid/v5": true, "github.com/segmentio/ksuid": true, "github.com/rs/xid": true,
		"github.com/oklog/ulid/v2": true, "github.com/lithammer/shortuuid/v4": true, "github.com/matoous/go-nanoid/v2": true,
		"github.com/cespare/xxhash/v2": false, "github.com/asynkron/protoactor-go/actor": false, "slices": false,
	} {
		if got := uuidLibrary.MatchString(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
