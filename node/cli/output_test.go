package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hupe1980/rivven-cluster/node/client"
)

func TestTableIsAlignedWhateverItsColors(t *testing.T) {
	tab := table{header: []string{"ID", "STATE", "NAME"}}
	tab.row(1, stateCell(client.StateAlive), "größer")
	tab.row(22, stateCell(client.StateSuspect), "b")
	var without, with bytes.Buffer
	tab.write(&without, false)
	tab.write(&with, true)
	want := "ID  STATE    NAME\n1   alive    größer\n22  suspect  b\n"
	if without.String() != want {
		t.Errorf("got\n%swant\n%s", without.String(), want)
	}
	if !strings.Contains(with.String(), "\x1b[32malive\x1b[0m    größer") {
		t.Errorf("%q", with.String())
	}
}

func TestColorsAreForTerminals(t *testing.T) {
	if terminal(&bytes.Buffer{}) || colored(&bytes.Buffer{}) {
		t.Error("a buffer is taken for a terminal")
	}
}

func TestSettledNamesWhatIsLacking(t *testing.T) {
	c := &cluster{options: devOptions{nodes: 3, topic: "demo"}}
	partition := func(leader uint64) client.Partition {
		return client.Partition{Leader: leader, Replicas: []uint64{1, 2, 3}, ISR: []uint64{1, 2, 3}}
	}
	good := func() *client.Status {
		return &client.Status{
			Leader: 1,
			Nodes: []client.Node{
				{ID: 1, State: client.StateAlive, RaftRole: client.RoleLeader},
				{ID: 2, State: client.StateAlive, RaftRole: client.RoleFollower},
				{ID: 3, State: client.StateAlive, RaftRole: client.RoleFollower},
			},
			Topics: []client.TopicStatus{{Name: "demo", Partitions: []client.Partition{partition(1), partition(2), partition(3), partition(3)}}},
		}
	}
	if err := c.settled(good()); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(*client.Status){
		"node 2 is suspect":                   func(s *client.Status) { s.Nodes[1].State = client.StateSuspect },
		"node 2 does not answer":              func(s *client.Status) { s.Nodes[1].RaftRole = client.RoleUnknown },
		"2 of 3 nodes are known":              func(s *client.Status) { s.Nodes = s.Nodes[:2] },
		"2 nodes lead":                        func(s *client.Status) { s.Nodes[1].RaftRole = client.RoleLeader },
		"topic demo is not created":           func(s *client.Status) { s.Topics = nil },
		"partition 0 has no leader":           func(s *client.Status) { s.Topics[0].Partitions[0].Leader = 0 },
		"partition 0 has 3 replicas of 3":     func(s *client.Status) { s.Topics[0].Partitions[0].ISR = nil },
		"one node leads 3 partitions, anothe": func(s *client.Status) { s.Topics[0].Partitions[0].Leader = 3 },
	} {
		s := good()
		spoil(s)
		if err := c.settled(s); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
