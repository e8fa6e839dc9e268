package ringactor

import (
	"maps"
	"slices"
	"strings"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/partition"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
	"github.com/hupe1980/rivven-cluster/ringactor/placement"
)

type instruments struct {
	source                                   actors.Metrics
	topics, partitions, led, owned, stuck    actors.Gauge
	resyncs, overflows, held, invalidMembers actors.Counter
	seen                                     *metadata.State // what the gauges show
}

func newInstruments(m actors.Metrics) instruments {
	return instruments{
		source:         m,
		topics:         m.Gauge("rivven_ring_topics", "Topics in the table."),
		partitions:     m.Gauge("rivven_ring_partitions", "Partitions in the table."),
		led:            m.Gauge("rivven_ring_partitions_led", "Partitions that this node leads."),
		owned:          m.Gauge("rivven_ring_partition_actors", "Partition actors that run on this node."),
		stuck:          m.Gauge("rivven_ring_partitions_stuck", "Partitions that the nodes at hand can't help; known on the controller only."),
		resyncs:        m.Counter("rivven_ring_metadata_reads_total", "Times the whole metadata was read from the local replica."),
		overflows:      m.Counter("rivven_ring_metadata_overflows_total", "Times more commands came than are kept while the metadata is read."),
		held:           m.Counter("rivven_ring_commands_held_total", "Planned commands that would have been refused, or that some node doesn't know."),
		invalidMembers: m.Counter("rivven_ring_members_invalid_total", "Members that can't be registered because their directory id is none."),
	}
}

func (i *instruments) move(reason placement.Reason) {
	i.source.Counter("rivven_ring_moves_total", "Planned changes of partitions.", "reason", strings.ReplaceAll(reason.String(), " ", "_")).Add(1)
}

func (i *instruments) refuse(code partition.Code) {
	name := strings.ToLower(strings.TrimPrefix(code.String(), "CODE_"))
	if _, known := partition.Code_name[int32(code)]; !known {
		name = "other" // a newer leader's answer
	}
	i.source.Counter("rivven_ring_refusals_total", "Requests that were refused.", "code", name).Add(1)
}

// observe costs a walk over the table, so only the tick calls it, and only for a table that it has not seen.
func (i *instruments) observe(m *manager) {
	if i.seen != nil && m.state.SameTable(*i.seen) {
		return
	}
	state := m.state
	i.seen = &state
	led := 0
	for p := range m.state.Partitions() {
		if p.Leader == m.cfg.NodeID {
			led++
		}
	}
	i.topics.Set(float64(m.state.TopicCount()))
	i.partitions.Set(float64(m.state.PartitionCount()))
	i.led.Set(float64(led))
	counts := map[metadata.NodeState]int{}
	for n := range m.state.Nodes() {
		counts[n.State]++
	}
	for _, state := range []metadata.NodeState{metadata.NodeState_NODE_STATE_ALIVE, metadata.NodeState_NODE_STATE_FAILED, metadata.NodeState_NODE_STATE_LEFT} {
		label := strings.ToLower(strings.TrimPrefix(state.String(), "NODE_STATE_"))
		i.source.Gauge("rivven_ring_nodes", "Registered nodes by state.", "state", label).Set(float64(counts[state]))
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
