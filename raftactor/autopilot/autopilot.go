package autopilot

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/membership"
)

// Config is one node's, for one group. All nodes should have the same.
type Config struct {
	// Name of the group, and the local actor of it.
	Name  string
	Group *actor.PID
	// Membership is the membership actor, where there is one: zones come from it, and who belongs to the cluster.
	Membership *actor.PID
	// TargetVoters is how many voters there should be, odd. Default 3.
	TargetVoters int
	// DeadVoterGrace is how long a voter may be silent before another takes its place. Default 1 min.
	DeadVoterGrace time.Duration
	// DeadLearnerGrace is how long a learner may be silent before it is removed. Default ten times DeadVoterGrace.
	DeadLearnerGrace time.Duration
	// Interval is how often the leader looks. Default 1 s. A replica is in contact that was heard within two of them, and can be
	// promoted once it was so for two.
	Interval time.Duration
}

// Props checks the config and makes the actor, known as raft/<group>/autopilot.
func Props(cfg Config) (*actor.Props, error) {
	if cfg.TargetVoters == 0 {
		cfg.TargetVoters = 3
	}
	if cfg.DeadVoterGrace == 0 {
		cfg.DeadVoterGrace = time.Minute
	}
	if cfg.DeadLearnerGrace == 0 {
		cfg.DeadLearnerGrace = 10 * cfg.DeadVoterGrace
	}
	if cfg.Interval == 0 {
		cfg.Interval = time.Second
	}
	var faults []error
	if cfg.Name == "" || cfg.Group == nil {
		faults = append(faults, errors.New("it needs Name and Group"))
	}
	if cfg.TargetVoters < 1 || cfg.TargetVoters > 7 || cfg.TargetVoters%2 == 0 {
		faults = append(faults, fmt.Errorf("target of %d voters: want an odd number up to 7", cfg.TargetVoters))
	}
	if cfg.Interval < 0 || cfg.DeadVoterGrace < 2*cfg.Interval || cfg.DeadLearnerGrace < 2*cfg.Interval {
		faults = append(faults, fmt.Errorf("graces of %v and %v: want at least two intervals of %v", cfg.DeadVoterGrace, cfg.DeadLearnerGrace, cfg.Interval))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("autopilot of group %.140q: %w", cfg.Name, err)
	}
	return actor.PropsFromProducer(func() actor.Actor { return &autopilot{cfg: cfg} },
		actors.Named(actors.RaftName(cfg.Name)+"/autopilot")), nil
}

// look is the actor's timer.
type look struct{}

type autopilot struct {
	cfg     Config
	log     *zap.Logger
	members membership.View
	changes actors.Counter
	refused actors.Counter
	stuck   actors.Gauge

	term   uint64                   // of the leadership that the rest was seen in
	commit uint64                   // at the last look
	seen   map[uint64]time.Duration // when a replica was first looked at
	since  map[uint64]time.Duration // when the contact with a replica, or the sight of a node without one, began
	said   string                   // the last complaint, not to repeat it
}

func (a *autopilot) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		s := actors.Of(ctx)
		a.log, a.members = s.Log().Named("autopilot").With(zap.String("group", a.cfg.Name)), membership.View{}
		a.changes = s.Metrics().Counter("rivven_raft_autopilot_changes_total", "Membership changes that the autopilot made.", "group", a.cfg.Name)
		a.refused = s.Metrics().Counter("rivven_raft_autopilot_refused_total", "Membership changes of the autopilot that were refused.", "group", a.cfg.Name)
		a.stuck = s.Metrics().Gauge("rivven_raft_autopilot_voters_missing", "Voters that are dead or wanting with nobody to take their place.", "group", a.cfg.Name)
		a.seen, a.since = make(map[uint64]time.Duration), make(map[uint64]time.Duration)
		if a.cfg.Membership != nil {
			ctx.Request(a.cfg.Membership, &membership.Subscribe{})
		}
		a.later(ctx)
	case *look:
		a.look(ctx)
	case *actors.Inbound: // nothing of the wire is meant for it
	default:
		a.members.Apply(m)
	}
}

func (a *autopilot) later(ctx actor.Context) {
	actors.EnvOf(ctx).After(a.cfg.Interval, ctx.Self(), &look{})
}

// look asks the group where it stands; the next look comes when this one is over.
func (a *autopilot) look(ctx actor.Context) {
	actors.Ask(ctx, a.cfg.Group, &consensus.GetStatus{}, a.cfg.Interval, func(res any, err error) {
		st, err := consensus.Reply[*consensus.Status](res, err)
		if err != nil || st.GetRole() != consensus.Role_ROLE_LEADER {
			a.term = 0
			a.stuck.Set(0)
			a.later(ctx)
			return
		}
		a.lead(ctx, st)
	})
}

