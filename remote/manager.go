package remote

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
)

const helloDeadline = 2 * time.Second

// manager is the actor "remote". It takes what the transport says, checks the Hello of who comes in, and hands every
// connection to the session of its peer, a child for each address.
type manager struct {
	core *core
	// Until this node knows its own addresses it can't say Hello: what the transport says before waits.
	listening bool
	early     []any

	sessions map[*peer]*actor.PID
	dials    map[uint64]*peer
	conns    map[uint64]*managedConn
	halfOpen []uint64 // accepted connections without a Hello, the oldest first
	accepted int

	finds map[uint64]*find
	found uint64 // the number of the last

	connected  map[*peer]*actors.PeerInfo
	draining   *draining
	publishing actors.Timer
	packets    [kinds]packetCounts
}

type managedConn struct {
	conn     Conn
	accepted bool
	peer     *peer // nil before its Hello
	timer    actors.Timer
}

type draining struct {
	asker   *actor.PID
	waiting map[*peer]struct{}
	result  Drained
	timer   actors.Timer
}

func managerProps(c *core) *actor.Props {
	return actor.PropsFromProducer(func() actor.Actor {
		return &manager{
			core: c, sessions: make(map[*peer]*actor.PID), dials: make(map[uint64]*peer),
			conns: make(map[uint64]*managedConn), connected: make(map[*peer]*actors.PeerInfo),
			finds: make(map[uint64]*find),
		}
	}, actors.Named(actors.NameRemote), actor.WithSupervisor(actors.Supervise(actors.Supervision{})))
}

func (m *manager) Receive(ctx actor.Context) {
	switch msg := ctx.Message().(type) {
	case *actor.Started:
		m.listening = m.core.ready.Load()
		m.resume(ctx)
		m.publishLater(ctx)
	case *actor.Restarting, *actor.Stopping:
		m.publishing.Stop()
		m.closeAll()
		for _, p := range m.core.peers.all() {
			if info := m.connected[p]; info != nil {
				m.publish(ctx, &actors.PeerDown{Peer: info, Reason: "the remote ends its sessions"})
			}
		}
	case *actor.Terminated:
		m.unsubscribe(msg.Who)
	case *listening:
		m.listening = true
		for _, event := range m.early {
			m.onEvent(ctx, event)
		}
		m.early = nil
	case *needed:
		m.toSession(ctx, msg.peer, msg)
	case *dialing:
		m.dials[msg.dial] = msg.peer
	case *helloTimeout:
		m.onHelloTimeout(msg)
	case *accepted, *dialed, *dialFailed, *greeted, *drained, *closed:
		if !m.listening {
			m.early = append(m.early, msg)
			return
		}
		m.onEvent(ctx, msg)
	case *wentUp, *wentDown, *forgotten, *sessionDrain:
		m.onSession(ctx, msg)
	default:
		m.onRequest(ctx, msg)
	}
}

// onEvent is what the transport says.
func (m *manager) onEvent(ctx actor.Context, message any) {
	switch msg := message.(type) {
	case *accepted:
		m.onAccepted(ctx, msg.conn)
	case *dialed:
		m.onDialed(ctx, msg)
	case *dialFailed:
		if p := m.dials[msg.dial]; p != nil {
			delete(m.dials, msg.dial)
			m.toSession(ctx, p, msg)
		}
	case *greeted:
		m.onGreeting(ctx, msg)
	case *drained:
		if c := m.conns[msg.conn.ID()]; c != nil && c.peer != nil {
			m.toSession(ctx, c.peer, msg)
		}
	case *closed:
		m.onClosed(ctx, msg)
	}
}

