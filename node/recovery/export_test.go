package recovery

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// ApplySteps does what Apply does, and is interrupted after the stage's commit and so many of the renames that follow.
func ApplySteps(p *Plan, t Target, steps int) (*Founded, error) {
	s, err := openSurvivor(t.DataDir, t.NodeID, t.Now)
	if err != nil {
		return nil, err
	}
	f, founded, err := p.stage(s, t)
	if err = errors.Join(err, s.store.Close()); err != nil {
		return nil, err
	}
	if err := errors.Join(f.store.Close(), commitStage(t.DataDir, founded)); err != nil {
		return nil, err
	}
	for _, name := range exchanged {
		place, archive := filepath.Join(t.DataDir, name), filepath.Join(founded.Archive, name)
		for _, rename := range [][2]string{{place, archive}, {filepath.Join(f.stage, name), place}} {
			if steps == 0 {
				return founded, nil
			}
			steps--
			if err := errors.Join(os.MkdirAll(founded.Archive, 0o700), os.Rename(rename[0], rename[1])); err != nil {
				return nil, err
			}
		}
	}
	return founded, nil
}

// PlanUnreadable makes a plan of a node whose disk lies about one entry.
func PlanUnreadable(dir string, now time.Time, group string, index uint64) (plan *Plan, err error) {
	s, err := openSurvivor(dir, 1, now)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.store.Close()) }()
	s.store = lying{s.store, group, index}
	return s.plan(now)
}

type lying struct {
	logstore.Store
	group string
	index uint64
}

func (l lying) Entries(group string, lo, hi, maxBytes uint64) ([]*raftpb.Entry, error) {
	if group == l.group && lo <= l.index && l.index < hi {
		return nil, &logstore.DamageError{Group: group, Index: l.index, Detail: "checksum does not match"}
	}
	return l.Store.Entries(group, lo, hi, maxBytes)
}
