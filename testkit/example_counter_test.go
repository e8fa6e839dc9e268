package testkit_test

import (
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/testkit"
)

// counter is an app's replicated state machine: a command is a number to add, its result and a query's answer are the sum.
type counter struct{ sum int64 }

func (c *counter) Apply(e consensus.Entry) (proto.Message, error) {
	c.sum += e.Command.(*wrapperspb.Int64Value).GetValue()
	return wrapperspb.Int64(c.sum), nil
}

func (c *counter) Query(proto.Message) (proto.Message, error) { return wrapperspb.Int64(c.sum), nil }

func (c *counter) Snapshot() (io.WriterTo, error) { return saved(strconv.FormatInt(c.sum, 10)), nil }

func (c *counter) Restore(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err == nil {
		c.sum, err = strconv.ParseInt(string(data), 10, 64)
	}
	return err
}

type saved string

func (s saved) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(s))
	return int64(n), err
}

const counterGroup = "counter"

// spawnCounter starts the node's replica of the counter, as an app does once its node is ready.
func spawnCounter(w *testkit.World, n *testkit.Node) {
	props, err := raftactor.Props(raftactor.Config{
		Group: counterGroup, Machine: func() consensus.Machine { return &counter{} }, Store: n.Running().Store(), Peers: n.Running().Peers(),
		SnapshotThreshold: 20, SnapshotTrailing: 5,
	})
	if err == nil {
		_, err = n.Spawn(props, counterGroup)
	}
	w.Require("the counter starts", err == nil, "node %d: %v", n.ID(), err)
}

// add is what a client asks for; 0 reads. The output is the sum.
type add int64

// counting adds and reads through a node, and records what came of it.
func counting(c *testkit.Client, n *testkit.Node, done func(testkit.Outcome)) {
	input := add(c.Rand().IntN(3))
	var message any = consensus.NewPropose(wrapperspb.Int64(int64(input)))
	if input == 0 {
		message = consensus.NewQuery(&emptypb.Empty{})
	}
	c.Do(n, actors.RaftName(counterGroup), message, input, func(answer any, err error) (any, testkit.Outcome) {
		sum, err := consensus.Result[*wrapperspb.Int64Value](answer, err)
		switch {
		case err == nil:
			return sum.GetValue(), testkit.OK
		case input == 0:
			return nil, testkit.Failed // a read that was not answered tells nothing
		}
		return nil, testkit.OutcomeOf(err)
	}, done)
}

// counterModel is what one counter on one machine would do.
var counterModel = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, input, output any) (bool, any) {
		sum := state.(int64) + int64(input.(add))
		seen, known := output.(int64)
		return !known || seen == sum, sum
	},
	Hash: func(state any) uint64 { return uint64(state.(int64)) },
}

// A replicated counter of the app's own, on every node beside the cluster's metadata: clients add and read through any node while
// nodes crash, stand still and lose each other, and what they were told must be what one counter would have said.
func ExampleRun_replicatedCounter() {
	_ = func(t *testing.T) { testkit.Run(t, counterScenario()) }
}

func counterScenario() testkit.Scenario {
	return testkit.Scenario{
		Nodes: 3, For: 20 * time.Second,
		Net:     testkit.NetModel{Loss: 0.01, Reorder: 0.01},
		Chaos:   testkit.Plan{Crash: 5 * time.Second, Pause: 5 * time.Second, Partition: 7 * time.Second, Cut: 7 * time.Second},
		OnReady: spawnCounter,
		Setup: func(w *testkit.World) {
			w.Drive(3, 10, counting)
			w.Linearizable(counterModel)
			w.Eventually("counting goes on", 20*time.Second, testkit.Progress(10))
		},
	}
}
