package raftactor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/hupe1980/rivven-cluster/actors"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func sends(ctx actor.Context, m map[string]*actor.PID) {
	for _, pid := range m { // want `range over a map in random order: line 16: calls ctx.Send, which can have effects; loop over sorted keys, slices.Sorted\(maps.Keys\(m\)\)`
		ctx.Send(pid, "hello")
	}
}

func deepCall(m map[string]int) {
	for k := range m { // want `calls actors.Note, which can have effects`
		actors.Note(k)
	}
}

func callsBack(m map[string]func()) {
	for _, f := range m { // want `calls f, which can have effects`
		f()
	}
}

func (g *group) add(id uint64) { g.keys = append(g.keys, id) }

func changesOuter(g *group) {
	for id := range g.peers { // want `calls g.add, which changes g`
		g.add(id)
	}
}

func unsorted(m map[string]int) []string {
	var out []string
	for k := range m { // want `out grows in random order and is used at line \d+ before it is sorted`
		out = append(out, k)
	}
	return out
}

func usedTooEarly(m map[string]int) []string {
	var out []string
	for k := range m { // want `is used at line \d+ before it is sorted`
		out = append(out, k)
	}
	fmt.Println(out)
	slices.Sort(out)
	return out
}

func sortedSometimes(m map[string]int, sorted bool) {
	var out []string
	for k := range m { // want `is sorted at line \d+ only in some cases`
		out = append(out, k)
	}
	if sorted {
		slices.Sort(out)
	}
}

func (g *group) gather() {
	for id := range g.peers { // want `g.keys grows in random order and is never sorted here`
		g.keys = append(g.keys, id)
	}
}

func first(m map[string]int) string {
	for k := range m { // want `returns what it finds first`
		return k
	}
	return ""
}

func firstError(m map[string]int) error {
	for k, v := range m { // want `returns what it finds first`
		if v < 0 {
			return fmt.Errorf("%s is negative", k)
		}
	}
	return nil
}

func twoErrors(m map[string]int) string {
	for k, v := range m { // want `of this exit and that at line \d+, the order decides which one is taken`
		if v < 0 {
			return "negative"
		}
		if k == "" {
			return "empty"
		}
	}
	return ""
}

func lastWins(m map[string]int) (found string) {
	for k := range m { // want `found ends up with what the last entry gives`
		found = k
	}
	return found
}

func breaks(m map[string]int) (n int) {
	for _, v := range m { // want `the early exit at line \d+ leaves it to the order which entries this was done for`
		if v > 3 {
			break
		}
		n += v
	}
	return n
}

func resetsSome(g *group) {
	for _, p := range g.peers { // want `the early exit at line \d+ leaves it to the order`
		p.reset()
		if p.up {
			return
		}
	}
}

func leavesOuter(lists []string, m map[string]int) (n int) {
outer:
	for range lists {
		for _, v := range m { // want `the early exit at line \d+ leaves it to the order`
			n += v
			if v == 3 {
				continue outer
			}
		}
	}
	return n
}

func limited(m map[string]int, limit int) {
	n := 0
	for k := range m { // want `reads n, which earlier iterations changed`
		if n++; n > limit {
			delete(m, k)
		}
	}
}

func counts(m map[string]int) {
	for k := range m { // want `reads m\[…\], which earlier iterations changed`
		if len(m) > 3 {
			delete(m, k)
		}
	}
}

func deletesOthers(m map[string]string) {
	for _, v := range m { // want `deletes entries that the loop may or may not have met`
		delete(m, v)
	}
}

func inverse(m map[string]int, names map[int]string) {
	for k, v := range m { // want `names\[…\] ends up with what the last entry gives`
		names[v] = k
	}
}

func rounds(m map[string]float64) (sum float64) {
	for _, v := range m { // want `the order shows in sum: \+ on float64 isn't commutative`
		sum += v
	}
	return sum
}

func joins(m map[string]int) (s string) {
	for k := range m { // want `the order shows in s: \+ on string isn't commutative`
		s += k
	}
	return s
}

func builds(m map[string]int) string {
	var b strings.Builder
	for k := range m { // want `calls b.WriteString, which changes b`
		b.WriteString(k)
	}
	return b.String()
}

func mixes(m map[string]int) (n int) {
	for _, v := range m { // want `n is changed in two ways`
		n += v
		n *= v
	}
	return n
}

func ties(g *group) (best *peer) {
	for _, p := range g.peers { // want `best ends up with what the last entry gives`
		if best == nil || p.tries < best.tries {
			best = p
		}
	}
	return best
}

func tiesLater(g *group) (best *peer) {
	for id, p := range g.peers { // want `best ends up with what the last entry gives`
		if best == nil || p.tries <= best.tries || p.tries == best.tries && id < best.id {
			best = p
		}
	}
	return best
}

func alias(g *group, shared *peer) {
	for id := range g.peers { // want `p.tries ends up with what the last entry gives`
		p := shared
		p.tries = int(id)
	}
}

func outlives(m map[string]int) (k string) {
	for k = range m { // want `the loop's variables outlive it`
	}
	return k
}

func defers(m map[string]func()) {
	for _, f := range m { // want `defers a call`
		defer f()
	}
}

func hides(m map[string]int) {
	do := actors.Note
	for k := range m { // want `calls do, which can have effects`
		do(k)
	}
}

func iterates(m map[string]int) []string {
	all := maps.Keys(m)               // want `maps.Keys gives a random order`
	keys := maps.Keys[map[string]int] // want `maps.Keys gives a random order`
	_, _ = all, keys
	for k := range maps.Keys(m) { // want `calls actors.Note`
		actors.Note(k)
	}
	for v := range maps.Values(m) { // want `calls fmt.Println`
		fmt.Println(v)
	}
	maps.DeleteFunc(m, func(k string, _ int) bool { // want `DeleteFunc in random order: line \d+: calls actors.Note`
		actors.Note(k)
		return true
	})
	return slices.Collect(maps.Keys(m)) // want `maps.Keys gives a random order`
}

func yields(m map[string]int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m { // want `calls yield, which can have effects`
			if !yield(k) {
				return
			}
		}
	}
}

func genericUnsorted[M ~map[K]V, K comparable, V any](m M) (out []K) {
	for k := range m { // want `out grows in random order`
		out = append(out, k)
	}
	return out
}

func visits(m protoreflect.Message) (last int) {
	m.Range(func(field int, _ any) bool { // want `Range in random order: line \d+: last ends up with what the last entry gives`
		last = field
		return true
	})
	return last
}

type member struct {
	group *group
	next  *member
	score int
}

func (m *member) report() { m.group.total = m.score }

func sharedBehind(m map[string]*member) {
	for _, v := range m { // want `v.group.total ends up with what the last entry gives`
		v.group.total = v.score
	}
	for _, v := range m { // want `next.score ends up with what the last entry gives`
		next := v.next
		next.score = v.score
	}
	for _, v := range m { // want `calls v.report, which can have effects`
		v.report()
	}
}

func neighbours(m map[int]*member) {
	for k, v := range m { // want `reads another entry, which its own iteration changes`
		v.score = m[k+1].score
	}
	for _, v := range m { // want `looks at all entries, which their own iterations change`
		for _, w := range m {
			if w.score > 3 {
				v.score = 0
			}
		}
	}
}
