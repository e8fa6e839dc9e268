package recovery

import (
	"errors"
	"os"
	"path/filepath"
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
