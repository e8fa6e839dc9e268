package swim

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// Core is one node's side of the protocol. Make it with New, call Start once,
// and from then on every input with the reading of one monotonic clock.
type Core struct {
	cfg Config
	rng *rand.Rand
	out Output

	table
	me        *member
	timers    timers
	awareness awareness
	queue     *broadcasts // what fits into a datagram
	large     *broadcasts // what doesn't
	stats     Stats

	seq       uint64
	questions map[uint64]*question
	relays    int

	order  []*member // this round of probes
	next   int       // position in order
	urgent []uint64  // members to probe out of turn
	probe  *probe
	round  *timer // begins the next

	hints     []uint64      // members to probe because of a signal
	hinted    bool          // the last round was for one of them
	nextEarly time.Duration // no round is begun early before

	suspects  []*member // those with a suspicion
	nextDoubt int       // position in suspects

	gossipTimer *timer
	nextGossip  time.Duration // not before

	syncTimer   *timer
	syncPause   time.Duration
	digestPause time.Duration
	saved       int // synchronisations in a row that equal acks made needless
	lastSync    time.Duration

	seeds     []*seed
	joinTimer *timer
	joinPause time.Duration

	lastHeard time.Duration
	missed    int // failed probes since
	isolated  bool

	contests map[uint64]*contest
	proof    proof

	leave *leave
	gone  bool
}

