package testkit

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
)

// A turn is one message handled by one actor. The scheduler draws the next actor from those that have something to do; within an
// actor the order is protoactor's: system messages first, then user messages as they came, none while it is suspended.

// mailbox is the kit's own: protoactor's drains to empty in one go, which hides interleavings.
type mailbox struct {
	node      *Node
	life      int
	invoker   actor.MessageInvoker
	id        string
	system    queue
	user      queue
	suspended bool
	ready     bool // in the ready set, or parked with its node
}

func (m *mailbox) PostUserMessage(message any)   { m.post(&m.user, message) }
func (m *mailbox) PostSystemMessage(message any) { m.post(&m.system, message) }

func (m *mailbox) post(q *queue, message any) {
	b := m.node.world.bubble
	if b != nil && b.takes(m.String(), contentKey(message), func() { m.post(q, message) }) {
		return
	}
	q.push(message)
	m.schedule()
}

func (m *mailbox) RegisterHandlers(invoker actor.MessageInvoker, _ actor.Dispatcher) {
	m.invoker = invoker
	if self, ok := invoker.(interface{ Self() *actor.PID }); ok {
		m.id = self.Self().GetId()
	}
}

func (m *mailbox) Start()                {}
func (m *mailbox) UserMessageCount() int { return m.user.len() }

func (m *mailbox) hasTurn() bool { return m.system.len() > 0 || !m.suspended && m.user.len() > 0 }

func (m *mailbox) schedule() {
	if m.ready || !m.hasTurn() || m.life != m.node.life {
		return
	}
	m.ready = true
	if m.node.paused {
		m.node.parked = append(m.node.parked, m)
		return
	}
	m.node.world.ready = append(m.node.world.ready, m)
}

// turn handles one message.
func (m *mailbox) turn() {
	m.ready = false
	if m.life != m.node.life {
		return
	}
	defer m.schedule()
	var message any
	if m.system.len() > 0 {
		message = m.system.pop()
		switch message.(type) {
		case *actor.SuspendMailbox:
			m.suspended = true
			return
		case *actor.ResumeMailbox:
			m.suspended = false
			return
		}
		m.handle(message, m.invoker.InvokeSystemMessage)
		return
	}
	if !m.suspended && m.user.len() > 0 {
		message = m.user.pop()
		m.handle(message, m.invoker.InvokeUserMessage)
	}
}

func (m *mailbox) handle(message any, invoke func(any)) {
	w := m.node.world
	w.traceTurn(m, message)
	w.onTurn(m, message)
	if m.life == m.node.life { // a fault may have ended it just now
		m.guarded(message, invoke)
	}
}

func (m *mailbox) guarded(message any, invoke func(any)) {
	defer func() {
		reason := recover()
		if reason == nil {
			return
		}
		m.node.world.onPanic(m, message, reason)
		m.invoker.EscalateFailure(reason, message)
	}()
	invoke(message)
}

// queue is a ring that grows.
type queue struct {
	items []any
	head  int
}

func (q *queue) len() int { return len(q.items) - q.head }

func (q *queue) push(item any) {
	if q.head > 0 && q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	q.items = append(q.items, item)
}

func (q *queue) pop() any {
	item := q.items[q.head]
	q.items[q.head] = nil
	q.head++
	if q.head > 1024 && q.head*2 > len(q.items) {
		q.items = append(q.items[:0], q.items[q.head:]...)
		q.head = 0
	}
	return item
}

func (m *mailbox) String() string { return fmt.Sprintf("n%d %s", m.node.id, m.id) }
