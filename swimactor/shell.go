package swimactor

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/swimactor/swim"
)

// resolveTimeout is a backstop: the remote answers within its own dial deadline.
const resolveTimeout = 30 * time.Second

// leaveWaitersMax bounds those that await the end of a leave.
const leaveWaitersMax = 64

// Props makes the membership actor's Props; it runs under the name "swim" whoever spawns it. Every fault of the
// configuration is in the error. The Props belong to one node: what has to survive a restart of the actor (its
// subscribers, tags, incarnation and whom it knew) stays with them.
func Props(cfg Config) (*actor.Props, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	kept := &kept{record: cfg.record()}
	return actor.PropsFromProducer(
		func() actor.Actor { return &shell{cfg: cfg, kept: kept} },
		actors.Named(actors.NameSwim),
	), nil
}

// kept is what survives a restart of the actor.
type kept struct {
	record      swim.Record
	subscribers subscribers
	leaving     bool
	waiters     []*actor.PID
	core        *swim.Core // the last one, read when its actor failed
}

// shell carries messages and time between the actor system and the core, and decides nothing itself.
type shell struct {
	cfg     Config
	kept    *kept
	env     actors.Env
	log     *zap.Logger
	core    *swim.Core
	metrics *instruments

	timer     actors.Timer
	armed     *wake // what timer delivers
	due       time.Duration
	resolving map[string]struct{}
}

// wake is the core's timer; only the one armed last counts.
type wake struct{ at time.Duration }

func (a *shell) Receive(ctx actor.Context) {
	switch msg := ctx.Message().(type) {
	case *actor.Started:
		a.start(ctx)
	case *actor.Stopping, *actor.Restarting:
		a.stop()
	case *wake:
		a.tick(ctx, msg)
	case *actors.Inbound:
		a.receive(ctx, msg)
	case *actors.PeerDown:
		now := a.env.Boot()
		a.perform(ctx, now, a.core.PeerLost(now, msg.Peer.NodeID, msg.Peer.Generation))
	case *actors.PeerUp:
		now := a.env.Boot()
		a.perform(ctx, now, a.core.PeerBack(now, msg.Peer.NodeID, msg.Peer.Generation))
	case *membership.Subscribe:
		a.subscribe(ctx, ctx.Sender())
	case *membership.Unsubscribe:
		a.unsubscribe(ctx, ctx.Sender())
	case *actor.Terminated:
		a.kept.subscribers.remove(msg.Who)
	case *catchUp:
		a.catchUp(ctx, msg)
	case *membership.GetMembers:
		if ctx.Sender() != nil {
			ctx.Respond(&membership.Members{Self: a.cfg.NodeID, Members: membersOf(a.core.Members())})
		}
	case *membership.UpdateTags:
		a.updateTags(ctx, msg)
	case *membership.Leave:
		a.leave(ctx)
	}
}

func (a *shell) start(ctx actor.Context) {
	system := actors.Of(ctx)
	a.env, a.log = system.Env(), system.Log().Named("swim")
	a.metrics = newInstruments(system.Metrics())
	a.resolving = make(map[string]struct{})
	a.due = -1

	seeds := a.cfg.KnownPeers
	if before := a.kept.core; before != nil {
		seeds = a.resume(before)
	}
	core, err := swim.New(a.cfg.Protocol, a.kept.record, a.env.Rand("swim"))
	if err != nil {
		// Props checked the same; a restart could not mend it either.
		panic(err)
	}
	a.core, a.kept.core = core, core
	now := a.env.Boot()
	a.perform(ctx, now, core.Start(now))
	a.perform(ctx, now, core.Join(now, seeds))
	for _, sub := range a.kept.subscribers.all {
		sub.window, sub.count, sub.behind = now, 0, false
		ctx.Send(sub.pid, a.snapshot())
	}
	if a.kept.leaving {
		a.perform(ctx, now, core.Leave(now))
	}
	a.metrics.read(core, now, true)
	ctx.Request(ctx.ActorSystem().NewLocalPID(actors.NameRemote), &actors.SubscribePeers{})
}

