package ringactor

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

// maxBuffered bounds the commands that are kept while the state is read; over it the reading starts anew.
const maxBuffered = 16_384

const (
	syncRetry = 500 * time.Millisecond
	// syncComplaints is how many attempts share one log line.
	syncComplaints = 20
)

// follower keeps a copy of the metadata current: it reads the whole once and
// applies the same commands from then on. What it missed, or got wrong, shows
// when the subscription is renewed: the group's digest at an index is then compared with the copy's.
type follower struct {
	state metadata.State
	// index is the last log index that the state contains.
	index      uint64
	subscribed bool
	synced     bool
	syncing    bool
	syncToken  *byte  // of the reading under way
	atLeast    uint64 // what a reading must contain
	failures   int    // of readings in a row
	buffered   []*consensus.Applied
	// checkIndex and checkDigest are the group's, for when the copy has come to that index; 0: none.
	checkIndex, checkDigest uint64
	leader                  *consensus.Peer
}

func (m *manager) onConsensus(ctx actor.Context, event any) {
	switch e := event.(type) {
	case *consensus.LeaderChanged:
		m.onLeader(ctx, e)
	case *consensus.Subscribed:
		m.subscribed = true
		if !m.synced {
			m.resync(ctx, e.GetApplied())
		} else {
			m.compare(ctx)
		}
	case *consensus.Restored:
		m.resync(ctx, e.Index)
	case *consensus.Applied:
		if m.syncing {
			m.buffer(ctx, e)
			return
		}
		if m.synced {
			m.follow(ctx, e)
		}
	}
	m.advance(ctx)
}

func (m *manager) buffer(ctx actor.Context, e *consensus.Applied) {
	if len(m.buffered) < maxBuffered {
		m.buffered = append(m.buffered, e)
		return
	}
	m.metrics.overflows.Add(1)
	m.buffered, m.syncing = nil, false
	m.resync(ctx, e.Entry.Index)
}

func (m *manager) follow(ctx actor.Context, e *consensus.Applied) {
	if e.Entry.Index <= m.index {
		return
	}
	if m.checkIndex != 0 && e.Entry.Index > m.checkIndex && !m.passesCheck(ctx) {
		m.atLeast = max(m.atLeast, e.Entry.Index)
		return
	}
	before := m.state
	if e.Err == nil {
		next, _, err := m.state.Apply(e.Entry.Index, e.Entry.Command)
		if err != nil {
			m.log.Error("the copy of the metadata differs from the group's, reading it anew", zap.Uint64("index", e.Entry.Index), zap.Error(err))
			m.resync(ctx, e.Entry.Index)
			return
		}
		m.state = next
	}
	m.index = e.Entry.Index
	if m.index == m.checkIndex && !m.passesCheck(ctx) {
		return
	}
	if !m.state.SameTable(before) {
		m.tableChanged(ctx)
	}
}

// compare asks the local replica for its digest. Entries that are no commands raise its index above the copy's.
func (m *manager) compare(ctx actor.Context) {
	if m.syncing || m.checkIndex != 0 && !m.passesCheck(ctx) {
		return
	}
	actors.Ask(ctx, m.cfg.Meta, consensus.NewStaleQuery(&metadata.GetDigest{}), m.cfg.RequestTimeout, func(res any, err error) {
		digest, err := consensus.Result[*metadata.StateDigest](res, err)
		answer, ok := res.(*consensus.Answer)
		if err != nil || !ok || m.syncing || answer.GetIndex() < m.index {
			return
		}
		m.checkIndex, m.checkDigest = answer.GetIndex(), digest.GetDigest()
		if m.checkDigest == m.state.Digest() {
			m.passesCheck(ctx)
			m.advance(ctx)
		}
	})
}

// passesCheck is asked when the copy holds all commands up to checkIndex, or should have.
func (m *manager) passesCheck(ctx actor.Context) bool {
	index, digest := m.checkIndex, m.checkDigest
	m.checkIndex = 0
	if digest == m.state.Digest() {
		m.index = max(m.index, index)
		return true
	}
	m.log.Warn("the copy of the metadata differs from the group's, reading it anew", zap.Uint64("index", index))
	m.resync(ctx, index)
	return false
}

// resync reads the state from the local replica until it contains the index.
func (m *manager) resync(ctx actor.Context, atLeast uint64) {
	m.atLeast = max(m.atLeast, atLeast)
	if m.syncing {
		return
	}
	m.syncing, m.checkIndex = true, 0
	m.metrics.resyncs.Add(1)
	token := new(byte)
	m.syncToken = token
	actors.Ask(ctx, m.cfg.Meta, consensus.NewStaleQuery(&metadata.GetExport{}), m.cfg.RequestTimeout, func(res any, err error) {
		if m.syncToken != token {
			return
		}
		state, index, err := readExport(res, err)
		if err == nil && index < m.atLeast {
			err = fmt.Errorf("the replica answered at index %d, before %d", index, m.atLeast)
		}
		if err != nil {
			if m.failures++; m.failures%syncComplaints == 1 {
				m.log.Info("can't read the metadata yet", zap.Int("attempts", m.failures), zap.Error(err))
			}
			m.env.After(syncRetry, ctx.Self(), &retry{what: retrySync, token: token})
			return
		}
		m.install(ctx, state, index)
	})
}

func readExport(res any, err error) (metadata.State, uint64, error) {
	export, err := consensus.Result[*metadata.Export](res, err)
	if err != nil {
		return metadata.State{}, 0, err
	}
	answer, ok := res.(*consensus.Answer)
	if !ok {
		return metadata.State{}, 0, fmt.Errorf("%w: answer to a query is %T", consensus.ErrInvalid, res)
	}
	state, err := metadata.StateFrom(export)
	return state, answer.GetIndex(), err
}

func (m *manager) install(ctx actor.Context, state metadata.State, index uint64) {
	buffered := m.buffered
	m.state, m.index = state, index
	m.synced, m.syncing, m.buffered, m.failures = true, false, nil, 0
	m.tableChanged(ctx)
	for _, e := range buffered {
		if m.syncing {
			m.buffer(ctx, e)
			continue
		}
		m.follow(ctx, e)
	}
	m.createKinds(ctx)
	m.advance(ctx)
}

func (m *manager) onLeader(ctx actor.Context, e *consensus.LeaderChanged) {
	controlled := m.controls()
	m.leader = e.GetLeader()
	switch {
	case m.controls() && !controlled:
		m.log.Info("controls the partition table", zap.Uint64("term", e.GetTerm()))
		m.takeOver()
	case !m.controls() && controlled:
		m.log.Info("no longer controls the partition table", zap.Uint64("term", e.GetTerm()), zap.Uint64("leader", m.leader.GetNodeId()))
		m.stepDown(ctx)
	}
}

// controls reports whether this node's replica leads the metadata group.
func (m *manager) controls() bool { return m.leader.GetNodeId() == m.cfg.NodeID && m.leader != nil }
