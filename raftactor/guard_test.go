package raftactor

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

func u(v uint64) *uint64 { return &v }

func TestGuardRefusesByReason(t *testing.T) {
	const self, peer = 7, 8
	follower := view{self: self, term: 5, leader: peer, role: raft.StateFollower, commit: 10, last: 20}
	leader := view{self: self, term: 5, leader: self, role: raft.StateLeader, commit: 10, last: 20, readsSent: 3}
	msg := func(typ raftpb.MessageType, change func(*raftpb.Message)) *raftpb.Message {
		m := &raftpb.Message{Type: typ.Enum(), From: u(peer), To: u(self), Term: u(5)}
		if change != nil {
			change(m)
		}
		return m
	}
	entry := func(index, term uint64) *raftpb.Entry { return &raftpb.Entry{Index: u(index), Term: u(term)} }
	position := func(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
	change := func(cc *raftpb.ConfChangeV2) []byte { data, _ := proto.Marshal(cc); return data }
	snapshot := func(cs *raftpb.ConfState) *raftpb.Snapshot {
		return handleOf(&logstore.SnapshotRef{Group: "g", Index: 30, Term: 5, ConfState: cs, Size: 1})
	}
	for _, c := range []struct {
		name string
		view *view
		m    *raftpb.Message
		want string
	}{
		{"heartbeat", &follower, msg(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Commit = u(20) }), ""},
		{"nothing", &follower, nil, "shape"},
		{"no type", &follower, &raftpb.Message{From: u(peer), To: u(self), Term: u(5)}, "shape"},
		{"forged sender", &follower, msg(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.From = u(9) }), "forged_sender"},
		{"forged storage response", &follower, msg(raftpb.MsgStorageAppendResp, func(m *raftpb.Message) { m.From = u(raft.LocalAppendThread) }), "forged_sender"},
		{"storage response", &follower, msg(raftpb.MsgStorageAppendResp, nil), "type"},
		{"apply response", &follower, msg(raftpb.MsgStorageApplyResp, nil), "type"},
		{"for another", &follower, msg(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.To = u(raft.LocalApplyThread) }), "other_replica"},
		{"attached responses", &follower, msg(raftpb.MsgApp, func(m *raftpb.Message) { m.Responses = []*raftpb.Message{{}} }), "shape"},
		{"no term", &follower, msg(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Term = nil }), "no_term"},
		{"term of no one", &follower, msg(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Term = u(1 << 63) }), "range"},
		{"campaign", &follower, msg(raftpb.MsgHup, nil), "type"},
		{"beat", &leader, msg(raftpb.MsgBeat, nil), "type"},
		{"check quorum", &leader, msg(raftpb.MsgCheckQuorum, nil), "type"},
		{"unreachable", &leader, msg(raftpb.MsgUnreachable, nil), "type"},
		{"snapshot status", &leader, msg(raftpb.MsgSnapStatus, nil), "type"},
		{"forget leader", &follower, msg(raftpb.MsgForgetLeader, nil), "type"},
		{"empty proposal", &leader, msg(raftpb.MsgProp, nil), "type"},
		{"transfer", &leader, msg(raftpb.MsgTransferLeader, nil), "type"},
		{"commit beyond the log", &follower, msg(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Commit = u(21) }), "beyond_log"},
		{"heartbeat context", &follower, msg(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Context = []byte{1} }), "shape"},
		{"short response context", &leader, msg(raftpb.MsgHeartbeatResp, func(m *raftpb.Message) { m.Context = []byte{1, 2} }), "shape"},
		{"read position", &leader, msg(raftpb.MsgHeartbeatResp, func(m *raftpb.Message) { m.Context = position(4) }), "read_position"},
		{"sent read position", &leader, msg(raftpb.MsgHeartbeatResp, func(m *raftpb.Message) { m.Context = position(3) }), ""},
		{"append", &follower, msg(raftpb.MsgApp, func(m *raftpb.Message) {
			m.Index, m.LogTerm, m.Entries = u(20), u(4), []*raftpb.Entry{entry(21, 4), entry(22, 5)}
		}), ""},
		{"gap", &follower, msg(raftpb.MsgApp, func(m *raftpb.Message) { m.Index, m.Entries = u(20), []*raftpb.Entry{entry(22, 5)} }), "gap"},
		{"gap within", &follower, msg(raftpb.MsgApp, func(m *raftpb.Message) { m.Index, m.Entries = u(20), []*raftpb.Entry{entry(21, 5), entry(23, 5)} }), "gap"},
		{"terms go back", &follower, msg(raftpb.MsgApp, func(m *raftpb.Message) { m.Index, m.Entries = u(20), []*raftpb.Entry{entry(21, 5), entry(22, 4)} }), "entry_term"},
		{"entry of a later term", &follower, msg(raftpb.MsgApp, func(m *raftpb.Message) { m.Index, m.Entries = u(20), []*raftpb.Entry{entry(21, 6)} }), "entry_term"},
		{"garbage change", &follower, msg(raftpb.MsgApp, func(m *raftpb.Message) {
			m.Index, m.Entries = u(20), []*raftpb.Entry{{Index: u(21), Term: u(5), Type: raftpb.EntryConfChangeV2.Enum(), Data: []byte{255}}}
		}), "conf_change"},
		{"change of a reserved id", &follower, msg(raftpb.MsgApp, func(m *raftpb.Message) {
			m.Index, m.Entries = u(20), []*raftpb.Entry{{Index: u(21), Term: u(5), Type: raftpb.EntryConfChangeV2.Enum(),
				Data: change(&raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{{Type: raftpb.ConfChangeAddNode.Enum(), NodeId: u(raft.LocalAppendThread)}}})}}
		}), "conf_change"},
		{"old kind of change", &follower, msg(raftpb.MsgApp, func(m *raftpb.Message) {
			m.Index, m.Entries = u(20), []*raftpb.Entry{{Index: u(21), Term: u(5), Type: raftpb.EntryConfChange.Enum()}}
		}), "entry_type"},
		{"acknowledges what was never sent", &leader, msg(raftpb.MsgAppResp, func(m *raftpb.Message) { m.Index = u(21) }), "beyond_log"},
		{"hint beyond the rejected", &leader, msg(raftpb.MsgAppResp, func(m *raftpb.Message) { m.Index, m.Reject, m.RejectHint = u(5), new(true), u(6) }), "range"},
		{"vote context", &follower, msg(raftpb.MsgVote, func(m *raftpb.Message) { m.Context = []byte("x") }), "shape"},
		{"take over, from one who doesn't lead", &leader, msg(raftpb.MsgTimeoutNow, nil), "not_leader"},
		{"take over", &follower, msg(raftpb.MsgTimeoutNow, nil), ""},
		{"read without entry", &leader, msg(raftpb.MsgReadIndex, func(m *raftpb.Message) { m.Term = nil }), "shape"},
		{"read at a follower", &follower, msg(raftpb.MsgReadIndex, func(m *raftpb.Message) { m.Term, m.Entries = nil, []*raftpb.Entry{{Data: []byte("c")}} }), "not_leader"},
		{"snapshot without metadata", &follower, msg(raftpb.MsgSnap, func(m *raftpb.Message) { m.Snapshot = &raftpb.Snapshot{} }), "range"},
		{"no snapshot", &follower, msg(raftpb.MsgSnap, nil), "shape"},
		{"snapshot", &follower, msg(raftpb.MsgSnap, func(m *raftpb.Message) {
			m.Snapshot = snapshot(&raftpb.ConfState{Voters: []uint64{self, peer}})
		}), ""},
		{"snapshot that names others", &follower, msg(raftpb.MsgSnap, func(m *raftpb.Message) {
			m.Snapshot = snapshot(&raftpb.ConfState{Voters: []uint64{9, peer}})
		}), "no_member"},
		{"voter and learner at once", &follower, msg(raftpb.MsgSnap, func(m *raftpb.Message) {
			m.Snapshot = snapshot(&raftpb.ConfState{Voters: []uint64{self, peer}, Learners: []uint64{self}})
		}), "conf_state"},
		{"voter twice", &follower, msg(raftpb.MsgSnap, func(m *raftpb.Message) {
			m.Snapshot = snapshot(&raftpb.ConfState{Voters: []uint64{self, self}})
		}), "conf_state"},
		{"next learner out of nowhere", &follower, msg(raftpb.MsgSnap, func(m *raftpb.Message) {
			m.Snapshot = snapshot(&raftpb.ConfState{Voters: []uint64{self}, LearnersNext: []uint64{peer}})
		}), "conf_state"},
		{"garbage handle", &follower, msg(raftpb.MsgSnap, func(m *raftpb.Message) {
			m.Snapshot = snapshot(&raftpb.ConfState{Voters: []uint64{self}})
			m.Snapshot.Data = []byte{255}
		}), "snapshot_handle"},
	} {
		if got := c.view.check(c.m, peer); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestForgedSenderIsCountedAndChangesNothing(t *testing.T) {
	w := cluster(t, 41, 3)
	leader := w.leader()
	victim, accused := w.followers()[0], w.followers()[1]
	term := victim.status().GetTerm()
	victim.inbound(accused, leader.replica(), &Step{Instance: 1, Messages: []*raftpb.Message{
		{Type: raftpb.MsgHeartbeat.Enum(), From: u(leader.replica()), To: u(victim.replica()), Term: u(term + 10)}}})
	w.run(10 * time.Millisecond)
	if victim.metrics.of("messages_refused_total/forged_sender") != 1 || victim.status().GetTerm() != term {
		t.Fatalf("refused %d, term %d", victim.metrics.of("messages_refused_total/forged_sender"), victim.status().GetTerm())
	}
	// Messages of the vocabulary that don't belong on the wire are refused too.
	victim.deliver(victim.group, &actors.Inbound{Peer: &actors.PeerInfo{DirectoryID: accused.dir}, Message: &consensus.Subscribe{}})
	victim.deliver(victim.group, &actors.Inbound{Peer: &actors.PeerInfo{DirectoryID: accused.dir}, Message: &consensus.Failed{}})
	w.run(time.Millisecond)
	if victim.metrics.of("messages_refused_total/type") != 2 {
		t.Fatal("not refused")
	}
}

func (n *node) inbound(from *node, _ uint64, s *Step) {
	n.deliver(n.group, &actor.MessageEnvelope{Message: &actors.Inbound{Message: s,
		Peer: &actors.PeerInfo{NodeID: uint64(from.id), DirectoryID: from.dir, Address: from.address}}})
}

// FuzzGuard sends what an authenticated but hostile peer may send to a live replica: no input makes it panic. The first
// byte chooses the victim's role and how the rest is read: as a Step, or as fields that lie near the victim's own.
func FuzzGuard(f *testing.F) {
	for _, typ := range []raftpb.MessageType{
		raftpb.MsgApp, raftpb.MsgAppResp, raftpb.MsgVote, raftpb.MsgVoteResp, raftpb.MsgSnap, raftpb.MsgHeartbeat, raftpb.MsgHeartbeatResp,
		raftpb.MsgTimeoutNow, raftpb.MsgReadIndex, raftpb.MsgReadIndexResp, raftpb.MsgPreVote, raftpb.MsgPreVoteResp, raftpb.MsgProp,
	} {
		for role := range byte(3) {
			f.Add(append([]byte{role}, byte(typ), 8, 8, 8, 8, 2, 0, 3, byte(typ), 9, 9, 8, 8, 1, 1, 8))
		}
	}
	raw, _ := proto.Marshal(&Step{Instance: 1, Messages: []*raftpb.Message{{Type: raftpb.MsgHeartbeatResp.Enum(), Context: []byte{1}}}})
	f.Add(append([]byte{128}, raw...))
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) < 2 || len(input) > 256 {
			return
		}
		w := cluster(t, 42, 3)
		w.leader().set("a", "1")
		victim := w.leader()
		if input[0]%3 != 0 {
			victim = w.followers()[0]
		}
		var hostile []*node
		for _, n := range w.nodes {
			if n != victim {
				hostile = append(hostile, n)
				n.crash()
			}
		}
		if input[0]%3 == 2 {
			victim.crash()
			victim.format()
			victim.start(nil)
			w.run(time.Millisecond)
		}
		from := hostile[int(input[0]>>4)%2]
		s := &Step{}
		if input[0]&128 != 0 {
			if proto.Unmarshal(input[1:], s) != nil {
				return
			}
		} else {
			s = near(victim, from, input[1:])
		}
		s.ToInstance = victim.instance()
		victim.inbound(from, 0, s)
		w.run(20 * time.Millisecond)
		victim.ask(consensus.NewPropose(text("set b 1")))
		victim.ask(consensus.NewQuery(text("a")))
		victim.inbound(from, 0, proto.Clone(s).(*Step))
		w.run(400 * time.Millisecond)
		if n := victim.metrics.of("rivven_actor_failures_total"); n != 0 || victim.gaveUp != nil {
			t.Fatalf("the replica panicked %d times on %v", n, s)
		}
	})
}

