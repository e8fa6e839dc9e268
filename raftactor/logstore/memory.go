package logstore

import (
	"sort"
	"sync"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// NewMemory returns a store that keeps everything in memory and forgets it at Close, for tests and ephemeral nodes. A
// Submit is complete when it returns; its completion is handed over within the call. id names directory, node and generation.
func NewMemory(id Identity) Store {
	return &memory{identity: id, groups: make(map[string]*memoryGroup), notify: func(Durable) {}}
}

type memory struct {
	mu       sync.RWMutex
	identity Identity
	groups   map[string]*memoryGroup
	notify   func(Durable)
	closed   bool
}

type memoryGroup struct {
	*position
	entries []*raftpb.Entry // from first on
}

func (m *memory) Attach(notify func(Durable)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notify = notify
}

func (m *memory) Submit(batch []GroupWrite, seq uint64) {
	m.mu.Lock()
	done, notify := Durable{Seq: seq, Err: ErrStopped}, m.notify
	if !m.closed {
		done = Durable{Seq: seq, Refused: m.write(batch)}
	}
	m.mu.Unlock()
	notify(done)
}

func (m *memory) write(batch []GroupWrite) []Refused {
	plan := planBatch(batch, func(group string) *position {
		if g, ok := m.groups[group]; ok {
			return g.position
		}
		return newPosition()
	})
	for i := range plan.ops {
		m.apply(&plan.ops[i])
	}
	return plan.refused
}

func (m *memory) apply(o *op) {
	if o.kind == opRemove {
		delete(m.groups, o.group)
		return
	}
	g, ok := m.groups[o.group]
	if !ok {
		g = &memoryGroup{position: newPosition()}
		m.groups[o.group] = g
	}
	before := g.first
	g.apply(o)
	switch {
	case o.kind == opEntries:
		kept := o.first - g.first
		g.entries = append(g.entries[:kept], o.entries...) // readers have copies
	case o.kind == opState && o.reset:
		g.entries = nil
	case o.kind == opState:
		g.entries = g.entries[min(g.first-before, uint64(len(g.entries))):]
	}
}

func (m *memory) SetIdentity(id Identity, groups []GroupWrite) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrStopped
	}
	if err := m.identity.admits(id); err != nil {
		return err
	}
	plan := planBatch(groups, func(string) *position { return newPosition() })
	if len(plan.refused) > 0 {
		return plan.refused[0].Err
	}
	m.identity = id
	for i := range plan.ops {
		m.apply(&plan.ops[i])
	}
	return nil
}

func (m *memory) Identity() Identity {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.identity
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func (m *memory) Groups() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return sortedKeys(m.groups)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func (m *memory) State(group string) GroupState {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if g, ok := m.groups[group]; ok {
		return g.state()
	}
	return GroupState{}
}

func (m *memory) Term(group string, index uint64) (uint64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if g, ok := m.groups[group]; ok {
		return g.term(index)
	}
	return newPosition().term(index)
}

func (m *memory) Entries(group string, lo, hi, maxBytes uint64) ([]*raftpb.Entry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	g, ok := m.groups[group]
	if !ok {
		return nil, newPosition().check(lo, hi)
	}
	if err := g.check(lo, hi); err != nil {
		return nil, err
	}
	return limitEntries(nil, g.entries[lo-g.first:hi-g.first], maxBytes), nil
}

func (m *memory) LogBytes(group string) uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var bytes uint64
	if g, ok := m.groups[group]; ok {
		for _, e := range g.entries {
			bytes += uint64(len(e.GetData()))
		}
	}
	return bytes
}

func (m *memory) Size() Size {
	var s Size
	for _, group := range m.Groups() {
		s.Live += m.LogBytes(group)
	}
	return s
}

// limitEntries appends entries to out while all of out stays within maxBytes, and the first one always.
func limitEntries(out, entries []*raftpb.Entry, maxBytes uint64) []*raftpb.Entry {
	var size uint64
	for _, e := range out {
		size += uint64(proto.Size(e))
	}
	for _, e := range entries {
		size += uint64(proto.Size(e))
		if size > maxBytes && len(out) > 0 {
			break
		}
		out = append(out, e)
	}
	return out
}
