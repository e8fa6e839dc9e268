package remote

import "errors"

// A node that stood still for longer than a connection lives takes its own connections for alive when it goes on, because what its peer
// sent in the beginning still waits in its socket; the peer has forgotten them. It learns that from the peer's reset of whatever it sends,
// and that is lost: an answer, say, to a question that came over the peer's new connection. So a peer that comes back without having taken
// leave puts the connections of this side in doubt, and they are renewed before anything of the peer's is read. In good order that loses
// nothing; where the peer resets them instead, what is queued has waited.

// doubt follows a main connection, of either side's, that was lost without a word from the peer: what else this node sends on may have been
// lost with it.
func (s *session) doubt(err error) {
	var said *CloseError
	if errors.As(err, &said) {
		return
	}
	for i := range s.lines {
		s.lines[i].doubtful = true
	}
}

// resolveDoubt renews what this node sends on when the peer comes back.
func (s *session) resolveDoubt() {
	in := &s.inbound[KindMain]
	silently := in.conn != nil && !in.goAway
	for _, kind := range []Kind{KindMain, KindBulk} {
		if l := &s.lines[kind]; l.phase == phaseUp && !l.renewing && (silently || l.doubtful) {
			s.renew(l)
		}
	}
}
