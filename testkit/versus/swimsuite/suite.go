package swimsuite

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hupe1980/rivven-cluster/testkit/versus/runner"
)

const own, peerName = "rivven", "memberlist"

// Suite is the swim suite.
func Suite() runner.Suite {
	m := &measurer{done: make(map[string]measures)}
	return runner.Suite{
		Name: "swim",
		Systems: []runner.System{
			{Name: own, Modules: []string{"github.com/hupe1980/rivven-cluster"}, Settings: "swim.DefaultLAN(); " + conditions},
			{Name: peerName, Modules: []string{"github.com/hashicorp/memberlist"}, Settings: "memberlist.DefaultLANConfig()"},
		},
		Cases:   m.cases(),
		Process: process,
	}
}

// conditions are said once.
const conditions = `both in virtual time on one simulated network: 0.5 ms one way, streams lose nothing, nodes start within 0.5 s and
    know the first; a first contact of ours costs two round trips (QUIC, Hello), a dial of memberlist's one. detect-…: the median of seven
    deaths one after the other. false-positives: reports at any member that one which is well has failed; …/datagrams: probes may not
    fall back on streams; stall=C: C of 128 are blocked for 16.4 s with gaps of 64 ms, 120 s, as in the Lifeguard paper, in two models.
    …/process: whoever sends stands still until the gap, and what arrives waits for it; other goroutines and timers go on. It comes nearest to
    the paper's, which blocks memberlist's goroutines before they send and after they receive; our core is one goroutine, so all of it
    stands still. …/ports: the network port alone is blocked, and everything that the node runs goes on. That model was chosen after both
    had been seen, because the other then told the two systems apart less. heal: halves of 32 apart for 25, 60 or 120 s;
    300 means not within 300 s. packets and bytes: datagrams, without headers, over 60 s at rest. …/sockets and cpu: whole nodes on
    loopback, alone in a network namespace, once every member has probed every other: after N s (20 s until 2026-11-26, when at N=100 half of
    our pairs had still to meet). Each round of losses and stalls is another seed. With -quick everything but N=32 and N=100 is done once
    instead of in each round, and what takes minutes is left out`

// Sizes in virtual time; the large ones are ours alone.
var (
	sizes      = []int{32, 100, 300}
	largeSizes = []int{1000, 5000}
)

func (m *measurer) cases() []runner.Case {
	var cases []runner.Case
	add := func(name, unit string, j job, limits ...runner.Limit) {
		c := runner.Case{Name: name, Unit: unit, Measure: map[string]runner.Measure{own: m.measure(name, j)}, Limits: limits, Slow: slow(j)}
		if j.Nodes <= sizes[len(sizes)-1] {
			c.Measure[peerName] = m.measure(name, j)
		}
		cases = append(cases, c)
	}
	for _, n := range append(append([]int(nil), sizes...), largeSizes...) {
		life := job{Kind: "life", Nodes: n, StreamPings: true, Deaths: deathsIn(n)}
		at := fmt.Sprintf("/N=%d", n)
		sooner, noMore := runner.Limit{Against: peerName, AtMost: 0.75}, runner.Limit{Against: peerName, AtMost: 1}
		cold := []runner.Limit{}
		if n >= 300 {
			cold = append(cold, runner.Limit{AtMost: 5})
		}
		add("detect-first"+at, "s", life, sooner)
		add("detect-all"+at, "s", life, sooner)
		add("update-all"+at, "s", life, noMore)
		add("cold-start"+at, "s", life, cold...)
		add("packets"+at, "1/node-s", life, noMore)
		add("bytes"+at, "B/node-s", life, noMore)
		add("bytes/streams"+at, "B/node-s", life)
	}
	for _, lost := range []int{10, 25} {
		for _, streams := range []bool{true, false} {
			name := fmt.Sprintf("false-positives/loss=%d", lost)
			if !streams {
				name += "/datagrams"
			}
			add(name, "count", job{Kind: "loss", Nodes: 100, Loss: float64(lost) / 100, StreamPings: streams}, none(lost <= 10)...)
		}
	}
	for _, blocked := range []int{1, 4, 16, 32} {
		for _, model := range []string{"ports", "process"} {
			stalled := job{Kind: "stall", Nodes: 128, Blocked: blocked, Process: model == "process", StreamPings: true}
			add(fmt.Sprintf("false-positives/stall=%d/%s", blocked, model), "count", stalled, none(blocked <= 16)...)
		}
	}
	add("heal", "s", job{Kind: "heal", Nodes: 32, StreamPings: true}, runner.Limit{AtMost: 60})
	for _, n := range []int{50, 100} {
		whole := job{Kind: kindSockets, Nodes: n}
		add(fmt.Sprintf("packets/sockets/N=%d", n), "1/node-s", whole, runner.Limit{Against: peerName, AtMost: 3})
		add(fmt.Sprintf("cpu/N=%d", n), "ms/node-s", whole)
	}
	return cases
}

// slow says what takes too long for a quick run: memberlist lives through a stall in a minute or two, and a hundred nodes meet in as long.
func slow(j job) bool {
	switch j.Kind {
	case "stall":
		return j.Blocked < 32 || !j.Process
	case kindSockets:
		return j.Nodes > 50
	}
	return j.Nodes > 1000
}

// none is the limit where no false positive may be: counts are whole.
func none(wanted bool) []runner.Limit {
	if !wanted {
		return []runner.Limit{{Against: peerName, AtMost: 1}}
	}
	return []runner.Limit{{AtMost: 0.5}}
}

// deathsIn is how many members die in a life: when the first probe comes to a dead member is chance, exponential with the mean
// of a period, and one death a round would say little.
func deathsIn(nodes int) int {
	if nodes > sizes[len(sizes)-1] {
		return 1
	}
	return 7
}

// measurer remembers what jobs found, because one life gives the figures of several cases. The runner measures one at a time.
type measurer struct{ done map[string]measures }

func (m *measurer) measure(name string, j job) runner.Measure {
	figure, _, _ := strings.Cut(name, "/N=")
	if strings.HasPrefix(name, "false-positives") {
		figure = "false-positives"
	}
	return func(ctx context.Context, r runner.Round) (runner.Sample, error) {
		j := j
		round := r.Number
		if r.Quick && (j.Kind != "life" || j.Nodes > 100) {
			round = 0
		}
		j.System, j.Seed = r.System, uint64(round)+1
		if j.Kind == "heal" {
			j.Parted = []time.Duration{25 * time.Second, 60 * time.Second, 120 * time.Second}[round%3]
		}
		key := fmt.Sprint(j)
		found, ok := m.done[key]
		if !ok {
			var err error
			if found, err = do(ctx, r, j); err != nil {
				return runner.Sample{}, err
			}
			m.done[key] = found
		}
		value, ok := found[figure]
		if !ok {
			return runner.Sample{}, fmt.Errorf("swim: a %s job has no figure %s", j.Kind, figure)
		}
		return runner.Sample{Value: value}, nil
	}
}
