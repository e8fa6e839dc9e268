package remote

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
)

const (
	greetDeadline     = 3 * time.Second
	dialBackAfter     = 100 * time.Millisecond
	finishDeadline    = 3 * time.Second
	heartbeatInterval = 3 * time.Second
	backoffMin        = 50 * time.Millisecond
	backoffMax        = 5 * time.Second
	// After so many failures every other attempt takes a new local socket; the ones between keep the port that a firewall may want.
	freshAfter  = 4
	resolvesMax = 1024
	// A peer that never answered, and that nobody sent to during as many attempts, is forgotten.
	lonelyNeverUp = 12
	lonelyOnceUp  = 120
	// A peer that the membership called dead keeps its gossip address for as long as the membership remembers it.
	deadKept = 25 * time.Hour
)

// session is the actor remote/<address>: it dials the peer, says Hello, moves queues onto connections and off them,
// and tells who waits. It starts no goroutine and reads no clock but the environment's.
type session struct {
	core *core
	peer *peer
	self *actor.PID
	rand *rand.Rand

	info   *actors.PeerInfo // the last Hello, from either direction
	limits *FrameLimits     // what the peer takes, from the same Hello
	up     *actors.PeerInfo // as reported; nil while down
	rests  bool             // up, and the main connection was ended because nobody used it
	ever   bool
	dead   bool // the membership said so
	lonely int

	lines    [kinds]line
	inbound  [kinds]inbound
	datagram Conn // the one of two that datagrams leave by
	asking   []*resolve
	draining bool
	reported bool
}

// phase is how far an outgoing connection is.
type phase uint8

const (
	phaseIdle phase = iota
	phaseDialing
	phaseGreeting // connected; waits for HelloAck
	phaseUp
	phaseFinishing // said GoAway; waits for its end
	phaseWaiting   // the last attempt failed
)

// line is the outgoing connection of one kind.
type line struct {
	kind     Kind
	phase    phase
	dial     uint64
	since    time.Duration // of the dial, on the boot clock
	address  string        // that was dialed
	conn     Conn
	failures int
	renewing bool   // comes back at once
	leaving  bool   // the peer asked to end it
	doubtful bool   // the peer may have forgotten it
	resting  bool   // nobody uses it
	quiet    int    // looks in a row that found it unused
	use      uint64 // as the last look found it
	turn     uint64
	timer    actors.Timer // of the phase
	age      actors.Timer // until the connection is renewed
	beat     actors.Timer // until the next heartbeat
	idle     actors.Timer // until the next look whether it is used
}

// lineTimer fires for one phase of a line; turn tells a late one.
type lineTimer struct {
	kind Kind
	turn uint64
}

// beat fires for one connection.
type beat struct{ conn uint64 }

func sessionProps(c *core, p *peer) *actor.Props {
	return actor.PropsFromProducer(func() actor.Actor {
		s := &session{core: c, peer: p, rand: c.env.Rand("remote/" + p.address)}
		for kind := range s.lines {
			s.lines[kind].kind = Kind(kind)
		}
		return s
	}, actors.Gated())
}

func (s *session) Receive(ctx actor.Context) {
	s.self = ctx.Self()
	switch msg := ctx.Message().(type) {
	case *actor.Started:
		s.start()
	case *actor.Stopping:
		s.closeAll()
	case *actor.Restarting:
		s.closeAll()
		if s.up != nil {
			s.tell(&wentDown{s.peer, s.up, "the session starts again"})
		}
	case *needed:
		s.onNeeded(msg.kind)
	case *dialed:
		s.onDialed(msg)
	case *dialFailed:
		if l := s.lineOf(msg.dial); l != nil {
			s.onFailed(ctx, l, msg.err)
		}
	case *greeted:
		s.onGreeting(ctx, msg)
	case *cameIn:
		s.onCameIn(ctx, msg)
	case *drained:
		s.onDrained(msg.conn)
	case *closed:
		s.onClosed(ctx, msg)
	case *lineTimer:
		s.onTimer(msg)
	case *beat:
		s.onBeat(msg)
	case *idleLook:
		s.onIdleLook(msg)
	case *renew:
		s.onRenew(msg)
	case *overage:
		s.onOverage(msg)
	case *resolve:
		s.onResolve(ctx, msg)
	case *verdict:
		s.onVerdict(msg)
	case *rehello:
		s.onRehello()
	case *blocked:
		s.onBlocked(ctx)
	case *sayGoodbye:
		s.onDrain()
	}
}

