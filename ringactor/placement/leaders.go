package placement

import (
	"cmp"
	"slices"
)

// balance takes leadership off draining nodes and, where wanted, evens it out.
// New partitions were recorded already, so what moves here is recorded by comparing.
func (s *solver) balance(cfg Config) {
	before := make([]uint64, len(s.parts))
	for i := range s.parts {
		before[i] = s.parts[i].Leader
		s.undrain(&s.parts[i])
	}
	if cfg.BalanceLeaders {
		s.evenOut(func(p *part) bool { return len(p.Replicas) > 0 })
	}
	for i := range s.parts {
		p := &s.parts[i]
		if p.Leader == before[i] {
			continue
		}
		reason := LeaderBalance
		if n, ok := s.find(before[i]); ok && !s.nodes[n].eligible() {
			reason = LeaderDrained
		}
		s.record(p, reason)
	}
}

func (s *solver) undrain(p *part) {
	old, ok := s.find(p.Leader)
	if !ok || s.nodes[old].Status != Alive || s.nodes[old].eligible() {
		return
	}
	next := s.elect(p, p.ISR)
	if next < 0 || !s.nodes[next].eligible() {
		return
	}
	s.lead(p, next)
}

// evenOut moves leaders of movable partitions along augmenting paths: from a
// loaded node, through partitions whose in-sync sets overlap, to a lighter one.
// When no path helps any more the loads are as even as they can be (Harvey et
// al., Semi-matchings for bipartite graphs and load balancing, theorem 3.1).
func (s *solver) evenOut(movable func(*part) bool) {
	g := newLeaderGraph(s, movable)
	for {
		moved := false
		for _, from := range g.heaviestFirst() {
			for {
				path := g.path(from)
				if path == nil {
					break
				}
				g.shift(path)
				moved = true
			}
		}
		if !moved {
			return
		}
	}
}

// leaderGraph has an edge from a to b for every movable partition led by a that b could lead.
type leaderGraph struct {
	s *solver
	// edges[a*len(nodes)+b] has the partitions of an edge by topic. It may hold partitions that a no longer leads; they
	// are dropped when met.
	edges [][]topicEdge
}

type topicEdge struct {
	topic int
	parts []int32
}

func newLeaderGraph(s *solver, movable func(*part) bool) *leaderGraph {
	g := &leaderGraph{s: s, edges: make([][]topicEdge, len(s.nodes)*len(s.nodes))}
	for i := range s.parts {
		if p := &s.parts[i]; movable(p) && len(p.Replicas) > 0 {
			if leader, ok := s.find(p.Leader); ok && s.nodes[leader].eligible() {
				g.add(int32(i), leader)
			}
		}
	}
	return g
}

func (g *leaderGraph) add(i int32, leader int) {
	p := &g.s.parts[i]
	for _, id := range p.ISR {
		to, ok := g.s.find(id)
		if !ok || to == leader || !g.s.nodes[to].eligible() {
			continue
		}
		edge := &g.edges[leader*len(g.s.nodes)+to]
		// Partitions are first added in the order of topics, so the search is for those that come back.
		at, found := slices.BinarySearchFunc(*edge, p.topic, func(e topicEdge, topic int) int { return cmp.Compare(e.topic, topic) })
		if !found {
			*edge = slices.Insert(*edge, at, topicEdge{topic: p.topic})
		}
		(*edge)[at].parts = append((*edge)[at].parts, i)
	}
}

// led drops what from no longer leads at the head, and reports whether anything is left.
func (e *topicEdge) led(s *solver, from int) bool {
	for len(e.parts) > 0 && s.parts[e.parts[0]].Leader != s.nodes[from].ID {
		e.parts = e.parts[1:]
	}
	return len(e.parts) > 0
}

// connects reports whether from leads a partition that to could lead.
func (g *leaderGraph) connects(from, to int) bool {
	edge := &g.edges[from*len(g.s.nodes)+to]
	for len(*edge) > 0 && !(*edge)[0].led(g.s, from) {
		*edge = (*edge)[1:]
	}
	return len(*edge) > 0
}

// pick returns a partition of an edge that connects: one of the topic of which from leads most more than to, because
// load that is even over all topics may still pile one of them on one node.
func (g *leaderGraph) pick(from, to int) int32 {
	best, bestGap := int32(-1), 0
	edge := g.edges[from*len(g.s.nodes)+to]
	for i := range edge {
		if !edge[i].led(g.s, from) {
			continue
		}
		topic := edge[i].topic
		gap := g.s.topicLeaders[topicNode{topic, from}] - g.s.topicLeaders[topicNode{topic, to}]
		if best < 0 || gap > bestGap {
			best, bestGap = edge[i].parts[0], gap
		}
	}
	return best
}

func (g *leaderGraph) heaviestFirst() []int {
	order := make([]int, 0, len(g.s.nodes))
	for n := range g.s.nodes {
		if g.s.nodes[n].eligible() {
			order = append(order, n)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return lighter(g.s.leaders[b], g.s.nodes[b].Weight, g.s.leaders[a], g.s.nodes[a].Weight)
	})
	return order
}

// path is the shortest chain of nodes from one to another that is lighter by
// more than the one partition it gains; of equally short ones to the lightest.
func (g *leaderGraph) path(from int) []int {
	s := g.s
	previous := make([]int, len(s.nodes))
	for i := range previous {
		previous[i] = -1
	}
	previous[from] = from
	level := []int{from}
	for len(level) > 0 {
		var next []int
		best := -1
		for _, a := range level {
			for b := range s.nodes {
				if previous[b] >= 0 || !g.connects(a, b) {
					continue
				}
				previous[b] = a
				next = append(next, b)
				if g.helps(from, b) && (best < 0 || lighter(s.leaders[b], s.nodes[b].Weight, s.leaders[best], s.nodes[best].Weight) < 0) {
					best = b
				}
			}
		}
		if best >= 0 {
			return chain(previous, from, best)
		}
		level = next
	}
	return nil
}

// helps says that to, with one more, still carries less per weight than from does now.
func (g *leaderGraph) helps(from, to int) bool {
	a, b := &g.s.nodes[from], &g.s.nodes[to]
	return (g.s.leaders[to]+1)*uint64(a.Weight) < g.s.leaders[from]*uint64(b.Weight)
}

func chain(previous []int, from, to int) []int {
	path := []int{to}
	for to != from {
		to = previous[to]
		path = append(path, to)
	}
	slices.Reverse(path)
	return path
}

// shift goes from the far end, so that every partition on the way is still led by its from.
func (g *leaderGraph) shift(path []int) {
	for k := len(path) - 1; k > 0; k-- {
		from, to := path[k-1], path[k]
		i := g.pick(from, to)
		g.s.lead(&g.s.parts[i], to)
		g.add(i, to)
	}
}