// onRequest is what other actors of this node ask for.
func (m *manager) onRequest(ctx actor.Context, message any) {
	switch msg := message.(type) {
	case *actors.Resolve:
		m.onResolve(ctx, msg)
	case *actors.Lookup:
		m.onLookup(ctx, msg)
	case *found:
		m.onFound(ctx, msg)
	case *actors.SubscribePeers:
		m.onSubscribe(ctx)
	case *actors.PeerVerdict:
		m.core.residents.hear(msg)
		if p := m.core.peers.find(msg.Address); p != nil {
			m.toSession(ctx, p.final(), &verdict{msg.NodeID, msg.Alive})
		}
	case *actors.SetClusterID:
		m.onSetClusterID(ctx, msg.ClusterID)
	case *Drain:
		m.onDrain(ctx, msg)
	case *drainTimeout:
		m.endDrain(ctx)
	case *moreBlocked:
		m.onMoreBlocked(ctx)
	case *GetStatus:
		m.onGetStatus(ctx)
	case *publishTick:
		m.publishMetrics(ctx)
	}
}

// resume is a start or a restart: what waits for peers gets its sessions again.
func (m *manager) resume(ctx actor.Context) {
	for _, p := range m.core.peers.all() {
		if p.alias.Load() == nil && !p.self.Load() {
			m.session(ctx, p)
		}
	}
}

// connIDs returns the connections in the order in which they came to be.
func (m *manager) connIDs() []uint64 {
	return slices.Sorted(maps.Keys(m.conns))
}

func (m *manager) closeAll() {
	for _, id := range m.connIDs() {
		m.conns[id].conn.Close(CodeDone, "the remote starts again")
	}
}

func (m *manager) session(ctx actor.Context, p *peer) *actor.PID {
	if pid := m.sessions[p]; pid != nil {
		return pid
	}
	pid, err := ctx.SpawnNamed(sessionProps(m.core, p), p.address)
	if err != nil {
		m.core.log.Error("session not spawned", zap.String("peer", p.address), zap.Error(err))
		return nil
	}
	m.sessions[p] = pid
	return pid
}

func (m *manager) toSession(ctx actor.Context, p *peer, msg any) {
	if p.gone.Load() {
		return
	}
	if pid := m.session(ctx, p); pid != nil {
		ctx.Send(pid, msg)
	}
}

func (m *manager) onAccepted(ctx actor.Context, conn Conn) {
	if m.accepted >= m.core.limits.Connections || m.draining != nil {
		conn.Close(CodeLimit, fmt.Sprintf("this node has %d connections and takes no more", m.accepted))
		m.core.metrics.refusedConns.add(CodeLimit)
		m.conns[conn.ID()] = &managedConn{conn: conn}
		return
	}
	m.makeRoom(conn.NodeID())
	m.accepted++
	m.halfOpen = append(m.halfOpen, conn.ID())
	m.conns[conn.ID()] = &managedConn{
		conn: conn, accepted: true, timer: m.core.env.After(helloDeadline, ctx.Self(), &helloTimeout{conn.ID()}),
	}
}

// halfOpenNodeMax is how many connections without a Hello one node may have: its own oldest gives way, and not others'.
const halfOpenNodeMax = 16

func (m *manager) makeRoom(node uint64) {
	var own []int
	for i, id := range m.halfOpen {
		if m.conns[id].conn.NodeID() == node {
			own = append(own, i)
		}
	}
	oldest := 0
	switch {
	case len(own) >= halfOpenNodeMax:
		oldest = own[0]
	case len(m.halfOpen) < m.core.limits.HalfOpen:
		return
	}
	m.conns[m.halfOpen[oldest]].conn.Close(CodeLimit, "too many connections without a Hello")
	m.halfOpen = slices.Delete(m.halfOpen, oldest, oldest+1)
	m.core.metrics.refusedConns.add(CodeLimit)
}

func (m *manager) onHelloTimeout(msg *helloTimeout) {
	if c := m.conns[msg.conn]; c != nil && c.peer == nil {
		c.conn.Close(CodeTimeout, "no session within "+helloDeadline.String())
		m.core.metrics.refusedConns.add(CodeTimeout)
	}
}

func (m *manager) onDialed(ctx actor.Context, msg *dialed) {
	p := m.dials[msg.dial]
	delete(m.dials, msg.dial)
	m.conns[msg.conn.ID()] = &managedConn{conn: msg.conn, peer: p}
	if p == nil || p.gone.Load() {
		msg.conn.Close(CodeDone, "nobody waits for it any more")
		return
	}
	m.toSession(ctx, p, msg)
}

