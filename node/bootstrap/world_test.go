package bootstrap

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// world runs the real bootstrap actors of several nodes on one goroutine in virtual time. What is simulated is what
// they talk to: the network between them, the remote, the disk, and the metadata group as one shared membership.
type world struct {
	t      *testing.T
	now    time.Duration
	seq    int
	turns  int
	queue  []func()
	timers []*timer
	nodes  []*node
	meta   *consensus.Status // of the one cluster that may come to be
	// crashAt stops the node with this number at this turn; -1: never.
	crashAt, crashNode int
}

type timer struct {
	at  time.Duration
	seq int
	f   func()
}

type node struct {
	w        *world
	number   int
	address  string
	peers    []string
	up       bool
	life     int
	store    *disk
	system   *actors.System
	cluster  string // as the remote announces it
	ready    []string
	rand     *rand.Rand
	resolves int                 // asked of the remote
	names    map[string][]string // addresses by name
}

// disk keeps what was written through crashes.
type disk struct {
	id     logstore.Identity
	groups []logstore.GroupWrite
	// failNext crashes the node before (1) or after (2) the next write.
	failNext int
	node     *node
}

func (d *disk) Identity() logstore.Identity { return d.id }

func (d *disk) SetIdentity(id logstore.Identity, groups []logstore.GroupWrite) error {
	when := d.failNext
	d.failNext = 0
	if when == 1 {
		d.node.crash()
		return nil
	}
	d.id, d.groups = id, groups
	if when == 2 {
		d.node.crash()
	}
	return nil
}

func newWorld(t *testing.T, count int) *world {
	w := &world{t: t, crashAt: -1}
	for i := range count {
		n := &node{w: w, number: i, address: "n" + strconv.Itoa(i+1) + ":1"}
		n.store = w.blankDisk(n)
		w.nodes = append(w.nodes, n)
	}
	for _, n := range w.nodes {
		for _, other := range w.nodes {
			n.peers = append(n.peers, other.address) // its own among them, as people write it
		}
	}
	return w
}

func (w *world) blankDisk(n *node) *disk {
	w.seq++
	return &disk{node: n, id: logstore.Identity{NodeID: uint64(n.number + 1), DirectoryID: actors.ID{0: byte(n.number + 1), 15: byte(w.seq)}}}
}

func (w *world) after(d time.Duration, f func()) *timer {
	w.seq++
	t := &timer{at: w.now + d, seq: w.seq, f: f}
	w.timers = append(w.timers, t)
	return t
}

// step runs one turn, or moves the clock to the next timer.
func (w *world) step() bool {
	w.turns++
	if w.turns == w.crashAt && w.nodes[w.crashNode].up {
		w.nodes[w.crashNode].crash()
		w.after(time.Second, w.nodes[w.crashNode].start)
	}
	if len(w.queue) > 0 {
		f := w.queue[0]
		w.queue = w.queue[1:]
		f()
		return true
	}
	if len(w.timers) == 0 {
		return false
	}
	slices.SortFunc(w.timers, func(a, b *timer) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq)) })
	t := w.timers[0]
	w.timers = w.timers[1:]
	w.now = max(w.now, t.at)
	t.f()
	return true
}

