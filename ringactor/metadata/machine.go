package metadata

import (
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

// Machine is the state machine of the meta group. It is not safe for concurrent
// use, the states that it hands out are.
type Machine struct{ state State }

var _ consensus.Machine = (*Machine)(nil)

// New returns a machine with the empty state, as raftactor's Config.Machine wants it.
func New() consensus.Machine { return &Machine{} }

// State returns the state as it is applied now.
func (m *Machine) State() State { return m.state }

// Apply applies one committed command; see State.Apply.
func (m *Machine) Apply(e consensus.Entry) (proto.Message, error) {
	next, result, err := m.state.Apply(e.Index, e.Command)
	if err != nil {
		return nil, err
	}
	m.state = next
	return result, nil
}

// Query answers GetTopic, ListTopics, ListNodes, GetConfig, ListConfig, GetDigest and GetExport.
func (m *Machine) Query(request proto.Message) (proto.Message, error) { return m.state.Query(request) }

// Snapshot returns the state as it is now; that takes no time, for states are immutable.
func (m *Machine) Snapshot() (io.WriterTo, error) { return m.state, nil }

// Restore replaces the state by a snapshot's, or leaves it as it was and says why.
func (m *Machine) Restore(r io.Reader) error {
	state, err := ReadState(r)
	if err != nil {
		return err
	}
	m.state = state
	return nil
}
