package remote

import "github.com/hupe1980/rivven-cluster/actors"

// gossip is who takes datagrams here and where: as its Hello says, or the membership, so that no main connection is needed to find out.
func (s *session) gossip() (node uint64, address string) {
	if s.info != nil {
		return s.info.NodeID, s.info.GossipAddress
	}
	return s.core.residents.gossipOf(s.peer.address)
}

func (s *session) gossipKnown() bool {
	_, address := s.gossip()
	return address != ""
}

// bindDatagram picks the connection that datagrams leave by: where both nodes dialed, the one of the lower node id.
func (s *session) bindDatagram() {
	own, theirs := s.lines[KindDatagram], s.inbound[KindDatagram].conn
	var chosen Conn
	switch {
	case own.phase == phaseUp && theirs != nil:
		chosen = theirs
		if s.core.self.Load().NodeID < s.info.NodeID {
			chosen = own.conn
		} else {
			own.conn.Close(CodeSuperseded, "the datagram connection of the lower node id is used")
		}
	case own.phase == phaseUp:
		chosen = own.conn
	default:
		chosen = theirs
	}
	if chosen == s.datagram {
		return
	}
	s.datagram = chosen
	if chosen != nil {
		chosen.Send(actors.Datagram, s.drainOf(actors.Datagram))
	}
}

func (s *session) datagramLost(conn Conn) {
	if s.datagram == nil || s.datagram.ID() != conn.ID() {
		return
	}
	s.datagram = nil
	s.bindDatagram()
	if s.datagram == nil {
		o := s.peer.out[actors.Datagram]
		s.core.drop(s.peer, actors.Datagram, dropLost)
		o.detach(true)
	}
}
