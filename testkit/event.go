package testkit

import (
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// Event is something that the world did or saw: a fault, a write that became durable, a message that an actor is about to handle.
type Event struct {
	Kind    string // "crash", "restart", "wipe", "pause", "cut", "durable", "panic", "turn", …
	Node    int
	From    int // node that a message came from, 0 for its own
	Actor   string
	Message any // of "turn"
	Detail  string
}

func (e Event) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Kind, e.Actor, e.Detail))
}

// Match says which events a function waits for; zero fields match anything.
type Match struct {
	Kind  string
	Node  int
	Actor string
	// Message is a message of the type that "turn" must have, as a nil pointer of it will do.
	Message any
	// Where, if set, has the last word.
	Where func(Event) bool
}

type matcher struct {
	match Match
	do    func(Event)
	typ   reflect.Type
}

// On calls f for each event that matches, before the message of a "turn" is handled. A fault that f makes takes effect at once.
func (w *World) On(m Match, f func(Event)) {
	x := &matcher{match: m, do: f}
	if m.Message != nil {
		x.typ = reflect.TypeOf(m.Message)
		x.match.Kind = "turn"
	}
	w.matches = append(w.matches, x)
}

func (x *matcher) fits(e Event) bool {
	m := x.match
	return (m.Kind == "" || m.Kind == e.Kind) && (m.Node == 0 || m.Node == e.Node) && (m.Actor == "" || m.Actor == e.Actor) &&
		(x.typ == nil || reflect.TypeOf(e.Message) == x.typ) && (m.Where == nil || m.Where(e))
}

// event records something and tells those who wait for it.
func (w *World) event(e Event) {
	w.count(e.Kind)
	w.traceEvent(e)
	w.tell(e)
}

func (w *World) tell(e Event) {
	for _, x := range w.matches { // those that are added meanwhile wait for the next event
		if x.fits(e) {
			x.do(e)
		}
	}
}

// onTurn is called before each turn; it costs nothing where nobody waits for messages.
func (w *World) onTurn(m *mailbox, message any) {
	w.observed.onTurn(m, message)
	if len(w.byStep) > 0 {
		w.injectPlanned()
	}
	if len(w.matches) == 0 {
		return
	}
	e := Event{Kind: "turn", Node: m.node.id, Actor: m.id, Message: actor.UnwrapEnvelopeMessage(message)}
	if in, ok := e.Message.(*actors.Inbound); ok {
		e.Message = in.Message
		if from := w.nodeAt(in.Peer.Address); from != nil {
			e.From = from.id
		}
	}
	w.tell(e)
}

func isFatal(reason any) bool {
	err, ok := reason.(error)
	return ok && errors.Is(err, actors.ErrFatal)
}

func stack() string {
	lines := strings.Split(string(debug.Stack()), "\n")
	if len(lines) > 60 {
		lines = lines[:60]
	}
	return strings.Join(lines, "\n")
}
