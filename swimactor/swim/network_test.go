package swim

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// network runs cores in virtual time on one goroutine: a heap of deliveries
// and wake-ups, seeded loss, and faults.
type network struct {
	t           fataler
	rng         *rand.Rand
	now         time.Duration
	agenda      happenings
	seq         uint64
	nodes       map[uint64]*node
	order       []uint64
	latency     time.Duration
	loss        float64 // of datagrams
	loseStreams bool    // pings on streams are lost altogether
	cut         func(from, to uint64) bool
	noUDP       func(from, to uint64) bool
	hold        func(id uint64, do func()) bool // what a node sends or receives is held
	hash        uint64                          // of everything that happened
	packets     int
	streams     int
	checked     bool // check invariants after every input
	allSeeds    bool // seeds stand for all nodes, not node 1 alone
}

type node struct {
	net    *network
	id     uint64
	core   *Core
	wake   time.Duration
	down   bool
	paused bool
	queued []func() // arrived while paused
	events []Event
	seeds  func(name string) []Peer
	view   follower
}

// fataler is what a test and a property have in common.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

type happening struct {
	at  time.Duration
	seq uint64
	do  func()
}

type happenings []happening

func (h happenings) Len() int { return len(h) }
func (h happenings) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h happenings) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *happenings) Push(x any)   { *h = append(*h, x.(happening)) }
func (h *happenings) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

func newNetwork(t fataler, seed uint64) *network {
	return &network{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), nodes: make(map[uint64]*node), latency: 500 * time.Microsecond,
	}
}

func address(id uint64) string { return fmt.Sprintf("node%d:9093", id) }

func record(id uint64) Record {
	return Record{ID: id, Directory: fmt.Sprintf("directory-%04d", id), Name: fmt.Sprintf("node%d", id), Generation: 1, Address: address(id)}
}

// add starts a node; an earlier one under the id is replaced.
func (n *network) add(cfg Config, self Record, seeds ...string) *node {
	n.t.Helper()
	core, err := New(cfg, self, rand.New(rand.NewPCG(n.rng.Uint64(), self.ID)))
	if err != nil {
		n.t.Fatal(err)
	}
	nd := &node{net: n, id: self.ID, core: core, wake: -1, view: follower{self.ID: Alive}}
	if old, ok := n.nodes[self.ID]; ok {
		old.down = true
	} else {
		n.order = append(n.order, self.ID)
	}
	n.nodes[self.ID] = nd
	nd.apply(core.Start(n.now))
	if len(seeds) > 0 {
		nd.apply(core.Join(n.now, seeds))
	}
	return nd
}

// cluster starts n nodes that all know node 1 as their seed.
func (n *network) cluster(cfg Config, count int) {
	n.t.Helper()
	for id := uint64(1); id <= uint64(count); id++ {
		n.add(cfg, record(id), "seed")
	}
}

func (n *network) at(d time.Duration, do func()) {
	n.seq++
	heap.Push(&n.agenda, happening{at: n.now + d, seq: n.seq, do: do})
}

// run lets d pass.
func (n *network) run(d time.Duration) {
	end := n.now + d
	for len(n.agenda) > 0 && n.agenda[0].at <= end {
		h := heap.Pop(&n.agenda).(happening)
		n.now = h.at
		h.do()
	}
	n.now = end
}

// until runs until holds says so, at most limit, and returns the time it took.
func (n *network) until(limit time.Duration, what string, holds func() bool) time.Duration {
	n.t.Helper()
	start := n.now
	for !holds() {
		if n.now-start >= limit {
			n.t.Fatalf("after %v still not: %s", limit, what)
		}
		n.run(10 * time.Millisecond)
	}
	return n.now - start
}

func (n *network) note(format string, args ...any) {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d %d ", n.hash, n.now)
	_, _ = fmt.Fprintf(h, format, args...)
	n.hash = h.Sum64()
}

func (nd *node) apply(out Output) {
	n := nd.net
	for _, s := range out.Sends {
		n.carry(nd, s)
	}
	nd.events = append(nd.events, out.Events...)
	if n.checked {
		nd.check(out)
	}
	for _, e := range out.Events {
		n.note("%d %v %d", nd.id, e.Kind, e.Member.Record.ID)
	}
	for _, name := range out.Resolve {
		n.at(n.latency, func() {
			if nd.down {
				return
			}
			peers := []Peer{{ID: 1, Address: address(1)}}
			if n.allSeeds {
				peers = nil
				for _, id := range n.order {
					peers = append(peers, Peer{Address: address(id)})
				}
			}
			if nd.seeds != nil {
				peers = nd.seeds(name)
			}
			nd.apply(nd.core.Resolved(n.now, name, peers))
		})
	}
	if out.Wake != nd.wake {
		nd.wake = out.Wake
		if out.Wake >= 0 {
			nd.wakeAt(out.Wake)
		}
	}
}

