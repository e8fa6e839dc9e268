package remote

import (
	"errors"

	"github.com/hupe1980/rivven-cluster/actors"
)

// idleLook fires for a connection of this node's, twice in the time after which an unused one is ended.
type idleLook struct{ conn uint64 }

// quietEnough is how many looks in a row must find a connection unused.
const quietEnough = 2

var errCalledDead = errors.New("the membership calls it dead")

// lookLater sets the next look whether a connection is used. Datagram connections cost nothing while nothing is sent: they stay.
func (s *session) lookLater(l *line) {
	if s.core.connIdle > 0 && l.kind != KindDatagram && l.phase == phaseUp {
		l.idle = s.core.env.After(s.core.connIdle/quietEnough, s.self, &idleLook{l.conn.ID()})
	}
}

// onIdleLook ends a connection that nobody uses in good order. Kept alive it would cost two packets every three seconds, and each member
// comes to speak to every other one now and then: a mesh of N would cost each node N times that.
func (s *session) onIdleLook(msg *idleLook) {
	for i := range s.lines {
		l := &s.lines[i]
		if l.phase != phaseUp || l.conn.ID() != msg.conn {
			continue
		}
		use := s.peer.use(l.kind)
		if use != l.use || s.wanted(l.kind) {
			l.use, l.quiet = use, 0
		} else {
			l.quiet++
		}
		if l.quiet < quietEnough {
			s.lookLater(l)
			return
		}
		for _, class := range l.kind.Lanes() {
			s.peer.out[class].detach(false)
		}
		l.resting, l.quiet = true, 0
		s.finish(l, CodeIdle, "nobody uses it")
	}
}

// use counts what went and came that is a reason to keep a connection: Bulk is one for the main connection, too.
func (p *peer) use(kind Kind) uint64 {
	var sum uint64
	for class := range p.out {
		if c := actors.Class(class); c == actors.Datagram || kind == KindBulk && c != actors.Bulk {
			continue
		}
		in := &p.in[class]
		sum += p.out[class].count() + in.messages.Load() - in.heartbeats.Load()
	}
	return sum
}

func (o *outbox) count() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.taken
}

// wanted reports whether somebody relies on a connection that carries nothing now.
func (s *session) wanted(kind Kind) bool {
	for _, class := range kind.Lanes() {
		if !s.peer.out[class].empty() {
			return true
		}
	}
	if kind == KindBulk {
		return false
	}
	return !s.peer.watches.empty() || !s.peer.out[actors.Bulk].empty() || s.peer.requests.waiting(func(id string) bool {
		_, waits := s.core.system.ProcessRegistry.GetLocal(id)
		return waits
	})
}

// rest follows the end of an unused main connection: the next message asks for another one.
func (s *session) rest() {
	s.rests = s.up != nil
	waits := false
	for _, class := range KindMain.Lanes() {
		s.peer.out[class].detach(true)
		waits = waits || !s.peer.out[class].empty()
	}
	if waits || len(s.asking) > 0 {
		s.dialMain()
	}
}
