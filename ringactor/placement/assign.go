package placement

import (
	"cmp"
	"slices"
)

// assignNew gives partitions without replicas their nodes: the zone that is
// least loaded for its weight, then its least loaded node. With equal weights
// the zones stay within one replica of each other, and so the nodes do.
func (s *solver) assignNew() {
	zones := s.eligibleZones()
	for i := range s.parts {
		p := &s.parts[i]
		if p.placed {
			continue
		}
		limit, ok := zoneLimit(zones, p.ReplicationFactor)
		if !ok {
			s.giveUp(p, "replication factor %d needs that many live nodes that are not draining, there are %d", p.ReplicationFactor, eligibleNodes(zones))
			continue
		}
		chosen := make([]int, 0, p.ReplicationFactor)
		for len(chosen) < p.ReplicationFactor {
			chosen = append(chosen, s.nextReplica(p, zones, chosen, limit))
		}
		for z := range zones {
			zones[z].used = 0
		}
		s.place(p, chosen)
	}
	s.evenOut(func(p *part) bool { return !p.placed })
	for i := range s.parts {
		if p := &s.parts[i]; !p.placed && len(p.Replicas) > 0 {
			leaderFirst(p)
			s.record(p, Assign)
		}
	}
}

// zone counts what eligible nodes of one zone hold.
type zone struct {
	nodes    []int
	weight   uint64
	replicas uint64
	used     int // by the partition that is being placed
}

func (s *solver) eligibleZones() []zone {
	var names []string
	for _, n := range s.nodes {
		if n.eligible() {
			names = append(names, n.Zone)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	zones := make([]zone, len(names))
	for i, n := range s.nodes {
		if n.eligible() {
			at, _ := slices.BinarySearch(names, n.Zone)
			z := &zones[at]
			z.nodes = append(z.nodes, i)
			z.weight += uint64(n.Weight)
			z.replicas += s.replicas[i]
		}
	}
	return zones
}

func eligibleNodes(zones []zone) int {
	total := 0
	for _, z := range zones {
		total += len(z.nodes)
	}
	return total
}

// zoneLimit is the smallest number of replicas per zone with which factor replicas fit.
func zoneLimit(zones []zone, factor int) (int, bool) {
	for limit := 1; limit <= factor; limit++ {
		room := 0
		for _, z := range zones {
			room += min(len(z.nodes), limit)
		}
		if room >= factor {
			return limit, true
		}
	}
	return 0, false
}

// nextReplica always finds a node, because zoneLimit leaves room for all replicas.
func (s *solver) nextReplica(p *part, zones []zone, chosen []int, limit int) int {
	best, bestZone := -1, -1
	for z := range zones {
		if zones[z].used >= min(limit, len(zones[z].nodes)) {
			continue
		}
		node := s.bestOf(p, &zones[z], chosen)
		if best < 0 || s.zoneBefore(p, &zones[z], &zones[bestZone], node, best) {
			best, bestZone = node, z
		}
	}
	zones[bestZone].used++
	zones[bestZone].replicas++
	s.replicas[best]++
	return best
}

func (s *solver) bestOf(p *part, z *zone, chosen []int) int {
	best := -1
	for _, n := range z.nodes {
		if !slices.Contains(chosen, n) && (best < 0 || s.holdsBefore(p, n, best)) {
			best = n
		}
	}
	return best
}

func (s *solver) zoneBefore(p *part, a, b *zone, nodeA, nodeB int) bool {
	if c := cmp.Compare((a.replicas+1)*b.weight, (b.replicas+1)*a.weight); c != 0 {
		return c < 0
	}
	return s.holdsBefore(p, nodeA, nodeB)
}

func (s *solver) holdsBefore(p *part, a, b int) bool {
	na, nb := &s.nodes[a], &s.nodes[b]
	if c := lighter(s.replicas[a], na.Weight, s.replicas[b], nb.Weight); c != 0 {
		return c < 0
	}
	if c := lighter(s.leaders[a], na.Weight, s.leaders[b], nb.Weight); c != 0 {
		return c < 0
	}
	return rank(p, na.ID) > rank(p, nb.ID)
}

func (s *solver) place(p *part, chosen []int) {
	p.Replicas = make([]uint64, len(chosen))
	for i, n := range chosen {
		p.Replicas[i] = s.nodes[n].ID
	}
	slices.Sort(p.Replicas)
	p.ISR = slices.Clone(p.Replicas)
	s.lead(p, s.elect(p, p.ISR))
}

func leaderFirst(p *part) {
	for _, list := range [2][]uint64{p.Replicas, p.ISR} {
		slices.SortFunc(list, func(a, b uint64) int {
			if (a == p.Leader) != (b == p.Leader) {
				if a == p.Leader {
					return -1
				}
				return 1
			}
			return cmp.Compare(a, b)
		})
	}
}