func (n *node) instance() uint64 {
	var instance uint64
	n.w.filter = func(from, _ int, m proto.Message) bool {
		if s, ok := m.(*Step); ok && from == n.id {
			instance = s.GetInstance()
		}
		return true
	}
	n.w.runUntil(400*time.Millisecond, func() bool { return instance != 0 })
	n.w.filter = nil
	return instance
}

// near reads eight bytes a message, as distances from where the victim stands.
func near(victim, from *node, in []byte) *Step {
	st := victim.status()
	s := &Step{Instance: 99}
	at := func(base uint64, b byte) *uint64 {
		switch b {
		case 255:
			return u(1<<64 - 1)
		case 254:
			return u(1 << 62)
		}
		return u(uint64(max(int64(base)+int64(b)-8, 0)))
	}
	for len(in) >= 8 && len(s.Messages) < 16 {
		m := &raftpb.Message{
			Type: raftpb.MessageType(in[0]).Enum(), From: u(from.replica()), To: u(victim.replica()), Term: at(st.GetTerm(), in[1]),
			Index: at(st.GetLastIndex(), in[2]), LogTerm: at(st.GetTerm(), in[3]), Commit: at(st.GetLastIndex(), in[4]), Reject: new(in[6]&1 != 0),
		}
		for i := range uint64(in[5] % 8) {
			e := &raftpb.Entry{Term: at(m.GetTerm(), 8-in[6]>>6), Index: u(m.GetIndex() + 1 + i), Type: raftpb.EntryType(in[6] >> 1 & 3).Enum()}
			if e.GetType() == raftpb.EntryConfChangeV2 {
				e.Data, _ = proto.Marshal(&raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{{
					Type: raftpb.ConfChangeType(in[7] & 3).Enum(), NodeId: u(uint64(in[7] >> 2))}, {Type: raftpb.ConfChangeRemoveNode.Enum(), NodeId: u(from.replica())}}})
			} else if in[6]&8 != 0 {
				e.Data = in
			}
			m.Entries = append(m.Entries, e)
		}
		if in[6]&16 != 0 {
			m.Context = binary.LittleEndian.AppendUint64(nil, uint64(in[7]))[:in[7]%9]
		}
		if m.GetType() == raftpb.MsgReadIndex {
			m.Term = nil
		}
		if m.GetType() == raftpb.MsgAppResp {
			m.RejectHint = at(st.GetLastIndex(), in[7])
		}
		if m.GetType() == raftpb.MsgSnap {
			m.Entries = nil
			cs := &raftpb.ConfState{Voters: []uint64{victim.replica(), from.replica()}, Learners: []uint64{uint64(in[7])}}
			m.Snapshot = handleOf(&logstore.SnapshotRef{Index: m.GetIndex(), Term: m.GetLogTerm(), ConfState: cs, Size: uint64(in[6] & 2)})
		}
		s.Messages = append(s.Messages, m)
		in = in[8:]
	}
	return s
}
