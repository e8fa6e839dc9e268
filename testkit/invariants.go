package testkit

import (
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

// What holds at every step, whatever the faults. The built-in ones are judged where things happen, so that they cost nothing elsewhere.

func hashBytes(b []byte) uint64 { return xxhash.Sum64(b) }
func hashText(s string) uint64  { return xxhash.Sum64String(s) }

// durable judges what a node made durable: hard states never go back, a term has one vote, and an index and term have one content
// on all nodes.
func (w *World) durable(n *Node, b batch) {
	for i := range b.writes {
		w.observed.onDurable(n, &b.writes[i])
	}
	w.tell(Event{Kind: "durable", Node: n.id})
}

func (o *observer) onDurable(n *Node, write *logstore.GroupWrite) {
	g := o.group(write.Group)
	l := g.logs[n.disk.wipes<<16|n.id]
	if l == nil {
		l = &logView{}
		g.logs[n.disk.wipes<<16|n.id] = l
	}
	if hs := write.HardState; hs != nil {
		o.judgeHardState(g, n, l, hs)
	}
	for _, e := range write.Entries {
		key := [2]uint64{e.GetIndex(), e.GetTerm()}
		content := hashEntry(e)
		if have, ok := g.marks[key]; ok && have != content {
			o.world.failed("raft: log matching", fmt.Sprintf("group %s: index %d of term %d has two contents, the second on node %d", g.name, key[0], key[1], n.id))
		}
		g.marks[key] = content
		if e.GetIndex() <= l.commit {
			if have, ok := g.entries[e.GetIndex()]; ok && have.term != e.GetTerm() {
				o.world.failed("raft: leader completeness", fmt.Sprintf("group %s: node %d overwrites committed index %d of term %d with term %d", g.name, n.id, e.GetIndex(), have.term, e.GetTerm()))
			}
		}
	}
}

func (o *observer) judgeHardState(g *groupView, n *Node, l *logView, hs *raftpb.HardState) {
	switch {
	case hs.GetTerm() < l.term:
		o.world.failed("raft: durable state", fmt.Sprintf("group %s: node %d goes from term %d back to %d", g.name, n.id, l.term, hs.GetTerm()))
	case hs.GetTerm() == l.term && l.vote != 0 && hs.GetVote() != l.vote:
		o.world.failed("raft: durable state", fmt.Sprintf("group %s: node %d votes for %d and for %d in term %d", g.name, n.id, l.vote, hs.GetVote(), l.term))
	case hs.GetCommit() < l.commit:
		o.world.failed("raft: durable state", fmt.Sprintf("group %s: node %d goes from commit %d back to %d", g.name, n.id, l.commit, hs.GetCommit()))
	}
	l.term, l.vote, l.commit = hs.GetTerm(), hs.GetVote(), hs.GetCommit()
}

func hashEntry(e *raftpb.Entry) uint64 {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
	if err != nil {
		return 1
	}
	return hashBytes(b)
}

// judgeMember: what one observer knows of a member never goes back.
func (o *observer) judgeMember(s *seat, m *membership.Member) {
	now := [2]uint64{m.GetGeneration(), m.GetIncarnation()}
	if before := s.newest[m.GetNodeId()]; now[0] < before[0] || now[0] == before[0] && now[1] < before[1] {
		o.world.failed("swim: incarnations", fmt.Sprintf("node %d saw node %d at generation %d incarnation %d after %d, %d", s.node.id, m.GetNodeId(), now[0], now[1], before[0], before[1]))
	}
	s.newest[m.GetNodeId()] = now
}

// judgeTable: leader ∈ ISR ⊆ replicas, and epochs only rise.
func (o *observer) judgeTable(before, after metadata.State, index uint64) {
	if err := tableError(before, after); err != nil {
		o.world.failed("ring: table", fmt.Sprintf("at index %d: %v", index, err))
	}
}

// check is an invariant of the test's own.
type check struct {
	name string
	f    func(View) error
}

// View is what an invariant may look at.
type View struct{ *World }

// Invariant is checked after every step.
func (w *World) Invariant(name string, f func(View) error) {
	w.checks = append(w.checks, check{name, f})
}

func (w *World) check() {
	for _, c := range w.checks {
		if err := c.f(View{w}); err != nil {
			w.failed(c.name, err.Error())
			return
		}
	}
}

// Eventually is judged after the seed's time, when the faults are over: it must hold within d of virtual time.
func (w *World) Eventually(name string, d time.Duration, f func(View) error) {
	w.eventually = append(w.eventually, eventual{name, d, f})
}

type eventual struct {
	name   string
	within time.Duration
	f      func(View) error
}

// onDeclaredDead judges a verdict of the membership: a member that is up, awake and reachable is not dead.
func (w *World) onDeclaredDead(by *Node, m *membership.Member) {
	w.tell(Event{Kind: "declared dead", Node: int(m.GetNodeId()), From: by.id})
}

// Sometimes notes whether something was true at least once over all seeds; what never was fails the run.
func (w *World) Sometimes(name string, ok bool) {
	w.sometimes[name] = w.sometimes[name] || ok
}

func tableError(before, after metadata.State) error {
	if before.SameTable(after) {
		return nil
	}
	for p := range after.Partitions() {
		in := func(list []uint64, id uint64) bool {
			for _, other := range list {
				if other == id {
					return true
				}
			}
			return false
		}
		if p.GetLeader() != 0 && !in(p.GetIsr(), p.GetLeader()) {
			return fmt.Errorf("%s/%d: leader %d is not in sync %v", p.GetTopic(), p.GetPartition(), p.GetLeader(), p.GetIsr())
		}
		for _, id := range p.GetIsr() {
			if !in(p.GetReplicas(), id) {
				return fmt.Errorf("%s/%d: %d is in sync and no replica %v", p.GetTopic(), p.GetPartition(), id, p.GetReplicas())
			}
		}
		old, topic := before.Partition(p.GetTopic(), p.GetPartition()), before.Topic(p.GetTopic())
		if old == nil || topic == nil || string(topic.GetId()) != string(after.Topic(p.GetTopic()).GetId()) {
			continue
		}
		if p.GetLeaderEpoch() < old.GetLeaderEpoch() || p.GetPartitionEpoch() < old.GetPartitionEpoch() {
			return fmt.Errorf("%s/%d: epochs %d, %d after %d, %d", p.GetTopic(), p.GetPartition(), p.GetLeaderEpoch(), p.GetPartitionEpoch(), old.GetLeaderEpoch(), old.GetPartitionEpoch())
		}
		if p.GetLeader() != old.GetLeader() && p.GetLeaderEpoch() == old.GetLeaderEpoch() {
			return fmt.Errorf("%s/%d: led by %d and by %d in epoch %d", p.GetTopic(), p.GetPartition(), old.GetLeader(), p.GetLeader(), p.GetLeaderEpoch())
		}
	}
	return nil
}
