package raftactor

import (
	"bytes"
	"encoding/binary"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/confchange"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"
)

// view is what the guard goes by: where RawNode stood at its last Ready.
type view struct {
	self   uint64
	term   uint64
	leader uint64
	role   raft.StateType
	commit uint64
	last   uint64
	// readsSent is the highest position that a heartbeat of this leadership carried as its context.
	readsSent uint64
	// dirty: an append or a snapshot was stepped since the last Ready, so last may be too high.
	dirty bool
	// hard is what was last written, or is being written.
	hard *raftpb.HardState
}

const (
	indexMax       = 1 << 62 // indexes and terms beyond it are no one's
	maxMessages    = 4096    // in one Step
	maxConfChanges = 64      // in one configuration change
	maxReplicas    = 64      // in a snapshot's configuration
	readCtxMax     = 64
)

var transferContext = []byte("CampaignTransfer") // of etcd raft's vote requests

// check returns why a message from the wire must not reach RawNode, or nothing. from is the replica that the connection
// proved. RawNode trusts its input: each of these refusals stands for a panic, or for a promise that nobody made.
func (v *view) check(m *raftpb.Message, from uint64) string {
	switch {
	case m == nil || m.Type == nil:
		return "shape"
	case m.GetFrom() != from || !validReplica(from) || from == v.self:
		return "forged_sender"
	case m.GetTo() != v.self:
		return "other_replica"
	case len(m.GetResponses()) > 0 || m.GetVote() != 0:
		return "shape"
	case m.GetTerm() > indexMax || m.GetIndex() > indexMax || m.GetLogTerm() > indexMax || m.GetCommit() > indexMax || m.GetRejectHint() > indexMax:
		return "range"
	case m.GetSnapshot() != nil && m.GetType() != raftpb.MsgSnap && !raft.IsEmptySnap(m.GetSnapshot()):
		return "shape"
	case m.GetTerm() == 0 && m.GetType() != raftpb.MsgReadIndex:
		return "no_term"
	}
	switch m.GetType() {
	case raftpb.MsgApp:
		return checkAppend(m)
	case raftpb.MsgAppResp:
		return v.checkAppendResponse(m)
	case raftpb.MsgVote, raftpb.MsgPreVote:
		return checkVote(m)
	case raftpb.MsgVoteResp, raftpb.MsgPreVoteResp:
		return checkBare(m, 0)
	case raftpb.MsgHeartbeat:
		return v.checkHeartbeat(m)
	case raftpb.MsgHeartbeatResp:
		return v.checkHeartbeatResponse(m)
	case raftpb.MsgTimeoutNow:
		return v.checkTimeoutNow(m)
	case raftpb.MsgReadIndex, raftpb.MsgReadIndexResp:
		return v.checkRead(m)
	case raftpb.MsgSnap:
		return v.checkSnapshot(m)
	}
	// Proposals are forwarded as actor requests, with the proposer's identity; everything else is local.
	return "type"
}

func checkBare(m *raftpb.Message, entries int) string {
	if len(m.GetEntries()) != entries || len(m.GetContext()) != 0 {
		return "shape"
	}
	return ""
}

func checkVote(m *raftpb.Message) string {
	if len(m.GetEntries()) != 0 || len(m.GetContext()) != 0 && !bytes.Equal(m.GetContext(), transferContext) {
		return "shape"
	}
	return ""
}

// checkAppend wants entries without a gap, in terms that don't go back.
func checkAppend(m *raftpb.Message) string {
	if len(m.GetContext()) != 0 || m.GetReject() {
		return "shape"
	}
	term := m.GetLogTerm()
	for i, e := range m.GetEntries() {
		if e == nil {
			return "shape"
		}
		if e.GetIndex() != m.GetIndex()+1+uint64(i) {
			return "gap"
		}
		if e.GetTerm() == 0 || e.GetTerm() < term || e.GetTerm() > m.GetTerm() {
			return "entry_term"
		}
		term = e.GetTerm()
		switch e.GetType() {
		case raftpb.EntryNormal:
		case raftpb.EntryConfChangeV2:
			if _, _, ok := decodeChange(e.GetData()); !ok {
				return "conf_change"
			}
		default:
			return "entry_type"
		}
	}
	return ""
}

func (v *view) checkAppendResponse(m *raftpb.Message) string {
	if s := checkBare(m, 0); s != "" {
		return s
	}
	if m.GetReject() {
		if m.GetRejectHint() > m.GetIndex() {
			return "range"
		}
		return ""
	}
	if m.GetTerm() >= v.term && m.GetIndex() > v.last {
		return "beyond_log"
	}
	return ""
}

// checkHeartbeat: a leader never announces a commit beyond what this replica acknowledged. One that does speaks to a
// log that was lost, or lies.
func (v *view) checkHeartbeat(m *raftpb.Message) string {
	if len(m.GetEntries()) != 0 || len(m.GetContext()) != 0 && len(m.GetContext()) != 8 {
		return "shape"
	}
	if m.GetTerm() >= v.term && m.GetCommit() > v.last {
		return "beyond_log"
	}
	return ""
}

