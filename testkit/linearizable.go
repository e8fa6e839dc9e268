package testkit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

// judgeTime bounds porcupine's search, in real time; a history that it can't judge by then fails.
const judgeTime = 30 * time.Second

// Linearizable asks for everything that the clients recorded to be judged at the end. A failure leaves porcupine's picture as HTML.
func (w *World) Linearizable(model porcupine.Model) { w.models = append(w.models, model) }

func (w *World) judge(model porcupine.Model) {
	var history []porcupine.Operation
	slices.Sort(w.clientIDs)
	for _, id := range w.clientIDs {
		history = append(history, w.clients[id].history...)
	}
	result, info := porcupine.CheckOperationsVerbose(model, history, judgeTime)
	if result == porcupine.Ok {
		return
	}
	path := filepath.Join(os.TempDir(), fmt.Sprintf("testkit-seed%d.html", w.seed))
	text := fmt.Sprintf("%d operations are %s", len(history), result)
	if err := porcupine.VisualizePath(model, info, path); err == nil {
		text += ": see " + path
	}
	w.failed("linearizability", text)
}

// OutcomeOf says what an error of a request to a Raft group means for its effect: nothing but a refusal rules it out.
func OutcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return OK
	case errors.Is(err, consensus.ErrNotLeader), errors.Is(err, consensus.ErrDropped), errors.Is(err, consensus.ErrBusy),
		errors.Is(err, consensus.ErrTooLarge), errors.Is(err, consensus.ErrRefused), errors.Is(err, consensus.ErrInvalid),
		errors.Is(err, actors.ErrDeadLetter):
		return Failed
	}
	return Unknown
}

func isNotFound(err error) bool {
	var refusal *consensus.Error
	return errors.As(err, &refusal) && refusal.Reason == "not_found"
}
