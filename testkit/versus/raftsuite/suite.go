package raftsuite

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/hupe1980/rivven-cluster/testkit/versus/runner"
)

// Suite is the raft suite.
func Suite() runner.Suite {
	return runner.Suite{Name: "raft", Systems: systems(), Cases: cases(), Process: process}
}

const own, hashicorp, etcd, floor, oneGroup = "rivven", "hashicorp", "etcd", "floor", "rivven-one-group"

func systems() []runner.System {
	return []runner.System{
		{Name: own, Settings: rivvenSettings, Modules: []string{"github.com/hupe1980/rivven-cluster", "go.etcd.io/raft/v3", "go.etcd.io/bbolt"}},
		{Name: hashicorp, Settings: hashicorpSettings, Modules: []string{"github.com/hashicorp/raft", "github.com/hashicorp/raft-boltdb/v2"}},
		{Name: etcd, Settings: etcdSettings, Modules: []string{"go.etcd.io/etcd/server/v3"}},
		{Name: oneGroup, Settings: "this project with all proposers at one group, beside the same number spread over 64"},
		{Name: floor, Settings: "4 KiB overwritten in a file written beforehand, fdatasync after each"},
	}
}

func cases() []runner.Case {
	peers := []string{own, hashicorp, etcd}
	return []runner.Case{
		{Name: "propose/1", Unit: "1/s", Measure: measures(peers...), Limits: []runner.Limit{{Against: hashicorp, AtLeast: 1.1}}},
		{Name: "propose/64", Unit: "1/s", Measure: measures(peers...), Limits: atLeast(1)},
		{Name: "propose/1024", Unit: "1/s", Measure: measures(peers...), Limits: atLeast(1.3)},
		{Name: "propose/1024/64groups", Unit: "1/s", Measure: measures(own, oneGroup), Limits: []runner.Limit{{Against: oneGroup, AtLeast: 0.6}}},
		{Name: "failover", Unit: "ms", Measure: measures(peers...), Limits: atMost(1)},
		{Name: "transfer", Unit: "ms", Measure: measures(own, hashicorp, etcd), Limits: []runner.Limit{{AtMost: 50}}},
		{Name: "catchup/100MB", Unit: "s", Measure: measures(peers...)},
		{Name: "fdatasync", Unit: "1/s", Measure: measures(floor)},
	}
}

func atLeast(ratio float64) []runner.Limit {
	return []runner.Limit{{Against: hashicorp, AtLeast: ratio}, {Against: etcd, AtLeast: ratio}}
}

func atMost(ratio float64) []runner.Limit {
	return []runner.Limit{{Against: hashicorp, AtMost: ratio}, {Against: etcd, AtMost: ratio}}
}

func measures(names ...string) map[string]runner.Measure {
	out := make(map[string]runner.Measure)
	for _, name := range names {
		out[name] = measure
	}
	return out
}

// task is what a process is to measure.
type task struct {
	System string
	Case   string
	For    time.Duration
}

// measure runs one sample in a fresh process.
func measure(ctx context.Context, r runner.Round) (sample runner.Sample, err error) {
	arg, err := json.Marshal(task{System: r.System, Case: r.Case, For: r.For})
	if err != nil {
		return sample, err
	}
	p, err := runner.Start(ctx, r, string(arg))
	if err != nil {
		return sample, err
	}
	line, err := p.Line()
	if err == nil {
		err = json.Unmarshal([]byte(line), &sample)
	}
	if closed := p.Close(); err == nil {
		err = closed
	}
	return sample, err
}

// process measures and prints the sample.
func process(ctx context.Context, args []string) error {
	var t task
	if err := json.Unmarshal([]byte(args[0]), &t); err != nil {
		return fmt.Errorf("raft task: %w", err)
	}
	dir, err := os.MkdirTemp("", "versus-raft-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	sample, err := t.run(ctx, dir)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(sample)
}

func (t task) run(ctx context.Context, dir string) (runner.Sample, error) {
	if t.System == floor {
		return syncs(dir, t.For)
	}
	groups := 1
	if t.Case == "propose/1024/64groups" && t.System == own {
		groups = 64
	}
	open := map[string]func(context.Context, string, int) (cluster, error){own: openRivven, oneGroup: openRivven, hashicorp: openHashicorp, etcd: openEtcd}
	c, err := open[t.System](ctx, dir, groups)
	if err != nil {
		return runner.Sample{}, fmt.Errorf("starting three replicas: %w", err)
	}
	defer c.close()
	switch t.Case {
	case "propose/1":
		return propose(ctx, c, 1, groups, t.For)
	case "propose/64":
		return propose(ctx, c, 64, groups, t.For)
	case "propose/1024", "propose/1024/64groups":
		return propose(ctx, c, 1024, groups, t.For)
	case "failover":
		return failover(ctx, c, t.For)
	case "transfer":
		return transfer(ctx, c, t.For)
	case "catchup/100MB":
		return catchup(ctx, c)
	}
	return runner.Sample{}, fmt.Errorf("no case %s", t.Case)
}
