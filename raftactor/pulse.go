package raftactor

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
)

// TicksWireTypes are the messages that "ticks" takes from the wire.
func TicksWireTypes() []proto.Message { return []proto.Message{&Pulse{}} }

const (
	stepsMax  = 1024 // groups in one Pulse
	lateMax   = 3    // heartbeat intervals of lateness that count
	pulsesMax = 1024 // nodes whose pulses are awaited; a group with one more stays awake
)

// beat is a group's heartbeat on its way to a node.
type beat struct {
	To   string
	Step *GroupStep
}

// silentPeer tells a resting group that a peer's node was silent for too long, or was started anew.
type silentPeer struct{ Replica uint64 }

// restRefused wakes a group that can't rest. It tries again after as long as before.
type restRefused struct{}

// pulses gathers heartbeats by node, and keeps up the ties between nodes that have resting groups in common: each shows itself to
// the other once a heartbeat interval, however many groups there are.
type pulses struct {
	instance uint64
	every    time.Duration // 0: nobody rests that has peers
	last     time.Duration
	late     time.Duration // how late this timer was of late
	targets  []string      // addresses, sorted
	awaited  []*awaited
	beats    []*beats // by address, sorted
	flushed  time.Duration

	sent, received, missing, refused, restRefused actors.Counter
	resting                                       actors.Gauge
}

// awaited is a peer's node, by its replica.
type awaited struct {
	replica  uint64
	patience time.Duration
	heard    time.Duration
	instance uint64 // 0: not heard yet
	doubted  bool   // silent for too long, unless its pulse is in the mailbox
}

// doubts ends what was in the mailbox when somebody seemed silent.
type doubts struct{}

type beats struct {
	to    string
	steps []*GroupStep
}

func (p *pulses) start(ctx actor.Context) {
	s := actors.Of(ctx)
	if p.instance == 0 {
		p.instance = s.Env().Rand("ticks").Uint64() | 1
	}
	m := s.Metrics()
	p.sent = m.Counter("rivven_raft_pulses_sent_total", "Messages with the heartbeats of all groups to one node.")
	p.received = m.Counter("rivven_raft_pulses_received_total", "Messages with the heartbeats of all groups of one node.")
	p.missing = m.Counter("rivven_raft_pulses_missing_group_total", "Heartbeats for groups that don't run here.")
	p.refused = m.Counter("rivven_raft_pulses_refused_total", "Pulses refused for their shape.")
	p.restRefused = m.Counter("rivven_raft_rests_refused_total", "Groups that had to stay awake, because the pulses of as many nodes are awaited as can be.")
	p.resting = m.Gauge("rivven_raft_groups_resting", "Groups that are idle and not ticked.")
}

// gather keeps a heartbeat until the next flush: a fifth of a heartbeat interval at most, so that those of groups whose
// intervals begin at different ticks go together.
func (p *pulses) gather(ctx actor.Context, m *beat) {
	i, ok := slices.BinarySearchFunc(p.beats, m.To, func(b *beats, to string) int { return strings.Compare(b.to, to) })
	if !ok {
		p.beats = slices.Insert(p.beats, i, &beats{to: m.To})
	}
	p.beats[i].steps = append(p.beats[i].steps, m.Step)
	if len(p.beats[i].steps) == stepsMax {
		p.send(ctx, m.To, p.beats[i].steps)
		p.beats[i].steps = nil
	}
}

func (p *pulses) flush(ctx actor.Context) {
	p.flushed = actors.EnvOf(ctx).Boot()
	gathered := p.beats
	p.beats = nil
	for _, b := range gathered {
		if len(b.steps) > 0 {
			p.send(ctx, b.to, b.steps)
		}
	}
}

func (p *pulses) send(ctx actor.Context, to string, steps []*GroupStep) {
	p.sent.Add(1)
	actors.Send(actors.Control, ctx, actor.NewPID(to, actors.NameTicks), &Pulse{Instance: p.instance, Steps: steps})
}

// changed takes over what the resting groups want. A peer that is new is given the time from now.
func (p *pulses) changed(ctx actor.Context, groups []*ticked) {
	now := actors.EnvOf(ctx).Boot()
	known := p.awaited
	p.every, p.targets, p.awaited = 0, p.targets[:0], nil
	resting := 0
	for _, g := range groups {
		if g.rests == nil {
			continue
		}
		for _, peer := range g.rests.Peers {
			if !p.await(peer, g.rests, now, known) {
				// Nobody would notice that this peer's node is gone.
				p.restRefused.Add(1)
				g.rests = nil
				ctx.Send(g.pid, &restRefused{})
				break
			}
		}
		if g.rests != nil {
			resting++
		}
	}
	if p.every == 0 {
		p.last = 0 // no timer, so it is not late
	}
	p.resting.Set(float64(resting))
}

