package testkit

import (
	"fmt"
	"math/rand/v2"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hupe1980/rivven-cluster/raftactor"
)

// Plan says which faults happen and how often: the mean time between two of a kind, 0 for never. Their places, times and lengths are drawn
// from the seed, all before the first turn, so that a plan can be written down and cut smaller.
type Plan struct {
	Crash, Pause, Partition, Cut, Flap, Skew, Stall, SyncFail, Wipe time.Duration
	// OnEvent is the chance, for each time that a node is about to handle a vote, an append or a snapshot, that its
	// sender or itself crashes at that very moment.
	OnEvent float64
	// Down is how long a crashed node stays down.
	Down Dist
	// Fixed, if not nil, are the faults themselves.
	Fixed []Fault
}

// Mixed is a plan of everything that a cluster must survive with a minority touched at a time.
var Mixed = Plan{
	Crash: 6 * time.Second, Pause: 8 * time.Second, Partition: 9 * time.Second, Cut: 7 * time.Second, Flap: 15 * time.Second,
	Skew: 20 * time.Second, Stall: 12 * time.Second, SyncFail: 25 * time.Second, OnEvent: 0.0005,
	Down: Dist{Min: 50 * time.Millisecond, Tail: 2 * time.Second, Max: 8 * time.Second},
}

// Fault is one planned fault.
type Fault struct {
	At     time.Duration `json:"at"`
	Kind   string        `json:"kind"`
	Node   int           `json:"node"`
	Other  int           `json:"other,omitempty"`
	During time.Duration `json:"during,omitempty"`
	Arg    int           `json:"arg,omitempty"`
	// Event is the step before which an event-triggered fault happened; 0 for one that a time triggers. It is made again before that
	// step, or once At has passed.
	Event uint64 `json:"event,omitempty"`
}

func (f Fault) String() string {
	return fmt.Sprintf("%s node %d other %d for %v arg %d", f.Kind, f.Node, f.Other, f.During, f.Arg)
}

// draw makes the faults of a seed.
func (p Plan) draw(w *World) []Fault {
	if p.Fixed != nil {
		return p.Fixed
	}
	var out []Fault
	r := w.stream("chaos")
	add := func(kind string, every time.Duration, make func(f *Fault)) {
		if every <= 0 {
			return
		}
		for at := time.Duration(r.ExpFloat64() * float64(every)); at < w.scenario.For; at += time.Duration(r.ExpFloat64() * float64(every)) {
			f := Fault{At: at, Kind: kind, Node: 1 + r.IntN(w.scenario.Nodes)}
			make(&f)
			out = append(out, f)
		}
	}
	down := p.Down
	if down == (Dist{}) {
		down = Mixed.Down
	}
	other := func(f *Fault) { f.Other = 1 + (f.Node+r.IntN(max(w.scenario.Nodes-1, 1)))%w.scenario.Nodes }
	length := func(f *Fault, least, tail time.Duration) {
		f.During = least + time.Duration(r.ExpFloat64()*float64(tail))
	}
	add("crash", p.Crash, func(f *Fault) { f.During, f.Arg = down.draw(r), r.IntN(3) })
	add("pause", p.Pause, func(f *Fault) { length(f, 50*time.Millisecond, time.Second) })
	add("partition", p.Partition, func(f *Fault) { length(f, 200*time.Millisecond, 4*time.Second); f.Arg = r.IntN(1 << 16) })
	add("cut", p.Cut, func(f *Fault) { other(f); length(f, 100*time.Millisecond, 3*time.Second) })
	add("flap", p.Flap, func(f *Fault) { other(f); length(f, time.Second, 3*time.Second) })
	add("skew", p.Skew, func(f *Fault) { f.Arg = r.IntN(20001) - 10000 })
	add("stall", p.Stall, func(f *Fault) { length(f, 20*time.Millisecond, 500*time.Millisecond) })
	add("syncfail", p.SyncFail, func(f *Fault) { f.During = down.draw(r) })
	add("wipe", p.Wipe, func(f *Fault) { f.During = down.draw(r) })
	return out
}

