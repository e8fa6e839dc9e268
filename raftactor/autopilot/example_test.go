package autopilot_test

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/raftactor/autopilot"
)

// An autopilot of one's own group runs beside it on every node.
func ExampleProps() {
	group := actor.NewPID("node1:9093", actors.RaftName("kv"))
	_, err := autopilot.Props(autopilot.Config{
		Name: "kv", Group: group, Membership: actor.NewPID("node1:9093", actors.NameSwim),
		TargetVoters: 5, DeadVoterGrace: 5 * time.Minute,
	})
	fmt.Println(err)
	_, err = autopilot.Props(autopilot.Config{Name: "kv", Group: group, TargetVoters: 4})
	fmt.Println(err)
	// Output:
	// <nil>
	// autopilot of group "kv": target of 4 voters: want an odd number up to 7
}
