package raftactor

import (
	"testing"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

// Strangers fill the table of addresses up to its bound, and are counted beyond it. The group's own members are always remembered.
func TestStrangersCrowdNoMemberOut(t *testing.T) {
	w := cluster(t, 56, 3)
	n := w.followers()[0]
	stranger := w.newNode()
	for range routesMax + 10 {
		stranger.wipe()
		n.arrive(stranger, actors.Control, actors.RaftName("kv"), &Step{Instance: 1}, nil)
	}
	w.run(0)
	if got := n.metrics.of("routes_full_total"); got < 10 {
		t.Fatalf("%d counted", got)
	}
	learner := w.newNode()
	learner.start(nil)
	add := &consensus.Change{Kind: consensus.ChangeKind_CHANGE_KIND_ADD_LEARNER, Peer: learner.peer().wire()}
	if _, ok := w.leader().insist(&consensus.ChangeMembership{Changes: []*consensus.Change{add}}).(*consensus.MembershipChanged); !ok {
		t.Fatal("the learner was not added")
	}
	w.leader().set("a", "1")
	w.agree(learner)
	if _, err := consensus.Reply[*consensus.LeadershipTransferred](w.leader().await(&consensus.TransferLeadership{ToReplica: n.replica()}), nil); err != nil {
		t.Fatal(err)
	}
	n.set("a", "2") // the crowded replica has to reach it now
	w.agree(learner)
	if got := learner.get("a"); got != "2" {
		t.Fatalf("the learner reads %q", got)
	}
}