// start is a first start, or one after a failure: what waits for the peer is taken up again.
func (s *session) start() {
	for _, o := range s.peer.out {
		o.detach(true)
	}
	if !s.peer.watches.empty() {
		s.onNeeded(KindMain)
	}
	for class, o := range s.peer.out {
		if !o.empty() {
			s.onNeeded(kindOf(actors.Class(class)))
		}
	}
}

func (s *session) closeAll() {
	for i := range s.lines {
		s.settle(&s.lines[i], phaseIdle)
		if conn := s.lines[i].conn; conn != nil {
			conn.Close(CodeDone, "the session ends")
		}
	}
	for _, in := range s.inbound {
		for _, conn := range []Conn{in.conn, in.next} {
			if conn != nil {
				conn.Close(CodeDone, "the session ends")
			}
		}
	}
}

func (s *session) tell(msg any) { s.core.system.Root.Send(s.core.manager, msg) }

// settle moves a line to a phase and makes timers of the one before late.
func (s *session) settle(l *line, p phase) {
	l.phase = p
	l.turn++
	if l.kind == KindMain {
		s.peer.facts.state.Store(uint32(p.state()))
	}
	for _, timer := range []*actors.Timer{&l.timer, &l.age, &l.beat, &l.idle} {
		if *timer != nil {
			(*timer).Stop()
			*timer = nil
		}
	}
}

func (s *session) after(l *line, d time.Duration) {
	l.timer = s.core.env.After(d, s.self, &lineTimer{l.kind, l.turn})
}

func (s *session) lineOf(dial uint64) *line {
	for i := range s.lines {
		if l := &s.lines[i]; l.dial == dial && l.phase == phaseDialing {
			return l
		}
	}
	return nil
}

func (s *session) onNeeded(kind Kind) {
	if s.draining {
		return
	}
	switch {
	case kind == KindDatagram && s.gossipKnown():
		if s.datagram == nil && s.lines[KindDatagram].phase == phaseIdle {
			node, address := s.gossip()
			s.dial(&s.lines[KindDatagram], address, node)
		}
	case kind == KindBulk && s.up != nil:
		if s.lines[KindBulk].phase == phaseIdle {
			s.dial(&s.lines[KindBulk], s.peer.address, s.up.NodeID)
		}
	default:
		if s.lines[KindMain].phase == phaseIdle {
			s.dialMain()
		}
	}
}

func (s *session) dialMain() { s.dial(&s.lines[KindMain], s.peer.address, s.resident()) }

// resident is the node that the membership knows here; 0 is anybody.
func (s *session) resident() uint64 { return s.core.residents.of(s.peer.address) }

func (s *session) dial(l *line, address string, expect uint64) {
	s.settle(l, phaseDialing)
	l.dial, l.address, l.conn = s.core.dialSequence.Add(1), address, nil
	l.renewing, l.leaving, l.doubtful, l.resting = false, false, false, false
	l.since = s.core.env.Boot()
	s.core.metrics.dials.Add(1)
	s.tell(&dialing{l.dial, s.peer})
	fresh, can := s.core.transport.(FreshDialer)
	if can && l.failures >= freshAfter && l.failures%2 == 0 {
		s.core.metrics.freshDials.Add(1)
		fresh.DialFresh(l.dial, l.kind, address, expect)
		return
	}
	s.core.transport.Dial(l.dial, l.kind, address, expect)
}

func (s *session) onDialed(msg *dialed) {
	l := s.lineOf(msg.dial)
	if l == nil || s.draining {
		msg.conn.Close(CodeDone, "nobody waits for it any more")
		return
	}
	s.settle(l, phaseGreeting)
	l.conn = msg.conn
	if refusal := s.core.blocks(msg.conn.NodeID()); refusal != nil {
		l.conn.Close(refusal.Code, refusal.Reason) // its Closed counts as a failed attempt and is logged there
		return
	}
	l.conn.Greet(helloGreeting(s.core.helloTo(l.address)))
	s.after(l, greetDeadline)
}