func (w *world) runUntil(what string, limit time.Duration, ok func() bool) {
	w.t.Helper()
	for end := w.now + limit; !ok(); {
		if !w.step() || w.now > end {
			for _, n := range w.nodes {
				w.t.Logf("%s up=%v cluster=%q ready=%v", n.address, n.up, n.store.id.ClusterID, n.ready)
			}
			w.t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

func (w *world) runFor(d time.Duration) {
	for end := w.now + d; w.now < end; {
		if len(w.queue) == 0 && (len(w.timers) == 0 || w.earliest() > end) {
			w.now = end
			return
		}
		w.step()
	}
}

func (w *world) earliest() time.Duration {
	return slices.MinFunc(w.timers, func(a, b *timer) int { return cmp.Compare(a.at, b.at) }).at
}

func (w *world) allReady() bool {
	for _, n := range w.nodes {
		if !n.up || len(n.ready) == 0 {
			return false
		}
	}
	return true
}

// oneCluster fails the test unless every disk belongs to the same cluster, and says which.
func (w *world) oneCluster() string {
	w.t.Helper()
	id := w.nodes[0].store.id.ClusterID
	for _, n := range w.nodes {
		if n.store.id.ClusterID != id || id == "" {
			w.t.Fatalf("%s belongs to %q, %s to %q", w.nodes[0].address, id, n.address, n.store.id.ClusterID)
		}
	}
	return id
}

// form makes the metadata group as soon as somebody wrote its initial state.
func (w *world) form(voters []*consensus.Peer) []logstore.GroupWrite {
	if w.meta == nil {
		w.meta = &consensus.Status{Group: actors.GroupMeta, Voters: voters, Leader: voters[0]}
	}
	return []logstore.GroupWrite{{Group: actors.GroupMeta}}
}

func (n *node) start() {
	if n.up {
		return
	}
	n.up, n.ready = true, nil
	n.life++
	n.cluster = n.store.id.ClusterID
	n.rand = rand.New(rand.NewPCG(uint64(n.number), uint64(n.life)))
	life := n.life
	n.system = actors.NewSystem(&env{n: n, life: life}, actors.WithMailbox(func() actor.Mailbox { return &mailbox{n: n, life: life} }))
	n.system.ProcessRegistry.Address = n.address
	n.system.ProcessRegistry.RegisterAddressResolver(func(pid *actor.PID) (actor.Process, bool) { return &wire{from: n, life: life}, true })
	n.spawn(actor.PropsFromFunc(n.remote, actors.Named(actors.NameRemote)))
	n.spawn(actor.PropsFromFunc(n.metaGroup, actors.Named(actors.RaftName(actors.GroupMeta))))
	report := n.spawn(actor.PropsFromFunc(func(c actor.Context) {
		if m, ok := c.Message().(*Ready); ok {
			n.ready = append(n.ready, m.ClusterID)
		}
	}, actors.Named("report")))
	props, err := Props(Config{
		ClusterName: "test", Address: n.address, Peers: n.peers, Store: n.store,
		Remote: n.system.NewLocalPID(actors.NameRemote), Meta: n.system.NewLocalPID(actors.RaftName(actors.GroupMeta)),
		Initial: n.w.form, Report: report,
	})
	if err != nil {
		n.w.t.Fatal(err)
	}
	n.spawn(props)
}

func (n *node) spawn(p *actor.Props) *actor.PID {
	pid, err := n.system.Root.SpawnNamed(p, "any")
	if err != nil {
		n.w.t.Fatal(err)
	}
	return pid
}

func (n *node) crash() { n.up = false; n.life++ }

func (n *node) wipe() { n.store = n.w.blankDisk(n) }

func (n *node) info() *actors.PeerInfo {
	return &actors.PeerInfo{NodeID: n.store.id.NodeID, DirectoryID: n.store.id.DirectoryID, ClusterID: n.cluster, Address: n.address, Name: n.address}
}

// remote answers as the real one does: with who lives there, or with an error after a while.
func (n *node) remote(c actor.Context) {
	switch m := c.Message().(type) {
	case *actors.SetClusterID:
		n.cluster = m.ClusterID
		c.Respond(&actors.ClusterIDSet{})
	case *actors.Lookup:
		answer := &actors.LookedUp{Address: m.Address, Addresses: n.names[m.Address]}
		if answer.Addresses == nil {
			answer.Addresses = []string{m.Address}
		}
		c.Respond(answer)
	case *actors.Resolve:
		n.resolves++
		other := n.w.at(m.Address)
		if other == nil || !other.up {
			sender := c.Sender()
			actors.EnvOf(c).After(time.Second, sender, &actors.Resolved{Address: m.Address, Err: errors.New("no answer")})
			return
		}
		c.Respond(&actors.Resolved{Address: m.Address, Peer: other.info()})
	}
}

func (w *world) at(address string) *node {
	for _, n := range w.nodes {
		if n.address == address {
			return n
		}
	}
	return nil
}

// metaGroup stands for the Raft group: one shared membership, changed at once.
func (n *node) metaGroup(c actor.Context) {
	m := n.w.meta
	switch msg := c.Message().(type) {
	case *consensus.GetStatus:
		if m == nil || n.cluster == "" {
			c.Respond(consensus.NewFailed(consensus.Code_CODE_SHUTTING_DOWN, "not running", nil))
			return
		}
		c.Respond(proto.Clone(m))
	case *consensus.ChangeMembership:
		for _, change := range msg.GetChanges() {
			m.Voters = without(m.Voters, change.GetPeer().GetReplica())
			m.Learners = without(m.Learners, change.GetPeer().GetReplica())
			switch change.GetKind() {
			case consensus.ChangeKind_CHANGE_KIND_ADD_LEARNER:
				m.Learners = append(m.Learners, change.GetPeer())
			case consensus.ChangeKind_CHANGE_KIND_PROMOTE:
				m.Voters = append(m.Voters, change.GetPeer())
			}
		}
		m.Leader = m.Voters[0]
		c.Respond(&consensus.MembershipChanged{Voters: m.Voters, Learners: m.Learners})
	}
}

func without(peers []*consensus.Peer, replica uint64) []*consensus.Peer {
	return slices.DeleteFunc(slices.Clone(peers), func(p *consensus.Peer) bool { return p.GetReplica() == replica })
}

// wire carries a message to another node: encoded and decoded, wrapped in who its sender is, after a little while.
type wire struct {
	from *node
	life int
}

func (x *wire) SendUserMessage(pid *actor.PID, message any) {
	_, msg, sender := actor.UnwrapEnvelope(message)
	to := x.from.w.at(pid.Address)
	info, payload := x.from.info(), proto.Clone(msg.(proto.Message))
	x.from.w.after(time.Millisecond, func() {
		if to == nil || !to.up || x.from.life != x.life {
			return
		}
		var delivered any = payload
		if actors.Reserved(pid.Id) {
			delivered = &actors.Inbound{Peer: info, Class: actors.Control, Message: payload}
		}
		process, _ := to.system.ProcessRegistry.GetLocal(pid.Id)
		process.SendUserMessage(pid, &actor.MessageEnvelope{Message: delivered, Sender: sender})
	})
}

func (x *wire) SendSystemMessage(*actor.PID, any) {}
func (x *wire) Stop(*actor.PID)                   {}

// env is a node's clock; what belongs to an earlier life of the node never fires.
type env struct {
	n    *node
	life int
}

func (e *env) Now() time.Time         { return time.Unix(0, int64(e.n.w.now)) }
func (e *env) Boot() time.Duration    { return e.n.w.now }
func (e *env) Rand(string) *rand.Rand { return e.n.rand }
func (e *env) NewID() actors.ID       { return actors.ID{1} }

func (e *env) After(d time.Duration, pid *actor.PID, msg any) actors.Timer {
	stopped := new(stop)
	e.n.w.after(d, func() {
		if *stopped || e.n.life != e.life {
			return
		}
		process, _ := e.n.system.ProcessRegistry.Get(pid)
		if m, ok := msg.(actor.SystemMessage); ok {
			process.SendSystemMessage(pid, m)
			return
		}
		process.SendUserMessage(pid, msg)
	})
	return stopped
}

type stop bool

func (s *stop) Stop() bool { was := !bool(*s); *s = true; return was }

// mailbox handles one message a turn.
type mailbox struct {
	n       *node
	life    int
	invoker actor.MessageInvoker
}

func (m *mailbox) PostUserMessage(msg any)   { m.post(func() { m.invoker.InvokeUserMessage(msg) }) }
func (m *mailbox) PostSystemMessage(msg any) { m.post(func() { m.invoker.InvokeSystemMessage(msg) }) }
func (m *mailbox) post(turn func()) {
	m.n.w.queue = append(m.n.w.queue, func() {
		if m.n.life == m.life {
			turn()
		}
	})
}
func (m *mailbox) RegisterHandlers(i actor.MessageInvoker, _ actor.Dispatcher) { m.invoker = i }
func (m *mailbox) Start()                                                      {}
func (m *mailbox) UserMessageCount() int                                       { return 0 }
