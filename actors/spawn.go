package actors

import (
	"reflect"
	"unsafe"

	"github.com/asynkron/protoactor-go/actor"
)

// Named gives Props a fixed id, whoever spawns them: protoactor would name a child parent/child, and peers would miss
// an actor that an app spawned under its own supervisor. It implies [Gated].
func Named(id string) actor.PropsOption {
	return actor.WithSpawnFunc(func(as *actor.ActorSystem, _ string, props *actor.Props, parent actor.SpawnerContext) (*actor.PID, error) {
		return spawn(as, id, props, parent)
	})
}

// Gated gives Props a mailbox that holds what arrives while the actor is being spawned, and hands the same, and the
// system's environment, on to every descendant.
func Gated() actor.PropsOption { return actor.WithSpawnFunc(spawn) }

// spawn goes to protoactor's own spawner with the true parent: calling the next middleware would lose the guardian.
func spawn(as *actor.ActorSystem, id string, props *actor.Props, parent actor.SpawnerContext) (*actor.PID, error) {
	// DefaultSpawner would run the producer before it finds out.
	if _, taken := as.ProcessRegistry.GetLocal(id); taken {
		return as.NewLocalPID(id), actor.ErrNameExists
	}
	return actor.DefaultSpawner(as, id, inherit(as, props), parent)
}

// inherit returns a copy of props with the gate, and with the middleware that does the same to children.
func inherit(as *actor.ActorSystem, props *actor.Props) *actor.Props {
	s, ok := From(as)
	if !ok {
		s = &System{}
	}
	opts := []actor.PropsOption{
		actor.WithMailbox(gated(s.mailboxFor(props))),
		actor.WithSpawnMiddleware(s.middleware),
	}
	if d := s.dispatcherFor(props); d != nil {
		opts = append(opts, actor.WithDispatcher(d))
	}
	return props.Clone(opts...)
}

func (s *System) middleware(next actor.SpawnFunc) actor.SpawnFunc {
	return func(as *actor.ActorSystem, id string, props *actor.Props, parent actor.SpawnerContext) (*actor.PID, error) {
		if hasSpawner(props) {
			return next(as, id, inherit(as, props), parent)
		}
		return spawn(as, id, props, parent)
	}
}

func (s *System) mailboxFor(props *actor.Props) actor.MailboxProducer {
	if s.mailbox != nil {
		return s.mailbox
	}
	if own := mailboxOf(props); own != nil {
		return own
	}
	return actor.Unbounded()
}

func (s *System) dispatcherFor(props *actor.Props) actor.Dispatcher {
	if s.dispatcher == nil && !hasDispatcher(props) {
		return s.fallback
	}
	return s.dispatcher
}

// Props keep mailbox, dispatcher and spawner to themselves. Reading them is the one place where this project looks inside
// protoactor; the fields are checked by a test, and the version is pinned.
func mailboxOf(props *actor.Props) actor.MailboxProducer {
	field := reflect.ValueOf(props).Elem().FieldByName("mailboxProducer")
	return *(*actor.MailboxProducer)(unsafe.Pointer(field.UnsafeAddr()))
}

func hasDispatcher(props *actor.Props) bool {
	return !reflect.ValueOf(props).Elem().FieldByName("dispatcher").IsNil()
}

func hasSpawner(props *actor.Props) bool {
	return !reflect.ValueOf(props).Elem().FieldByName("spawner").IsNil()
}
