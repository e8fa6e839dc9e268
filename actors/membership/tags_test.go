package membership_test

import (
	"slices"
	"testing"

	"github.com/hupe1980/rivven-cluster/actors/membership"
)

func TestRolesAndZones(t *testing.T) {
	member := func(id uint64, state membership.State, zone, roles string) *membership.Member {
		return &membership.Member{NodeId: id, State: state, Tags: map[string]string{membership.TagZone: zone, membership.TagRoles: roles}}
	}
	v := membership.View{
		1: member(1, membership.State_STATE_ALIVE, "a", "broker, web,broker,"),
		2: member(2, membership.State_STATE_SUSPECT, "b", "broker"),
		3: member(3, membership.State_STATE_DEAD, "a", "broker"),
		4: member(4, membership.State_STATE_ALIVE, "a", "brokers"),
		5: {NodeId: 5, State: membership.State_STATE_ALIVE},
	}
	if got := v[1].Roles(); !slices.Equal(got, []string{"broker", "web"}) || !v[1].HasRole("web") || v[5].HasRole("") {
		t.Errorf("roles %q", got)
	}
	for _, c := range []struct {
		zone string
		want []uint64
	}{{"", []uint64{1, 2}}, {"a", []uint64{1}}, {"c", nil}} {
		var got []uint64
		for _, m := range v.WithRole("broker", c.zone) {
			got = append(got, m.GetNodeId())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("brokers in zone %q: %v, want %v", c.zone, got, c.want)
		}
	}
}
