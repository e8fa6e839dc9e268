package logstore

import "go.etcd.io/bbolt"

const (
	carryBytes   = 1 << 20 // of entries that one transaction carries on
	fewSegments  = 4       // up to so many what is alive in the oldest is left to die by itself, as it does in a log in use
	manySegments = 8       // from here on small old segments are merged
	maxDrops     = 4       // segments in one transaction
)

// cleanStep is what one transaction does besides to get rid of the oldest segments: it drops those that the index no longer
// names, and carries on a part of what still lives in the oldest after those. Readers never miss a record so: it is
// dropped in a later transaction than the one that moved it.
type cleanStep struct {
	drop        []uint64
	runs        []carryRun
	carryBytes  uint64
	checkpoints []op
}

type carryRun struct {
	group string
	run   run
}

// nextStep decides about the oldest segments. The newest is never touched.
func (s *bolt) nextStep(plan batchPlan) cleanStep {
	var step cleanStep
	segments := s.index.segments
	for len(segments) > 1 && len(step.drop) < maxDrops && s.index.idle(segments[0]) {
		step.drop = append(step.drop, segments[0].id)
		segments = segments[1:]
	}
	if s.w.stuck || len(segments) < 2 || !s.worthCleaning(segments) {
		return step
	}
	from := segments[0]
	for _, name := range sortedKeys(s.index.groups) {
		g := s.index.groups[name]
		if g.hardIn == from.id || g.stateIn == from.id {
			step.checkpoint(name, g.position, plan)
		}
		for _, r := range g.runs {
			if from.live == 0 || step.carryBytes >= carryBytes {
				break
			}
			if r.at.segment == from.id {
				step.runs = append(step.runs, carryRun{name, r})
				step.carryBytes += uint64(r.at.bytes)
			}
		}
	}
	return step
}

// checkpoint carries a group's hard state and snapshot on, as they are after the plan.
func (step *cleanStep) checkpoint(group string, p *position, plan batchPlan) {
	if after, ok := plan.after[group]; ok {
		p = after
	}
	if !plan.removed[group] {
		step.checkpoints = append(step.checkpoints, *p.stateOp(group))
	}
}

// worthCleaning: nothing lives in the oldest, or little for long, or the file is mostly dead behind it.
func (s *bolt) worthCleaning(segments []*segment) bool {
	oldest := segments[0]
	if oldest.live == 0 || (len(segments) > fewSegments && oldest.live*4 <= oldest.bytes) || (len(segments) > manySegments && oldest.bytes*16 <= s.opts.SegmentBytes) {
		return true
	}
	var bytes, live uint64
	for _, seg := range segments {
		bytes += seg.bytes
		live += seg.live
	}
	return bytes-live > max(bytes/2, 4*s.opts.SegmentBytes)
}

// carryRuns adds the step's runs to the flush. A record that can't be read is left where it is for its reader to find.
func (s *bolt) carryRuns(tx *bbolt.Tx, flush *boltFlush, step cleanStep) {
	for _, c := range step.runs {
		g := s.index.groups[c.group]
		lo := max(c.run.first, g.first)
		record, err := readRecord(tx, c.run.at)
		if err == nil {
			entries, decodeErr := decodeEntries(record, c.run, lo, c.run.end())
			if err = decodeErr; err == nil && len(entries) > 0 {
				flush.add(newEntriesOp(opCarry, c.group, entries))
			}
		}
		if err != nil {
			s.w.stuck = true
			return
		}
	}
}
