package swim

import (
	"slices"
	"time"
)

// syncPartBytes is the size from which a list of records goes out in several
// messages.
const syncPartBytes = 64 << 10

// bulkUpdates is the number of records in one message above which those that
// are alive are not gossiped on: so many differences travel faster by further
// synchronisations.
const bulkUpdates = 32

// equalsEnough is the number of acks in a row that show this node's own table
// after which what it still has to spread of live members is taken to be known.
// An update is sent as often as it may be in fewer periods, unless many wait:
// a refutation must not be cut short.
const equalsEnough = 10

// stillNews keeps what equal tables say nothing of: they cover generation and
// incarnation of the living. After a cold start of N the seed would otherwise
// spread N records for N·limit/(records a packet · packets a second), 67 s at
// N=1,000, to members that know them all.
func stillNews(u *Update) bool { return u.State != Alive || u.Replaces != "" }

// syncsSaved is how many synchronisations in a row are left out because acks
// have compared the digests already.
const syncsSaved = 3

// syncNext synchronises with a random member. An ack since the last time that
// showed this node's own table was the first step of that, and its only one:
// then no stream is opened, but not for ever, because equal digests say nothing
// of what they don't cover.
func (c *Core) syncNext(now time.Duration) {
	c.syncPause = min(2*c.syncPause, c.cfg.SyncInterval)
	c.syncTimer = c.timers.add(now+c.jitter(c.syncPause), false, c.syncNext)
	c.renewSignature(now)
	if c.equals > 0 && c.saved < syncsSaved && c.syncPause == c.cfg.SyncInterval {
		c.saved++
		return
	}
	c.saved = 0
	if peers := c.randomLive(1, nil); len(peers) > 0 {
		c.startSync(now, peers[0].rec.Peer(), false)
	}
}

// startSync opens a synchronisation:
//
//	us                              them
//	SyncRequest{digest}      ─▶
//	                         ◀─     SyncEqual, or SyncBuckets{64 digests}
//	SyncSummary{who differs} ─▶
//	                         ◀─     SyncRecords{what we lack, wants}
//	SyncRecords{the wants}   ─▶
//
// No side keeps state of it, so none can be left over. A joining node gets all
// records in answer to its request.
func (c *Core) startSync(now time.Duration, to Peer, join bool) {
	c.stats.Syncs++
	c.lastSync = now
	c.send(to, Stream, &SyncRequest{Cluster: c.cfg.ClusterID, Digest: c.digest, Join: join, Self: c.me.rec, Certificate: c.me.certificate}, 0)
}

// syncSooner follows a difference that was found: there may be more.
func (c *Core) syncSooner(now time.Duration) {
	c.syncPause = max(c.cfg.ProtocolPeriod/4, time.Millisecond)
	c.digestPause = 2 * c.cfg.ProtocolPeriod
	if at := now + c.jitter(2*c.syncPause); c.syncTimer != nil && at < c.syncTimer.at {
		c.timers.move(c.syncTimer, at)
	}
}

// compareDigest synchronises with a peer whose ack shows another table while
// this node has nothing left to spread that would explain it. Differences that
// a synchronisation does not remove make it try less and less often.
func (c *Core) compareDigest(now time.Duration, from Peer, msg *Ack) {
	if msg.Digest == c.digest {
		c.digestPause = 2 * c.cfg.ProtocolPeriod
		if c.equals++; c.equals >= equalsEnough {
			c.queue.retain(stillNews)
			c.large.retain(stillNews)
		}
		return
	}
	c.equals = 0
	if c.queue.len()+c.large.len()+len(msg.Updates) == 0 && now-c.lastSync >= c.digestPause && c.leave == nil {
		c.digestPause = min(2*c.digestPause, c.cfg.SyncInterval)
		c.startSync(now, from, false)
	}
}

// onSyncRequest judges who asks before it answers.
func (c *Core) onSyncRequest(now time.Duration, from Peer, msg *SyncRequest) {
	if msg.Cluster != c.cfg.ClusterID {
		c.stats.Refused.Cluster++
		return
	}
	self := msg.Self
	if self == nil || self.ID != from.ID || self.Left {
		c.stats.Refused.Malformed++
		return
	}
	c.enclose(msg.Certificate)
	c.apply(now, from, &Update{
		ID: self.ID, Generation: self.Generation, Incarnation: self.Incarnation, State: Alive, Record: self,
	}, synced)
	m, known := c.byID[from.ID]
	if !known || m.rec.Directory != self.Directory {
		return
	}
	if m.state != Alive {
		c.send(from, Stream, &SyncRecords{Updates: []Update{statement(m, true)}}, 0)
	}
	switch {
	case msg.Join:
		c.sendRecords(from, c.liveParcels(), nil)
	case msg.Digest == c.digest:
		c.send(from, Stream, &SyncEqual{Digest: c.digest}, 0)
	default:
		c.send(from, Stream, &SyncBuckets{Digests: slices.Clone(c.digests[:])}, 0)
	}
}

