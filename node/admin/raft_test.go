package admin_test

import (
	"testing"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/node/client"
)

func TestRaftGroupShowsWhatTheLeaderKnows(t *testing.T) {
	w := newWorld(t)
	w.on(leading)
	g, err := w.client(t).RaftGroup(t.Context(), actors.GroupMeta)
	if err != nil || g.Leader != 1 || g.Term != 7 || len(g.Replicas) != 2 {
		t.Fatalf("%+v, %v", g, err)
	}
	if own := g.Replicas[0]; own.NodeID != 1 || own.Role != client.RoleLeader || !own.Voter || own.Lag != nil {
		t.Errorf("%+v", own)
	}
	silent := g.Replicas[1]
	if silent.NodeID != 2 || silent.Role != client.RoleUnknown || !silent.Voter || silent.Lag == nil || *silent.Lag != (client.RaftLag{Match: 4, Entries: 5, Ms: 70}) {
		t.Errorf("%+v", silent)
	}
}

func TestLeadershipGoesToANode(t *testing.T) {
	w := newWorld(t)
	done, err := w.client(t).TransferLeadership(t.Context(), actors.GroupMeta, 2)
	if err != nil || *done != (client.RaftTransferred{Leader: 2, Term: 8}) {
		t.Fatalf("%+v, %v", done, err)
	}
}
