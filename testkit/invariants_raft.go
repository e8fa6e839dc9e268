package testkit

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// groupView is what is known of one Raft group over all nodes.
type groupView struct {
	name    string
	leaders map[uint64]uint64    // replica by term
	entries map[uint64]mark      // committed ones, as the first node applied them
	marks   map[[2]uint64]uint64 // content by index and term, of everything durable anywhere
	once    map[[2]uint64]uint64 // index by session and sequence
	last    uint64
	logs    map[uint64]*logView // by replica
	tableView
}

type mark struct{ term, content uint64 }

// logView is what one replica made durable.
type logView struct {
	term, vote, commit uint64
	last               uint64            // where its log ends
	reached            uint64            // the highest index that was ever in it
	durableTerm        uint64            // also of writes that are known from the disk alone
	votes              map[uint64]uint64 // by term
	complete           uint64            // the last term of its own that it was found to lead with everything committed before
}

func newGroupView(name string) *groupView {
	return &groupView{
		name: name, leaders: make(map[uint64]uint64), entries: make(map[uint64]mark), marks: make(map[[2]uint64]uint64),
		once: make(map[[2]uint64]uint64), logs: make(map[uint64]*logView),
	}
}

func (g *groupView) log(replica uint64) *logView {
	l := g.logs[replica]
	if l == nil {
		l = &logView{votes: make(map[uint64]uint64)}
		g.logs[replica] = l
	}
	return l
}

func (n *Node) replica() uint64 { return actors.ReplicaID(n.disk.durable.Identity().DirectoryID) }

// onDurable judges one write that a node made durable.
func (o *observer) onDurable(n *Node, write *logstore.GroupWrite) {
	g, replica := o.group(write.Group), n.replica()
	l := g.log(replica)
	o.judgeEntries(g, n, replica, l, write.Entries)
	if hs := write.HardState; hs != nil {
		o.judgeHardState(g, n, l, hs)
	}
	if s := write.Snapshot; s != nil {
		l.last = max(l.last, s.Index)
		l.reached = max(l.reached, l.last)
	}
	o.judgeLeader(g, n, replica, l, write.Entries)
}

// onBatch takes over where logs end that a snapshot may have cut off: only the disk knows, and only once the batch is whole.
func (o *observer) onBatch(n *Node, writes []logstore.GroupWrite) {
	for i := range writes {
		if name := writes[i].Group; writes[i].Snapshot != nil {
			o.group(name).log(n.replica()).last = n.disk.durable.State(name).LastIndex
		}
	}
}

// judgeLogs: a log ends where the last write to it did.
func (o *observer) judgeLogs(n *Node) {
	replica := n.replica()
	for _, name := range n.disk.durable.Groups() {
		l := o.group(name).logs[replica]
		if l == nil || l.last == 0 {
			continue
		}
		if s := n.disk.durable.State(name); s.LastIndex != l.last && l.last >= s.FirstIndex {
			o.world.failed("raft: durable state", fmt.Sprintf("group %s: node %d wrote entries up to %d, and its log ends at %d", name, n.id, l.last, s.LastIndex))
		}
	}
}

// note takes over what the disk holds.
func (l *logView) note(s logstore.GroupState) {
	l.reached = max(l.reached, s.LastIndex)
	l.promise(s.HardState)
}

func (l *logView) promise(hs *raftpb.HardState) {
	l.durableTerm = max(l.durableTerm, hs.GetTerm())
	if hs.GetVote() != 0 {
		l.votes[hs.GetTerm()] = hs.GetVote()
	}
}

// judgeEntries: an index and term have one content on all nodes; a leader only appends; what is committed stays.
func (o *observer) judgeEntries(g *groupView, n *Node, replica uint64, l *logView, entries []*raftpb.Entry) {
	if len(entries) == 0 {
		return
	}
	first, last := entries[0], entries[len(entries)-1]
	if first.GetTerm() == l.term && g.leaders[l.term] == replica && first.GetIndex() <= l.last {
		o.world.failed("raft: leader append-only", fmt.Sprintf("group %s: node %d leads term %d and writes index %d again, its log ended at %d", g.name, n.id, l.term, first.GetIndex(), l.last))
	}
	for _, e := range entries {
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
	l.last = last.GetIndex()
	l.reached = max(l.reached, l.last)
}

// judgeHardState: terms and commits never go back, and a term has one vote.
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
	l.promise(hs)
}

// judgeLeader: the first write of a term's leader comes behind everything that was committed before its term. By log matching it is
// enough to look at the last such entry.
func (o *observer) judgeLeader(g *groupView, n *Node, replica uint64, l *logView, entries []*raftpb.Entry) {
	if len(entries) == 0 || l.term == l.complete || g.leaders[l.term] != replica || entries[0].GetTerm() != l.term {
		return
	}
	l.complete = l.term
	index := g.last
	for index > 0 && g.entries[index].term >= l.term {
		index--
	}
	want, known := g.entries[index]
	if !known {
		return
	}
	if s := n.disk.durable.State(g.name); index < s.FirstIndex {
		return
	}
	if term, err := n.disk.durable.Term(g.name, index); err != nil || term != want.term {
		o.world.failed("raft: leader completeness", fmt.Sprintf("group %s: node %d leads term %d without index %d of term %d, which is committed (it has term %d there, %v)",
			g.name, n.id, l.term, index, want.term, term, err))
	}
}