// inject does one fault, unless it would touch more than a minority: what a majority loses at once nobody can bring back.
func (w *World) inject(f Fault) {
	n := w.Node(f.Node)
	switch f.Kind {
	case "crash":
		if w.spare(n) {
			n.Crash(CrashKind(f.Arg))
			w.reviveAfter(n, f.During)
		}
	case "pause":
		n.Pause(f.During)
	case "partition":
		w.partition(f)
	case "cut":
		if f.Other != f.Node {
			w.event(Event{Kind: "cut", Node: f.Node, Detail: fmt.Sprint(f.Other)})
			w.after(f.During, w.net.sever(f.Node, f.Other))
		}
	case "flap":
		if f.Other != f.Node {
			w.event(Event{Kind: "flap", Node: f.Node, Detail: fmt.Sprint(f.Other)})
			w.net.Flap(f.Node, f.Other, 400*time.Millisecond, f.During)
		}
	case "skew":
		n.Skew(f.Arg)
	case "stall":
		w.event(Event{Kind: "stall", Node: f.Node})
		n.disk.Stall(true)
		w.after(f.During, func() { n.disk.Stall(false) })
	case "syncfail":
		if w.spare(n) && n.up {
			w.event(Event{Kind: "syncfail", Node: f.Node})
			n.disk.FailSync()
			w.reviveAfter(n, f.During+500*time.Millisecond)
		}
	case "wipe":
		if w.spare(n) {
			n.Wipe()
			w.reviveAfter(n, f.During)
		}
	}
}

// spare reports whether a majority of the scenario's nodes is up without this one.
func (w *World) spare(n *Node) bool {
	up := 0
	for _, other := range w.nodes[:w.scenario.Nodes] {
		if other != n && other.up && other.disk.failing == nil {
			up++
		}
	}
	return up > w.scenario.Nodes/2
}

func (w *World) reviveAfter(n *Node, d time.Duration) {
	w.after(d, func() {
		if !n.up || n.disk.failing != nil {
			n.Restart()
		}
	})
}

// partition splits the nodes by the bits of Arg.
func (w *World) partition(f Fault) {
	var left, right []int
	for _, n := range w.nodes {
		if f.Arg>>(n.id-1)&1 == 0 {
			left = append(left, n.id)
		} else {
			right = append(right, n.id)
		}
	}
	w.event(Event{Kind: "partition", Node: f.Node, Detail: fmt.Sprint(left, right)})
	for _, a := range left {
		for _, b := range right {
			w.after(f.During, w.net.sever(a, b))
			w.after(f.During, w.net.sever(b, a))
		}
	}
}

// Heal stops all faults: links mend, disks work, the paused go on, and everyone is up; with core given, only those nodes are revived.
func (w *World) Heal(core ...int) {
	w.event(Event{Kind: "heal"})
	w.faultsOver = true
	w.net.MendAll()
	w.net.SetModel(NetModel{Latency: w.net.model.Latency})
	for _, n := range w.nodes[:w.scenario.Nodes] {
		n.disk.SetModel(DiskModel{SyncLatency: n.disk.model.SyncLatency})
		n.disk.Stall(false)
		if n.paused {
			n.resume()
		}
		if (!n.up || n.disk.failing != nil) && (len(core) == 0 || contains(core, n.id)) {
			n.Restart()
		}
	}
}

func contains(list []int, x int) bool {
	for _, v := range list {
		if v == x {
			return true
		}
	}
	return false
}

// onEvents arms the faults that fire on protocol events.
func (w *World) onEvents(p Plan, r *rand.Rand) {
	if p.OnEvent <= 0 {
		return
	}
	w.On(Match{Kind: "turn", Where: isProtocol}, func(e Event) {
		if w.faultsOver || r.Float64() >= p.OnEvent {
			return
		}
		victim := e.From
		if victim == 0 || r.IntN(2) == 0 {
			victim = e.Node
		}
		f := Fault{At: w.now, Kind: "crash", Node: victim, During: Mixed.Down.draw(r), Arg: r.IntN(3), Event: w.trace.steps}
		w.injected = append(w.injected, f)
		w.inject(f)
	})
}

// isProtocol picks the messages at which a crash hurts most.
func isProtocol(e Event) bool {
	step, ok := e.Message.(*raftactor.Step)
	if !ok {
		return false
	}
	for _, m := range step.GetMessages() {
		switch m.GetType() {
		case raftpb.MsgVote, raftpb.MsgVoteResp, raftpb.MsgPreVoteResp, raftpb.MsgApp, raftpb.MsgAppResp, raftpb.MsgSnap, raftpb.MsgTimeoutNow:
			return true
		}
	}
	return false
}
