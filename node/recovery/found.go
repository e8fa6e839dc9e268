package recovery

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/node/bootstrap"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// SnapshotsDirectory is where a node keeps its snapshot files, within the data directory.
const SnapshotsDirectory = "snapshots"

// Target is the node that the new cluster begins with.
type Target struct {
	DataDir     string
	ClusterName string
	NodeID      uint64
	Address     string    // that the others will reach it at
	DirectoryID actors.ID // of the directory that is made: a new one
	Now         time.Time
	// GiveUp are the groups of a plan that have a problem, all of them and no other: the new cluster begins without them, and their data
	// stays in the archive. A group of the same name then begins anew. The metadata can't be given up. Recovery only.
	GiveUp []string
}

func (t *Target) check() error {
	if t.DataDir == "" || t.ClusterName == "" || t.NodeID == 0 || t.Address == "" || t.DirectoryID.IsZero() {
		return fmt.Errorf("the new cluster needs a data directory, a name, a node id, an address and a directory id: %+v", *t)
	}
	return nil
}

// Founded says what was made.
type Founded struct {
	ClusterID   string   `json:"cluster_id"`
	DirectoryID string   `json:"directory_id"`
	NodeID      uint64   `json:"node_id"`
	Groups      []string `json:"groups"`
	GivenUp     []string `json:"given_up,omitempty"` // groups of before that it has not, see Target.GiveUp
	Archive     string   `json:"archive,omitempty"`  // where the old data is
}

// founding is a new state that is made beside the place where it will be.
type founding struct {
	target Target
	stage  string
	store  logstore.Store
	files  logstore.SnapshotFiles
	self   raftactor.Peer
	groups []logstore.GroupWrite
	done   chan logstore.Durable
}

// beginFounding needs the data directory to be locked. What an earlier one left unfinished is removed.
func beginFounding(t Target) (*founding, error) {
	f := &founding{target: t, stage: stageOf(t.DataDir), done: make(chan logstore.Durable, 1)}
	if err := os.RemoveAll(f.stage); err != nil {
		return nil, err
	}
	var err error
	f.store, err = logstore.OpenBolt(f.stage, logstore.BoltOptions{NodeID: t.NodeID, DirectoryID: t.DirectoryID, NowMs: uint64(t.Now.UnixMilli())})
	if err != nil {
		return nil, err
	}
	f.store.Attach(func(d logstore.Durable) { f.done <- d })
	f.self = raftactor.Peer{NodeID: t.NodeID, Replica: actors.ReplicaID(t.DirectoryID), Address: t.Address}
	if f.files, err = logstore.NewSnapshotDir(filepath.Join(f.stage, SnapshotsDirectory)); err != nil {
		return nil, errors.Join(err, f.abort())
	}
	return f, nil
}

func (f *founding) abort() error { return errors.Join(f.store.Close(), os.RemoveAll(f.stage)) }

// snapshot writes a group's snapshot with this node as its voter. data may be nil where the snapshot has none.
func (f *founding) snapshot(ref *logstore.SnapshotRef, data io.Reader) error {
	sole := raftactor.SoleVoter(ref, f.self)
	if ref.Size > 0 {
		w, err := f.files.Create(*sole)
		if err != nil {
			return err
		}
		if _, err := io.Copy(w, data); err != nil {
			w.Abort()
			return fmt.Errorf("copy the snapshot of group %q at index %d: %w", ref.Group, ref.Index, err)
		}
		if _, err := w.Commit(); err != nil {
			return err
		}
	}
	f.groups = append(f.groups, logstore.GroupWrite{Group: ref.Group, Snapshot: sole})
	return nil
}

// identity makes the stage the state of a cluster of its own.
func (f *founding) identity() (*Founded, error) {
	id, err := bootstrap.Found(f.store.Identity(), f.target.ClusterName, f.target.Address)
	if err != nil {
		return nil, err
	}
	if err := f.store.SetIdentity(id, f.groups); err != nil {
		return nil, err
	}
	out := &Founded{ClusterID: id.ClusterID, DirectoryID: id.DirectoryID.String(), NodeID: id.NodeID}
	for _, g := range f.groups {
		out.Groups = append(out.Groups, g.Group)
	}
	return out, nil
}

// write adds to the log behind a snapshot.
func (f *founding) write(group string, entries []*raftpb.Entry, hard *raftpb.HardState) error {
	f.store.Submit([]logstore.GroupWrite{{Group: group, Entries: entries, HardState: hard}}, 1)
	d := <-f.done
	if d.Err == nil && len(d.Refused) > 0 {
		d.Err = d.Refused[0].Err
	}
	return d.Err
}

// publish puts the stage in its place. Old data, where there is any, goes to founded.Archive.
func (f *founding) publish(founded *Founded) error {
	if err := f.store.Close(); err != nil {
		return err
	}
	if err := logstore.SyncDirectory(f.stage); err != nil {
		return err
	}
	return exchange(f.target.DataDir, founded)
}
