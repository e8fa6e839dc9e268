package logstore

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// filledFile is a file of so many commits of so many small entries.
func filledFile(t *testing.T, commits, entries int) string {
	r := openRig(t, testOptions())
	r.db.NoSync = true
	for i := range commits {
		r.write(GroupWrite{Group: "g", Entries: sizedEntries(uint64(1+i*entries), 1, entries, 8)})
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(r.dir, DatabaseFile)
}

// TestBoltOpensByRecordAndNotByEntry pins what makes a long log open fast (BenchmarkBoltOpen says how fast): what an open makes
// in memory grows with the records, and not with the entries in them, none of which is decoded.
func TestBoltOpensByRecordAndNotByEntry(t *testing.T) {
	const commits = 300
	allocations := func(path string, entries int) float64 {
		return testing.AllocsPerRun(3, func() {
			s, err := scanFile(path, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			g := s.index.groups["g"]
			if len(g.runs) != commits || len(g.tail) != 0 || g.last != uint64(commits*entries) {
				t.Fatalf("%d runs and %d entries in memory for %d commits of %d entries, last %d", len(g.runs), len(g.tail), commits, entries, g.last)
			}
		})
	}
	few, many := allocations(filledFile(t, commits, 2), 2), allocations(filledFile(t, commits, 200), 200)
	if many > 1.5*few {
		t.Fatalf("%.0f allocations for %d records of 200 entries, %.0f for as many of 2", many, commits, few)
	}
}

// countingReader sums what is read.
type countingReader struct {
	io.ReaderAt
	bytes int64
}

func (r *countingReader) ReadAt(p []byte, at int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, at)
	r.bytes += int64(n)
	return n, err
}

// TestBoltReadsTheFileOnce: every page is read once at open, those that nobody uses not at all.
func TestBoltReadsTheFileOnce(t *testing.T) {
	file, err := os.Open(filledFile(t, 200, 50))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	reader := &countingReader{ReaderAt: file}
	pages, err := openPages(reader, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	s := &scan{index: newIndex(1 << 20), found: make(map[string]bool)}
	if err := pages.walk(pages.root, func(key, value []byte, bucket bool) error { return s.root(pages, key, value, bucket) }); err != nil {
		t.Fatal(err)
	}
	if used := int64(pages.hwm) * boltPageSize; s.index.groups["g"].last == 0 && len(s.index.groups["g"].runs) == 0 || reader.bytes > used {
		t.Fatalf("%d bytes read of %d in use", reader.bytes, used)
	}
}
