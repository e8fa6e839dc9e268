package raftactor

import (
	"cmp"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync/atomic"

	"github.com/hupe1980/rivven-cluster/actors"
	"google.golang.org/protobuf/reflect/protoreflect"
)

type peer struct {
	id    uint64
	name  string
	up    bool
	tries int
	tags  []string
	alive atomic.Bool
	addr  actors.Address
}

func (p *peer) reset()                { p.tries, p.tags = 0, nil }
func (p *peer) failing() bool         { return p.tries > 3 && !p.deep(3) }
func (p *peer) deep(n int) bool       { return n > 0 && p.deep(n-1) }
func (p *peer) less(other *peer) bool { return p.id < other.id }

type group struct {
	peers map[uint64]*peer
	acks  map[uint64]int
	total int
	keys  []uint64
}

// Entries are taken away, and others put where they belong.
func perKey(g *group, other map[uint64]*peer) {
	for id, p := range g.peers {
		if p.failing() {
			delete(g.peers, id)
			continue
		}
		delete(other, id)
		other[id] = p
		g.acks[id] += p.tries
		g.acks[p.id]++
		p.up = true
		p.tries = int(id)
		p.reset()
		p.alive.Store(true)
		p.addr.Rename(strings.ToLower(p.name))
		g.peers[id].tags = append(g.peers[id].tags, "x")
	}
}

// All orders come to the same.
func sums(m map[string]int, seen map[int]bool) (n, all, bits, product, least, most int, some, every bool) {
	every = true
	for k, v := range m {
		n++
		all += v
		n -= len(k)
		bits |= v
		product *= v
		least = min(least, v)
		if v > most {
			most = v
		}
		some = some || v == 3
		every = every && v > 0
		seen[v] = true
	}
	return
}

func gathered(g *group) []uint64 {
	out := make([]uint64, 0, len(g.peers))
	for id := range g.peers {
		out = append(out, id)
	}
	for id := range g.acks {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	if len(out) > 1 {
		g.total = len(out)
	}
	slices.Sort(out)
	return out
}

func gatheredInField(g *group, byName map[string]*peer) []*peer {
	g.keys = g.keys[:0]
	for id := range g.peers {
		g.keys = append(g.keys, id)
	}
	sort.Slice(g.keys, func(i, j int) bool { return g.keys[i] < g.keys[j] })
	var out []*peer
	for _, p := range byName {
		local := []string{p.name}
		local = append(local, p.tags...)
		slices.Sort(local)
		p.name = strings.Join(local, "")
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *peer) int { return cmp.Compare(a.id, b.id) })
	return out
}

func questions(g *group) bool {
	for _, p := range g.peers {
		if p.failing() {
			return true
		}
	}
	found := false
	for _, p := range g.peers {
		for _, tag := range p.tags {
			if tag == "" {
				break
			}
			if tag == "x" {
				continue
			}
		}
		if p.up {
			found = true
			break
		}
	}
	return found
}

// A copy that is given up on the way is nobody's.
func checked(m map[string]int) (map[string]int, bool) {
	out := make(map[string]int)
	for k, v := range m {
		if v < 0 {
			return nil, false
		}
		out[k] = v
	}
	return out, true
}

func chosen(g *group) (*peer, uint64, *peer) {
	var oldest *peer
	for id, p := range g.peers {
		if oldest == nil || p.tries < oldest.tries || p.tries == oldest.tries && id < oldest.id {
			oldest = p
		}
	}
	var highest uint64
	var last *peer
	for id, p := range g.peers {
		if id > highest {
			highest, last = id, p
		}
	}
	return oldest, highest, last
}

func iterators(m map[string]int) []string {
	keys := slices.Sorted(maps.Keys(m))
	more := slices.Collect(maps.Keys(m))
	slices.Sort(more)
	copied := maps.Collect(maps.All(m))
	for k := range maps.Keys(m) {
		delete(copied, k)
	}
	n := 0
	for v := range maps.Values(m) {
		n += v
	}
	maps.DeleteFunc(m, func(k string, v int) bool { return v > n && k != "" })
	return append(keys, more...)
}

func ofOthers(m map[string]*actors.Address) (n int) {
	for _, a := range m {
		a.Rename("x")
		n += len(a.Text()) + len(actors.Longest(a.Names))
	}
	return n
}

func generic[M ~map[K]V, K cmp.Ordered, V any](m M) []K {
	var keys []K
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func nested(m map[string]map[string]int) (n int) {
	for _, inner := range m {
		for k, v := range inner {
			inner[k] = v + 1
			n += v
		}
	}
	return n
}

func fields(m protoreflect.Message) (found bool) {
	m.Range(func(field int, _ any) bool {
		if field == 3 {
			found = true
			return false
		}
		return true
	})
	return found
}
