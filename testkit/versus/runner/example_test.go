package runner_test

import (
	"context"
	"fmt"
	"time"

	"github.com/hupe1980/rivven-cluster/testkit/versus/runner"
)

// A suite with one case and two systems.
func ExampleRun() {
	took := func(value float64) runner.Measure {
		return func(context.Context, runner.Round) (runner.Sample, error) { return runner.Sample{Value: value}, nil }
	}
	suite := runner.Suite{
		Name:    "ring",
		Systems: []runner.System{{Name: "rivven"}, {Name: "other"}},
		Cases:   []runner.Case{{Name: "lookup", Unit: "ns", Measure: map[string]runner.Measure{"rivven": took(20), "other": took(60)}}},
	}
	err := runner.Run(context.Background(), suite, runner.Options{For: time.Second}, func(c runner.Case, rows []runner.Row) {
		for _, r := range rows {
			fmt.Println(c.Name, r.System, r.Value, r.Unit)
		}
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// lookup rivven 20 ns
	// lookup other 60 ns
}