func (s *session) onTimer(msg *lineTimer) {
	l := &s.lines[msg.kind]
	if l.turn != msg.turn {
		return
	}
	switch l.phase {
	case phaseIdle:
		if s.dead && s.up == nil && s.inbound[KindMain].conn == nil {
			s.tell(&forgotten{s.peer})
		}
	case phaseGreeting:
		l.conn.Close(CodeTimeout, "no answer to Hello within "+greetDeadline.String())
	case phaseFinishing:
		l.conn.Close(CodeTimeout, "GoAway was not acknowledged within "+finishDeadline.String())
	case phaseWaiting:
		if l.kind == KindMain {
			s.dialMain()
		} else {
			s.settle(l, phaseIdle)
			s.onNeeded(l.kind)
		}
	}
}

// onFailed is an attempt that came to nothing.
func (s *session) onFailed(ctx actor.Context, l *line, err error) {
	s.core.metrics.dialFailures.Add(1)
	l.failures++
	if l.kind == KindMain {
		s.peer.facts.failed(err)
	}
	s.logFailure(l, err)
	l.conn = nil
	switch l.kind {
	case KindDatagram:
		// The next probe tries again: back-off never gates it, and what waited is of no use any more.
		s.settle(l, phaseIdle)
		s.core.drop(s.peer, actors.Datagram, dropUnreachable)
		if s.datagram == nil {
			s.peer.out[actors.Datagram].detach(true)
		}
	case KindBulk:
		s.settle(l, phaseWaiting)
		s.core.drop(s.peer, actors.Bulk, dropUnreachable)
		s.after(l, s.backoff(l.failures))
	default:
		s.mainFailed(ctx, l, err)
	}
}

func (s *session) mainFailed(ctx actor.Context, l *line, err error) {
	s.goDown(err)
	s.answerResolves(ctx, nil, fmt.Errorf("resolving %s: %w", s.peer.address, err))
	if blockedHere(err) {
		s.giveUpBlocked()
	}
	s.core.giveUp(s.peer, dropUnreachable)
	if !s.gossipKnown() {
		s.core.refuse(s.peer, actors.Datagram, dropUnreachable)
	}
	s.core.failRequests(s.peer)
	if s.inbound[KindMain].conn == nil {
		s.core.dropIncoming(s.peer)
	}
	if s.dead && s.inbound[KindMain].conn == nil || s.draining || blockedHere(err) && s.core.blocks(s.core.nodeAt(s.peer)) != nil {
		s.settle(l, phaseIdle)
		s.after(l, deadKept)
		return
	}
	if s.forget() {
		return
	}
	s.settle(l, phaseWaiting)
	s.after(l, s.backoff(l.failures))
}

// forget gives the session up when nobody has wanted the peer for long, and reports whether it did.
func (s *session) forget() bool {
	if s.peer.used.Swap(false) || s.inbound[KindMain].conn != nil || s.resident() != 0 {
		s.lonely = 0
		return false
	}
	s.lonely++
	limit := lonelyNeverUp
	if s.ever {
		limit = lonelyOnceUp
	}
	if s.lonely < limit {
		return false
	}
	s.tell(&forgotten{s.peer})
	return true
}

// backoff doubles from 50 ms to 5 s; half of it is random.
func (s *session) backoff(failures int) time.Duration {
	d := backoffMin
	for i := 1; i < failures && d < backoffMax; i++ {
		d *= 2
	}
	d = min(d, backoffMax)
	return d/2 + time.Duration(s.rand.Int64N(int64(d)/2+1))
}

func (s *session) logFailure(l *line, err error) {
	if refusal, ok := refusalOf(err); ok {
		node := s.resident()
		if s.info != nil {
			node = s.info.NodeID
		}
		if l.conn != nil {
			node = l.conn.NodeID()
		}
		s.core.logRefusal(node, s.peer.address, refusal)
		return
	}
	if l.failures == 1 {
		s.core.log.Info("peer not reachable", zap.String("peer", s.peer.address), zap.Stringer("kind", l.kind), zap.Error(err))
	}
}

