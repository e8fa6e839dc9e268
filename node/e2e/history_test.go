package e2e

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/hupe1980/rivven-cluster/node/client"
)

// history is what clients did and saw, for porcupine.
type history struct {
	mu    sync.Mutex
	began time.Time
	ops   []porcupine.Operation
	acked map[string]string // last acknowledged value of keys that are written once
}

type input struct {
	key, value string
	put        bool
}

func newHistory() *history { return &history{began: time.Now(), acked: make(map[string]string)} }

func (h *history) now() int64 { return int64(time.Since(h.began)) }

func (h *history) add(op porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

type outcome uint8

const (
	acknowledged outcome = iota
	refused              // it had no effect, for certain
	unknown              // it may take effect at any time from its call on
)

// put writes a key once and reports whether it was acknowledged.
func (h *history) put(ctx context.Context, id int, cl *client.Client, key, value string) bool {
	if h.write(ctx, id, cl, key, value) != acknowledged {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acked[key] = value
	return true
}

// write records what may have had an effect.
func (h *history) write(ctx context.Context, id int, cl *client.Client, key, value string) outcome {
	call := h.now()
	_, err := cl.PutConfig(ctx, key, []byte(value))
	op := porcupine.Operation{ClientId: id, Input: input{key, value, true}, Call: call, Output: "", Return: h.now()}
	result := acknowledged
	switch {
	case err == nil:
	case noEffect(err):
		return refused
	default:
		op.Return, result = math.MaxInt64, unknown
	}
	h.add(op)
	return result
}

// get records what was read; an error says that nothing was.
func (h *history) get(ctx context.Context, id int, cl *client.Client, key string) error {
	call := h.now()
	entry, err := cl.GetConfig(ctx, key)
	value := ""
	switch {
	case errors.Is(err, client.CodeNotFound):
	case err != nil:
		return err
	default:
		value = string(entry.Value)
	}
	h.add(porcupine.Operation{ClientId: id, Input: input{key: key}, Call: call, Output: value, Return: h.now()})
	return nil
}

// counts returns how many operations were answered, and how many may or may not have taken effect.
func (h *history) counts() (answered, unsure int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, op := range h.ops {
		if op.Return == math.MaxInt64 {
			unsure++
		}
	}
	return len(h.ops) - unsure, unsure
}

func noEffect(err error) bool {
	for _, code := range []client.Code{client.CodeNotLeader, client.CodeUnavailable, client.CodeBusy, client.CodeShuttingDown, client.CodeUnreachable, client.CodeNotReady} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

var model = porcupine.Model{
	Partition: func(ops []porcupine.Operation) [][]porcupine.Operation {
		byKey := make(map[string][]porcupine.Operation)
		for _, op := range ops {
			k := op.Input.(input).key
			byKey[k] = append(byKey[k], op)
		}
		var out [][]porcupine.Operation
		for _, part := range byKey {
			out = append(out, part)
		}
		return out
	},
	Init: func() any { return "" },
	Step: func(state, in, out any) (bool, any) {
		if op := in.(input); op.put {
			return true, op.value
		}
		return out == state, state
	},
	DescribeOperation: func(in, out any) string {
		op := in.(input)
		if op.put {
			return "put " + op.key + "=" + op.value
		}
		return "get " + op.key + " → " + out.(string)
	},
}

// judge fails the test unless everything that clients saw is linearizable.
func (h *history) judge(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	result, info := porcupine.CheckOperationsVerbose(model, h.ops, time.Minute)
	t.Logf("porcupine: %d operations are %s", len(h.ops), result)
	if result == porcupine.Ok {
		return
	}
	path := filepath.Join(os.TempDir(), t.Name()+".html")
	if err := porcupine.VisualizePath(model, info, path); err != nil {
		t.Log(err)
	}
	t.Errorf("the history is %s: see %s", result, path)
}
