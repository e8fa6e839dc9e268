package logstore

import (
	"fmt"
	"io"
	"path/filepath"
)

// LockDirectory keeps every other process, a node above all, out of a data directory until it is closed. It fails with ErrLocked where one
// has it. OpenBolt takes the same lock itself.
func LockDirectory(dir string) (io.Closer, error) {
	lock, err := lockFile(filepath.Join(dir, "LOCK"))
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return lock, nil
}

// SyncDirectory makes renames within a directory durable.
func SyncDirectory(dir string) error { return syncDir(dir) }
