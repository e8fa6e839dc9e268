package remote

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
)

// moreBlocked tells the manager, and blocked a session, that the block list has grown.
type (
	moreBlocked struct{}
	blocked     struct{}
)

// blocks says why there is no talking to a node that was blocked.
func (c *core) blocks(node uint64) *CloseError {
	if !c.blockList.has(node) {
		return nil
	}
	return &CloseError{Code: CodeBlocked, Reason: fmt.Sprintf("node %d is blocked at node %d", node, c.self.Load().NodeID)}
}

// onMoreBlocked ends what there is with nodes that are blocked from now on.
func (m *manager) onMoreBlocked(ctx actor.Context) {
	for _, p := range m.core.peers.all() {
		if p.alias.Load() == nil && !p.self.Load() && m.sessions[p] != nil && m.core.blocks(m.core.nodeAt(p)) != nil {
			ctx.Send(m.sessions[p], &blocked{})
		}
	}
	for _, id := range m.connIDs() {
		conn := m.conns[id].conn
		if refusal := m.core.blocks(conn.NodeID()); refusal != nil {
			m.core.logRefusal(conn.NodeID(), conn.RemoteAddr(), refusal)
			conn.Close(refusal.Code, refusal.Reason)
		}
	}
}

// nodeAt is who lives at a peer's address as far as this node knows, 0 where it doesn't.
func (c *core) nodeAt(p *peer) uint64 {
	if info := p.facts.info.Load(); info != nil {
		return info.NodeID
	}
	return c.residents.of(p.address)
}

// onBlocked turns everything for the peer away.
func (s *session) onBlocked(ctx actor.Context) {
	refusal := s.core.blocks(s.core.nodeAt(s.peer))
	if refusal == nil {
		return
	}
	s.giveUpBlocked()
	s.answerResolves(ctx, nil, fmt.Errorf("resolving %s: %w", s.peer.address, refusal))
	s.core.failRequests(s.peer)
	s.core.dropIncoming(s.peer)
	if l := &s.lines[KindMain]; l.phase == phaseWaiting {
		s.settle(l, phaseIdle)
	}
}

func (s *session) giveUpBlocked() {
	s.peer.blocked.Store(true)
	for _, kind := range []Kind{KindDatagram, KindMain, KindBulk} {
		for _, class := range kind.Lanes() {
			s.core.refuse(s.peer, class, dropBlocked)
		}
	}
	s.core.endWatches(s.peer)
}

// blockedHere reports whether a connection ended because its other end is blocked at this node.
func blockedHere(err error) bool {
	refusal, ok := refusalOf(err)
	return ok && refusal.Code == CodeBlocked && !refusal.Remote
}
