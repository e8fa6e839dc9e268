package remote

import (
	"cmp"
	"slices"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// watches are those between this node and one peer. They outlive connections: when either direction was lost, the
// watcher's side sends its own again, and a target that ended meanwhile is then reported as not found.
type watches struct {
	mu  sync.Mutex
	out map[watchKey]*actor.PID // who is watched there, as the watcher here spells it
	in  map[watchKey]struct{}   // who there watches whom here
}

type watchKey struct{ watcher, target string }

func (k watchKey) compare(o watchKey) int {
	return cmp.Or(cmp.Compare(k.target, o.target), cmp.Compare(k.watcher, o.watcher))
}

// addOut reports false when limit is reached.
func (w *watches) addOut(watcher string, who *actor.PID, limit int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := watchKey{watcher, who.Id}
	if _, known := w.out[key]; !known && len(w.out) >= limit {
		return false
	}
	if w.out == nil {
		w.out = make(map[watchKey]*actor.PID)
	}
	w.out[key] = actor.NewPID(who.Address, who.Id)
	return true
}

// takeOut removes a watch and returns who it was of; nil where there was none.
func (w *watches) takeOut(watcher, target string) *actor.PID {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := watchKey{watcher, target}
	who := w.out[key]
	delete(w.out, key)
	return who
}

type outWatch struct {
	watchKey
	who *actor.PID
}

// outgoing returns the watches of actors there in a stable order, and forgets them where take is set.
func (w *watches) outgoing(take bool) []outWatch {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]outWatch, 0, len(w.out))
	for key, who := range w.out {
		all = append(all, outWatch{key, who})
	}
	slices.SortFunc(all, func(a, b outWatch) int { return a.compare(b.watchKey) })
	if take {
		clear(w.out)
	}
	return all
}

func (w *watches) addIn(watcher, target string, limit int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := watchKey{watcher, target}
	if _, known := w.in[key]; !known && len(w.in) >= limit {
		return false
	}
	if w.in == nil {
		w.in = make(map[watchKey]struct{})
	}
	w.in[key] = struct{}{}
	return true
}

func (w *watches) removeIn(watcher, target string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.in, watchKey{watcher, target})
}

func (w *watches) takeIncoming() []watchKey {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]watchKey, 0, len(w.in))
	for key := range w.in {
		all = append(all, key)
	}
	slices.SortFunc(all, watchKey.compare)
	clear(w.in)
	return all
}

func (w *watches) counts() (out, in int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.out), len(w.in)
}

func (w *watches) empty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.out) == 0 && len(w.in) == 0
}

// requests remembers who here waits for an answer from a peer, so that those still waiting when the session is lost
// learn it at once. It keeps the last ones only: an older one waits for its own timeout.
type requests struct {
	mu   sync.Mutex
	ids  []string
	next int
}

const requestsMax = 4096

func (r *requests) add(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ids) < requestsMax {
		r.ids = append(r.ids, id)
		return
	}
	r.ids[r.next] = id
	r.next = (r.next + 1) % requestsMax
}

func (r *requests) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.ids, id)
}

// waiting reports whether one of them still waits, and forgets the others.
func (r *requests) waiting(waits func(id string) bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := slices.Concat(r.ids[r.next:], r.ids[:r.next])
	r.ids, r.next = slices.DeleteFunc(ids, func(id string) bool { return !waits(id) }), 0
	return len(r.ids) > 0
}

func (r *requests) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := append(slices.Clone(r.ids[r.next:]), r.ids[:r.next]...)
	r.ids, r.next = nil, 0
	return ids
}
