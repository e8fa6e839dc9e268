package logstore

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkBolt writes 128-byte entries: one group in batches of several sizes, and many groups with one entry each.
func BenchmarkBolt(b *testing.B) {
	for _, c := range []struct{ groups, entries int }{{1, 1}, {1, 16}, {1, 256}, {1, 1024}, {64, 1}, {1024, 1}} {
		b.Run(fmt.Sprintf("groups=%d/entries=%d", c.groups, c.entries), func(b *testing.B) {
			opts := testOptions()
			opts.PreallocateBytes = 0
			r := openRig(b, opts)
			next := uint64(1)
			for b.Loop() {
				batch := make([]GroupWrite, c.groups)
				for g := range batch {
					group := fmt.Sprintf("raft-group-%04d", g)
					batch[g] = GroupWrite{Group: group, Entries: sizedEntries(next, 1, c.entries, 128)}
					if next > 40_000 && next%uint64(10*c.entries) == 1 {
						batch[g].HardState = testHard(1, 1, next-1)
						batch[g].Snapshot = &SnapshotRef{Group: group, Index: next - 20_000, Term: 1}
						batch[g].Compact = next - 20_000
					}
				}
				next += uint64(c.entries)
				r.write(batch...)
			}
			entries := float64(b.N) * float64(c.groups*c.entries)
			b.ReportMetric(entries/b.Elapsed().Seconds(), "entries/s")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

// BenchmarkBoltOpen opens a log of a million entries of 128 bytes, that came one, 64 and 1,024 at a time. What counts is open-ms: an operation is
// more than that.
func BenchmarkBoltOpen(b *testing.B) {
	for _, batch := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			opts := testOptions()
			opts.PreallocateBytes = 0
			r := openRig(b, opts)
			r.db.NoSync = true
			for next := uint64(1); next <= 1_000_000; next += uint64(batch) {
				r.write(GroupWrite{Group: "g", Entries: sizedEntries(next, 1, batch, 128)})
			}
			if err := r.Close(); err != nil {
				b.Fatal(err)
			}
			var opening, scanning []time.Duration
			for b.Loop() {
				start := time.Now()
				r.open()
				opening = append(opening, time.Since(start))
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
				start = time.Now()
				s, err := scanFile(filepath.Join(r.dir, DatabaseFile), 1<<20)
				if err != nil || len(s.index.groups) != 1 {
					b.Fatal(err)
				}
				scanning = append(scanning, time.Since(start))
			}
			median := func(of []time.Duration) float64 {
				return float64(slices.Sorted(slices.Values(of))[len(of)/2].Milliseconds())
			}
			b.ReportMetric(median(opening), "open-ms")
			b.ReportMetric(median(scanning), "scan-ms") // the part of opening that is our own check
			info, _ := os.Stat(filepath.Join(r.dir, DatabaseFile))
			b.ReportMetric(float64(info.Size())/(1<<20), "MiB")
		})
	}
}
