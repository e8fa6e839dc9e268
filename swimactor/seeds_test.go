package swimactor

import (
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/actors/membership"
)

// A seed's name may stand for several nodes: all of them are contacted, so that even clusters of one each become one, and those
// behind addresses where nobody answers hold up nobody.
func TestSeedWithSeveralAddresses(t *testing.T) {
	for _, test := range []struct {
		name    string
		seed    string
		behaves func(*world)
		want    int
	}{
		{"all of them", "seeds:9093", func(*world) {}, 4},
		{"one does not answer", "seeds:9093", func(w *world) { w.nodes["node2:9093"].down = true }, 3},
		{"one of them is meant", "2@seeds:9093", func(*world) {}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.names = map[string][]string{"seeds:9093": {"node1:9093", "node2:9093", "node3:9093"}}
			for id := uint64(1); id <= 3; id++ {
				w.start(testConfig(id))
			}
			test.behaves(w)
			joiner := w.start(testConfig(4, test.seed)).probe()
			joiner.ask(&membership.Subscribe{})
			w.until(10*time.Second, "the joiner sees them", func() bool { return len(up(view(joiner))) == test.want })
			w.run(30 * time.Second)
			if got := len(up(view(joiner))); got != test.want {
				t.Errorf("%d members, want %d", got, test.want)
			}
		})
	}
}

// A name that stands for nobody yet is asked for again, and so is one whose nodes change.
func TestSeedIsLookedUpAgain(t *testing.T) {
	w := newWorld(t)
	w.names = map[string][]string{"seeds:9093": {"node9:9093"}}
	joiner := w.start(testConfig(4, "seeds:9093")).probe()
	joiner.ask(&membership.Subscribe{})
	w.run(20 * time.Second)
	w.names["seeds:9093"] = []string{"node1:9093", "node2:9093"}
	w.start(testConfig(1))
	w.start(testConfig(2))
	w.until(30*time.Second, "the joiner sees both", func() bool { return len(up(view(joiner))) == 3 })
}