func (s *session) onBeat(msg *beat) {
	if l := &s.lines[KindMain]; l.phase == phaseUp && l.conn.ID() == msg.conn {
		s.core.enqueue(s.peer, actors.Control, item{kind: uint8(Frame_HEARTBEAT), size: heartbeatPaddingSize})
		l.beat = s.core.env.After(heartbeatInterval, s.self, msg)
	}
}

func (s *session) finish(l *line, code Code, reason string) {
	s.settle(l, phaseFinishing)
	l.conn.Finish()
	l.conn.Greet(goAwayGreeting(code, reason))
	s.after(l, finishDeadline)
}

// onRehello follows this node's entry into a cluster.
func (s *session) onRehello() {
	for i := range s.lines {
		switch l := &s.lines[i]; l.phase {
		case phaseUp:
			s.renew(l)
		case phaseGreeting:
			l.renewing = true
			l.conn.Close(CodeRenew, "the connection is renewed")
		}
	}
	self := s.core.self.Load()
	for kind := range s.inbound {
		in := &s.inbound[kind]
		if in.conn != nil && in.info.ClusterID != "" && in.info.ClusterID != self.ClusterID {
			refusal := &CloseError{Code: CodeCluster, Reason: fmt.Sprintf("node %d belongs to cluster %s, and node %d to %s",
				in.info.NodeID, quoteShort(in.info.ClusterID), self.NodeID, quoteShort(self.ClusterID))}
			s.core.logRefusal(in.info.NodeID, in.conn.RemoteAddr(), refusal)
			in.conn.Close(refusal.Code, refusal.Reason)
		}
	}
	s.peer.blank.Store(s.core.blank(s.info))
	if s.rests {
		s.dialNow()
	}
}

func (s *session) onResolve(ctx actor.Context, q *resolve) {
	if s.up != nil && !s.rests {
		answerResolve(ctx, q, s.up, nil)
		return
	}
	if len(s.asking) >= resolvesMax || s.draining {
		answerResolve(ctx, q, nil, fmt.Errorf("resolving %s: too many wait for it", q.spelled))
		return
	}
	s.asking = append(s.asking, q)
	s.dialNow()
}

// dialNow ends a back-off.
func (s *session) dialNow() {
	if l := &s.lines[KindMain]; !s.draining && (l.phase == phaseIdle || l.phase == phaseWaiting) {
		s.dialMain()
	}
}

// dialBack follows a connection that came in: the peer is there now. A dial that is under way for long began before it was, and
// its packets are repeated ever more rarely; what comes of it after all is closed.
func (s *session) dialBack() {
	if l := &s.lines[KindMain]; l.phase == phaseDialing && !s.draining && s.core.env.Boot()-l.since > dialBackAfter {
		s.dialMain()
		return
	}
	s.dialNow()
}

func (s *session) answerResolves(ctx actor.Context, info *actors.PeerInfo, err error) {
	for _, q := range s.asking {
		answerResolve(ctx, q, info, err)
	}
	s.asking = nil
}

func (s *session) onVerdict(msg *verdict) {
	if msg.alive {
		// Whoever was never tried, or rests, is dialed once somebody wants it: a membership of N is no reason for N connections.
		if s.up == nil && s.core.blocks(msg.node) == nil && (s.dead || s.lines[KindMain].phase == phaseWaiting) {
			s.dialNow()
		}
		s.dead = false
		return
	}
	if s.info != nil && s.info.NodeID != msg.node {
		return
	}
	s.dead = true
	if s.up != nil && !s.rests || s.inbound[KindMain].conn != nil {
		return // somebody speaks to this node from there: the verdict may be on its former life
	}
	if l := &s.lines[KindMain]; l.phase == phaseWaiting || l.phase == phaseIdle {
		s.settle(l, phaseIdle)
		s.after(l, deadKept)
	}
	s.goDown(errCalledDead)
	s.core.giveUp(s.peer, dropDead)
	s.core.failRequests(s.peer)
}
