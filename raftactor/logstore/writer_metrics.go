package logstore

import "github.com/hupe1980/rivven-cluster/actors"

type writerMetrics struct {
	fsync, batchWrites, batchBytes actors.Histogram
	bytes                          actors.Counter
	queued                         actors.Gauge
	busy, noSpace, refused, fatal  actors.Counter
}

func newWriterMetrics(m actors.Metrics) writerMetrics {
	failures := func(reason string) actors.Counter {
		return m.Counter("rivven_store_errors_total", "Writes that the log store refused or failed, by reason.", "reason", reason)
	}
	return writerMetrics{
		fsync: m.Histogram("rivven_store_fsync_seconds", "From handing a batch to the log store until it is durable.",
			[]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}),
		batchWrites: m.Histogram("rivven_store_batch_writes", "Writes of all groups in one batch.", []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}),
		batchBytes:  m.Histogram("rivven_store_batch_bytes", "Bytes in one batch.", []float64{256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20}),
		bytes:       m.Counter("rivven_store_bytes_total", "Bytes handed to the log store."),
		queued:      m.Gauge("rivven_store_queued_bytes", "Bytes that wait for the batch in flight."),
		busy:        failures("busy"),
		noSpace:     failures("no_space"),
		refused:     failures("invalid"),
		fatal:       failures("fatal"),
	}
}
