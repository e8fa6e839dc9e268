package recovery

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// ErrNotEmpty: the data directory has a node's state.
var ErrNotEmpty = errors.New("data directory is not empty")

// Restore makes a data directory from a backup: that of the first node of a new cluster. It refuses one that has a node's state. Other
// files in it, such as certificates, stay. It is offline; a node that runs on the directory makes it fail. Where an earlier call was
// interrupted while it exchanged, it is finished, and the stream is not looked at.
func Restore(in io.Reader, t Target) (founded *Founded, err error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(t.DataDir, 0o750); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	lock, err := logstore.LockDirectory(t.DataDir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if founded, err = resume(t.DataDir); founded != nil || err != nil {
		return founded, err
	}
	for _, name := range exchanged {
		if _, err := os.Stat(filepath.Join(t.DataDir, name)); err == nil {
			return nil, fmt.Errorf("%w: there is %s: restore into another directory, or move the old state away", ErrNotEmpty, filepath.Join(t.DataDir, name))
		}
	}
	f, err := beginFounding(t)
	if err != nil {
		return nil, err
	}
	if founded, err = f.restore(in); err != nil {
		return nil, errors.Join(fmt.Errorf("restore into %s: %w", t.DataDir, err), f.abort())
	}
	return founded, f.publish(founded)
}

// restore fills the stage; the stream was whole when it returns without an error.
func (f *founding) restore(in io.Reader) (*Founded, error) {
	r, err := NewReader(in)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	for {
		head, data, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if seen[head.Group] {
			return nil, fmt.Errorf("%w: group %q comes twice", ErrDamaged, head.Group)
		}
		seen[head.Group] = true
		ref := &logstore.SnapshotRef{Group: head.Group, Index: head.Index, Term: head.Term, Size: head.Size, Checksum: head.Checksum}
		if err := f.snapshot(ref, data); err != nil {
			return nil, err
		}
	}
	if len(seen) == 0 {
		return nil, errors.New("the backup holds no group")
	}
	return f.identity()
}
