package actors

import (
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
)

// gate holds deliveries until the actor behind the mailbox is ready. protoactor publishes an actor in the registry
// before its mailbox has handlers: a message that arrives in between panics in its sender and wedges the actor for
// ever. Held messages are few: the window is the rest of one spawn.
type gate struct {
	inner actor.Mailbox
	open  atomic.Bool

	mu   sync.Mutex
	held []heldMessage
}

type heldMessage struct {
	message any
	system  bool
}

func gated(inner actor.MailboxProducer) actor.MailboxProducer {
	return func() actor.Mailbox {
		mailbox := inner()
		if already, ok := mailbox.(*gate); ok {
			return already
		}
		return &gate{inner: mailbox}
	}
}

func (g *gate) PostUserMessage(message any) {
	if g.open.Load() || !g.hold(message, false) {
		g.inner.PostUserMessage(message)
	}
}

func (g *gate) PostSystemMessage(message any) {
	if _, first := message.(*actor.Started); first || g.open.Load() || !g.hold(message, true) {
		g.inner.PostSystemMessage(message)
	}
}

func (g *gate) hold(message any, system bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open.Load() {
		return false
	}
	g.held = append(g.held, heldMessage{message, system})
	return true
}

func (g *gate) RegisterHandlers(invoker actor.MessageInvoker, dispatcher actor.Dispatcher) {
	if context, ok := invoker.(invokerContext); ok {
		invoker = &closing{invokerContext: context}
	}
	g.inner.RegisterHandlers(invoker, dispatcher)
}

// Start is called once the started message is queued; what was held goes in behind it, in its order.
func (g *gate) Start() {
	g.inner.Start()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, h := range g.held {
		if h.system {
			g.inner.PostSystemMessage(h.message)
		} else {
			g.inner.PostUserMessage(h.message)
		}
	}
	g.held = nil
	g.open.Store(true)
}

func (g *gate) UserMessageCount() int {
	g.mu.Lock()
	held := len(g.held)
	g.mu.Unlock()
	return held + g.inner.UserMessageCount()
}

type invokerContext interface {
	actor.MessageInvoker
	Self() *actor.PID
	ActorSystem() *actor.ActorSystem
}

// closing shuts an actor to new work once it was told to stop. protoactor goes on delivering while the actor waits for its
// children, and loses without a word what is queued behind the end; a child spawned by such a message is never stopped, and its
// parent waits for ever. Here such messages are dead letters, so that whoever asked is answered, and continuations are dropped.
type closing struct {
	invokerContext
	stopping bool // set and read in the actor's own turns
}

func (c *closing) InvokeSystemMessage(message any) {
	switch message.(type) {
	case *actor.Stop:
		c.stopping = true
	case *actor.Started, *actor.Restart, *actor.Watch, *actor.Unwatch, *actor.Terminated, *actor.Failure:
	default:
		if c.stopping {
			return
		}
	}
	c.invokerContext.InvokeSystemMessage(message)
}

func (c *closing) InvokeUserMessage(message any) {
	if c.stopping {
		c.ActorSystem().DeadLetter.SendUserMessage(c.Self(), message)
		return
	}
	c.invokerContext.InvokeUserMessage(message)
}
