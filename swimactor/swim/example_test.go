package swim_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hupe1980/rivven-cluster/swimactor/swim"
)

// Two cores, driven by hand: the second joins through the first. A carrier hands
// Sends over, a clock calls Tick at Wake.
func Example() {
	cores := make(map[uint64]*swim.Core)
	now := time.Duration(0)
	var carry func(from uint64, out swim.Output)
	carry = func(from uint64, out swim.Output) {
		for _, e := range out.Events {
			fmt.Printf("%d: %s %s\n", from, e.Member.Record.Name, e.Kind)
		}
		for _, s := range out.Sends {
			sender := cores[from].Self().Record.Peer()
			carry(s.To.ID, cores[s.To.ID].Receive(now, sender, s.Message))
		}
	}
	for id, name := range []string{1: "alpha", 2: "beta"} {
		if id == 0 {
			continue
		}
		self := swim.Record{ID: uint64(id), Name: name, Generation: 1, Address: name + ":9093"}
		core, err := swim.New(swim.DefaultLAN(), self, rand.New(rand.NewPCG(uint64(id), 0)))
		if err != nil {
			fmt.Println(err)
			return
		}
		cores[uint64(id)] = core
		carry(uint64(id), core.Start(now))
	}
	carry(2, cores[2].Join(now, []string{"alpha:9093"}))
	carry(2, cores[2].Resolved(now, "alpha:9093", []swim.Peer{{ID: 1, Address: "alpha:9093"}}))

	now += time.Second
	carry(2, cores[2].Leave(now))
	// Output:
	// 1: beta joined
	// 2: alpha joined
	// 1: beta departed
	// 2: beta leave-done
}