func (m *manager) onClosed(ctx actor.Context, msg *closed) {
	m.core.metrics.onClosed(msg.err)
	c := m.conns[msg.conn.ID()]
	if c == nil {
		return
	}
	delete(m.conns, msg.conn.ID())
	if c.accepted {
		m.accepted--
	}
	m.established(c)
	if c.peer != nil {
		c.peer.facts.keepPath(pathOf(c.conn))
		m.packets[c.conn.Kind()].ended += pathOf(c.conn).PacketsSent
		m.toSession(ctx, c.peer, msg)
	}
}

// established ends the wait for a Hello.
func (m *manager) established(c *managedConn) {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if i := slices.Index(m.halfOpen, c.conn.ID()); i >= 0 {
		m.halfOpen = slices.Delete(m.halfOpen, i, i+1)
	}
}

func (m *manager) onGreeting(ctx actor.Context, msg *greeted) {
	c := m.conns[msg.conn.ID()]
	switch {
	case c == nil:
	case c.peer != nil:
		m.toSession(ctx, c.peer, msg)
	case c.accepted:
		m.onHello(ctx, c, msg.frame)
	}
}

func (m *manager) onHello(ctx actor.Context, c *managedConn, b []byte) {
	hello, info, refusal := m.readHello(c.conn, b)
	if refusal == nil && (m.core.isSelf(info) || m.asksOnly(c.conn, hello)) {
		c.conn.Greet(ackGreeting(m.core.hello())) // the dialer learns who lives here and goes
		return
	}
	if refusal == nil {
		if c.peer = m.core.peers.get(info.Address); c.peer == nil {
			refusal = &CloseError{Code: CodeLimit, Reason: errPeerLimit.Error()}
		}
	}
	if refusal != nil {
		m.core.logRefusal(c.conn.NodeID(), c.conn.RemoteAddr(), refusal)
		c.conn.Close(refusal.Code, refusal.Reason)
		return
	}
	m.established(c)
	c.peer = c.peer.final()
	m.toSession(ctx, c.peer, &cameIn{c.conn, info, hello.GetLimits()})
}

// asksOnly reports whether a connection came by another address than the main one: who dialed it will dial that, and
// this one must not take the place of the peer's real connection.
func (m *manager) asksOnly(conn Conn, hello *Hello) bool {
	return conn.Kind() == KindMain && hello.Dialed != "" && hello.Dialed != m.core.self.Load().Address
}

func (m *manager) readHello(conn Conn, b []byte) (*Hello, *actors.PeerInfo, *CloseError) {
	greeting, err := decodeGreeting(b)
	if err != nil {
		return nil, nil, closeErrorOf(err)
	}
	info, refusal := m.core.checkHello(greeting.GetHello(), conn.NodeID())
	return greeting.GetHello(), info, refusal
}

func (m *manager) onResolve(ctx actor.Context, msg *actors.Resolve) {
	address, expect, err := splitAddress(msg.Address)
	if err == nil {
		if p := m.core.peers.get(address); p != nil {
			m.resolve(ctx, p.final(), &resolve{msg.Address, expect, ctx.Sender()})
			return
		}
		err = errPeerLimit
	}
	ctx.Respond(&actors.Resolved{Address: msg.Address, Err: fmt.Errorf("resolving: %w", err)})
}

func (m *manager) resolve(ctx actor.Context, p *peer, question *resolve) {
	self := m.core.self.Load()
	if p.address == self.Address || p.address == self.GossipAddress {
		p.self.Store(true)
	}
	if p.self.Load() {
		answerResolve(ctx, question, self, nil)
		return
	}
	m.toSession(ctx, p, question)
}

// answerResolve checks the expectation of who asked.
func answerResolve(ctx actor.Context, q *resolve, info *actors.PeerInfo, err error) {
	if q.asker == nil {
		return
	}
	if err == nil && q.expect != 0 && info.NodeID != q.expect {
		info, err = nil, fmt.Errorf("node %d lives at %s, and node %d was expected", info.NodeID, q.spelled, q.expect)
	}
	ctx.Send(q.asker, &actors.Resolved{Address: q.spelled, Peer: info, Err: err})
}

