package metadata

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

func TestRandomCommandsKeepTheRules(t *testing.T) {
	applied := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, 4)
		a, b := orders(), orders()
		a.Name, b.Name, b.UncleanElection, b.MinIsr = "a", "b", true, 1
		w.must(a)
		w.must(b)
		follower := &Machine{state: w.state}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			command := drawCommand(rt, w.state)
			if rapid.IntRange(0, 4).Draw(rt, "batch") == 0 {
				second := drawCommand(rt, w.state)
				command = &Batch{Commands: []*anyMessage{consensus.Pack(command), consensus.Pack(second)}}
			}
			before := w.state
			result, err := w.apply(command)
			if err == nil {
				applied[string(command.ProtoReflect().Descriptor().Name())]++
			} else if !w.state.Equal(before) {
				rt.Fatalf("%T failed with %v and changed the state", command, err)
			}
			if err := check(w.state); err != nil {
				rt.Fatalf("after %T %v: %v", command, command, err)
			}
			if err == nil {
				checkSteps(rt, before, w, command)
			}
			// A replica that decodes the same command from its log gets the same result, error and state.
			decoded := proto.Clone(command)
			again, errAgain := follower.Apply(consensus.Entry{Index: w.index, Command: decoded})
			if (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() {
				rt.Fatalf("%T: %v here, %v on another replica", command, err, errAgain)
			}
			if err == nil && !proto.Equal(result, again) {
				rt.Fatalf("%T: %v here, %v on another replica", command, result, again)
			}
			if !follower.State().Equal(w.state) {
				rt.Fatalf("%T: replicas differ", command)
			}
			if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				follower = restarted(rt, follower)
			}
		}
		export, err := w.state.Query(&GetExport{})
		if err != nil {
			rt.Fatal(err)
		}
		rebuilt, err := StateFrom(export.(*Export))
		if err != nil {
			rt.Fatal(err)
		}
		if !rebuilt.Equal(w.state) {
			rt.Fatal("the state rebuilt from its export differs")
		}
	})
	for _, command := range []proto.Message{&RegisterNode{}, &UpdateNode{}, &DeregisterNode{}, &CreateTopic{}, &DeleteTopic{}, &UpdateTopicConfig{},
		&AddPartitions{}, &UpdatePartitionLeader{}, &UpdatePartitionISR{}, &ReassignPartition{}, &SetConfig{}, &Batch{}, &Noop{}} {
		if applied[string(command.ProtoReflect().Descriptor().Name())] == 0 {
			t.Errorf("no random %T was ever accepted: the test draws too badly to show anything", command)
		}
	}
}

// checkSteps checks what must hold between a state and the next, for each command of a batch.
func checkSteps(rt *rapid.T, before State, w *world, command proto.Message) {
	parts := []proto.Message{command}
	if b, ok := command.(*Batch); ok {
		parts = parts[:0]
		for _, packed := range b.Commands {
			part, err := consensus.Unpack(packed)
			if err != nil {
				rt.Fatal(err)
			}
			parts = append(parts, part)
		}
	}
	state := before
	for _, part := range parts {
		next, _, err := state.Apply(w.index, part)
		if err != nil {
			rt.Fatalf("%T %v passes in a batch and fails alone: %v", part, part, err)
		}
		if err := checkStep(state, next); err != nil {
			rt.Fatalf("after %T %v: %v", part, part, err)
		}
		state = next
	}
	if !state.Equal(w.state) {
		rt.Fatalf("%v leads to another state than its parts one by one", command)
	}
}

// restarted is the machine after its replica wrote a snapshot and started from it.
func restarted(t *rapid.T, m *Machine) *Machine {
	snapshot, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if _, err := snapshot.WriteTo(&first); err != nil {
		t.Fatal(err)
	}
	fresh := New().(*Machine)
	if err := fresh.Restore(bytes.NewReader(first.Bytes())); err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.State().WriteTo(&second); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Fatal("a restored state writes another snapshot")
	}
	return fresh
}

type intKey int

func (k intKey) Compare(o intKey) int { return int(k) - int(o) }

func TestTreeIsASortedMapThatRemembers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var current tree[intKey, int]
		model := map[intKey]int{}
		type version struct {
			tree  tree[intKey, int]
			model map[intKey]int
		}
		var versions []version
		for step := range rapid.IntRange(0, 120).Draw(rt, "steps") {
			k := intKey(rapid.IntRange(0, 40).Draw(rt, "key"))
			if rapid.IntRange(0, 2).Draw(rt, "remove") == 0 {
				current = current.without(k)
				delete(model, k)
			} else {
				current = current.with(k, step)
				model[k] = step
			}
			if step%10 == 0 {
				old := map[intKey]int{}
				for k, v := range model {
					old[k] = v
				}
				versions = append(versions, version{current, old})
			}
		}
		for _, v := range append(versions, version{current, model}) {
			checkTree(rt, v.tree, v.model)
		}
	})
}

func checkTree(t *rapid.T, tr tree[intKey, int], model map[intKey]int) {
	if tr.len() != len(model) {
		t.Fatalf("%d keys, want %d", tr.len(), len(model))
	}
	last, seen := intKey(-1), 0
	for k, v := range tr.all() {
		if k <= last || model[k] != v {
			t.Fatalf("key %d with %d after key %d, want value %d", k, v, last, model[k])
		}
		last = k
		seen++
	}
	if seen != len(model) {
		t.Fatalf("walked %d keys of %d", seen, len(model))
	}
	for from := range intKey(42) {
		want := 0
		for k := range model {
			if k >= from {
				want++
			}
		}
		got := 0
		for k := range tr.from(from) {
			if k < from {
				t.Fatalf("from %d came %d", from, k)
			}
			got++
		}
		if got != want {
			t.Fatalf("from %d came %d keys, want %d", from, got, want)
		}
		if v, ok := tr.get(from); ok != (model[from] != 0 || has(model, from)) || v != model[from] {
			t.Fatalf("key %d is %d %t", from, v, ok)
		}
	}
	if !balanced(tr.root) {
		t.Fatal("the tree is out of balance")
	}
}

func has(m map[intKey]int, k intKey) bool { _, ok := m[k]; return ok }

func balanced(b *branch[intKey, int]) bool {
	if b == nil {
		return true
	}
	d := b.left.tall() - b.right.tall()
	return d >= -1 && d <= 1 && b.height == 1+max(b.left.tall(), b.right.tall()) && balanced(b.left) && balanced(b.right)
}
