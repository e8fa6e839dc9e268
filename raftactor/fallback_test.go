package raftactor

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// broken takes the newest snapshots of a node away while it is down, as if they could not be read.
func broken(w *world, n *node, newest int) {
	w.t.Helper()
	n.crash()
	refs, err := n.files.List("kv")
	if err != nil || len(refs) < newest {
		w.t.Fatalf("%d snapshots, %v", len(refs), err)
	}
	for _, ref := range refs[:newest] {
		if err := n.files.Remove(ref); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestDamagedSnapshotFallsBackToTheOneBefore(t *testing.T) {
	w := cluster(t, 71, 3, small)
	for i := range 70 {
		w.leader().set(fmt.Sprintf("k%d", i), "v")
	}
	w.agree(w.nodes...)
	w.run(time.Second)
	for _, n := range []*node{w.followers()[0], w.leader()} {
		want := n.machine.dump()
		before := n.store.State("kv").Snapshot.Index
		broken(w, n, 1)
		n.start(nil, small)
		w.leader()
		w.agree(w.nodes...)
		if got := n.machine.dump(); got != want || n.metrics.of("snapshot_fallbacks_total") != 1 {
			t.Fatalf("%d fallbacks to %s, want %s", n.metrics.of("snapshot_fallbacks_total"), got, want)
		}
		// A sound one takes the damaged one's place soon, not after a whole threshold.
		w.leader().set("more", "v")
		w.until("a new snapshot", 2*time.Second, func() bool { return n.status().GetSnapshotIndex() > before })
		n.crash()
		n.start(nil, small)
		w.leader()
		w.agree(w.nodes...)
		if n.metrics.of("snapshot_fallbacks_total") != 0 {
			t.Fatal("it fell back again")
		}
	}
}

func TestSnapshotsThatAreAllDamagedHaltTheReplica(t *testing.T) {
	w := cluster(t, 72, 3, small)
	for i := range 70 {
		w.leader().set(fmt.Sprintf("k%d", i), "v")
	}
	w.agree(w.nodes...)
	w.run(time.Second)
	n := w.followers()[0]
	refs, _ := n.files.List("kv")
	broken(w, n, len(refs))
	n.start(nil, small)
	w.until("halt", 2*time.Second, func() bool { return strings.Contains(n.status().GetHalted(), "can't be restored") })
}

func TestLeaderOnAnEarlierSnapshotServesAFollowerOnceItHasANewOne(t *testing.T) {
	w := cluster(t, 73, 3, small)
	leader, away := w.leader(), w.followers()[0]
	w.isolate(away)
	for i := range 70 {
		leader.set(fmt.Sprintf("k%d", i), "v")
	}
	w.run(time.Second)
	for _, n := range w.nodes {
		if n != away {
			broken(w, n, 1)
			n.start(nil, small)
		}
	}
	w.heal()
	w.leader().set("more", "v")
	w.agree(w.nodes...)
	if away.status().GetSnapshotIndex() < 60 {
		t.Fatalf("it caught up without a snapshot: %v", away.status())
	}
}