func (nd *node) check(out Output) {
	for _, e := range out.Events {
		if err := nd.view.follow(e); err != nil {
			nd.net.t.Fatalf("at %v, events of node %d: %v", nd.net.now, nd.id, err)
		}
	}
	for _, err := range []error{nd.core.fault(), nd.view.agrees(nd.core)} {
		if err != nil {
			nd.net.t.Fatalf("at %v, node %d: %v", nd.net.now, nd.id, err)
		}
	}
	for _, s := range out.Sends {
		if s.To.ID == nd.id || s.To.Address == "" {
			nd.net.t.Fatalf("node %d sends %T to %+v", nd.id, s.Message, s.To)
		}
	}
}

func (nd *node) wakeAt(at time.Duration) {
	nd.net.at(at-nd.net.now, func() {
		nd.handle(func() {
			if nd.wake == at {
				nd.wake = -1
				nd.apply(nd.core.Tick(nd.net.now))
			}
		})
	})
}

// handle does something as the node, later if it is paused.
func (nd *node) handle(do func()) {
	switch {
	case nd.down:
	case nd.paused:
		nd.queued = append(nd.queued, do)
	default:
		do()
	}
}

func (nd *node) resume() {
	nd.paused = false
	queued := nd.queued
	nd.queued = nil
	for _, do := range queued {
		nd.handle(do)
	}
}

func (n *network) carry(from *node, s Send) {
	n.note("%d>%s %v %T", from.id, s.To.Address, s.Path, s.Message)
	to := n.nodes[s.To.ID]
	if to == nil || to.core.Self().Record.Address != s.To.Address {
		to = n.lookup(s.To.Address)
	}
	if s.Path == Datagram {
		n.packets++
	} else {
		n.streams++
	}
	if to == nil || n.cut != nil && n.cut(from.id, to.id) {
		return
	}
	delay := n.latency + time.Duration(n.rng.Int64N(int64(n.latency)))
	if s.Path == Datagram {
		if n.noUDP != nil && n.noUDP(from.id, to.id) || n.rng.Float64() < n.loss {
			return
		}
	} else {
		if _, ping := s.Message.(*Ping); ping && n.loseStreams {
			return
		}
		delay *= 2
	}
	me := from.core.Self().Record.Peer()
	deliver := func() {
		if n.cut != nil && n.cut(from.id, to.id) {
			return
		}
		to.handle(func() { to.apply(to.core.Receive(n.now, me, s.Message)) })
	}
	leave := func() {
		n.at(delay, func() {
			if n.hold == nil || !n.hold(to.id, deliver) {
				deliver()
			}
		})
	}
	if n.hold == nil || !n.hold(from.id, leave) {
		leave()
	}
}

func (n *network) lookup(addr string) *node {
	for _, id := range n.order {
		if n.nodes[id].core.Self().Record.Address == addr {
			return n.nodes[id]
		}
	}
	return nil
}

// up lists the nodes that run and have not left.
func (n *network) up() []*node {
	var up []*node
	for _, id := range n.order {
		if nd := n.nodes[id]; !nd.down && !nd.core.Gone() {
			up = append(up, n.nodes[id])
		}
	}
	return up
}

// agree says whether all running nodes see exactly each other alive, with the
// same records.
func (n *network) agree() bool {
	up := n.up()
	for _, nd := range up {
		if nd.core.liveCount() != len(up) || nd.core.digest != up[0].core.digest {
			return false
		}
		for _, m := range nd.core.live {
			if other := n.nodes[m.rec.ID]; m.state != Alive || other.down || other.core.Gone() {
				return false
			}
		}
	}
	return true
}

// seen counts events of a kind about a member (0: any) at all running nodes.
func (n *network) seen(kind EventKind, about uint64) int {
	count := 0
	for _, nd := range n.up() {
		count += nd.count(kind, about)
	}
	return count
}

func (nd *node) count(kind EventKind, about uint64) int {
	count := 0
	for _, e := range nd.events {
		if e.Kind == kind && (about == 0 || e.Member.Record.ID == about) {
			count++
		}
	}
	return count
}

// everywhere says whether all running nodes hold a member in a state.
func (n *network) everywhere(id uint64, state State) bool {
	for _, nd := range n.up() {
		if m, ok := nd.core.Member(id); !ok || m.State != state {
			return false
		}
	}
	return true
}

func (n *network) halves(split uint64) func(from, to uint64) bool {
	return func(from, to uint64) bool { return (from <= split) != (to <= split) }
}
