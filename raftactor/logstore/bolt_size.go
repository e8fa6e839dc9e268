package logstore

import (
	"os"
	"path/filepath"
)

// LogBytes sums what the index names.
func (s *bolt) LogBytes(group string) uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var bytes uint64
	if g, ok := s.index.groups[group]; ok {
		for _, r := range g.runs {
			bytes += uint64(r.at.bytes)
		}
	}
	return bytes
}

// Size looks at the file.
func (s *bolt) Size() Size {
	var size Size
	if info, err := os.Stat(filepath.Join(s.dir, DatabaseFile)); err == nil {
		size.File = uint64(info.Size())
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, seg := range s.index.segments {
		size.Live += seg.live
	}
	return size
}
