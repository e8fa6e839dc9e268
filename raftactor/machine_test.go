package raftactor

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

// kv is a machine whose commands are texts: "set k v" answers the old value, "add k" counts, "refuse", "panic" and "halt" do so.
type kv struct {
	n       *node
	values  map[string]string
	applied int
}

func newKV(n *node) *kv { return &kv{n: n, values: map[string]string{}} }

func text(format string, args ...any) *wrapperspb.StringValue {
	return wrapperspb.String(fmt.Sprintf(format, args...))
}

func (m *kv) Apply(e consensus.Entry) (proto.Message, error) {
	command, ok := e.Command.(*wrapperspb.StringValue)
	if !ok {
		return nil, fmt.Errorf("%w: unknown command %T", consensus.ErrHalt, e.Command)
	}
	if m.n != nil {
		if first, ok := m.n.w.entries[e.Index]; ok && first != command.GetValue() {
			m.n.w.t.Fatalf("index %d: node %d applies %q, another applied %q", e.Index, m.n.id, command.GetValue(), first)
		}
		m.n.w.entries[e.Index] = command.GetValue()
	}
	m.applied++
	word := strings.Fields(command.GetValue())
	switch word[0] {
	case "set":
		old := m.values[word[1]]
		m.values[word[1]] = word[2]
		return text("%s", old), nil
	case "add":
		m.values[word[1]] += "+"
		return text("%d", len(m.values[word[1]])), nil
	case "refuse":
		return nil, &consensus.Refusal{Reason: "no", Message: "no, thanks"}
	case "halt":
		return nil, fmt.Errorf("%w: told to", consensus.ErrHalt)
	}
	panic("machine told to panic")
}

func (m *kv) Query(q proto.Message) (proto.Message, error) {
	return text("%s", m.values[q.(*wrapperspb.StringValue).GetValue()]), nil
}

type dump string

func (d dump) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(d))
	return int64(n), err
}

func (m *kv) dump() string {
	data, _ := json.Marshal(m.values)
	return string(data)
}

func (m *kv) Snapshot() (io.WriterTo, error) { return dump(m.dump()), nil }

func (m *kv) Restore(r io.Reader) error {
	values := map[string]string{}
	if err := json.NewDecoder(r).Decode(&values); err != nil {
		return err
	}
	m.values = maps.Clone(values)
	return nil
}