func (a *autopilot) lead(ctx actor.Context, st *consensus.Status) {
	now := actors.EnvOf(ctx).Boot()
	if st.GetTerm() != a.term {
		a.term, a.commit = st.GetTerm(), st.GetCommit()
		clear(a.seen)
		clear(a.since)
	}
	members := a.replicas(st, now)
	missing := a.missing(st, now)
	a.commit = st.GetCommit()
	p := next(members, missing, a.limits())
	a.complain(members)
	if p.none() {
		a.later(ctx)
		return
	}
	a.log.Info("changing the membership", zap.String("why", p.why), zap.Strings("changes", describe(p.changes)))
	actors.Ask(ctx, a.cfg.Group, &consensus.ChangeMembership{Changes: p.changes}, 10*a.cfg.Interval, func(res any, err error) {
		a.later(ctx)
		done, err := consensus.Reply[*consensus.MembershipChanged](res, err)
		if err != nil {
			a.refused.Add(1)
			a.log.Warn("membership change refused, trying again", zap.Strings("changes", describe(p.changes)), zap.Error(err))
			return
		}
		a.changes.Add(1)
		a.log.Info("membership changed", zap.Uint64("index", done.GetIndex()), zap.Int("voters", len(done.GetVoters())), zap.Int("learners", len(done.GetLearners())))
	})
}

func (a *autopilot) limits() limits {
	return limits{
		target: a.cfg.TargetVoters, contact: 2 * a.cfg.Interval, stableTime: 2 * a.cfg.Interval,
		deadVoterGrace: a.cfg.DeadVoterGrace, deadLearnerGrace: a.cfg.DeadLearnerGrace,
	}
}

// replicas are the group's members, with what this leadership knows of them.
func (a *autopilot) replicas(st *consensus.Status, now time.Duration) []replica {
	var out []replica
	l := a.limits()
	for _, p := range st.GetProgress() {
		id := p.GetPeer().GetReplica()
		r := replica{
			peer: p.GetPeer(), voter: !p.GetLearner(), self: id == st.GetSelf().GetReplica(),
			caughtUp: p.GetMatch() >= a.commit && !p.GetSnapshotting(), silent: a.silent(p, now),
		}
		if m := a.members[p.GetPeer().GetNodeId()]; m != nil {
			r.zone = m.Zone()
		}
		if !r.inContact(l) {
			delete(a.since, id)
		} else if _, ok := a.since[id]; !ok {
			a.since[id] = now
		}
		if since, ok := a.since[id]; ok {
			r.stable = now - since
		}
		out = append(out, r)
	}
	return out
}

// silent is how long nothing was heard of a replica, as far as this leadership can tell: its leader may have had no business with it
// before.
func (a *autopilot) silent(p *consensus.Progress, now time.Duration) time.Duration {
	id := p.GetPeer().GetReplica()
	if _, ok := a.seen[id]; !ok {
		a.seen[id] = now
	}
	watched := now - a.seen[id]
	if p.GetSilentMs() < 0 {
		return watched
	}
	return min(time.Duration(p.GetSilentMs())*time.Millisecond, watched)
}

// missing are the nodes that the membership sees, for a while now, and the group doesn't know.
func (a *autopilot) missing(st *consensus.Status, now time.Duration) []*consensus.Peer {
	var out []*consensus.Peer
	for _, m := range a.members.Sorted() {
		directory, ok := actors.IDFromBytes(m.GetDirectoryId())
		if !ok {
			continue
		}
		id := actors.ReplicaID(directory)
		if slices.ContainsFunc(st.GetProgress(), func(p *consensus.Progress) bool { return p.GetPeer().GetReplica() == id }) {
			continue
		}
		if m.GetState() != membership.State_STATE_ALIVE {
			delete(a.since, id)
			continue
		}
		since, ok := a.since[id]
		if !ok {
			a.since[id], since = now, now
		}
		if now-since >= a.limits().stableTime {
			out = append(out, &consensus.Peer{NodeId: m.GetNodeId(), Replica: id, Address: m.GetAddress()})
		}
	}
	return out
}

// complain says once what can't be helped: a dead voter, or too few, and nobody to take the place.
func (a *autopilot) complain(members []replica) {
	l, healthy := a.limits(), 0
	for _, r := range members {
		if r.voter && (r.self || r.silent < l.deadVoterGrace) {
			healthy++
		}
	}
	missing := max(l.target-healthy, 0)
	a.stuck.Set(float64(missing))
	said := ""
	if missing > 0 {
		said = fmt.Sprintf("%d of %d voters", healthy, l.target)
	}
	if said != "" && said != a.said {
		a.log.Warn("voters are missing: start more nodes, or the dead ones", zap.Int("alive", healthy), zap.Int("want", l.target))
	}
	a.said = said
}

func describe(changes []*consensus.Change) []string {
	out := make([]string, 0, len(changes))
	for _, c := range changes {
		out = append(out, fmt.Sprintf("%s node %d (replica %d)", c.GetKind(), c.GetPeer().GetNodeId(), c.GetPeer().GetReplica()))
	}
	return out
}
