package placement

import "slices"

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
	s.lead(p, old, next)
}

func (s *solver) lead(p *part, from, to int) {
	s.leaders[from]--
	s.leaders[to]++
	p.Leader = s.nodes[to].ID
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
	// edges[a*len(nodes)+b] may hold partitions that a no longer leads; they are dropped when met.
	edges [][]int32
}

func newLeaderGraph(s *solver, movable func(*part) bool) *leaderGraph {
	g := &leaderGraph{s: s, edges: make([][]int32, len(s.nodes)*len(s.nodes))}
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
	for _, id := range g.s.parts[i].ISR {
		if to, ok := g.s.find(id); ok && to != leader && g.s.nodes[to].eligible() {
			at := leader*len(g.s.nodes) + to
			g.edges[at] = append(g.edges[at], i)
		}
	}
}

// edge returns a partition that from leads and to could lead, or -1.
func (g *leaderGraph) edge(from, to int) int32 {
	at := from*len(g.s.nodes) + to
	list := g.edges[at]
	for len(list) > 0 && g.s.parts[list[0]].Leader != g.s.nodes[from].ID {
		list = list[1:]
	}
	g.edges[at] = list
	if len(list) == 0 {
		return -1
	}
	return list[0]
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
				if previous[b] >= 0 || g.edge(a, b) < 0 {
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
		i := g.edge(from, to)
		g.s.lead(&g.s.parts[i], from, to)
		g.add(i, to)
	}
}
