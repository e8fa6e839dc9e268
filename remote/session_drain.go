package remote

// onLeaving ends what is sent to a peer that is stopping.
func (s *session) onLeaving(l *line) {
	if l.phase != phaseUp {
		return
	}
	for _, class := range l.kind.Lanes() {
		s.peer.out[class].detach(false)
	}
	l.leaving = true
	s.settle(l, phaseFinishing)
	l.conn.Finish()
	l.conn.Greet(goAwayAckGreeting())
	s.after(l, finishDeadline)
}

// onDrain says goodbye: what is queued goes out and is acknowledged, and so is what the peer has on its way.
func (s *session) onDrain() {
	s.draining = true
	for _, o := range s.peer.out {
		o.stop()
	}
	for i := range s.lines {
		l := &s.lines[i]
		switch {
		case l.phase == phaseUp && l.kind != KindDatagram:
			s.finish(l, CodeShutdown, "this node is stopping")
		case l.phase == phaseFinishing:
		default:
			if l.conn != nil {
				l.conn.Close(CodeShutdown, "this node is stopping")
			}
			s.settle(l, phaseIdle)
		}
	}
	for kind := range s.inbound {
		switch in := &s.inbound[kind]; {
		case in.conn == nil:
		case Kind(kind) == KindDatagram:
			in.conn.Close(CodeShutdown, "this node is stopping")
		default:
			in.conn.Greet(goAwayGreeting(CodeShutdown, "this node is stopping"))
		}
	}
	s.reportDrained()
}

func (s *session) reportDrained() {
	if !s.draining || s.reported {
		return
	}
	for i := range s.lines {
		if s.lines[i].phase == phaseFinishing {
			return
		}
	}
	if s.inbound[KindMain].conn != nil || s.inbound[KindBulk].conn != nil {
		return
	}
	s.reported = true
	s.tell(&sessionDrain{s.peer, true})
}