func (v *view) checkHeartbeatResponse(m *raftpb.Message) string {
	if len(m.GetEntries()) != 0 {
		return "shape"
	}
	switch len(m.GetContext()) {
	case 0:
		return ""
	case 8:
		if m.GetTerm() >= v.term && binary.LittleEndian.Uint64(m.GetContext()) > v.readsSent {
			return "read_position"
		}
		return ""
	}
	return "shape"
}

func (v *view) checkTimeoutNow(m *raftpb.Message) string {
	if m.GetTerm() != v.term || m.GetFrom() != v.leader {
		return "not_leader"
	}
	return checkBare(m, 0)
}

func (v *view) checkRead(m *raftpb.Message) string {
	if s := checkBare(m, 1); s != "" {
		return s
	}
	e := m.GetEntries()[0]
	if e == nil || len(e.GetData()) == 0 || len(e.GetData()) > readCtxMax {
		return "shape"
	}
	if m.GetType() == raftpb.MsgReadIndex && (m.GetTerm() != 0 || v.role != raft.StateLeader) {
		return "not_leader"
	}
	return ""
}

func (v *view) checkSnapshot(m *raftpb.Message) string {
	s := m.GetSnapshot()
	meta := s.GetMetadata()
	switch {
	case s == nil || len(m.GetEntries()) != 0 || len(m.GetContext()) != 0:
		return "shape"
	case meta.GetIndex() == 0 || meta.GetIndex() > indexMax || meta.GetTerm() == 0 || meta.GetTerm() > m.GetTerm():
		return "range"
	case !validConfState(meta.GetConfState()):
		return "conf_state"
	case !inConfState(meta.GetConfState(), v.self):
		return "no_member"
	}
	ref, err := refOf("", s)
	if err != nil {
		return "snapshot_handle"
	}
	if _, err := decodeBook(ref.Peers); err != nil {
		return "snapshot_handle"
	}
	return ""
}

// decodeChange reads a configuration change and what this project says in its context.
func decodeChange(data []byte) (*raftpb.ConfChangeV2, *ChangeContext, bool) {
	cc, cx := &raftpb.ConfChangeV2{}, &ChangeContext{}
	if proto.Unmarshal(data, cc) != nil || proto.Unmarshal(cc.GetContext(), cx) != nil || len(cc.GetChanges()) > maxConfChanges {
		return nil, nil, false
	}
	if t := cc.GetTransition(); t < raftpb.ConfChangeTransitionAuto || t > raftpb.ConfChangeTransitionJointExplicit {
		return nil, nil, false
	}
	for _, c := range cc.GetChanges() {
		switch c.GetType() {
		case raftpb.ConfChangeAddNode, raftpb.ConfChangeAddLearnerNode, raftpb.ConfChangeRemoveNode:
		default:
			return nil, nil, false
		}
		if !validReplica(c.GetNodeId()) {
			return nil, nil, false
		}
	}
	for _, p := range cx.GetPeers() {
		if !validReplica(p.GetReplica()) {
			return nil, nil, false
		}
	}
	return cc, cx, true
}

// validConfState rebuilds a configuration as RawNode would, which panics where it can't.
func validConfState(cs *raftpb.ConfState) bool {
	n := len(cs.GetVoters()) + len(cs.GetLearners()) + len(cs.GetVotersOutgoing()) + len(cs.GetLearnersNext())
	if len(cs.GetVoters()) == 0 || n > maxReplicas {
		return false
	}
	for _, ids := range [][]uint64{cs.GetVoters(), cs.GetLearners(), cs.GetVotersOutgoing(), cs.GetLearnersNext()} {
		for _, id := range ids {
			if !validReplica(id) {
				return false
			}
		}
	}
	tr, ok := trackerOf(cs)
	return ok && cs.Equivalent(tr.ConfState()) == nil
}

// inConfState: those who leave a joint configuration as learners are among its outgoing voters.
func inConfState(cs *raftpb.ConfState, id uint64) bool {
	return slices.Contains(cs.GetVoters(), id) || slices.Contains(cs.GetLearners(), id) || slices.Contains(cs.GetVotersOutgoing(), id)
}

func trackerOf(cs *raftpb.ConfState) (tracker.ProgressTracker, bool) {
	tr := tracker.MakeProgressTracker(1, 0)
	cfg, progress, err := confchange.Restore(confchange.Changer{Tracker: tr, LastIndex: 1}, cs)
	if err != nil {
		return tr, false
	}
	tr.Config, tr.Progress = cfg, progress
	return tr, true
}

// tryChange says what would be wrong with a change of this configuration.
func tryChange(cs *raftpb.ConfState, cc *raftpb.ConfChangeV2) error {
	tr, ok := trackerOf(cs)
	if !ok {
		return errBadConfState
	}
	changer := confchange.Changer{Tracker: tr, LastIndex: 1}
	var err error
	if cc.LeaveJoint() {
		_, _, err = changer.LeaveJoint()
	} else if autoLeave, joint := cc.EnterJoint(); joint {
		_, _, err = changer.EnterJoint(autoLeave, cc.GetChanges()...)
	} else {
		_, _, err = changer.Simple(cc.GetChanges()...)
	}
	return err
}
