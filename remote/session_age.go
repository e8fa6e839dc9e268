package remote

import "time"

// renew fires for a connection of this node's that is old enough, overage for one of the peer's that it should have
// renewed by then. What is sent meanwhile waits, so nothing is lost.
type (
	renew   struct{ conn uint64 }
	overage struct {
		conn uint64
		last bool // it was asked before
	}
)

// ageLine renews a connection after its age and up to a tenth more, so that those of one start do not renew at once.
func (s *session) ageLine(l *line) {
	if s.core.connAge > 0 {
		age := s.core.connAge + s.rand.Int64N(s.core.connAge/10+1)
		l.age = s.core.env.After(time.Duration(age), s.self, &renew{l.conn.ID()})
	}
}

// ageInbound bounds the age of a peer's connection too: a certificate that is no longer good here must not outlive the
// age because the peer does not renew.
func (s *session) ageInbound(in *inbound) {
	if s.core.connAge > 0 {
		in.age = s.core.env.After(time.Duration(s.core.connAge+s.core.connAge/4), s.self, &overage{conn: in.conn.ID()})
	}
}

func (s *session) onRenew(msg *renew) {
	for i := range s.lines {
		if l := &s.lines[i]; l.phase == phaseUp && l.conn.ID() == msg.conn {
			s.renew(l)
		}
	}
}

// renew ends a connection in good order and comes back with a new one; what is sent meanwhile waits.
func (s *session) renew(l *line) {
	if l.kind == KindDatagram {
		l.conn.Close(CodeRenew, "the connection is renewed")
		return
	}
	for _, class := range l.kind.Lanes() {
		s.peer.out[class].detach(false)
	}
	l.renewing = true
	s.finish(l, CodeRenew, "the connection is renewed")
}

func (s *session) onOverage(msg *overage) {
	for kind := range s.inbound {
		in := &s.inbound[kind]
		switch {
		case in.conn == nil || in.conn.ID() != msg.conn:
		case msg.last || Kind(kind) == KindDatagram:
			in.conn.Close(CodeRenew, "the connection is too old")
		default:
			in.conn.Greet(goAwayGreeting(CodeRenew, "the connection is too old"))
			in.age = s.core.env.After(finishDeadline, s.self, &overage{msg.conn, true})
		}
	}
}

// onGoAway follows the peer's wish to end a connection of this node's: for good, or for a new one.
func (s *session) onGoAway(l *line, code Code) {
	switch {
	case l.phase != phaseUp:
	case code == CodeRenew:
		s.renew(l)
	default:
		s.onLeaving(l)
	}
}
