package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/node/recovery"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// openFiles opens what a node keeps in its data directory.
func openFiles(cfg Config, env actors.Env) (Storage, error) {
	if err := os.MkdirAll(cfg.DataDir, 0o750); err != nil {
		return Storage{}, fmt.Errorf("make the data directory: %w", err)
	}
	if err := recovery.Pending(cfg.DataDir); err != nil {
		return Storage{}, err
	}
	store, err := logstore.OpenBolt(cfg.DataDir, logstore.BoltOptions{NodeID: cfg.ID, DirectoryID: env.NewID(), NowMs: uint64(env.Now().UnixMilli())})
	if err != nil {
		return Storage{}, err
	}
	s := Storage{Store: store}
	// Once more: whoever exchanges the directory had the lock until now.
	if err := recovery.Pending(cfg.DataDir); err != nil {
		return Storage{}, errors.Join(err, store.Close())
	}
	if s.Files, err = logstore.NewSnapshotDir(filepath.Join(cfg.DataDir, recovery.SnapshotsDirectory)); err == nil {
		s.ResetKey, err = resetKey(filepath.Join(cfg.DataDir, "quic-reset.key"), env)
	}
	if err != nil {
		return Storage{}, errors.Join(err, store.Close())
	}
	return s, nil
}

// resetKey reads the key, or makes it at the first start.
func resetKey(path string, env actors.Env) (key [32]byte, err error) {
	b, err := os.ReadFile(path) //nolint:gosec // a path of the operator's own
	switch {
	case errors.Is(err, fs.ErrNotExist):
		a, b := env.NewID(), env.NewID()
		copy(key[:16], a[:])
		copy(key[16:], b[:])
		return key, writeDurably(path, key[:])
	case err != nil:
		return key, fmt.Errorf("read the reset key: %w", err)
	case len(b) != len(key):
		return key, fmt.Errorf("reset key %s has %d bytes, want %d: remove it, a new one will be made", path, len(b), len(key))
	}
	copy(key[:], b)
	return key, nil
}

// writeDurably leaves the whole file or none, whenever the power fails.
func writeDurably(path string, b []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // a path of the operator's own
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(path+".new", path)
}
