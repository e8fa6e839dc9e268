package admin_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/node/recovery"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

func TestBackupWaitsForWhatWasAcknowledged(t *testing.T) {
	w := newWorld(t)
	behind, asked := uint64(3), 0
	w.on(func(m any) any {
		switch m.(type) {
		case *consensus.ReadIndex:
			return &consensus.ReadIndexed{Index: 100}
		case *consensus.GetStatus: // applying
			asked++
			if behind > 0 {
				behind--
			}
			return &consensus.Status{Applied: 100 - behind}
		case *consensus.TakeSnapshot:
			if behind > 0 {
				t.Error("the snapshot was taken before the replica had caught up")
			}
			return &consensus.SnapshotTaken{Index: 100}
		}
		return nil
	})
	var b bytes.Buffer
	if err := w.client(t).Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	s, err := recovery.Inspect(&b)
	if err != nil || s.ClusterID != "c1" || s.NodeID != 1 || len(s.Groups) != 1 || s.Groups[0].Group != actors.GroupMeta || asked != 3 {
		t.Fatalf("%+v after %d looks: %v", s, asked, err)
	}
	w.on(func(m any) any {
		switch m.(type) {
		case *consensus.ReadIndex:
			return &consensus.ReadIndexed{Index: 100}
		case *consensus.GetStatus:
			return &consensus.Status{Applied: 100}
		case *consensus.TakeSnapshot:
			return &consensus.SnapshotTaken{Index: 99}
		}
		return nil
	})
	var failure *client.Error
	if err := w.client(t).Backup(t.Context(), io.Discard); !errors.As(err, &failure) || failure.Code != client.CodeUnavailable {
		t.Fatalf("a backup that lacks what was acknowledged: %v", err)
	}
}

// TestBackupThatBreaksHasNoEnd has a snapshot whose file is gone when its turn comes, behind the first bytes.
func TestBackupThatBreaksHasNoEnd(t *testing.T) {
	w := newWorld(t)
	store, ok := w.cfg.Store.Reader.(logstore.Store)
	if !ok {
		t.Fatal("no store")
	}
	ref := *store.State(actors.GroupMeta).Snapshot
	ref.Index, ref.Size = 50, 10
	done := make(chan logstore.Durable, 1)
	store.Attach(func(d logstore.Durable) { done <- d })
	store.Submit([]logstore.GroupWrite{{Group: actors.GroupMeta, Snapshot: &ref}}, 1)
	if d := <-done; d.Err != nil || len(d.Refused) > 0 {
		t.Fatalf("%+v", d)
	}
	var b bytes.Buffer
	err := w.client(t).Backup(t.Context(), &b)
	var failure *client.Error
	if !errors.As(err, &failure) || failure.Code != client.CodeUnreachable {
		t.Fatalf("got %v", err)
	}
	if _, err := recovery.Inspect(&b); !errors.Is(err, recovery.ErrDamaged) {
		t.Fatalf("got %v", err)
	}
}

func TestBackupHoldsEveryGroupOrNone(t *testing.T) {
	w := newWorld(t)
	store, ok := w.cfg.Store.Reader.(logstore.Store)
	if !ok {
		t.Fatal("no store")
	}
	var batch []logstore.GroupWrite
	for i := range 20 {
		name := fmt.Sprintf("g%02d", i)
		batch = append(batch, raftactor.InitialWrite(name, []raftactor.Peer{{NodeID: 1, Replica: 10, Address: "node1:9093"}}))
		w.spawn(t, actors.RaftName(name))
	}
	done := make(chan logstore.Durable, 1)
	store.Attach(func(d logstore.Durable) { done <- d })
	store.Submit(batch, 1)
	if d := <-done; d.Err != nil || len(d.Refused) > 0 {
		t.Fatalf("%+v", d)
	}
	taken := 0
	w.on(func(m any) any {
		if _, ok := m.(*consensus.TakeSnapshot); ok {
			if taken++; taken == 13 {
				return halted(m)
			}
		}
		return nil
	})
	var failure *client.Error
	if err := w.client(t).Backup(t.Context(), io.Discard); !errors.As(err, &failure) || failure.Code != client.CodeHalted || !strings.Contains(failure.Message, "group ") {
		t.Fatalf("one group failed, and the backup ended with %v", err)
	}
	w.on(nil)
	var b bytes.Buffer
	if err := w.client(t).Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if s, err := recovery.Inspect(&b); err != nil || len(s.Groups) != 21 {
		t.Fatalf("%+v, %v", s, err)
	}
}