// New makes the core of the node that self describes; its incarnation counts
// from the given one. rng is the only source of chance.
func New(cfg Config, self Record, rng *rand.Rand) (*Core, error) {
	errs := []error{cfg.Validate()}
	if err := self.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("swim: this node's record: %w", err))
	}
	if self.Left {
		errs = append(errs, errors.New("swim: this node's record says that it left: start it with a new generation"))
	}
	if rng == nil {
		errs = append(errs, errors.New("swim: no random source: pass a seeded one"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c := &Core{
		cfg:         cfg,
		rng:         rng,
		table:       newTable(),
		awareness:   awareness{max: cfg.AwarenessMax},
		queue:       newBroadcasts(),
		large:       newBroadcasts(),
		questions:   make(map[uint64]*question),
		contests:    make(map[uint64]*contest),
		syncPause:   cfg.SyncInterval,
		digestPause: 2 * cfg.ProtocolPeriod,
		joinPause:   cfg.JoinInterval,
		saved:       syncsSaved, // the first is not left out
		// Answers to a core that this one replaces are not for it.
		seq: uint64(rng.Uint32()),
	}
	rec := self.clone()
	c.me = &member{rec: rec, state: Alive}
	if err := c.sign(rec); err != nil {
		return nil, err
	}
	c.insert(c.me)
	c.rehash(c.me, true)
	return c, nil
}

// Start begins probing and synchronising, each at a random point of its first
// interval so that nodes started together don't act together.
func (c *Core) Start(now time.Duration) Output {
	c.me.since, c.lastHeard, c.lastSync = now, now, now
	c.nextRound(now + c.fraction(c.cfg.ProtocolPeriod))
	c.timers.add(now+c.fraction(c.cfg.HealInterval), false, c.heal)
	c.syncTimer = c.timers.add(now+c.jitter(c.syncPause), false, c.syncNext)
	return c.done()
}

// Tick does what is due. Call it at Output.Wake or as soon after as possible.
// A call that comes too late by ProbeTimeout or more shows that this node was
// stalled: it raises the awareness score, and every verdict on others waits
// for as long as the stall took, because their answers are still queued.
func (c *Core) Tick(now time.Duration) Output {
	if due := c.timers.due(); due >= 0 && now-due >= c.cfg.ProbeTimeout {
		late := now - due + c.cfg.ProbeTimeout
		c.stats.Stalls++
		c.awareness.add(1)
		c.lastHeard += late
		c.timers.postpone(late)
		for _, m := range c.suspects {
			m.suspicion.start += late // a confirmation computes the verdict's time anew
		}
	}
	for t := c.timers.pop(now); t != nil; t = c.timers.pop(now) {
		t.fire(now)
	}
	return c.done()
}

// Receive takes a message whose sender the carrier has authenticated. What it
// claims is checked; what is wrong is counted in Stats.Refused.
func (c *Core) Receive(now time.Duration, from Peer, msg Message) Output {
	if c.gone || msg == nil {
		return c.done()
	}
	c.stats.Received++
	if from.ID == 0 || from.ID == c.me.rec.ID {
		c.receiveAsMe(from, msg)
		return c.done()
	}
	c.heard(now)
	switch m := msg.(type) {
	case *Ping:
		c.onPing(now, from, m)
	case *Ack:
		c.onAck(now, from, m)
	case *Mismatch:
		c.answer(now, from, m.Seq, answer{kind: mismatched, record: m.Record})
	case *PingReq:
		c.onPingReq(now, from, m)
	case *Nack:
		c.answer(now, from, m.Seq, answer{kind: nacked})
	case *Gossip:
		c.applyAll(now, from, m.Updates, gossiped)
	case *SyncRequest:
		c.onSyncRequest(now, from, m)
	case *SyncEqual:
		c.onSyncEqual()
	case *SyncBuckets:
		c.onSyncBuckets(from, m)
	case *SyncSummary:
		c.onSyncSummary(from, m)
	case *SyncRecords:
		c.onSyncRecords(now, from, m)
	case *LeaveNotice:
		c.onLeaveNotice(now, from, m)
	case *LeaveAck:
		c.answer(now, from, m.Seq, answer{kind: acked})
	case *ConflictNotice:
		c.onConflictNotice(m)
	}
	c.settle(from)
	return c.done()
}

// UpdateTags replaces this node's tags and spreads the new record.
func (c *Core) UpdateTags(now time.Duration, tags map[string]string) (Output, error) {
	if err := ValidateTags(tags); err != nil {
		return c.done(), fmt.Errorf("swim: tags refused: %w", err)
	}
	if c.leave != nil || c.gone {
		return c.done(), errors.New("swim: tags refused: this node is leaving")
	}
	rec := c.me.rec.clone()
	rec.Tags = maps.Clone(tags)
	rec.Incarnation++
	if err := c.publish(now, rec); err != nil {
		return c.done(), err
	}
	c.emit(Event{Kind: Updated, Member: c.me.view()})
	return c.done(), nil
}

// publish makes rec what this node says about itself, unless it can't be
// signed.
func (c *Core) publish(now time.Duration, rec *Record) error {
	if err := c.sign(rec); err != nil {
		c.stats.SignFailures++
		return err
	}
	c.me.rec = rec
	if rec.Left {
		c.me.state, c.me.since = Left, now
	}
	c.rehash(c.me, !rec.Left)
	c.spread(now, c.me)
	return nil
}

// done hands out what has gathered.
func (c *Core) done() Output {
	out := c.out
	c.out = Output{}
	out.Wake = c.timers.due()
	return out
}

func (c *Core) emit(e Event) { c.out.Events = append(c.out.Events, e) }

// send hands a message to the carrier; bytes is what its updates take.
func (c *Core) send(to Peer, path Path, msg Message, bytes int) {
	if path == Datagram {
		c.stats.SentDatagrams++
		c.stats.SentBytes += uint64(headBytes + bytes)
	} else {
		c.stats.SentStreams++
	}
	c.out.Sends = append(c.out.Sends, Send{To: to, Path: path, Message: msg})
}

// budget is what updates may take of a datagram.
func (c *Core) budget() int { return c.cfg.PacketBytes - c.cfg.EnvelopeBytes - headBytes }

// fraction draws from (0, d].
func (c *Core) fraction(d time.Duration) time.Duration {
	return 1 + time.Duration(c.rng.Int64N(int64(d)))
}

// jitter draws from [0.75 d, 1.25 d).
func (c *Core) jitter(d time.Duration) time.Duration {
	return d*3/4 + time.Duration(c.rng.Int64N(int64(d/2)))
}

// question is something this node asked and awaits the answer to.
type question struct {
	asked []uint64 // who may answer
	timer *timer
	then  func(now time.Duration, from Peer, a answer)
}

type answerKind uint8

const (
	acked answerKind = iota + 1
	nacked
	mismatched
	silence
)

type answer struct {
	kind   answerKind
	record *Record // mismatched: who lives there
}

// ask registers a question; then is called for every answer, and with silence
// when until has come. Every question ends: by close, or by silence.
func (c *Core) ask(until time.Duration, asked []uint64, then func(now time.Duration, from Peer, a answer)) uint64 {
	c.seq++
	seq := c.seq
	q := &question{asked: asked, then: then}
	q.timer = c.timers.add(until, true, func(now time.Duration) {
		delete(c.questions, seq)
		then(now, Peer{}, answer{kind: silence})
	})
	c.questions[seq] = q
	return seq
}

// close withdraws a question.
func (c *Core) close(seq uint64) {
	if q, ok := c.questions[seq]; ok {
		c.timers.cancel(q.timer)
		delete(c.questions, seq)
	}
}

// answer hands an answer to its question.
func (c *Core) answer(now time.Duration, from Peer, seq uint64, a answer) {
	q, ok := c.questions[seq]
	if !ok || !slices.Contains(q.asked, from.ID) {
		c.stats.Refused.Unasked++
		return
	}
	if a.kind == mismatched && (a.record == nil || a.record.ID != from.ID || a.record.Left || a.record.Validate() != nil) {
		c.stats.Refused.Malformed++
		return
	}
	q.then(now, from, a)
}