// liveParcels is the whole table but the dead, by bucket.
func (c *Core) liveParcels() []parcel {
	all := make([]parcel, 0, c.liveCount())
	for _, bucket := range c.buckets {
		for _, m := range bucket {
			if m.state.live() {
				all = append(all, parcel{statement(m, true), m.certificate})
			}
		}
	}
	return all
}

// onSyncEqual ends a synchronisation that found nothing.
func (c *Core) onSyncEqual() { c.joined() }

// onSyncBuckets lists this node's side of the buckets that differ.
func (c *Core) onSyncBuckets(to Peer, msg *SyncBuckets) {
	if len(msg.Digests) != digestBuckets {
		c.stats.Refused.Malformed++
		return
	}
	c.stats.SyncsDiffering++
	summary := &SyncSummary{}
	for b, theirs := range msg.Digests {
		if theirs == c.digests[b] {
			continue
		}
		summary.Buckets = append(summary.Buckets, uint32(b))
		for _, m := range c.buckets[b] {
			summary.Entries = append(summary.Entries, Summary{
				ID: m.rec.ID, Generation: m.rec.Generation, Incarnation: m.rec.Incarnation, State: m.state,
			})
		}
	}
	c.send(to, Stream, summary, 0)
}

// onSyncSummary answers with what the other side lacks and wants what this one
// lacks.
func (c *Core) onSyncSummary(to Peer, msg *SyncSummary) {
	if len(msg.Entries) > c.cfg.MembersMax || len(msg.Buckets) > digestBuckets {
		c.stats.Refused.Malformed++
		return
	}
	var updates []parcel
	var wants []uint64
	listed := make(map[uint64]struct{}, len(msg.Entries))
	for _, e := range msg.Entries {
		listed[e.ID] = struct{}{}
		m, known := c.byID[e.ID]
		if !known {
			if e.State.live() {
				wants = append(wants, e.ID)
			}
			continue
		}
		order := compareEpoch(e.Generation, e.Incarnation, m.rec.Generation, m.rec.Incarnation)
		switch {
		case order > 0 || order == 0 && e.State > m.state:
			wants = append(wants, e.ID)
		case order < 0 || e.State < m.state:
			updates = append(updates, parcel{statement(m, true), nil})
		}
	}
	var seen [digestBuckets]bool
	for _, b := range msg.Buckets {
		if b >= digestBuckets || seen[b] {
			c.stats.Refused.Malformed++
			continue
		}
		seen[b] = true
		for _, m := range c.buckets[b] {
			if _, ok := listed[m.rec.ID]; !ok && m.state.live() {
				updates = append(updates, parcel{statement(m, true), m.certificate})
			}
		}
	}
	c.sendRecords(to, updates, wants)
}

// onSyncRecords takes over what came and answers what is wanted.
func (c *Core) onSyncRecords(now time.Duration, from Peer, msg *SyncRecords) {
	if len(msg.Wants) > c.cfg.MembersMax {
		c.stats.Refused.Malformed++
		return
	}
	c.enclose(msg.Certificates...)
	how := synced
	if len(msg.Updates) > bulkUpdates {
		how = inBulk
	}
	changed := false
	for i := range msg.Updates {
		changed = c.apply(now, from, &msg.Updates[i], how) || changed
	}
	if changed {
		c.syncSooner(now)
	}
	if len(msg.Wants) > 0 {
		updates := make([]parcel, 0, len(msg.Wants))
		for _, id := range msg.Wants {
			if m, ok := c.byID[id]; ok {
				updates = append(updates, parcel{statement(m, true), m.certificate})
			}
		}
		c.sendRecords(from, updates, nil)
	}
	if msg.Last {
		c.joined()
	}
}

// parcel is an update with the certificate that proves its record, nil where the receiver has it.
type parcel struct {
	update      Update
	certificate []byte
}

// sendRecords sends updates in parts of bounded size; the wants ride on the
// last.
func (c *Core) sendRecords(to Peer, parcels []parcel, wants []uint64) {
	part, bytes := &SyncRecords{}, 0
	for i := range parcels {
		p := &parcels[i]
		size := p.update.bytes() + bytesField(len(p.certificate))
		if bytes+size > syncPartBytes && len(part.Updates) > 0 {
			c.send(to, Stream, part, 0)
			part, bytes = &SyncRecords{}, 0
		}
		bytes += size
		part.Updates = append(part.Updates, p.update)
		if p.certificate != nil {
			part.Certificates = append(part.Certificates, p.certificate)
		}
	}
	part.Wants, part.Last = wants, true
	c.send(to, Stream, part, 0)
}