func hashEntry(e *raftpb.Entry) uint64 { return hashMessage(e) }

// onTurn looks at what Raft replicas are about to be told: by the time that a promise is heard, the disk that it speaks of has it.
func (o *observer) onTurn(m *mailbox, message any) {
	in, ok := message.(*actors.Inbound)
	if !ok {
		return
	}
	step, ok := in.Message.(*raftactor.Step)
	if !ok || len(m.id) <= len(actors.RaftPrefix) || m.id[:len(actors.RaftPrefix)] != actors.RaftPrefix {
		return
	}
	from := in.Peer.Replica()
	var l *logView
	for _, message := range step.GetMessages() {
		if message.GetFrom() != from || message.GetReject() {
			continue
		}
		switch message.GetType() {
		case raftpb.MsgAppResp, raftpb.MsgVoteResp, raftpb.MsgVote:
		default:
			continue
		}
		group := m.id[len(actors.RaftPrefix):]
		if l == nil {
			l = o.group(group).log(from)
		}
		if l.keeps(message) {
			continue
		}
		if n := o.world.nodeAt(in.Peer.Address); n != nil && n.replica() == from {
			l.note(n.disk.durable.State(group))
		}
		if !l.keeps(message) {
			o.world.failed("raft: durable promises", fmt.Sprintf("group %s: node %d hears from %s what its disk does not hold: %s", group, m.node.id, in.Peer, message))
		}
	}
}

// keeps reports whether what a message promises is durable, or no longer matters because a later term is: what is overtaken before
// its write began is never written.
func (l *logView) keeps(m *raftpb.Message) bool {
	switch {
	case l.durableTerm > m.GetTerm():
		return true
	case m.GetType() == raftpb.MsgAppResp:
		return m.GetIndex() <= l.reached
	case m.GetType() == raftpb.MsgVoteResp:
		return l.votes[m.GetTerm()] == m.GetTo()
	}
	return l.votes[m.GetTerm()] == m.GetFrom()
}

// onLeader checks election safety.
func (o *observer) onLeader(m *consensus.LeaderChanged) {
	if m.GetLeader() == nil {
		return
	}
	g := o.group(m.GetGroup())
	replica := m.GetLeader().GetReplica()
	if before, ok := g.leaders[m.GetTerm()]; ok && before != replica {
		o.world.failed("raft: election safety", fmt.Sprintf("group %s, term %d: led by replica %d and by replica %d", g.name, m.GetTerm(), before, replica))
	}
	g.leaders[m.GetTerm()] = replica
}

// onApplied checks state machine safety: every node applies the same command at an index with the same result, in order and without
// gaps, and a session's number once.
func (o *observer) onApplied(s *seat, m *consensus.Applied) {
	g := o.group(m.Entry.Group)
	index := m.Entry.Index
	if last := s.applied[g.name]; index <= last {
		o.world.failed("raft: state machine safety", fmt.Sprintf("group %s: node %d applied index %d after %d", g.name, s.node.id, index, last))
	}
	for between := s.applied[g.name] + 1; between < index; between++ {
		if _, applied := g.entries[between]; applied {
			o.world.failed("raft: state machine safety", fmt.Sprintf("group %s: node %d applied index %d after %d and left out %d", g.name, s.node.id, index, s.applied[g.name], between))
		}
	}
	s.applied[g.name] = index
	content := hashMessage(m.Entry.Command)
	if m.Err != nil {
		content ^= hashText(m.Err.Error())
	} else if m.Result != nil {
		content ^= hashMessage(m.Result)
	}
	have, known := g.entries[index]
	if known {
		if have != (mark{m.Entry.Term, content}) {
			o.world.failed("raft: state machine safety", fmt.Sprintf("group %s, index %d: node %d applied %v of term %d with another result than the first to apply it (term %d)",
				g.name, index, s.node.id, describe(m.Entry.Command), m.Entry.Term, have.term))
		}
		return
	}
	g.entries[index] = mark{m.Entry.Term, content}
	g.last = max(g.last, index)
	if id := m.Entry.ID; id.GetSession() != 0 {
		key := [2]uint64{id.GetSession(), id.GetSequence()}
		if before, done := g.once[key]; done {
			o.world.failed("raft: exactly once", fmt.Sprintf("group %s: number %d of session %d was applied at index %d and at index %d", g.name, key[1], key[0], before, index))
		}
		g.once[key] = index
	}
	if g.name == actors.GroupMeta {
		o.advance(g, m)
	}
}