func (m *manager) onSubscribe(ctx actor.Context) {
	who := ctx.Sender()
	if who == nil {
		return
	}
	if !slices.ContainsFunc(m.core.subscribers, who.Equal) {
		m.core.subscribers = append(m.core.subscribers, who)
		ctx.Watch(who)
	}
	for _, p := range m.core.peers.all() {
		if info := m.connected[p]; info != nil {
			ctx.Send(who, &actors.PeerUp{Peer: info})
		}
	}
}

func (m *manager) unsubscribe(who *actor.PID) {
	m.core.subscribers = slices.DeleteFunc(m.core.subscribers, who.Equal)
	for p, pid := range m.sessions {
		if pid.Id == who.Id {
			delete(m.sessions, p)
		}
	}
}

func (m *manager) publish(ctx actor.Context, event any) {
	for _, who := range m.core.subscribers {
		ctx.Send(who, event)
	}
}

func (m *manager) onSession(ctx actor.Context, message any) {
	switch msg := message.(type) {
	case *wentUp:
		m.connected[msg.peer] = msg.info
		m.core.metrics.connected.Set(float64(len(m.connected)))
		m.publish(ctx, &actors.PeerUp{Peer: msg.info})
		m.core.announce(&EndpointConnectedEvent{msg.peer.address})
	case *wentDown:
		delete(m.connected, msg.peer)
		m.core.metrics.connected.Set(float64(len(m.connected)))
		m.publish(ctx, &actors.PeerDown{Peer: msg.info, Reason: msg.reason})
		m.core.announce(&EndpointTerminatedEvent{msg.peer.address})
	case *forgotten:
		m.core.peers.remove(msg.peer)
		if pid := m.sessions[msg.peer]; pid != nil {
			delete(m.sessions, msg.peer)
			ctx.Stop(pid)
		}
	case *sessionDrain:
		m.onSessionDrained(ctx, msg)
	}
}

func (m *manager) onSetClusterID(ctx actor.Context, cluster string) {
	self := *m.core.self.Load()
	switch {
	case self.ClusterID == cluster:
	case self.ClusterID != "" || cluster == "" || len(cluster) > helloClusterMax:
		panic(fmt.Errorf("remote: this node belongs to cluster %s and was told %s", quoteShort(self.ClusterID), quoteShort(cluster)))
	default:
		self.ClusterID = cluster
		m.core.self.Store(&self)
		m.core.log.Info("joined a cluster", zap.String("cluster_id", cluster))
		for _, p := range m.core.peers.all() {
			if pid := m.sessions[p]; pid != nil {
				ctx.Send(pid, &rehello{})
			}
		}
	}
	if ctx.Sender() != nil {
		ctx.Respond(&actors.ClusterIDSet{})
	}
}

func (m *manager) onDrain(ctx actor.Context, msg *Drain) {
	if m.draining != nil {
		return
	}
	m.draining = &draining{asker: ctx.Sender(), waiting: make(map[*peer]struct{})}
	for _, p := range m.core.peers.all() {
		if pid := m.sessions[p]; pid != nil {
			m.draining.waiting[p] = struct{}{}
			m.draining.result.Peers++
			ctx.Send(pid, &sayGoodbye{})
		}
	}
	m.draining.timer = m.core.env.After(msg.Timeout, ctx.Self(), &drainTimeout{})
	if len(m.draining.waiting) == 0 {
		m.endDrain(ctx)
	}
}

func (m *manager) onSessionDrained(ctx actor.Context, msg *sessionDrain) {
	if m.draining == nil {
		return
	}
	if _, ok := m.draining.waiting[msg.peer]; !ok {
		return
	}
	delete(m.draining.waiting, msg.peer)
	if !msg.acknowledged {
		m.draining.result.Unacknowledged++
	}
	if len(m.draining.waiting) == 0 {
		m.endDrain(ctx)
	}
}

func (m *manager) endDrain(ctx actor.Context) {
	d := m.draining
	if d == nil || d.timer == nil {
		return
	}
	d.timer.Stop()
	d.timer = nil
	d.result.Unacknowledged += len(d.waiting)
	if d.asker != nil {
		ctx.Send(d.asker, &d.result)
	}
}
