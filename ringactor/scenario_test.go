package ringactor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/actors/partition"
)

// The scenarios read like this; every command prints what the group committed meanwhile, and runs on for a moment:
//
//	world nodes=3 [kind=cart partitions=6]      three nodes that are up and see each other, and no leader yet
//	elect node=1                                the metadata group's leader; node=0: none
//	create topic=t partitions=6 [rf=3] via=2    asks the ring of node 2, and so do delete, list
//	crash node=2                                the process is gone, nobody knows yet
//	failed|recovered|left node=2                what the membership says of it
//	start node=2                                a new process of it
//	run for=10s
//	table, actors                               as node 1 knows them, or the first that is up
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "world" {
				w = begin(t, d)
				return ""
			}
			out := step(t, w, d)
			told := w.told
			w.told = nil
			return strings.Join(append(told, out...), "\n")
		})
	})
}

func intArg(t *testing.T, d *datadriven.TestData, key string, otherwise int) int {
	n := otherwise
	if d.HasArg(key) {
		d.ScanArgs(t, key, &n)
	}
	return n
}

func begin(t *testing.T, d *datadriven.TestData) *world {
	cfg := Config{}
	if d.HasArg("kind") {
		var name string
		d.ScanArgs(t, "kind", &name)
		cfg.Kinds = []Kind{{Name: name, Partitions: uint32(intArg(t, d, "partitions", 3)), Props: noProps}}
	}
	w := newWorld(t, intArg(t, d, "nodes", 3), cfg)
	for _, n := range w.nodes {
		n.start()
	}
	w.run(10 * time.Millisecond)
	return w
}

func step(t *testing.T, w *world, d *datadriven.TestData) []string {
	var n *node
	if id := intArg(t, d, "node", 0); id > 0 {
		n = w.node(uint64(id))
	}
	moment := 50 * time.Millisecond
	switch d.Cmd {
	case "elect":
		w.elect(n)
	case "crash":
		n.crash()
	case "start":
		n.start()
	case "failed":
		w.announce(&membership.Failed{Member: n.directory(membership.State_STATE_DEAD)})
	case "recovered":
		w.announce(&membership.Recovered{Member: n.directory(membership.State_STATE_ALIVE)})
	case "left":
		n.crash()
		w.announce(&membership.Left{Member: n.directory(membership.State_STATE_LEFT)})
	case "run":
		var text string
		d.ScanArgs(t, "for", &text)
		period, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		moment = period
	case "create", "delete":
		var topic string
		d.ScanArgs(t, "topic", &topic)
		via := uint64(intArg(t, d, "via", 1))
		if d.Cmd == "delete" {
			return []string{answer(w.ask(via, &partition.DeleteTopic{Name: topic}, 20*time.Second))}
		}
		return []string{answer(w.ask(via, &partition.CreateTopic{Name: topic, Partitions: uint32(intArg(t, d, "partitions", 3)),
			ReplicationFactor: uint32(intArg(t, d, "rf", 0))}, 20*time.Second))}
	case "table":
		return w.table(w.observer())
	case "actors":
		return w.actors()
	default:
		t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	}
	w.run(moment)
	return nil
}

func answer(m any) string {
	switch a := m.(type) {
	case *partition.TopicCreated:
		return fmt.Sprintf("created %s with %d partitions", a.Topic.Name, len(a.Topic.Partitions))
	case *partition.TopicDeleted:
		return "deleted " + a.Name
	case *partition.Refused:
		return fmt.Sprintf("refused %v: %s", a.Code, a.Message)
	case nil:
		return "no answer"
	}
	return fmt.Sprintf("%T", m)
}

func (w *world) observer() uint64 {
	i := slices.IndexFunc(w.nodes, func(n *node) bool { return n.up })
	return w.nodes[i].id
}

func (w *world) table(via uint64) []string {
	list, ok := w.ask(via, &partition.ListTopics{}, time.Second).(*partition.Topics)
	if !ok {
		return []string{"no table"}
	}
	var lines []string
	for _, t := range list.Topics {
		for _, p := range t.Partitions {
			lines = append(lines, fmt.Sprintf("%s/%d: leader %d epoch %d isr %v of %v", t.Name, p.Partition, p.Leader, p.LeaderEpoch, p.Isr, p.Replicas))
		}
	}
	return lines
}

func (w *world) actors() []string {
	var lines []string
	for _, n := range w.nodes {
		if !n.up {
			continue
		}
		line := fmt.Sprintf("node %d:", n.id)
		for _, name := range sortedKeys(n.running) {
			line += fmt.Sprintf(" %s@%d", name, n.running[name])
		}
		lines = append(lines, line)
	}
	return lines
}
