package placement

import (
	"cmp"
	"slices"
)

// repair keeps one placed partition led by a live in-sync replica and its in-sync set true.
func (s *solver) repair(i int) {
	p := &s.parts[i]
	if !p.placed {
		return
	}
	if s.gone(p.Leader) {
		s.failover(p)
	} else if n, ok := s.find(p.Leader); ok && p.LeaderRestarted && s.nodes[n].Status == Alive {
		p.ISR = s.shrunk(p, p.Leader)
		s.record(p, LeaderRestarted)
	} else if isr := s.shrunk(p, p.Leader); len(isr) < len(p.ISR) {
		p.ISR = isr
		s.record(p, ReplicaFailed)
	}
	if !p.ImmediateSync || s.gone(p.Leader) {
		return
	}
	if isr := s.grown(p); len(isr) > len(p.ISR) {
		p.ISR = isr
		s.record(p, ReplicaSynced)
	}
}

// failover keeps the old leader where nobody can follow: its return needs no election then.
func (s *solver) failover(p *part) {
	reason, leader := LeaderFailed, s.elect(p, p.ISR)
	if leader < 0 && p.UncleanElection {
		reason, leader = UncleanElection, s.elect(p, p.Replicas)
	}
	if leader < 0 {
		s.giveUp(p, "leader %d is gone and no replica in the in-sync set %v is alive", p.Leader, p.ISR)
		return
	}
	s.lead(p, leader)
	if reason == UncleanElection {
		p.ISR = []uint64{p.Leader}
	} else {
		p.ISR = s.shrunk(p, p.Leader)
	}
	s.record(p, reason)
}

// elect returns the candidate with the fewest leaders per weight, or -1. Draining
// and weightless nodes lead only when nobody else can, unreachable ones never.
func (s *solver) elect(p *part, candidates []uint64) int {
	best := -1
	for _, id := range candidates {
		n, ok := s.find(id)
		if !ok || s.nodes[n].Status != Alive {
			continue
		}
		if best < 0 || s.leadsBefore(p, n, best) {
			best = n
		}
	}
	return best
}

func (s *solver) leadsBefore(p *part, a, b int) bool {
	na, nb := &s.nodes[a], &s.nodes[b]
	if na.eligible() != nb.eligible() {
		return na.eligible()
	}
	if c := lighter(s.leaders[a], max(na.Weight, 1), s.leaders[b], max(nb.Weight, 1)); c != 0 {
		return c < 0
	}
	if c := cmp.Compare(s.topicLeaders[topicNode{p.topic, a}], s.topicLeaders[topicNode{p.topic, b}]); c != 0 {
		return c < 0
	}
	return rank(p, na.ID) > rank(p, nb.ID)
}

// shrunk is the in-sync set without gone nodes, but not below MinISR and never without the leader.
func (s *solver) shrunk(p *part, leader uint64) []uint64 {
	size := len(p.ISR)
	kept := make([]uint64, 0, size)
	for _, id := range p.ISR {
		if id != leader && size > max(p.MinISR, 1) && s.gone(id) {
			size--
			continue
		}
		kept = append(kept, id)
	}
	return kept
}

// grown is the in-sync set with every live replica, in the order of Replicas.
func (s *solver) grown(p *part) []uint64 {
	grown := make([]uint64, 0, len(p.Replicas))
	for _, id := range p.Replicas {
		n, ok := s.find(id)
		if slices.Contains(p.ISR, id) || ok && s.nodes[n].Status == Alive {
			grown = append(grown, id)
		}
	}
	return grown
}