func (p *pulses) await(peer sleepPeer, m *sleepTicks, now time.Duration, known []*awaited) bool {
	i, ok := slices.BinarySearchFunc(p.awaited, peer.replica, byReplica)
	if !ok && len(p.awaited) >= pulsesMax {
		return false
	}
	if p.every == 0 {
		p.every = m.Every
	}
	p.every = min(p.every, m.Every)
	if i, ok := slices.BinarySearch(p.targets, peer.address); !ok {
		p.targets = slices.Insert(p.targets, i, peer.address)
	}
	if ok {
		p.awaited[i].patience = min(p.awaited[i].patience, m.Patience)
		return true
	}
	a := &awaited{replica: peer.replica, patience: m.Patience, heard: now}
	if j, ok := slices.BinarySearchFunc(known, peer.replica, byReplica); ok {
		a.heard, a.instance, a.doubted = known[j].heard, known[j].instance, known[j].doubted
	}
	p.awaited = slices.Insert(p.awaited, i, a)
	return true
}

func byReplica(a *awaited, replica uint64) int { return cmp.Compare(a.replica, replica) }

// fire shows this node to the others, and looks who was silent for too long. After a pause of this process it listens first, and while its
// own timer is late it is as patient as it is late: on a node that is out of breath the others' pulses wait for their turn, too, and one
// that is missed wakes all groups at once.
func (p *pulses) fire(ctx actor.Context, now time.Duration, groups []*ticked) {
	if p.every == 0 || now < p.last+p.every {
		return
	}
	paused := now > p.last+2*p.every
	if p.late = p.late * 3 / 4; p.last > 0 {
		p.late = max(p.late, min(now-p.last-p.every, lateMax*p.every))
	}
	p.last = now
	for _, to := range p.targets {
		p.send(ctx, to, nil)
	}
	doubted := false
	for _, a := range p.awaited {
		if paused {
			a.heard = max(a.heard, now-a.patience/2)
		}
		if patience := a.patience + time.Duration(float64(a.patience)*float64(p.late)/float64(p.every)); now-a.heard >= patience && !a.doubted {
			a.doubted = true
			doubted = true
		}
	}
	if doubted {
		ctx.Send(ctx.Self(), &doubts{})
	}
}

// settle tells the groups of those who are silent still.
func (p *pulses) settle(ctx actor.Context, groups []*ticked) {
	for _, a := range p.awaited {
		if a.doubted {
			a.doubted, a.heard = false, actors.EnvOf(ctx).Boot()
			tellSilent(ctx, groups, a.replica)
		}
	}
}

func tellSilent(ctx actor.Context, groups []*ticked, replica uint64) {
	for _, g := range groups {
		if g.rests != nil && slices.ContainsFunc(g.rests.Peers, func(p sleepPeer) bool { return p.replica == replica }) {
			ctx.Send(g.pid, &silentPeer{Replica: replica})
		}
	}
}

// heard notes a sign of life. One of another start of the process means that the groups there start over.
func (p *pulses) heard(ctx actor.Context, replica, instance uint64, groups []*ticked) {
	i, ok := slices.BinarySearchFunc(p.awaited, replica, byReplica)
	if !ok {
		return
	}
	a := p.awaited[i]
	restarted := a.instance != 0 && a.instance != instance
	a.heard, a.instance, a.doubted = actors.EnvOf(ctx).Boot(), instance, false
	if restarted {
		tellSilent(ctx, groups, replica)
	}
}

// inbound hands the heartbeats of a node on to their groups, with the sender that the connection proved.
func (t *ticks) inbound(ctx actor.Context, in *actors.Inbound) {
	m, ok := in.Message.(*Pulse)
	if !ok || in.Peer == nil || m.GetInstance() == 0 || len(m.GetSteps()) > stepsMax {
		t.pulses.refused.Add(1)
		return
	}
	t.pulses.received.Add(1)
	t.pulses.heard(ctx, in.Peer.Replica(), m.GetInstance(), t.groups)
	registry := ctx.ActorSystem().ProcessRegistry
	for _, s := range m.GetSteps() {
		if !validGroup(s.GetGroup()) || s.GetStep() == nil {
			t.pulses.refused.Add(1)
			continue
		}
		pid := ctx.ActorSystem().NewLocalPID(actors.RaftName(s.GetGroup()))
		if _, there := registry.GetLocal(pid.Id); !there {
			t.pulses.missing.Add(1)
			continue
		}
		ctx.Send(pid, &actors.Inbound{Peer: in.Peer, Class: in.Class, Message: s.GetStep()})
	}
}
