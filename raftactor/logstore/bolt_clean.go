package logstore

import "go.etcd.io/bbolt"

const (
	carryBytes   = 1 << 20 // of entries that one transaction carries on
	manySegments = 8       // from here on small old segments are merged
)

// cleanStep is what one transaction does besides to get rid of the oldest segment: it carries on a part of what still
// lives there, or drops it when a transaction before has carried on the last. Readers never miss a record so: they find
// it where the index says until after the index says otherwise.
type cleanStep struct {
	drop        []uint64
	from        *segment // whose content is carried on
	runs        []carryRun
	carryBytes  uint64
	checkpoints []op
	complete    bool // nothing is left in from
}

type carryRun struct {
	group string
	run   run
}

// nextStep decides about the oldest segment.
func (s *bolt) nextStep(plan batchPlan) cleanStep {
	var step cleanStep
	segments := s.index.segments
	if s.w.stuck || len(segments) < 2 {
		return step
	}
	if segments[0].emptied {
		step.drop = []uint64{segments[0].id}
		segments = segments[1:]
	}
	if len(segments) < 2 || segments[0].id == s.w.segment || !s.worthCleaning(segments) {
		return step
	}
	step.from, step.complete = segments[0], true
	for _, name := range sortedKeys(s.index.groups) {
		g := s.index.groups[name]
		if g.hardIn == step.from.id || g.stateIn == step.from.id {
			step.checkpoint(name, g.position, plan)
		}
		for _, r := range g.runs {
			if step.from.live == 0 || r.at.segment != step.from.id {
				continue
			}
			if step.carryBytes >= carryBytes {
				step.complete = false
				return step
			}
			step.runs = append(step.runs, carryRun{name, r})
			step.carryBytes += uint64(r.at.bytes)
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

// worthCleaning: nothing or little lives in the oldest, or the file is mostly dead behind it.
func (s *bolt) worthCleaning(segments []*segment) bool {
	oldest := segments[0]
	if oldest.live*4 <= oldest.bytes || (len(segments) > manySegments && oldest.bytes*16 <= s.opts.SegmentBytes) {
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
func (s *bolt) carryRuns(tx *bbolt.Tx, flush *boltFlush, step *cleanStep) {
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
			s.w.stuck, step.complete = true, false
			return
		}
	}
}
