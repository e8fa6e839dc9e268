package testkit

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
)

// epoch is where the wall clock of every world starts.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// stream returns a generator of its own for a name: what one part of the world draws never moves what another one draws.
func (w *World) stream(name string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return rand.New(rand.NewPCG(w.seed, h.Sum64()))
}

// env is the environment of one life of a node. Timers of an earlier life never fire.
type env struct {
	node  *Node
	life  int
	draws int // makes two generators of one name differ
	ids   *rand.Rand
}

func newEnv(n *Node) *env {
	e := &env{node: n, life: n.life}
	e.ids = n.world.stream(e.key("ids"))
	return e
}

func (e *env) key(name string) string {
	return strconv.Itoa(e.node.id) + "/" + strconv.Itoa(e.life) + "/" + name
}

// Now is the node's wall clock: skewed, and moved by jumps.
func (e *env) Now() time.Time { return epoch.Add(e.Boot() + e.node.jump) }

// Boot runs at the node's own rate and never jumps.
func (e *env) Boot() time.Duration { return e.node.local(e.node.world.now) }

func (e *env) After(d time.Duration, pid *actor.PID, msg any) actors.Timer {
	t := &timer{env: e, due: e.Boot() + max(d, 0), pid: pid, msg: msg}
	e.node.world.enter(&t.event, e.node.global(d), t)
	return t
}

// timer is a message on its way to an actor of one life.
type timer struct {
	env   *env
	due   time.Duration // on the node's own clock
	pid   *actor.PID
	msg   any
	event event
}

func (t *timer) Stop() bool { return t.event.Stop() }

func (t *timer) happen() {
	n := t.env.node
	if left := t.due - t.env.Boot(); left > 0 { // the clock has slowed down meanwhile
		n.world.enter(&t.event, n.global(left), t)
		return
	}
	if n.awake(t.env.life) {
		t.deliver()
		return
	}
	n.whenAwake(t.env.life, t.deliver)
}

func (t *timer) deliver() {
	process, _ := t.env.node.system.ProcessRegistry.Get(t.pid)
	if system, ok := t.msg.(actor.SystemMessage); ok {
		process.SendSystemMessage(t.pid, system)
		return
	}
	process.SendUserMessage(t.pid, t.msg)
}

func (e *env) Rand(name string) *rand.Rand {
	e.draws++
	return e.node.world.stream(e.key(name) + "/" + strconv.Itoa(e.draws))
}

func (e *env) NewID() actors.ID {
	var id actors.ID
	binary.LittleEndian.PutUint64(id[:8], e.ids.Uint64())
	binary.LittleEndian.PutUint64(id[8:], e.ids.Uint64())
	return id
}

// local is what the node's clock shows at a time of the world.
func (n *Node) local(now time.Duration) time.Duration {
	since := now - n.skewedAt
	return n.skewedFrom + since + time.Duration(float64(since)*float64(n.skew)/1e6)
}

// global is how long a wait of the node's takes in the world: a timer never fires before its time on the node's own clock.
func (n *Node) global(d time.Duration) time.Duration {
	if n.skew == 0 || d <= 0 {
		return d
	}
	now := n.world.now
	g := time.Duration(float64(d) / (1 + float64(n.skew)/1e6))
	for n.local(now+g) < n.local(now)+d {
		g++
	}
	return g
}
