package actors

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
)

// ErrFatal marks a failure that no restart mends: a panic with an error that Is ErrFatal is escalated at once.
var ErrFatal = errors.New("fatal")

// Fatal wraps err so that supervision gives up at once.
func Fatal(err error) error { return fmt.Errorf("%w: %w", ErrFatal, err) }

// Supervision is how often and how soon a failed child starts again.
type Supervision struct {
	// MaxRestarts within Window; one more gives up. Default 10 within a minute.
	MaxRestarts int
	Window      time.Duration
	// BackoffMin doubles with each failure within the window up to BackoffMax, plus up to a tenth at random.
	// Default 50 ms and 5 s.
	BackoffMin, BackoffMax time.Duration
	// GiveUp is told in the supervisor's turn when a child fails once too often or fatally. The default escalates to
	// the supervisor's own supervisor; the child stays suspended.
	GiveUp func(supervisor actor.Supervisor, child *actor.PID, reason any, message any)
}

// Supervise returns a one-for-one strategy on the injected clock: the failed child waits, suspended, for its back-off and
// starts again from its durable state; the others don't notice. One strategy serves one supervisor.
func Supervise(cfg Supervision) actor.SupervisorStrategy {
	if cfg.MaxRestarts == 0 {
		cfg.MaxRestarts = 10
	}
	if cfg.Window == 0 {
		cfg.Window = time.Minute
	}
	if cfg.BackoffMin == 0 {
		cfg.BackoffMin = 50 * time.Millisecond
	}
	if cfg.BackoffMax == 0 {
		cfg.BackoffMax = 5 * time.Second
	}
	if cfg.GiveUp == nil {
		cfg.GiveUp = func(supervisor actor.Supervisor, _ *actor.PID, reason, message any) {
			supervisor.EscalateFailure(reason, message)
		}
	}
	return &backoff{cfg: cfg, failures: make(map[string][]time.Duration)}
}

type backoff struct {
	cfg      Supervision
	mu       sync.Mutex
	failures map[string][]time.Duration // by child, on the boot clock, within the window
}

func (b *backoff) HandleFailure(as *actor.ActorSystem, supervisor actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, message any) {
	s, ok := From(as)
	if !ok {
		supervisor.RestartChildren(child)
		return
	}
	count := b.count(child.Id, s.env.Boot())
	fatal := isFatal(reason)
	s.log.Warn("actor failed", zap.String("actor", child.Id), zap.String("message", fmt.Sprintf("%T", actor.UnwrapEnvelopeMessage(message))),
		zap.String("reason", fmt.Sprint(reason)), zap.Int("failures", count), zap.Duration("window", b.cfg.Window), zap.Bool("fatal", fatal))
	s.Metrics().Counter("rivven_actor_failures_total", "Failures of supervised actors.").Add(1)
	if fatal || count > b.cfg.MaxRestarts {
		b.forget(child.Id)
		b.cfg.GiveUp(supervisor, child, reason, message)
		return
	}
	s.env.After(b.delay(s.env, child.Id, count), child, &actor.Restart{})
}

func (b *backoff) count(child string, now time.Duration) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for other, times := range b.failures {
		if now-times[len(times)-1] >= b.cfg.Window {
			delete(b.failures, other)
		}
	}
	kept := b.failures[child][:0]
	for _, at := range b.failures[child] {
		if now-at < b.cfg.Window {
			kept = append(kept, at)
		}
	}
	b.failures[child] = append(kept, now)
	return len(b.failures[child])
}

func (b *backoff) forget(child string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.failures, child)
}

func (b *backoff) delay(env Env, child string, failures int) time.Duration {
	d := b.cfg.BackoffMin
	for i := 1; i < failures && d < b.cfg.BackoffMax; i++ {
		d *= 2
	}
	d = min(d, b.cfg.BackoffMax)
	return d + time.Duration(env.Rand("supervision/"+child).Int64N(int64(d)/10+1))
}

func isFatal(reason any) bool {
	err, ok := reason.(error)
	return ok && errors.Is(err, ErrFatal)
}
