package recovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// ErrPending: an exchange of a data directory was interrupted.
var ErrPending = errors.New("an interrupted restore or recovery")

const (
	stageName  = "recovery.tmp"
	commitName = "COMMIT"
)

// exchanged are what a node keeps between its lives and what an exchange moves.
var exchanged = []string{SnapshotsDirectory, logstore.DatabaseFile}

func stageOf(dir string) string { return filepath.Join(dir, stageName) }

// commit is written into the stage when it is complete: from then on the exchange is finished, whatever happens.
type commit struct {
	Founded Founded `json:"founded"`
}

// Pending fails with ErrPending where an exchange of this data directory is not finished: a node must not start on it.
func Pending(dir string) error {
	_, err := os.Stat(filepath.Join(stageOf(dir), commitName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%w left %s half done: run the same command again, it will finish", ErrPending, dir)
}

func exchange(dir string, founded *Founded) error {
	if err := commitStage(dir, founded); err != nil {
		return err
	}
	_, err := resume(dir)
	return err
}

func commitStage(dir string, founded *Founded) error {
	b, err := json.Marshal(commit{Founded: *founded})
	if err != nil {
		return err
	}
	stage := stageOf(dir)
	temp := filepath.Join(stage, commitName+".tmp")
	if err := writeSynced(temp, b); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(stage, commitName)); err != nil {
		return err
	}
	return errors.Join(logstore.SyncDirectory(stage), logstore.SyncDirectory(dir))
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // within the operator's directory
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// resume finishes an exchange that was begun, and returns what it made; nil where there was none. Each step can be repeated: what still is in the stage was not
// moved yet, and its predecessor is archived first.
func resume(dir string) (*Founded, error) {
	stage := stageOf(dir)
	b, err := os.ReadFile(filepath.Join(stage, commitName)) //nolint:gosec // within the operator's directory
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var c commit
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return nil, fmt.Errorf("finish the exchange of %s: %w", dir, err)
	}
	for _, name := range exchanged {
		if err := exchangeOne(dir, stage, c.Founded.Archive, name); err != nil {
			return nil, fmt.Errorf("finish the exchange of %s: %w", dir, err)
		}
	}
	return &c.Founded, errors.Join(os.RemoveAll(stage), logstore.SyncDirectory(dir))
}

func exchangeOne(dir, stage, archive, name string) error {
	next, place := filepath.Join(stage, name), filepath.Join(dir, name)
	if _, err := os.Stat(next); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if _, err := os.Stat(place); err == nil && archive != "" {
		if err := os.MkdirAll(archive, 0o700); err != nil {
			return err
		}
		if err := os.Rename(place, filepath.Join(archive, name)); err != nil {
			return err
		}
		if err := errors.Join(logstore.SyncDirectory(archive), logstore.SyncDirectory(filepath.Dir(archive))); err != nil {
			return err
		}
	}
	return errors.Join(os.Rename(next, place), logstore.SyncDirectory(dir), logstore.SyncDirectory(stage))
}
