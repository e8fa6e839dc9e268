package recovery

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// entriesAtOnce bounds what is copied in one step, in bytes.
const entriesAtOnce = 4 << 20

// Apply is the second step of a recovery from quorum loss: it makes the survivor that the plan is of the first node of a new cluster, with
// all that its groups hold, and moves the old data to an archive within the data directory. It fails with ErrChanged where the node ran since,
// and with ErrUnusable where a group can't be recovered and is not given up (t.GiveUp).
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
	kept, err := now.keep(t.GiveUp)
	if err != nil {
		return nil, nil, err
	}
	f, err := beginFounding(t)
	if err != nil {
		return nil, nil, err
	}
	bases := make(map[string]*logstore.SnapshotRef, len(kept))
	for _, g := range kept {
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
	founded.GivenUp = slices.Compact(slices.Sorted(slices.Values(t.GiveUp)))
	for _, g := range kept {
		if err := f.copyEntries(s, bases[g.Group]); err != nil {
			return f, nil, err
		}
	}
	return f, founded, nil
}

// keep returns the groups that the new cluster gets: all but those that are given up, which must be those that can't be recovered.
func (p *Plan) keep(giveUp []string) ([]GroupPlan, error) {
	var kept []GroupPlan
	var faults []error
	for _, name := range giveUp {
		if g, ok := p.group(name); !ok || g.Problem == "" {
			faults = append(faults, fmt.Errorf("group %q is to be given up, and the plan names no problem of it", name))
		}
	}
	for _, g := range p.Groups {
		switch {
		case g.Problem == "":
			kept = append(kept, g)
		case g.Group == actors.GroupMeta:
			faults = append(faults, fmt.Errorf("%w: group %q: %s: without the metadata there is no cluster; use another survivor, or restore a backup", ErrUnusable, g.Group, g.Problem))
		case !slices.Contains(giveUp, g.Group):
			faults = append(faults, fmt.Errorf("%w: group %q: %s: use a survivor that has it whole, or give it up", ErrUnusable, g.Group, g.Problem))
		}
	}
	if len(kept) == 0 && len(faults) == 0 {
		faults = append(faults, fmt.Errorf("%w: it has no group that could be recovered", ErrUnusable))
	}
	return kept, errors.Join(faults...)
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
