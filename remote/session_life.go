package remote

import (
	"errors"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
)

// inbound is the connection of one kind that the peer dialed. The next one is read only after it has ended.
type inbound struct {
	conn    Conn
	info    *actors.PeerInfo
	drained bool
	goAway  bool
	age     actors.Timer // until this side asks for the end

	next     Conn
	nextInfo *actors.PeerInfo
}

func (s *session) lineWith(conn Conn) *line {
	for i := range s.lines {
		if l := &s.lines[i]; l.conn != nil && l.conn.ID() == conn.ID() {
			return l
		}
	}
	return nil
}

func (s *session) onGreeting(ctx actor.Context, msg *greeted) {
	g, err := decodeGreeting(msg.frame)
	if err != nil {
		refusal := closeErrorOf(err)
		msg.conn.Close(refusal.Code, refusal.Reason)
		return
	}
	if l := s.lineWith(msg.conn); l != nil {
		switch body := g.Body.(type) {
		case *Greeting_HelloAck:
			s.onAck(ctx, l, body.HelloAck)
		case *Greeting_GoAway:
			s.onGoAway(l, Code(body.GoAway.GetCode()))
		case *Greeting_GoAwayAck:
			if l.phase == phaseFinishing {
				l.conn.Close(s.endCode(l), "done")
			}
		default:
			msg.conn.Close(CodeProtocol, "a greeting that a dialer does not expect")
		}
		return
	}
	in := &s.inbound[msg.conn.Kind()]
	if in.conn == nil || in.conn.ID() != msg.conn.ID() {
		return
	}
	switch g.Body.(type) {
	case *Greeting_GoAway:
		in.goAway = true
		s.acknowledge(in)
	case *Greeting_GoAwayAck:
	default:
		msg.conn.Close(CodeProtocol, "a second Hello")
	}
}

func (s *session) endCode(l *line) Code {
	switch {
	case s.draining:
		return CodeShutdown
	case l.resting:
		return CodeIdle
	}
	return CodeRenew
}

func (s *session) acknowledge(in *inbound) {
	if in.goAway && in.drained {
		in.conn.Greet(goAwayAckGreeting())
	}
}

func (s *session) onDrained(conn Conn) {
	in := &s.inbound[conn.Kind()]
	if in.conn == nil || in.conn.ID() != conn.ID() {
		return
	}
	in.drained = true
	s.acknowledge(in)
	if s.draining {
		in.conn.Close(CodeShutdown, "this node is stopping")
	}
}

// onAck is the moment from which a peer counts as connected.
func (s *session) onAck(ctx actor.Context, l *line, ack *HelloAck) {
	if l.phase != phaseGreeting {
		l.conn.Close(CodeProtocol, "a HelloAck that nobody waits for")
		return
	}
	info, refusal := s.core.checkHello(ack.GetHello(), l.conn.NodeID())
	if refusal != nil {
		l.conn.Close(refusal.Code, refusal.Reason) // its Closed counts as a failed attempt and is logged there
		return
	}
	if l.kind == KindMain && s.elsewhere(ctx, l, info) {
		return
	}
	if l.kind != KindMain && (s.info != nil && info.NodeID != s.info.NodeID || info.Address != s.peer.address) {
		l.conn.Close(CodeIdentity, "another node answered")
		return
	}
	s.learn(info)
	s.limits = ack.GetHello().GetLimits()
	s.settle(l, phaseUp)
	l.failures = 0
	switch l.kind {
	case KindMain:
		s.mainUp(ctx, l)
	case KindBulk:
		s.carry(l)
	case KindDatagram:
		l.conn.Receive(s.inboxes(info))
		s.bindDatagram()
	}
	s.ageLine(l)
	s.lookLater(l)
}

// elsewhere handles an address under which this node itself or a peer with another main address answers.
func (s *session) elsewhere(ctx actor.Context, l *line, info *actors.PeerInfo) bool {
	switch {
	case s.core.isSelf(info):
		s.peer.self.Store(true)
		for _, o := range s.peer.out {
			for _, it := range o.takeAll() {
				if Frame_Kind(it.kind) == Frame_MESSAGE {
					s.core.deliverLocal(it)
				}
			}
		}
		s.core.endWatches(s.peer)
	case info.Address != s.peer.address:
		real := s.core.peers.get(info.Address)
		if real == nil || real.final() == s.peer {
			l.conn.Close(CodeLimit, errPeerLimit.Error())
			return true
		}
		s.core.alias(s.peer, real.final())
	default:
		return false
	}
	s.answerResolves(ctx, info, nil)
	conn := l.conn
	l.conn = nil
	s.settle(l, phaseIdle)
	conn.Close(CodeAlias, "this node is known as "+info.Address)
	return true
}

// alias makes one address stand for a peer that is known under another, and moves what waits there.
func (c *core) alias(from, to *peer) {
	from.alias.Store(to)
	for class, o := range from.out {
		for _, it := range o.takeAll() {
			if Frame_Kind(it.kind) != Frame_WATCH {
				c.enqueue(to, actors.Class(class), it)
			}
		}
		o.detach(true) // should the alias ever end, the next message asks again
	}
	for _, w := range from.watches.outgoing(true) {
		c.watch(to, w.who, c.system.NewLocalPID(w.watcher))
	}
	c.need(to, KindMain)
}

