package live

import (
	crand "crypto/rand"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// Install puts the real environment on a system that the app made; on a system that has one already it returns that.
func Install(as *actor.ActorSystem, opts ...actors.Option) *actors.System {
	return actors.Install(as, New(as), withWorkers(opts)...)
}

// NewSystem makes a protoactor system with the real environment.
func NewSystem(opts ...actors.Option) *actors.System {
	env := &Env{}
	s := actors.NewSystem(env, withWorkers(opts)...)
	env.system = s.ActorSystem
	return s
}

func withWorkers(opts []actors.Option) []actors.Option {
	return append([]actors.Option{actors.WithDefaultDispatcher(newWorkers())}, opts...)
}

// New returns the real environment for a system, without installing it.
func New(as *actor.ActorSystem) *Env { return &Env{system: as} }

// Env is the machine's own clock and randomness. Safe for concurrent use.
type Env struct{ system *actor.ActorSystem }

// Now is the wall clock.
func (*Env) Now() time.Time { return time.Now() }

// Boot is the sleep-inclusive clock of the system; see BootClock for where there is none.
func (*Env) Boot() time.Duration { return bootTime() }

// After delivers msg from a timer of the Go runtime.
func (e *Env) After(d time.Duration, pid *actor.PID, msg any) actors.Timer {
	target := actor.NewPID(pid.Address, pid.Id)
	return time.AfterFunc(d, func() {
		process, _ := e.system.ProcessRegistry.Get(target)
		if system, ok := msg.(actor.SystemMessage); ok {
			process.SendSystemMessage(target, system)
			return
		}
		process.SendUserMessage(target, msg)
	})
}

// Rand returns a generator seeded by the operating system; the stream's name only tells traces apart.
func (*Env) Rand(string) *rand.Rand {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails: it ends the process instead
	return rand.New(rand.NewChaCha8(seed))
}

// NewID returns 128 bits from the operating system.
func (*Env) NewID() actors.ID {
	var id actors.ID
	_, _ = crand.Read(id[:])
	return id
}
