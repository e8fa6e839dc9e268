package testkit

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// Dist is a distribution of times: Min and what an exponential tail of the mean Tail adds, up to Max.
type Dist struct{ Min, Tail, Max time.Duration }

func (d Dist) draw(r *rand.Rand) time.Duration {
	v := d.Min
	if d.Tail > 0 {
		v += time.Duration(r.ExpFloat64() * float64(d.Tail))
	}
	if d.Max > 0 {
		v = min(v, d.Max)
	}
	return v
}

// NetModel is how the network behaves where no fault was set. Probabilities are of one frame, 0 to 1. Datagrams are lost,
// doubled, overtaken and corrupted (which their encryption turns into loss); a stream is late instead.
type NetModel struct {
	Latency                     Dist
	Loss, Dup, Reorder, Corrupt float64
}

// Net is the network between the nodes of a world. Nodes are counted from 1.
type Net struct {
	world  *World
	model  NetModel
	links  map[[2]int]*link
	conns  map[uint64]*conn // one end of each, by id
	ids    uint64
	names  map[string][]int // what names stand for, by host:port
	mute   map[int]bool     // nodes that no datagram leaves or reaches
	faults map[string]int
}

// link is one direction between two nodes.
type link struct {
	rand    *rand.Rand
	cut     bool
	owner   int // who cut last: nobody else mends by the clock
	cuts    int // tells one cut from the next
	held    int
	heals   int      // tells a hold from before a heal
	stalled []func() // stream frames that wait for the link, in order
}

func newNet(w *World, model NetModel) *Net {
	if model.Latency == (Dist{}) {
		model.Latency = Dist{Min: 200 * time.Microsecond, Tail: 100 * time.Microsecond, Max: 20 * time.Millisecond}
	}
	return &Net{world: w, model: model, links: make(map[[2]int]*link), conns: make(map[uint64]*conn), faults: make(map[string]int)}
}

func (n *Net) link(from, to int) *link {
	key := [2]int{from, to}
	l := n.links[key]
	if l == nil {
		l = &link{rand: n.world.stream("link/" + strconv.Itoa(from) + "/" + strconv.Itoa(to))}
		n.links[key] = l
	}
	return l
}

func (l *link) open() bool { return !l.cut && l.held == 0 }

// Model returns the model in force; SetModel changes it from now on.
func (n *Net) Model() NetModel { return n.model }

// SetModel changes latency and probabilities from now on.
func (n *Net) SetModel(m NetModel) { n.model = m }

// Name lets a host:port stand for nodes, as a name in DNS does; for none it is unknown again. The port is that of every
// node, 9093 or 7946.
func (n *Net) Name(hostport string, nodes ...int) {
	if n.names == nil {
		n.names = make(map[string][]int)
	}
	n.names[hostport] = nodes
}

// BlockDatagrams lets no datagram from or to a node pass, as a firewall does that knows UDP flows by their length; streams pass.
func (n *Net) BlockDatagrams(i int, blocked bool) {
	if n.mute == nil {
		n.mute = make(map[int]bool)
	}
	n.mute[i] = blocked
	n.count("datagrams blocked")
}

// Cut stops what from sends to to. Streams stall and end after their idle time, datagrams vanish.
func (n *Net) Cut(from, to int) {
	l := n.link(from, to)
	l.owner++
	if l.cut || from == to {
		return
	}
	l.cut = true
	l.cuts++
	n.count("cut")
	cuts := l.cuts
	n.world.after(idleTimeout, func() {
		if l.cut && l.cuts == cuts {
			n.endConns(from, to)
		}
	})
}

// sever is a cut that ends by itself: mend leaves alone what somebody else cut before or has cut since.
func (n *Net) sever(from, to int) (mend func()) {
	l := n.link(from, to)
	if l.cut {
		return func() {}
	}
	n.Cut(from, to)
	owner := l.owner
	return func() {
		if l.owner == owner {
			n.Mend(from, to)
		}
	}
}

// Mend ends a cut.
func (n *Net) Mend(from, to int) {
	l := n.link(from, to)
	if l.cut {
		l.cut = false
		n.release(l)
	}
}

// Partition cuts every link between nodes of different groups; a node in no group is cut off from all.
func (n *Net) Partition(groups ...[]int) {
	group := make(map[int]int)
	for i, g := range groups {
		for _, id := range g {
			group[id] = i + 1
		}
	}
	for _, a := range n.world.nodes {
		for _, b := range n.world.nodes {
			if a != b && (group[a.id] != group[b.id] || group[a.id] == 0) {
				n.Cut(a.id, b.id)
			}
		}
	}
}

// Isolate cuts a node off in both directions.
func (n *Net) Isolate(i int) {
	for _, other := range n.world.nodes {
		if other.id != i {
			n.Cut(i, other.id)
			n.Cut(other.id, i)
		}
	}
}

// Flap cuts and mends the link between two nodes, both ways, until the time is over.
func (n *Net) Flap(a, b int, period, during time.Duration) {
	until := n.world.now + during
	there, back := func() {}, func() {}
	var turn func(down bool)
	turn = func(down bool) {
		if n.world.now >= until {
			down = false
		}
		if down {
			there, back = n.sever(a, b), n.sever(b, a)
		} else {
			there()
			back()
		}
		if n.world.now < until {
			n.world.after(period/2, func() { turn(!down) })
		}
	}
	turn(true)
}

// Hold keeps what from sends to to until the returned function releases it, all of it, datagrams too. Nothing ends meanwhile.
func (n *Net) Hold(from, to int) (release func()) {
	l := n.link(from, to)
	l.held++
	n.count("hold")
	done, heals := false, l.heals
	return func() {
		if !done && l.heals == heals {
			done = true
			l.held--
			n.release(l)
		}
	}
}

// MendAll ends every cut and releases everything that is held.
func (n *Net) MendAll() {
	clear(n.mute)
	for _, a := range n.world.nodes {
		for _, b := range n.world.nodes {
			l := n.link(a.id, b.id)
			l.cut, l.held = false, 0
			l.heals++
			n.release(l)
		}
	}
}

func (n *Net) release(l *link) {
	if !l.open() {
		return
	}
	waiting := l.stalled
	l.stalled = nil
	for _, deliver := range waiting {
		deliver()
	}
}

func (n *Net) count(fault string) { n.faults[fault]++ }

func (n *Net) connected(a, b int) bool { return n.link(a, b).open() && n.link(b, a).open() }