// learn takes what a Hello says, from either direction.
func (s *session) learn(info *actors.PeerInfo) {
	old := s.info
	same := old != nil && old.NodeID == info.NodeID && old.DirectoryID == info.DirectoryID && old.Generation == info.Generation
	if same && old.ClusterID != "" && info.ClusterID == "" {
		return // said before it joined, and late: nobody leaves a cluster within a life
	}
	s.info = info
	s.peer.facts.info.Store(info)
	s.peer.blank.Store(s.core.blank(info))
	if old == nil || same {
		return
	}
	// Another process lives there now: nothing that the old one knew holds any more.
	if s.up != nil {
		s.tell(&wentDown{s.peer, s.up, "a new generation took its place"})
		s.up, s.rests = nil, false
	}
	s.core.endWatches(s.peer)
	s.core.dropIncoming(s.peer)
	s.core.failRequests(s.peer)
	for i := range s.lines {
		if l := &s.lines[i]; l.phase == phaseUp || l.phase == phaseFinishing {
			l.renewing = true
			l.conn.Close(CodeSuperseded, "a new generation of this node is there")
		}
	}
	for kind := range s.inbound {
		if in := &s.inbound[kind]; in.conn != nil {
			in.conn.Close(CodeSuperseded, "a new generation of this node is there")
		}
	}
}

func (s *session) mainUp(ctx actor.Context, l *line) {
	s.open()
	s.peer.facts.connected()
	if s.ever && s.up == nil {
		s.peer.facts.reconnects.Add(1)
		s.core.metrics.reconnects.Add(1)
	}
	s.ever, s.dead, s.rests, s.lonely = true, false, false, 0
	s.core.refusals.forget(s.info.NodeID, s.peer.address)
	s.carry(l)
	s.report(s.info)
	s.sendWatches()
	s.answerResolves(ctx, s.info, nil)
	l.beat = s.core.env.After(heartbeatInterval, s.self, &beat{l.conn.ID()})
	for _, kind := range []Kind{KindBulk, KindDatagram} {
		if class := kind.Lanes()[0]; !s.peer.out[class].empty() {
			s.onNeeded(kind)
		}
	}
}

// open takes messages again.
func (s *session) open() {
	s.peer.blocked.Store(false)
	for _, o := range s.peer.out {
		o.refuse(false)
	}
}

func (s *session) report(info *actors.PeerInfo) {
	if s.up != nil && *s.up == *info {
		return // it was renewed, or had rested
	}
	s.up = info
	s.tell(&wentUp{s.peer, info})
	s.core.log.Info("peer connected", zap.Uint64("node_id", info.NodeID), zap.String("peer", info.Address),
		zap.String("cluster_id", info.ClusterID), zap.Uint64("generation", info.Generation))
}

// carry lets a line's connection drain its queues.
func (s *session) carry(l *line) {
	for _, class := range l.kind.Lanes() {
		l.conn.Send(class, s.drainOf(class))
	}
}

func (s *session) drainOf(class actors.Class) *drain {
	e := newEncoder(s.core.self.Load().Address, announced(class, s.limits), class != actors.Datagram)
	if class == actors.Bulk {
		e.whole = min(bulkMessageMax, int(s.limits.GetBulkMessageBytesMax()))
	}
	return s.peer.out[class].attach(e)
}

func (s *session) inboxes(info *actors.PeerInfo) func(actors.Class) Inbox {
	return func(class actors.Class) Inbox { return newInbox(s.core, s.peer, info, class) }
}

// sendWatches repeats every watch: the peer may have lost it, or its answer may have been lost.
func (s *session) sendWatches() {
	for _, w := range s.peer.watches.outgoing(false) {
		s.core.enqueue(s.peer, actors.Default, item{kind: uint8(Frame_WATCH), target: w.who, sender: s.core.system.NewLocalPID(w.watcher)})
	}
}

// onCameIn takes a connection of the peer's whose Hello was checked.
func (s *session) onCameIn(ctx actor.Context, msg *cameIn) {
	if refusal := s.rejects(msg.info); refusal != nil {
		s.core.logRefusal(msg.info.NodeID, msg.conn.RemoteAddr(), refusal)
		msg.conn.Close(refusal.Code, refusal.Reason)
		return
	}
	s.learn(msg.info)
	s.limits = msg.limits
	kind := msg.conn.Kind()
	if kind == KindDatagram {
		s.peer.out[actors.Datagram].refuse(false)
	}
	if kind == KindMain && s.up == nil {
		// It is there, and what it asks is answered as soon as this node's own connection stands.
		s.open()
	}
	if kind == KindMain {
		s.resolveDoubt()
	}
	in := &s.inbound[kind]
	switch {
	case in.conn == nil:
		s.admit(in, msg.conn, msg.info)
	default:
		if in.next != nil {
			in.next.Close(CodeSuperseded, "a newer connection of yours came in")
		}
		in.next, in.nextInfo = msg.conn, msg.info
		in.conn.Close(CodeSuperseded, "a newer connection of yours came in")
	}
	if kind != KindMain {
		return
	}
	s.dead = false
	if s.up != nil && s.up.ClusterID != msg.info.ClusterID {
		s.report(msg.info)
	}
	if s.up == nil {
		s.dialBack()
	}
}

