package remote

import (
	"slices"
	"sync"
)

// refusals sees to it that each reason between two nodes is logged once, and not at every attempt. A peer goes by its node id and by its
// address: a certificate may be refused before or after it is known whose it is.
type refusals struct {
	mu   sync.Mutex
	seen map[refusal]uint64 // the node, 0 where it was not known
	// order forgets the oldest beyond refusalsMax.
	order []refusal
}

type refusal struct {
	who  string
	code Code
}

const refusalsMax = 256

// first reports whether a reason is new between here and a node, 0 where it is not known, at an address.
func (r *refusals) first(node uint64, address string, code Code) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	byAddress, byNode := refusal{address, code}, refusal{nodeName(node), code}
	was, seen := r.seen[byAddress]
	if node == 0 {
		if !seen {
			r.add(byAddress, 0)
		}
		return !seen
	}
	if _, known := r.seen[byNode]; known {
		return false
	}
	r.add(byNode, node)
	if seen && (was == 0 || was == node) {
		return false
	}
	r.add(byAddress, node)
	return true
}

func (r *refusals) add(key refusal, node uint64) {
	if r.seen == nil {
		r.seen = make(map[refusal]uint64)
	}
	if _, there := r.seen[key]; !there {
		if len(r.order) == refusalsMax {
			delete(r.seen, r.order[0])
			r.order = append(r.order[:0], r.order[1:]...)
		}
		r.order = append(r.order, key)
	}
	r.seen[key] = node
}

// forget lets the reasons between here and a node be logged again.
func (r *refusals) forget(node uint64, address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order = slices.DeleteFunc(r.order, func(key refusal) bool {
		if of := r.seen[key]; of != node && key.who != address {
			return false
		}
		delete(r.seen, key)
		return true
	})
}