// resume takes over from the core of an actor that failed: its record, as the incarnation that follows, and the
// members that it knew as further seeds.
func (a *shell) resume(before *swim.Core) []string {
	a.kept.record = *before.Self().Record
	a.kept.record.Left = false
	a.kept.record.Incarnation++
	seeds := append([]string(nil), a.cfg.KnownPeers...)
	for _, m := range before.Members() {
		if m.Record.ID != a.cfg.NodeID && (m.State == swim.Alive || m.State == swim.Suspect) && len(seeds) < knownPeersMax {
			seeds = append(seeds, m.Record.Address)
		}
	}
	return seeds
}

func (a *shell) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
	if a.core != nil {
		a.metrics.read(a.core, a.env.Boot(), true)
	}
}

// tick runs the core when it is due. The armed timer may be early, because it is only ever brought forward: then it
// is set again.
func (a *shell) tick(ctx actor.Context, msg *wake) {
	if msg != a.armed {
		return
	}
	a.armed = nil
	now := a.env.Boot()
	a.metrics.subscribers.Set(float64(len(a.kept.subscribers.all)))
	a.metrics.read(a.core, now, false)
	if a.due >= 0 && now >= a.due {
		a.perform(ctx, now, a.core.Tick(now))
		return
	}
	a.arm(ctx, now)
}

// arm makes sure that a timer is set for when the core is due, or earlier.
func (a *shell) arm(ctx actor.Context, now time.Duration) {
	if a.due < 0 || a.armed != nil && a.armed.at <= a.due {
		return
	}
	if a.armed != nil {
		a.timer.Stop()
	}
	a.armed = &wake{at: a.due}
	a.timer = a.env.After(a.due-now, ctx.Self(), a.armed)
}

// receive takes a message from another node: who it is says the connection.
func (a *shell) receive(ctx actor.Context, in *actors.Inbound) {
	wire, ok := in.Message.(*Message)
	if !ok || in.Peer == nil {
		a.metrics.refusedType.Add(1)
		return
	}
	msg := Decode(wire)
	if msg == nil {
		a.metrics.refusedType.Add(1)
		return
	}
	a.metrics.receivedBytes[kindOf(wire)].Add(uint64(wire.SizeVT())) //nolint:gosec // a size
	if int(in.Class) < len(a.metrics.received) {
		a.metrics.received[in.Class].Add(1)
	}
	if req, ok := msg.(*swim.SyncRequest); ok && req.Self != nil && !provenBy(in.Peer, req.Self) {
		a.metrics.refusedIdentity.Add(1)
		return
	}
	now := a.env.Boot()
	acked := a.core.Stats().ProbesAcked
	a.perform(ctx, now, a.core.Receive(now, swim.Peer{ID: in.Peer.NodeID, Address: in.Peer.Address}, msg))
	if s := a.core.Stats(); s.ProbesAcked != acked {
		a.metrics.rtt.Observe(s.LastRTT.Seconds())
	}
}

// provenBy says whether a record is of the node and the directory at the other end of the connection.
func provenBy(peer *actors.PeerInfo, r *swim.Record) bool {
	return r.ID == peer.NodeID && r.Directory == string(peer.DirectoryID[:])
}

// perform carries out what the core decided.
func (a *shell) perform(ctx actor.Context, now time.Duration, out swim.Output) {
	for i := range out.Sends {
		s := &out.Sends[i]
		wire := Encode(s.Message)
		a.metrics.sentBytes[kindOf(wire)].Add(uint64(wire.SizeVT())) //nolint:gosec // a size
		actors.Send(classOf(s), ctx, actor.NewPID(s.To.Address, actors.NameSwim), wire)
	}
	for _, e := range out.Events {
		a.report(ctx, e)
	}
	for _, name := range out.Resolve {
		a.resolve(ctx, name)
	}
	a.due = out.Wake
	a.arm(ctx, now)
}

// seedLookup is a seed's name on the way to those who live behind it.
type seedLookup struct {
	name    string
	id      uint64 // who alone is meant; 0 for anybody
	several bool   // it has several addresses
	open    int    // addresses that have not answered
	peers   []swim.Peer
}