// rejects says why a peer may not come in now.
func (s *session) rejects(info *actors.PeerInfo) *CloseError {
	switch {
	case s.draining:
		return &CloseError{Code: CodeShutdown, Reason: "this node is stopping"}
	case s.up != nil && !s.rests && s.up.NodeID != info.NodeID && s.resident() != info.NodeID:
		return &CloseError{Code: CodeAddress, Reason: "it says that it lives at " + info.Address + ", where " + s.up.String() + " is connected"}
	case (s.up != nil || s.inbound[KindMain].conn != nil) && info.NodeID == s.info.NodeID && info.Generation < s.info.Generation:
		return &CloseError{Code: CodeStale, Reason: "a newer generation of " + info.String() + " is connected"}
	}
	return nil
}

// admit answers a Hello and begins to read.
func (s *session) admit(in *inbound, conn Conn, info *actors.PeerInfo) {
	*in = inbound{conn: conn, info: info}
	s.ageInbound(in)
	conn.Greet(ackGreeting(s.core.hello()))
	conn.Receive(s.inboxes(info))
	switch conn.Kind() {
	case KindDatagram:
		s.bindDatagram()
	case KindMain:
		if s.up != nil {
			s.sendWatches()
		}
	}
}

func (s *session) onClosed(ctx actor.Context, msg *closed) {
	if l := s.lineWith(msg.conn); l != nil {
		s.onLineClosed(ctx, l, msg.err)
		return
	}
	in := &s.inbound[msg.conn.Kind()]
	switch {
	case in.conn != nil && in.conn.ID() == msg.conn.ID():
		next, info := in.next, in.nextInfo
		if in.age != nil {
			in.age.Stop()
		}
		*in = inbound{}
		if msg.conn.Kind() == KindMain {
			s.doubt(msg.err)
		}
		if next != nil {
			s.admit(in, next, info)
		} else if msg.conn.Kind() == KindDatagram {
			s.datagramLost(msg.conn)
		}
		s.reportDrained()
	case in.next != nil && in.next.ID() == msg.conn.ID():
		in.next, in.nextInfo = nil, nil
	}
}

func (s *session) onLineClosed(ctx actor.Context, l *line, err error) {
	conn, was := l.conn, l.phase
	if was == phaseGreeting && !l.renewing {
		s.onFailed(ctx, l, err)
		return
	}
	l.conn = nil
	s.settle(l, phaseIdle)
	if s.draining {
		s.reportDrained()
		return
	}
	switch l.kind {
	case KindDatagram:
		s.datagramLost(conn)
	case KindBulk:
		s.peer.out[actors.Bulk].detach(true)
		if !s.peer.out[actors.Bulk].empty() {
			s.onNeeded(KindBulk)
		}
	case KindMain:
		s.mainClosed(ctx, l, was, err)
	}
}

// mainClosed comes back at once where the peer may still be there; a peer that said goodbye gets a back-off.
func (s *session) mainClosed(ctx actor.Context, l *line, was phase, err error) {
	for _, class := range KindMain.Lanes() {
		s.peer.out[class].detach(false)
	}
	s.doubt(err)
	switch {
	case l.renewing && acknowledged(err, CodeRenew):
		s.dialMain()
		return
	case l.resting && acknowledged(err, CodeIdle):
		s.rest()
		return
	}
	s.goDown(err)
	s.core.failRequests(s.peer)
	switch {
	case s.dead, l.leaving, isRefusal(err), isGoodbye(err):
		s.onFailed(ctx, l, err)
	default:
		s.dialMain()
	}
}

// goDown reports the end of a session that was reported to stand.
func (s *session) goDown(err error) {
	if s.up == nil {
		return
	}
	s.tell(&wentDown{s.peer, s.up, err.Error()})
	s.peer.facts.lost(err)
	s.core.log.Info("peer lost", zap.Uint64("node_id", s.up.NodeID), zap.String("peer", s.peer.address), zap.Error(err))
	s.up, s.rests = nil, false
}

// acknowledged reports whether a connection was ended here in good order.
func acknowledged(err error, code Code) bool {
	var c *CloseError
	return errors.As(err, &c) && !c.Remote && c.Code == code
}

// isGoodbye reports whether the peer ended a connection because it stops.
func isGoodbye(err error) bool {
	var c *CloseError
	return errors.As(err, &c) && c.Remote && c.Code == CodeShutdown
}

func isRefusal(err error) bool {
	_, ok := refusalOf(err)
	return ok
}

// drop ends what waits in one queue.
func (c *core) drop(p *peer, class actors.Class, why drop) {
	for _, it := range p.out[class].takeAll() {
		c.dead(p, class, &it, why)
	}
}
