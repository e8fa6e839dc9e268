package actors

import (
	"log/slog"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/extensions"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
)

// System is what this project adds to a protoactor system: the environment, the logger, the metrics and the way
// actors are spawned. It lives on the system as an extension; [From] finds it.
type System struct {
	*actor.ActorSystem
	env        Env
	log        *zap.Logger
	metrics    Metrics
	mailbox    actor.MailboxProducer
	dispatcher actor.Dispatcher
	fallback   actor.Dispatcher
}

// Option changes how Install and NewSystem set a system up.
type Option func(*System)

// WithLogger sets the logger; the default logs nothing.
func WithLogger(log *zap.Logger) Option { return func(s *System) { s.log = log } }

// WithMetrics sets where instruments come from; the default is [NoMetrics].
func WithMetrics(m Metrics) Option { return func(s *System) { s.metrics = m } }

// WithMailbox replaces the mailbox of every actor spawned through the system, also where its Props name another:
// a simulation needs to schedule every message itself.
func WithMailbox(p actor.MailboxProducer) Option { return func(s *System) { s.mailbox = p } }

// WithDispatcher replaces the dispatcher of every actor spawned through the system, also where its Props name another.
func WithDispatcher(d actor.Dispatcher) Option { return func(s *System) { s.dispatcher = d } }

// WithDefaultDispatcher replaces protoactor's own dispatcher for the actors spawned through the system whose Props name none. The
// first one given stays.
func WithDefaultDispatcher(d actor.Dispatcher) Option {
	return func(s *System) {
		if s.fallback == nil {
			s.fallback = d
		}
	}
}

var extensionID = extensions.NextExtensionID()

// ExtensionID makes System an extension of protoactor.
func (s *System) ExtensionID() extensions.ExtensionID { return extensionID }

// NewSystem makes a protoactor system that logs to zap and through which every actor, and every descendant of it, is
// spawned with a gated mailbox and finds env.
func NewSystem(env Env, opts ...Option) *System {
	settings := newSettings(env, opts)
	as := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(zapslog.NewHandler(settings.log.Named("actor").Core(), zapslog.WithName("actor")))
	}))
	s := install(as, settings)
	as.Root.WithSpawnMiddleware(s.middleware)
	return s
}

// Install puts env on a system that the app made. What the app spawns itself stays as it is; our own Props bring gate
// and environment along. A second Install keeps the environment that is there and applies the options; it comes before the
// actors that the options are for.
func Install(as *actor.ActorSystem, env Env, opts ...Option) *System {
	if s, ok := From(as); ok {
		for _, opt := range opts {
			opt(s)
		}
		return s
	}
	return install(as, newSettings(env, opts))
}

func newSettings(env Env, opts []Option) *System {
	s := &System{env: env, log: zap.NewNop(), metrics: NoMetrics}
	for _, opt := range opts {
		opt(s)
	}
	return s
}

func install(as *actor.ActorSystem, s *System) *System {
	s.ActorSystem = as
	as.Extensions.Register(s)
	return s
}

// From returns what NewSystem or Install put on a system.
func From(as *actor.ActorSystem) (*System, bool) {
	s, ok := as.Extensions.Get(extensionID).(*System)
	return s, ok
}

// Env returns the system's environment.
func (s *System) Env() Env { return s.env }

// Log returns the system's logger; subsystems take a Named one.
func (s *System) Log() *zap.Logger { return s.log }

// Metrics returns where the system's instruments come from.
func (s *System) Metrics() Metrics { return s.metrics }

// Of returns the System that a context's actor lives on. It panics where none was installed, which only a
// program that spawns our Props on a bare system meets.
func Of(ctx interface{ ActorSystem() *actor.ActorSystem }) *System {
	s, ok := From(ctx.ActorSystem())
	if !ok {
		panic("actors: no environment on this actor system: call live.Install(system) before spawning")
	}
	return s
}

// EnvOf is Of(ctx).Env().
func EnvOf(ctx interface{ ActorSystem() *actor.ActorSystem }) Env { return Of(ctx).env }
