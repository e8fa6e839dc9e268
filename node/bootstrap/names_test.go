package bootstrap

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/actors"
)

const service = "all:1"

// Nodes that know each other by one name alone form one cluster of all that it stands for, whoever of them starts late.
func TestOneNameForAll(t *testing.T) {
	for late := range 3 {
		w := newWorld(t, 3)
		for _, n := range w.nodes {
			n.peers = []string{service}
			n.names = map[string][]string{service: {"n3:1", "n1:1", "n2:1"}}
		}
		w.waitsFor(late)
		if n := len(w.meta.GetVoters()); n != 3 {
			t.Fatalf("%d voters", n)
		}
	}
}

// A name may stand for nobody at first, for one then, and for all in the end.
func TestNameThatGrows(t *testing.T) {
	w := newWorld(t, 3)
	names := map[string][]string{}
	for _, n := range w.nodes {
		n.peers, n.names = []string{service}, names
		n.start()
	}
	w.runFor(10 * time.Second)
	names[service] = []string{"n1:1", "n2:1", "n3:1"}
	w.runUntil("all ready", time.Minute, w.allReady)
	w.oneCluster()
	if n := len(w.meta.GetVoters()); n != 3 {
		t.Fatalf("%d voters", n)
	}
}

func TestAddressesBehindNames(t *testing.T) {
	v := newView(1, actors.ID{1}, "10.0.0.1:1", []string{service, "2@node2:1"})
	if got := v.due(0); !slices.Equal(got, []string{service}) {
		t.Errorf("looks up %v: a node's own name stands for that node", got)
	}
	if got := v.due(lookUpEvery - 1); got != nil {
		t.Errorf("looks up %v again at once", got)
	}
	if got := v.expand(service, []string{"10.0.0.3:1", "10.0.0.1:1", "[fd00::3]:1"}); !slices.Equal(got, []string{"10.0.0.3:1", "[fd00::3]:1"}) {
		t.Errorf("new are %v, want all but its own", got)
	}
	v.saw("2@node2:1", &actors.PeerInfo{NodeID: 2, DirectoryID: actors.ID{2}}, "", 0)
	if got := v.missing(0); len(got) != 2 {
		t.Errorf("missing %v, want both addresses", got)
	}
	v.saw("[fd00::3]:1", nil, "no route", 0)
	v.saw("10.0.0.3:1", &actors.PeerInfo{NodeID: 3, DirectoryID: actors.ID{3}}, "", 0)
	if got := v.missing(0); len(got) != 0 {
		t.Errorf("missing %v although all of one family answer", got)
	}
	if got := v.missing(freshFor); len(got) == 0 {
		t.Error("what was seen long ago still counts")
	}
	var many []string
	for i := range 2 * maxPeers {
		many = append(many, fmt.Sprintf("10.0.1.%d:1", i))
	}
	v.expand(service, many)
	if got := v.wanted(); len(got) != maxPeers || !slices.IsSorted(got) || !slices.ContainsFunc(got, func(a string) bool { return strings.HasPrefix(a, "10.0.1.") }) {
		t.Errorf("%d addresses are wanted, want %d", len(got), maxPeers)
	}
	if v.expand(service, []string{service}); len(v.wanted()) != 2 {
		t.Errorf("wanted %v, want the names", v.wanted())
	}
}
