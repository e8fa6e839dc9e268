package ringactor

import (
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
)

// wire carries a message to another node, encoded and decoded, and wrapped in who its sender is.
type wire struct {
	from *node
	life int
}

// SendUserMessage delivers after the latency, or never where the target is down.
func (x *wire) SendUserMessage(pid *actor.PID, message any) {
	_, msg, sender := actor.UnwrapEnvelope(message)
	encoded, err := proto.Marshal(msg.(proto.Message))
	if err != nil {
		x.from.w.t.Error(err)
		return
	}
	payload := msg.(proto.Message).ProtoReflect().New().Interface()
	if err := proto.Unmarshal(encoded, payload); err != nil {
		x.from.w.t.Error(err)
		return
	}
	to := x.from.w.at(pid.Address)
	x.from.w.after(latency, func() {
		if to == nil || !to.up || x.from.life != x.life {
			return
		}
		var delivered any = payload
		if actors.Reserved(pid.Id) {
			delivered = &actors.Inbound{Peer: &actors.PeerInfo{NodeID: x.from.id, ClusterID: "test"}, Message: payload}
		}
		process, _ := to.system.ProcessRegistry.GetLocal(pid.Id)
		process.SendUserMessage(pid, &actor.MessageEnvelope{Message: delivered, Sender: sender})
	})
}

// SendSystemMessage drops: none crosses nodes here.
func (x *wire) SendSystemMessage(*actor.PID, any) {}

// Stop does nothing.
func (x *wire) Stop(*actor.PID) {}

// env is a node's clock; what belongs to an earlier life of the node never fires.
type env struct {
	n    *node
	life int
	rand *rand.Rand
}

func (e *env) Now() time.Time         { return time.Unix(0, int64(e.n.w.now)) }
func (e *env) Boot() time.Duration    { return e.n.w.now }
func (e *env) Rand(string) *rand.Rand { return e.rand }
func (e *env) NewID() actors.ID {
	return actors.ID{byte(e.n.id), byte(e.n.w.seq), byte(e.n.w.seq >> 8)}
}

func (e *env) After(d time.Duration, pid *actor.PID, msg any) actors.Timer {
	stopped := new(stop)
	e.n.w.after(d, func() {
		if *stopped || e.n.life != e.life {
			return
		}
		process, _ := e.n.system.ProcessRegistry.Get(pid)
		if m, ok := msg.(actor.SystemMessage); ok {
			process.SendSystemMessage(pid, m)
			return
		}
		process.SendUserMessage(pid, msg)
	})
	return stopped
}

type stop bool

func (s *stop) Stop() bool { was := !bool(*s); *s = true; return was }

// mailbox handles one message a turn, and none of a user's while it is suspended.
type mailbox struct {
	n         *node
	life      int
	invoker   actor.MessageInvoker
	suspended bool
	waiting   []any
}

func (m *mailbox) PostUserMessage(msg any) {
	m.post(func() {
		if m.suspended {
			m.waiting = append(m.waiting, msg)
			return
		}
		m.invoke(func() { m.invoker.InvokeUserMessage(msg) }, msg)
	})
}

func (m *mailbox) PostSystemMessage(msg any) {
	m.post(func() {
		switch msg.(type) {
		case *actor.SuspendMailbox:
			m.suspended = true
		case *actor.ResumeMailbox:
			m.suspended = false
			waiting := m.waiting
			m.waiting = nil
			for _, msg := range waiting {
				m.PostUserMessage(msg)
			}
		default:
			m.invoke(func() { m.invoker.InvokeSystemMessage(msg) }, msg)
		}
	})
}

func (m *mailbox) invoke(f func(), msg any) {
	defer func() {
		if fault := recover(); fault != nil {
			m.invoker.EscalateFailure(fault, msg)
		}
	}()
	f()
}

func (m *mailbox) post(turn func()) {
	m.n.w.queue = append(m.n.w.queue, func() {
		if m.n.life == m.life {
			turn()
		}
	})
}

// RegisterHandlers keeps the invoker.
func (m *mailbox) RegisterHandlers(i actor.MessageInvoker, _ actor.Dispatcher) { m.invoker = i }

// Start does nothing.
func (m *mailbox) Start() {}

// UserMessageCount is not kept.
func (m *mailbox) UserMessageCount() int { return 0 }
