package swimactor

import (
	"time"

	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/swimactor/swim"
)

// memberOf translates one member into the vocabulary that other subsystems speak.
func memberOf(m swim.Member) *membership.Member {
	r := m.Record
	return &membership.Member{
		NodeId: r.ID, DirectoryId: []byte(r.Directory), Name: r.Name, Generation: r.Generation, Incarnation: r.Incarnation,
		Address: r.Address, GossipAddress: r.GossipAddress, Tags: r.Tags, State: membership.State(m.State),
		RttUs: int64(m.RTT / time.Microsecond),
	}
}

func membersOf(all []swim.Member) []*membership.Member {
	out := make([]*membership.Member, len(all))
	for i, m := range all {
		out[i] = memberOf(m)
	}
	return out
}

// eventOf translates an event; nil for those that are no one else's business.
func eventOf(e swim.Event) any {
	switch e.Kind {
	case swim.Joined:
		return &membership.Joined{Member: memberOf(e.Member)}
	case swim.Updated:
		return &membership.Updated{Member: memberOf(e.Member)}
	case swim.Suspected:
		return &membership.Suspected{Member: memberOf(e.Member)}
	case swim.Failed:
		return &membership.Failed{Member: memberOf(e.Member)}
	case swim.Departed:
		return &membership.Left{Member: memberOf(e.Member)}
	case swim.Recovered:
		return &membership.Recovered{Member: memberOf(e.Member)}
	case swim.Isolated:
		return &membership.Isolated{Isolated: true}
	case swim.Reconnected:
		return &membership.Isolated{Isolated: false}
	case swim.Conflict:
		return &membership.Conflict{
			NodeId: e.Member.Record.ID, KeptAddress: e.Member.Record.Address, RefusedAddress: e.Other.Address,
		}
	}
	return nil
}
