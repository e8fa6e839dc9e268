package logstore

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"
)

// NewSnapshotMemory returns snapshot files that are kept in memory, for tests and ephemeral nodes. Safe for concurrent use.
func NewSnapshotMemory() SnapshotFiles {
	return &snapshotMemory{files: make(map[snapshotKey]memorySnapshot)}
}

type snapshotMemory struct {
	mu    sync.Mutex
	files map[snapshotKey]memorySnapshot
}

type memorySnapshot struct {
	ref  SnapshotRef
	data []byte
}

func (m *snapshotMemory) Create(ref SnapshotRef) (SnapshotWriter, error) {
	return &memorySnapshotWriter{sum: snapshotSum{ref: ref}, to: m}, nil
}

func (m *snapshotMemory) Open(ref SnapshotRef) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	file, ok := m.files[ref.key()]
	if !ok || !file.ref.sameData(&ref) {
		return nil, fmt.Errorf("%w: group %q, index %d, term %d", ErrNoSnapshot, ref.Group, ref.Index, ref.Term)
	}
	return struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader(file.data), io.NopCloser(nil)}, nil
}

func (m *snapshotMemory) List(group string) ([]SnapshotRef, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var refs []SnapshotRef
	for key, file := range m.files {
		if key.group == group {
			refs = append(refs, file.ref)
		}
	}
	slices.SortFunc(refs, newer)
	return refs, nil
}

// Damaged is empty: memory is not checked.
func (m *snapshotMemory) Damaged(string) ([]DamagedSnapshot, error) { return nil, nil }

func (m *snapshotMemory) Remove(ref SnapshotRef) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, ref.key())
	return nil
}

type memorySnapshotWriter struct {
	sum  snapshotSum
	data []byte
	to   *snapshotMemory
}

func (w *memorySnapshotWriter) Write(p []byte) (int, error) {
	if err := w.sum.add(p); err != nil {
		return 0, err
	}
	w.data = append(w.data, p...)
	return len(p), nil
}

func (w *memorySnapshotWriter) Commit() (SnapshotRef, error) {
	ref, err := w.sum.finish()
	if err != nil || ref.Size == 0 {
		return ref, err
	}
	w.to.mu.Lock()
	defer w.to.mu.Unlock()
	w.to.files[ref.key()] = memorySnapshot{ref: ref, data: w.data}
	return ref, nil
}

func (w *memorySnapshotWriter) Abort() { w.data = nil }
