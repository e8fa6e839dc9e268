package bootstrap

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hupe1980/rivven-cluster/actors"
)

func TestAnyOrderOfStartsFormsOneCluster(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}} {
		w := newWorld(t, 3)
		for i, number := range order {
			w.after(time.Duration(i)*700*time.Millisecond, w.nodes[number].start)
		}
		w.runUntil("all ready", time.Minute, w.allReady)
		w.oneCluster()
		if n := len(w.meta.GetVoters()); n != 3 {
			t.Fatalf("%d voters", n)
		}
	}
}

// waitsFor starts all nodes but one, sees that they form no cluster for a minute, and then starts that one.
func (w *world) waitsFor(late int) {
	w.t.Helper()
	for i, n := range w.nodes {
		if i != late {
			n.start()
		}
	}
	w.runFor(time.Minute)
	for _, n := range w.nodes {
		if n.store.id.ClusterID != "" {
			w.t.Fatalf("%s formed a cluster without %s", n.address, w.nodes[late].address)
		}
	}
	w.nodes[late].start()
	w.runUntil("all ready", time.Minute, w.allReady)
	w.oneCluster()
}

func TestOneNodeLateByAMinuteIsWaitedFor(t *testing.T) {
	for late := range 3 {
		w := newWorld(t, 3)
		w.waitsFor(late)
	}
}

// A blank node keeps one timer, whatever it started with.
func TestAsksOnceAnInterval(t *testing.T) {
	w := newWorld(t, 3)
	n := w.nodes[0]
	n.start()
	w.runFor(10 * time.Second)
	if rounds := n.resolves / (len(n.peers) - 1); rounds < 30 || rounds > 41 {
		t.Fatalf("%d rounds in 10 s, want one in 250 to 300 ms", rounds)
	}
}

func TestAloneWithoutPeers(t *testing.T) {
	w := newWorld(t, 1)
	w.nodes[0].peers = nil
	w.nodes[0].start()
	w.runUntil("ready", time.Second, w.allReady)
	w.oneCluster()
}

// A crash after any turn of any node, and right before and after the write, ends in one cluster all the same.
func TestCrashAtAnyPoint(t *testing.T) {
	clean := newWorld(t, 3)
	for _, n := range clean.nodes {
		n.start()
	}
	clean.runUntil("all ready", time.Minute, clean.allReady)
	if clean.turns < 50 {
		t.Fatalf("only %d turns: the test covers nothing", clean.turns)
	}
	for crashNode := range 3 {
		for crashAt := 1; crashAt <= clean.turns; crashAt++ {
			w := newWorld(t, 3)
			w.crashNode, w.crashAt = crashNode, crashAt
			for _, n := range w.nodes {
				n.start()
			}
			w.runUntil(fmt.Sprintf("all ready after node %d crashed at turn %d", crashNode+1, crashAt), time.Minute, w.allReady)
			w.oneCluster()
		}
	}
}

func TestCrashAroundTheWrite(t *testing.T) {
	for _, when := range []int{1, 2} {
		for _, crashed := range [][]int{{0}, {1}, {2}, {0, 1}, {0, 1, 2}} {
			w := newWorld(t, 3)
			for _, i := range crashed {
				w.nodes[i].store.failNext = when
			}
			for _, n := range w.nodes {
				n.start()
			}
			for range 2 { // the last of all three writes only when the others are back
				w.runFor(20 * time.Second)
				for _, i := range crashed {
					w.nodes[i].start()
				}
			}
			w.runUntil("all ready", time.Minute, w.allReady)
			w.oneCluster()
		}
	}
}

// A voter that comes back with a wiped disk is another replica: it joins as a learner, beside the old one.
func TestWipedVoterRejoinsAsANewReplica(t *testing.T) {
	w := newWorld(t, 3)
	for _, n := range w.nodes {
		n.start()
	}
	w.runUntil("all ready", time.Minute, w.allReady)
	id := w.oneCluster()
	old := actors.ReplicaID(w.nodes[1].store.id.DirectoryID)

	w.nodes[1].crash()
	w.nodes[1].wipe()
	w.nodes[1].start()
	replica := actors.ReplicaID(w.nodes[1].store.id.DirectoryID)
	w.runUntil("joined", time.Minute, func() bool { return w.allReady() && hasReplica(w.meta.GetLearners(), replica) })
	if w.oneCluster() != id {
		t.Fatal("a second cluster")
	}
	if !hasReplica(w.meta.GetVoters(), old) || len(w.meta.GetVoters()) != 3 || len(w.meta.GetLearners()) != 1 {
		t.Fatalf("voters %v, learners %v", w.meta.GetVoters(), w.meta.GetLearners())
	}
	if len(w.nodes[1].store.groups) != 0 {
		t.Fatal("a joining replica was given an initial state: it could vote for what it never saw")
	}
}

