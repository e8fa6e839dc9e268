package logstore

import "github.com/hupe1980/rivven-cluster/actors"

type snapshotMetrics struct {
	m                                    actors.Metrics
	savedBytes, sentBytes, receivedBytes actors.Counter
	sending, receiving                   actors.Gauge
	refused, ignored, damagedRemoved     actors.Counter
	damaged                              actors.Gauge
}

func newSnapshotMetrics(m actors.Metrics) snapshotMetrics {
	const bytes, bytesHelp = "rivven_snapshot_bytes_total", "Bytes of complete snapshots, by what was done."
	return snapshotMetrics{
		m:              m,
		savedBytes:     m.Counter(bytes, bytesHelp, "done", "saved"),
		sentBytes:      m.Counter(bytes, bytesHelp, "done", "sent"),
		receivedBytes:  m.Counter(bytes, bytesHelp, "done", "received"),
		sending:        m.Gauge("rivven_snapshot_sending", "Snapshots being sent."),
		receiving:      m.Gauge("rivven_snapshot_receiving", "Snapshots being received."),
		refused:        m.Counter("rivven_snapshot_refused_total", "Offers and chunks of peers that were refused."),
		damaged:        m.Gauge("rivven_snapshot_damaged", "Damaged snapshot files that are kept, as of the last removal of old ones."),
		damagedRemoved: m.Counter("rivven_snapshot_damaged_removed_total", "Damaged snapshot files that were removed."),
		ignored:        m.Counter("rivven_snapshot_ignored_total", "Messages of peers that belong to no transfer."),
	}
}

func (s *snapshotMetrics) failed(what string) actors.Counter {
	return s.m.Counter("rivven_snapshot_errors_total", "Failures of the snapshot actor, by what it was doing.", "what", what)
}
