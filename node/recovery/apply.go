package recovery

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// entriesAtOnce bounds what is copied in one step, in bytes.
const entriesAtOnce = 4 << 20

// Apply is the second step of a recovery from quorum loss: it makes the survivor that the plan is of the first node of a new cluster, with
// all that its groups hold, and moves the old data to an archive within the data directory. It fails with ErrChanged where the node ran since.
// Where an earlier call was interrupted while it exchanged, it is finished.
func (p *Plan) Apply(t Target) (*Founded, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	founded, err := finishExchange(t.DataDir)
	if founded != nil || err != nil {
		return founded, err
	}
	s, err := openSurvivor(t.DataDir, t.NodeID, t.Now)
	if err != nil {
		return nil, err
	}
	f, founded, err := p.stage(s, t)
	// The lock of the directory goes with the store. From the stage's commit on no node starts on it.
	if err = errors.Join(err, s.store.Close()); err != nil {
		if f != nil {
			err = errors.Join(err, f.abort())
		}
		return nil, fmt.Errorf("recover node %d: %w", t.NodeID, err)
	}
	lock, err := logstore.LockDirectory(t.DataDir)
	if err != nil {
		return nil, errors.Join(err, f.abort())
	}
	return founded, errors.Join(f.publish(founded), lock.Close())
}

func finishExchange(dir string) (*Founded, error) {
	if Pending(dir) == nil {
		return nil, nil
	}
	lock, err := logstore.LockDirectory(dir)
	if err != nil {
		return nil, err
	}
	founded, err := resume(dir)
	return founded, errors.Join(err, lock.Close())
}

// stage makes the new state of what the survivor has.
func (p *Plan) stage(s *survivor, t Target) (*founding, *Founded, error) {
	now, err := s.plan(t.Now)
	if err != nil {
		return nil, nil, err
	}
	if now.State != p.State {
		return nil, nil, fmt.Errorf("%w: make a new one", ErrChanged)
	}
	for _, g := range now.Groups {
		if g.Problem != "" {
			return nil, nil, fmt.Errorf("%w: group %q: %s", ErrUnusable, g.Group, g.Problem)
		}
	}
	f, err := beginFounding(t)
	if err != nil {
		return nil, nil, err
	}
	bases := make(map[string]*logstore.SnapshotRef, len(now.Groups))
	for _, g := range now.Groups {
		bases[g.Group], _ = s.base(g.Group, s.store.State(g.Group))
		if err := f.copySnapshot(s, bases[g.Group]); err != nil {
			return f, nil, err
		}
	}
	founded, err := f.identity()
	if err != nil {
		return f, nil, err
	}
	founded.Archive = filepath.Join(t.DataDir, "archive-"+t.Now.UTC().Format("20060102T150405Z")+"-"+now.DirectoryID[:8])
	for _, g := range now.Groups {
		if err := f.copyEntries(s, bases[g.Group]); err != nil {
			return f, nil, err
		}
	}
	return f, founded, nil
}

func (f *founding) copySnapshot(s *survivor, ref *logstore.SnapshotRef) (err error) {
	var data io.ReadCloser
	if ref.Size > 0 {
		if data, err = s.files.Open(*ref); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, data.Close()) }()
	}
	return f.snapshot(ref, data)
}

// copyEntries copies a group's log behind its snapshot. Membership changes become empty entries: the new group's members are its own.
func (f *founding) copyEntries(s *survivor, base *logstore.SnapshotRef) error {
	state := s.store.State(base.Group)
	for next := base.Index + 1; next <= state.LastIndex; {
		entries, err := s.store.Entries(base.Group, next, state.LastIndex+1, entriesAtOnce)
		if err != nil {
			return err
		}
		kept, _ := raftactor.WithoutChanges(entries)
		if err := f.write(base.Group, kept, nil); err != nil {
			return err
		}
		next += uint64(len(entries))
	}
	// No vote: it was another replica's.
	return f.write(base.Group, nil, &raftpb.HardState{
		Term: proto.Uint64(state.HardState.GetTerm()), Vote: proto.Uint64(0), Commit: proto.Uint64(state.HardState.GetCommit()),
	})
}