// Two disks of one node id at once are a mistake, and the one in the cluster wins.
func TestSecondDiskOfALivingNodeIsRefused(t *testing.T) {
	w := newWorld(t, 3)
	for _, n := range w.nodes {
		n.start()
	}
	w.runUntil("all ready", time.Minute, w.allReady)
	clone := &node{w: w, number: 1, address: "n9:1", peers: []string{w.nodes[0].address}}
	clone.store = w.blankDisk(clone)
	w.nodes = append(w.nodes, clone)
	clone.start()
	w.runFor(time.Minute)
	if len(clone.ready) != 0 || len(w.meta.GetVoters()) != 3 || len(w.meta.GetLearners()) != 0 {
		t.Fatalf("ready %v, voters %v, learners %v", clone.ready, w.meta.GetVoters(), w.meta.GetLearners())
	}
}

func TestBlankNodesBesideAClusterJoinItAsLearners(t *testing.T) {
	w := newWorld(t, 5)
	w.nodes[0].peers = nil
	w.nodes[0].start()
	w.runUntil("alone", time.Second, func() bool { return len(w.nodes[0].ready) == 1 })
	for _, n := range w.nodes[1:] {
		n.start() // each lists all five, and three of them are blank
	}
	w.runUntil("all ready", time.Minute, w.allReady)
	w.oneCluster()
	w.runFor(3 * time.Minute)
	if v, l := len(w.meta.GetVoters()), len(w.meta.GetLearners()); v != 1 || l != 4 {
		t.Fatalf("%d voters, %d learners", v, l)
	}
}

// Random starts, crashes and wipes of a minority after the cluster stands never make a second cluster, and end well.
func TestRandomLives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, 3)
		for i, n := range w.nodes {
			w.after(time.Duration(rapid.IntRange(0, 5000).Draw(rt, fmt.Sprint("start", i)))*time.Millisecond, n.start)
		}
		for range rapid.IntRange(0, 4).Draw(rt, "crashes") {
			n := w.nodes[rapid.IntRange(0, 2).Draw(rt, "node")]
			at := time.Duration(rapid.IntRange(0, 8000).Draw(rt, "at")) * time.Millisecond
			wipe := rapid.Bool().Draw(rt, "wipe")
			w.after(at, func() {
				n.crash()
				if wipe && n.store.id.ClusterID == "" {
					n.wipe() // a disk that was never part of anything
				}
			})
			w.after(at+time.Duration(rapid.IntRange(100, 9000).Draw(rt, "down"))*time.Millisecond, n.start)
		}
		w.runFor(20 * time.Second)
		for _, n := range w.nodes {
			n.start()
		}
		w.runUntil("all ready", 2*time.Minute, w.allReady)
		w.oneCluster()
	})
}

func TestForgedCandidatesAreRefused(t *testing.T) {
	w := newWorld(t, 2)
	w.nodes[0].peers = nil
	w.nodes[0].start()
	w.runUntil("alone", time.Second, func() bool { return len(w.nodes[0].ready) == 1 })
	w.nodes[1].up, w.nodes[1].life = true, 1
	for _, forged := range []*Join{
		{},
		{Candidate: &Candidate{NodeId: 7, DirectoryId: make([]byte, 16), Address: "x:1"}},
		{Candidate: &Candidate{NodeId: 7, DirectoryId: []byte("0123456789abcdef"), Address: w.nodes[1].address}},
		{Candidate: &Candidate{NodeId: 2, DirectoryId: w.nodes[1].store.id.DirectoryID[:], Address: strings.Repeat("x", 300)}},
	} {
		(&wire{from: w.nodes[1], life: 1}).SendUserMessage(bootstrapOf(w.nodes[0].address), forged)
	}
	w.runFor(time.Minute)
	if len(w.meta.GetLearners()) != 0 {
		t.Fatalf("learners %v", w.meta.GetLearners())
	}
}

func TestConfigurationChecks(t *testing.T) {
	good := &Candidate{NodeId: 1, DirectoryId: []byte("0123456789abcdef"), Address: "a:1"}
	if _, err := configurationOf("c", []*Candidate{good, {NodeId: 1, DirectoryId: []byte("fedcba9876543210"), Address: "b:1"}}); err == nil {
		t.Error("two disks of one node id were taken")
	}
	if c, err := ParseConfiguration(nil); err != nil || len(c.GetVoters()) != 0 {
		t.Error("empty", err)
	}
	for name, bad := range map[string]*Configuration{
		"newer":    {Format: 2, Voters: []*Candidate{good}},
		"nobody":   {Format: 1},
		"unsorted": {Format: 1, Voters: []*Candidate{{NodeId: 2, DirectoryId: []byte("0123456789abcdef"), Address: "a:1"}, good}},
		"no id":    {Format: 1, Voters: []*Candidate{{DirectoryId: []byte("0123456789abcdef"), Address: "a:1"}}},
	} {
		if bad.check() == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := ParseConfiguration([]byte{0xff}); err == nil {
		t.Error("garbage was taken")
	}
}

func TestPropsNamesAllFaults(t *testing.T) {
	_, err := Props(Config{Peers: make([]string, maxPeers+1)})
	for _, want := range []string{"Store", "address", "peer addresses"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
}
