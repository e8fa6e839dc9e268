package raftsuite

import (
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hupe1980/rivven-cluster/testkit/versus/runner"
)

// syncs is what the disk allows one writer that waits for each write.
func syncs(dir string, d time.Duration) (runner.Sample, error) {
	const blocks, size = 4096, 4 << 10
	f, err := os.OpenFile(filepath.Join(dir, "floor"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return runner.Sample{}, err
	}
	defer func() { _ = f.Close() }()
	block := value(size)
	for i := range int64(blocks) {
		if _, err := f.WriteAt(block, i*size); err != nil {
			return runner.Sample{}, err
		}
	}
	if err := f.Sync(); err != nil {
		return runner.Sample{}, err
	}
	var times []time.Duration
	began := time.Now()
	for i := int64(0); time.Since(began) < d; i++ {
		start := time.Now()
		if _, err := f.WriteAt(block, i%blocks*size); err != nil {
			return runner.Sample{}, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return runner.Sample{}, err
		}
		times = append(times, time.Since(start))
	}
	took := time.Since(began)
	return runner.Sample{Value: float64(len(times)) / took.Seconds(), P50: runner.Quantile(times, 0.5), P99: runner.Quantile(times, 0.99)}, nil
}
