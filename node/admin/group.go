package admin

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/node/client"
)

const (
	firstPause = 20 * time.Millisecond
	maxPause   = 500 * time.Millisecond
	// sessionIdle is far less than it takes others to write the entries after which a session expires.
	sessionIdle = time.Minute
	// unknownMax is how many answers "outcome unknown" one write takes: after a change of leadership the next answer is
	// definite, and where it is not the session is gone.
	unknownMax = 4
)

// group asks the Raft group of the metadata. All writes go under one session, so that within a request they are sent
// again and applied once.
type group struct {
	system   *actor.ActorSystem
	pid      *actor.PID
	attempt  time.Duration // for one answer
	patience time.Duration // for a group without a leader
	lock     chan struct{} // guards session
	session  session
	// forgotten is the id of a session that is not used again: it may be why an outcome was unknown.
	forgotten atomic.Uint64
}

type session struct {
	id, sequence uint64 // id 0: none is open
	used         time.Time
}

func newGroup(system *actor.ActorSystem, pid *actor.PID, timeout time.Duration) *group {
	return &group{system: system, pid: pid, attempt: timeout / 4, patience: timeout / 2, lock: make(chan struct{}, 1)}
}

// query reads, linearizably or from what this replica has applied. What is not answered in time has the code timeout.
func query[T proto.Message](ctx context.Context, g *group, request proto.Message, stale bool) (T, error) {
	message := consensus.NewQuery(request)
	if stale {
		message = consensus.NewStaleQuery(request)
	}
	res, _, err := g.settle(ctx, message)
	out, err := consensus.Result[T](res, err)
	if errors.Is(err, consensus.ErrUnknownOutcome) {
		err = &client.Error{Code: client.CodeTimeout, Message: "no quorum of the metadata group answered in time: try again, or read with stale=true", Cause: err}
	}
	return out, err
}

// propose writes. An error that is not ErrUnknownOutcome means that it had no effect.
func propose[T proto.Message](ctx context.Context, g *group, command proto.Message) (T, error) {
	var none T
	id, err := g.nextID(ctx)
	if err != nil {
		return none, err
	}
	res, unsure, err := g.settle(ctx, consensus.NewProposeOnce(id.GetSession(), id.GetSequence(), command))
	out, err := consensus.Result[T](res, err)
	if err != nil && unsure && !definite(err) {
		g.forgotten.Store(id.GetSession())
		return none, &client.Error{
			Code: client.CodeUnknownOutcome, Cause: consensus.ErrUnknownOutcome,
			Message: fmt.Sprintf("the write may or may not take effect, read before writing again: %v", err),
		}
	}
	return out, err
}

// definite reports a verdict on the command itself: under one session every attempt gets the same.
func definite(err error) bool {
	return errors.Is(err, consensus.ErrRefused) || errors.Is(err, consensus.ErrInvalid) || errors.Is(err, consensus.ErrTooLarge)
}

// settle sends a message until the answer is final. It reports whether an attempt went unanswered, so that nobody
// knows what came of it.
func (g *group) settle(ctx context.Context, message any) (res any, unsure bool, err error) {
	patience, unknown := time.Now().Add(g.patience), 0
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		res, err = g.ask(ctx, message)
		_, verdict := consensus.Reply[proto.Message](res, err)
		if failed, ok := res.(*consensus.Failed); ok {
			verdict = failed.AsError()
		}
		switch {
		case errors.Is(verdict, consensus.ErrUnknownOutcome):
			unsure = true
			if err == nil {
				unknown++
			}
		case !passing(verdict):
			return res, unsure, err
		}
		if unknown >= unknownMax || !unsure && time.Now().After(patience) || !sleep(ctx, pause) {
			return res, unsure, err
		}
	}
}

// passing reports a failure without effect that may be over soon.
func passing(err error) bool {
	return errors.Is(err, consensus.ErrNotLeader) || errors.Is(err, consensus.ErrDropped) ||
		errors.Is(err, consensus.ErrBusy) || errors.Is(err, consensus.ErrReadTimeout)
}

func (g *group) ask(ctx context.Context, message any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, g.attempt)
	defer cancel()
	return live.Ask(ctx, g.system, g.pid, message)
}

// nextID numbers a write, and opens a session where there is none or it was long unused. A failure is one before the
// write: it had no effect.
func (g *group) nextID(ctx context.Context) (*consensus.ProposalID, error) {
	select {
	case g.lock <- struct{}{}:
		defer func() { <-g.lock }()
	case <-ctx.Done():
		return nil, noSession(ctx.Err())
	}
	if id := g.session.id; id == 0 || id == g.forgotten.Load() || time.Since(g.session.used) > sessionIdle {
		res, _, err := g.settle(ctx, &consensus.OpenSession{})
		opened, err := consensus.Reply[*consensus.Session](res, err)
		if err != nil {
			return nil, noSession(err)
		}
		g.session = session{id: opened.GetId()}
	}
	g.session.sequence++
	g.session.used = time.Now()
	return &consensus.ProposalID{Session: g.session.id, Sequence: g.session.sequence}, nil
}

func noSession(err error) error {
	out := failure(err)
	if out.Code == client.CodeUnknownOutcome || out.Code == client.CodeInternal {
		out.Code = client.CodeUnavailable
	}
	out.Message = "no session could be opened, nothing was written: " + out.Message
	return out
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
