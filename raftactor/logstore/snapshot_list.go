package logstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// isDamage tells content that no writer committed from a newer format, and from what may be readable at the next try.
func isDamage(err error) bool {
	var unread *fs.PathError
	return err != nil && !errors.Is(err, ErrNewerFormat) && !errors.As(err, &unread)
}

// judge keeps what a check of all of a file found: nil, damage, or nothing that counts.
func (d *snapshotDir) judge(path string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sound, path)
	delete(d.damaged, path)
	switch {
	case err == nil:
		d.sound[path] = true
	case isDamage(err):
		d.damaged[path] = err.Error()
	}
}

func (d *snapshotDir) known(path string) (sound bool, damage string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sound[path], d.damaged[path]
}

func (d *snapshotDir) forget(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sound, path)
	delete(d.damaged, path)
}

// List skips what is damaged, and what is another group's whose name has the same escape.
func (d *snapshotDir) List(group string) ([]SnapshotRef, error) {
	refs, _, err := d.scan(group)
	return refs, err
}

// Damaged finds what List skips.
func (d *snapshotDir) Damaged(group string) ([]DamagedSnapshot, error) {
	_, damaged, err := d.scan(group)
	return damaged, err
}

func (d *snapshotDir) scan(group string) (sound []SnapshotRef, damaged []DamagedSnapshot, err error) {
	dir := d.groupDir(group)
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list the snapshots of group %q: %w", group, err)
	}
	for _, file := range files {
		path := filepath.Join(dir, file.Name())
		named, ok := d.named(group, path)
		if !ok {
			continue
		}
		ref, err := d.stat(path)
		switch {
		case err == nil && ref.key() == named.key():
			sound = append(sound, *ref)
		case err == nil && ref.Group == group:
			damaged = append(damaged, DamagedSnapshot{named, fmt.Sprintf("it holds the snapshot at index %d, term %d", ref.Index, ref.Term)})
		case isDamage(err):
			damaged = append(damaged, DamagedSnapshot{named, err.Error()})
		}
	}
	slices.SortFunc(sound, newer)
	slices.SortFunc(damaged, func(a, b DamagedSnapshot) int { return newer(a.Ref, b.Ref) })
	return sound, damaged, nil
}

// named is what a file should hold by its name.
func (d *snapshotDir) named(group, path string) (SnapshotRef, bool) {
	ref := SnapshotRef{Group: group}
	n, err := fmt.Sscanf(filepath.Base(path), "%016x-%016x"+snapshotSuffix, &ref.Index, &ref.Term)
	return ref, err == nil && n == 2 && d.path(&ref) == path
}

// stat reads the head of a file that is known to be sound, nothing of one that is known to be damaged, and checks all of any other.
func (d *snapshotDir) stat(path string) (*SnapshotRef, error) {
	sound, damage := d.known(path)
	if damage != "" {
		return nil, errors.New(damage)
	}
	if sound {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		ref, _, err := readSnapshotHead(file)
		if err != nil {
			d.judge(path, err)
		}
		return ref, err
	}
	ref, file, err := openSnapshot(path)
	d.judge(path, err)
	if err != nil {
		return nil, err
	}
	return ref, file.Close()
}

// Remove deletes the file of a snapshot.
func (d *snapshotDir) Remove(ref SnapshotRef) error {
	path := d.path(&ref)
	d.forget(path)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove a snapshot: %w", err)
	}
	return nil
}
