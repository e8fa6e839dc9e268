package raftactor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

var errBadConfState = errors.New("the configuration is not one that raft can be in")

// configuration is the group's members as of an index: the snapshot's, and every applied change since.
type configuration struct {
	state *raftpb.ConfState
	index uint64
	book  book
}

func (c *configuration) reset(ref *logstore.SnapshotRef) error {
	book, err := decodeBook(ref.Peers)
	if err != nil {
		return err
	}
	c.state, c.index, c.book = ref.ConfState, ref.Index, book
	if c.state == nil {
		c.state = &raftpb.ConfState{}
	}
	return nil
}

// voters are those of both halves of a joint configuration, ascending.
func (c *configuration) voters() []uint64 {
	ids := slices.Concat(c.state.GetVoters(), c.state.GetVotersOutgoing())
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (c *configuration) learners() []uint64 {
	ids := slices.Concat(c.state.GetLearners(), c.state.GetLearnersNext())
	slices.Sort(ids)
	return slices.Compact(ids)
}

// voter reports whether the replica votes in the configuration that comes, which a new leader must.
func (c *configuration) voter(id uint64) bool { return slices.Contains(c.state.GetVoters(), id) }

func (c *configuration) learner(id uint64) bool { return slices.Contains(c.learners(), id) }

func (c *configuration) member(id uint64) bool {
	return slices.Contains(c.voters(), id) || c.learner(id)
}

// members are all replicas of the configuration, ascending.
func (c *configuration) members() []uint64 {
	ids := slices.Concat(c.voters(), c.learners())
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (c *configuration) joint() bool { return len(c.state.GetVotersOutgoing()) > 0 }

// pendingChange is the one change under way on this leader, answered once it is applied and, if it was a joint one, left.
type pendingChange struct {
	from   *actor.PID
	number uint64
	index  uint64 // 0 until it is applied
}

func (g *group) changeMembership(ctx actor.Context, r request, m *consensus.ChangeMembership) {
	if !g.leads() {
		g.forward(ctx, r, m.GetForwarded(), &consensus.ChangeMembership{Changes: m.GetChanges(), Forwarded: true}, nil)
		return
	}
	cc, err := g.changeOf(m.GetChanges())
	if err != nil {
		g.fail(ctx, r.from, consensus.Code_CODE_INVALID, "%v", err)
		return
	}
	data, err := proto.Marshal(cc)
	if err != nil {
		g.fail(ctx, r.from, consensus.Code_CODE_INVALID, "%v", err)
		return
	}
	entry := &raftpb.Entry{Type: raftpb.EntryConfChangeV2.Enum(), Data: data}
	prop := &raftpb.Message{Type: raftpb.MsgProp.Enum(), From: new(g.cfg.Replica), Entries: []*raftpb.Entry{entry}}
	if g.change != nil || g.config.joint() {
		g.fail(ctx, r.from, consensus.Code_CODE_BUSY, "another change of the membership is under way")
		return
	}
	if err := g.node.Step(prop); err != nil {
		g.fail(ctx, r.from, consensus.Code_CODE_DROPPED, "%v", err)
		return
	}
	g.wake(ctx)
	// RawNode puts an empty entry in the place of a change that it refuses.
	if prop.GetEntries()[0].GetType() != raftpb.EntryConfChangeV2 {
		g.fail(ctx, r.from, consensus.Code_CODE_BUSY, "the log may hold a change that is not applied yet: try again")
		return
	}
	g.change = &pendingChange{from: r.from, number: g.proposals.number}
}

// changeOf checks the changes against the configuration in force, which is the one that they will be applied to: RawNode
// lets no second one into the log before that.
func (g *group) changeOf(changes []*consensus.Change) (*raftpb.ConfChangeV2, error) {
	if len(changes) == 0 || len(changes) > maxConfChanges {
		return nil, fmt.Errorf("%d changes: want 1 to %d", len(changes), maxConfChanges)
	}
	g.proposals.number++
	cx := &ChangeContext{Format: entryFormat, Origin: g.instance, Number: g.proposals.number}
	cc := &raftpb.ConfChangeV2{Transition: raftpb.ConfChangeTransitionAuto.Enum()}
	for _, c := range changes {
		id := c.GetPeer().GetReplica()
		kind, err := g.changeKind(c.GetKind(), c.GetPeer())
		if err != nil {
			return nil, fmt.Errorf("replica %d: %w", id, err)
		}
		cc.Changes = append(cc.Changes, &raftpb.ConfChangeSingle{Type: kind.Enum(), NodeId: new(id)})
		if c.GetKind() == consensus.ChangeKind_CHANGE_KIND_ADD_LEARNER {
			cx.Peers = append(cx.Peers, c.GetPeer())
		}
	}
	if err := tryChange(g.config.state, cc); err != nil {
		return nil, err
	}
	data, err := proto.Marshal(cx)
	if err != nil {
		return nil, err
	}
	cc.Context = data
	return cc, nil
}

func (g *group) changeKind(kind consensus.ChangeKind, p *consensus.Peer) (raftpb.ConfChangeType, error) {
	id := p.GetReplica()
	if !validReplica(id) {
		return 0, errors.New("the id is reserved")
	}
	switch kind {
	case consensus.ChangeKind_CHANGE_KIND_ADD_LEARNER:
		if g.config.member(id) {
			return 0, errors.New("it is a member already")
		}
		if p.GetNodeId() == 0 || p.GetAddress() == "" {
			return 0, errors.New("a learner needs node id and address")
		}
		return raftpb.ConfChangeAddLearnerNode, nil
	case consensus.ChangeKind_CHANGE_KIND_PROMOTE:
		if !g.config.learner(id) {
			return 0, errors.New("it is no learner: add it as one first")
		}
		return raftpb.ConfChangeAddNode, nil
	case consensus.ChangeKind_CHANGE_KIND_DEMOTE:
		if !g.config.voter(id) {
			return 0, errors.New("it is no voter")
		}
		return raftpb.ConfChangeAddLearnerNode, nil
	case consensus.ChangeKind_CHANGE_KIND_REMOVE:
		if !g.config.member(id) {
			return 0, errors.New("it is no member")
		}
		return raftpb.ConfChangeRemoveNode, nil
	}
	return 0, fmt.Errorf("unknown kind of change %d", kind)
}

// applyChange puts a committed change into force, unless a snapshot that holds it came first. One that can't be applied would
// panic in RawNode, on every replica.
func (g *group) applyChange(ctx actor.Context, e *raftpb.Entry) {
	if e.GetIndex() <= g.config.index {
		return
	}
	cc, cx, ok := decodeChange(e.GetData())
	if !ok {
		g.halt(ctx, fmt.Sprintf("membership change at index %d is damaged", e.GetIndex()))
		return
	}
	if err := tryChange(g.config.state, cc); err != nil {
		g.halt(ctx, fmt.Sprintf("membership change at index %d can't be applied: %v", e.GetIndex(), err))
		return
	}
	g.config.state, g.config.index = g.node.ApplyConfChange(cc), e.GetIndex()
	kept := newBook()
	for _, p := range append(g.config.book.sorted(), cx.GetPeers()...) {
		if g.config.member(p.GetReplica()) {
			kept.put(p)
		}
	}
	for _, p := range cx.GetPeers() {
		g.routes.belongs(p.GetReplica(), p.GetNodeId(), p.GetAddress())
	}
	g.config.book = kept
	g.log.Info("membership", zap.Uint64("index", e.GetIndex()), zap.Uint64s("voters", g.config.state.GetVoters()),
		zap.Uint64s("outgoing", g.config.state.GetVotersOutgoing()), zap.Uint64s("learners", g.config.learners()))
	g.changed(ctx, cx, e.GetIndex())
}

func (g *group) changed(ctx actor.Context, cx *ChangeContext, index uint64) {
	if g.change == nil {
		return
	}
	if cx.GetOrigin() == g.instance && cx.GetNumber() == g.change.number {
		g.change.index = index
	}
	if g.change.index == 0 || g.config.joint() {
		return
	}
	g.reply(ctx, g.change.from, &consensus.MembershipChanged{
		Index: g.change.index, Voters: g.describe(g.config.state.GetVoters()), Learners: g.describe(g.config.learners()),
	})
	g.change = nil
}

func (g *group) describe(ids []uint64) []*consensus.Peer {
	sorted := slices.Sorted(slices.Values(ids))
	out := make([]*consensus.Peer, 0, len(sorted))
	for _, id := range sorted {
		out = append(out, g.peer(id))
	}
	return out
}