// resolve asks the remote what addresses a seed has, and who lives at each.
func (a *shell) resolve(ctx actor.Context, name string) {
	if _, asked := a.resolving[name]; asked {
		return
	}
	id, address, err := peerAddress(name)
	if err != nil {
		return
	}
	a.resolving[name] = struct{}{}
	l := &seedLookup{name: name, id: id}
	remote := ctx.ActorSystem().NewLocalPID(actors.NameRemote)
	actors.Ask(ctx, remote, &actors.Lookup{Address: address}, resolveTimeout, func(res any, err error) {
		answer, _ := res.(*actors.LookedUp)
		if err == nil && answer != nil {
			err = answer.Err
		}
		if err != nil || answer == nil || len(answer.Addresses) == 0 {
			a.log.Debug("seed not found; it is tried again", zap.String("seed", name), zap.Error(err))
			a.resolved(ctx, l)
			return
		}
		l.open, l.several = len(answer.Addresses), len(answer.Addresses) > 1
		for _, at := range answer.Addresses {
			actors.Ask(ctx, remote, &actors.Resolve{Address: at}, resolveTimeout, func(res any, err error) {
				l.open--
				a.onSeedAnswer(ctx, l, at, res, err)
				if l.open == 0 {
					a.resolved(ctx, l)
				}
			})
		}
	})
}

// onSeedAnswer contacts who lives at one of several addresses of a seed at once: others may take long to be given up.
func (a *shell) onSeedAnswer(ctx actor.Context, l *seedLookup, address string, res any, err error) {
	switch answer, _ := res.(*actors.Resolved); {
	case err != nil || answer == nil || answer.Peer == nil:
		if answer != nil {
			err = answer.Err
		}
		a.log.Debug("seed not reached; it is tried again", zap.String("seed", l.name), zap.String("address", address), zap.Error(err))
	case l.id != 0 && answer.Peer.NodeID != l.id && l.several:
	case l.id != 0 && answer.Peer.NodeID != l.id:
		a.log.Warn("another node lives at a seed's address; correct known_peers", zap.String("seed", l.name),
			zap.String("address", address), zap.Uint64("found", answer.Peer.NodeID))
	default:
		peer := swim.Peer{ID: answer.Peer.NodeID, Address: answer.Peer.Address}
		l.peers = append(l.peers, peer)
		if l.open > 0 {
			now := a.env.Boot()
			a.perform(ctx, now, a.core.Resolved(now, l.name, []swim.Peer{peer}))
		}
	}
}

// resolved ends the look-up of a seed.
func (a *shell) resolved(ctx actor.Context, l *seedLookup) {
	delete(a.resolving, l.name)
	now := a.env.Boot()
	a.perform(ctx, now, a.core.Resolved(now, l.name, l.peers))
}

func (a *shell) updateTags(ctx actor.Context, msg *membership.UpdateTags) {
	now := a.env.Boot()
	out, err := a.core.UpdateTags(now, msg.GetTags())
	a.perform(ctx, now, out)
	if ctx.Sender() == nil {
		return
	}
	answer := &membership.TagsUpdated{Member: memberOf(a.core.Self())}
	if err != nil {
		answer.Error = err.Error()
	}
	ctx.Respond(answer)
}

// leave begins the farewell, or joins those that await its end.
func (a *shell) leave(ctx actor.Context) {
	if sender := ctx.Sender(); sender != nil {
		if len(a.kept.waiters) >= leaveWaitersMax {
			a.metrics.waitersRefused.Add(1)
			return
		}
		a.kept.waiters = append(a.kept.waiters, sender)
	}
	if a.core.Gone() {
		a.answerLeave(ctx)
		return
	}
	a.kept.leaving = true
	now := a.env.Boot()
	a.perform(ctx, now, a.core.Leave(now))
}

func (a *shell) answerLeave(ctx actor.Context) {
	waiters := a.kept.waiters
	a.kept.waiters = nil
	for _, pid := range waiters {
		ctx.Send(pid, &membership.Left{Member: memberOf(a.core.Self())})
	}
}
