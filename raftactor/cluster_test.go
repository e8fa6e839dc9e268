package raftactor

import (
	"strings"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

// cluster starts n voters of one group and waits for a leader.
func cluster(t testing.TB, seed uint64, n int, change ...func(*Config)) *world {
	t.Helper()
	w := newWorld(t, seed)
	for range n {
		w.newNode()
	}
	peers := peersOf(w.nodes)
	for _, node := range w.nodes {
		node.start(peers, change...)
	}
	w.leader()
	return w
}

// leader waits until one node leads and says so, and a majority follows it.
func (w *world) leader() *node {
	w.t.Helper()
	var leader *node
	w.until("leader", 10*time.Second, func() bool {
		leader = nil
		follow := map[uint64]int{}
		for _, n := range w.nodes {
			if n.sys == nil {
				continue
			}
			s := n.status()
			if s.GetLeader() != nil {
				follow[s.GetLeader().GetReplica()]++
			}
			if s.GetRole() == consensus.Role_ROLE_LEADER {
				if other, ok := w.leaders[s.GetTerm()]; ok && other != n.replica() {
					w.t.Fatalf("two leaders in term %d", s.GetTerm())
				}
				w.leaders[s.GetTerm()] = n.replica()
				if leader == nil || s.GetTerm() > leader.status().GetTerm() {
					leader = n
				}
			}
		}
		return leader != nil && follow[leader.replica()] > len(leader.status().GetVoters())/2
	})
	return leader
}

// followers returns the others, once they know whom they follow.
func (w *world) followers() []*node {
	leader := w.leader()
	w.until("followers", 10*time.Second, func() bool {
		leader = w.leader()
		for _, n := range w.nodes {
			if n.sys != nil && !w.cut[[2]int{leader.id, n.id}] && n.status().GetTerm() > 0 && n.status().GetLeader().GetReplica() != leader.replica() {
				return false
			}
		}
		return true
	})
	var out []*node
	for _, n := range w.nodes {
		if n != leader && n.sys != nil {
			out = append(out, n)
		}
	}
	return out
}

// agree waits until all nodes that run have applied the same.
func (w *world) agree(nodes ...*node) {
	w.t.Helper()
	w.until("agreement", 20*time.Second, func() bool {
		var want *node
		for _, n := range nodes {
			if n.machine == nil {
				return false
			}
			if want == nil {
				want = n
			}
			if n.status().GetApplied() != want.status().GetApplied() || n.machine.dump() != want.machine.dump() {
				return false
			}
		}
		return true
	})
}

// metrics counts by name and reason.
type metrics struct{ counts map[string]*count }

type count struct{ n uint64 }

func (c *count) Add(n uint64)  { c.n += n }
func (c *count) Set(v float64) { c.n = uint64(v) }
func (*count) Observe(float64) {}
func newMetrics() *metrics     { return &metrics{counts: map[string]*count{}} }
func (m *metrics) of(key string) uint64 {
	if c, ok := m.counts[key]; ok {
		return c.n
	}
	return 0
}

func (m *metrics) get(name string, labels []string) *count {
	key := strings.TrimPrefix(name, "rivven_raft_")
	if len(labels) == 4 {
		key += "/" + labels[3]
	}
	if m.counts[key] == nil {
		m.counts[key] = &count{}
	}
	return m.counts[key]
}

func (m *metrics) Counter(name, _ string, labels ...string) actors.Counter {
	return m.get(name, labels)
}
func (m *metrics) Gauge(name, _ string, labels ...string) actors.Gauge { return m.get(name, labels) }
func (m *metrics) Histogram(name, _ string, _ []float64, labels ...string) actors.Histogram {
	return m.get(name, labels)
}
