package actors_test

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// An actor of a fixed name, asked from another actor without blocking it.
func Example() {
	system := simulated() // live.NewSystem() in a program
	greeter := actor.PropsFromFunc(func(c actor.Context) {
		if name, ok := c.Message().(string); ok {
			c.Respond("hello, " + name)
		}
	}, actors.Named("greeter"))
	if _, err := system.Root.SpawnNamed(greeter, "whatever"); err != nil {
		fmt.Println(err)
	}

	done := make(chan struct{})
	system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*actor.Started); ok {
			actors.Ask(c, system.NewLocalPID("greeter"), "ring", time.Second, func(res any, err error) {
				fmt.Println(res, err)
				close(done)
			})
		}
	}))
	<-done
	// Output: hello, ring <nil>
}
