package testkit_test

import (
	"container/heap"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/swimactor"
	"github.com/hupe1980/rivven-cluster/swimactor/swim"
)

// swimWorld is a world of membership cores alone, so that hundreds of members live through minutes in a second: real cores and real
// encoding, in virtual time, by seed.
type swimWorld struct {
	t       testing.TB
	seed    uint64
	rng     *rand.Rand // of latencies and losses
	now     time.Duration
	agenda  swimAgenda
	seq     uint64
	cfg     swim.Config
	members []*swimMember          // by index; those that ended stay
	homes   map[string]*swimMember // who lives at an address
	streams map[[2]int]time.Duration
	hash    uint64

	loss    float64                         // of a datagram, and of what has to be sent again on a stream
	cut     func(from, to *swimMember) bool // nothing passes
	noUDP   func(from, to *swimMember) bool // no datagram passes
	onEvent func(by *swimMember, e swim.Event)
	onSend  func(from *swimMember, s swim.Send, wire []byte)
	packets int
}

// swimMember is one life of a member.
type swimMember struct {
	w      *swimWorld
	index  int
	record swim.Record
	core   *swim.Core
	wake   time.Duration
	ahead  time.Duration // of its clock, which only ever jumps forward: the machine slept
	down   bool
	paused bool
	queued []func()
	seen   map[swim.EventKind]int
}

type swimEntry struct {
	at  time.Duration
	seq uint64
	do  func()
}

type swimAgenda []swimEntry

func (h swimAgenda) Len() int { return len(h) }
func (h swimAgenda) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h swimAgenda) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *swimAgenda) Push(x any)   { *h = append(*h, x.(swimEntry)) }
func (h *swimAgenda) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// swimSeeds is what -testkit.seed and -testkit.seeds ask for.
func swimSeeds(t *testing.T, few int) (first uint64, count int) {
	t.Helper()
	first = flag.Lookup("testkit.seed").Value.(flag.Getter).Get().(uint64)
	if count = flag.Lookup("testkit.seeds").Value.(flag.Getter).Get().(int); count == 0 {
		count = few
	}
	return first, count
}

func newSwimWorld(t testing.TB, seed uint64) *swimWorld {
	return &swimWorld{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), cfg: swim.DefaultLAN(),
		homes: make(map[string]*swimMember), streams: make(map[[2]int]time.Duration),
	}
}

func (w *swimWorld) fatalf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d, at %v: %s\nreproduce: go test ./testkit -run '^%s$' -testkit.seed=%d -testkit.seeds=1", w.seed, w.now,
		fmt.Sprintf(format, args...), w.t.Name(), w.seed)
}

func swimAddress(id uint64) string { return fmt.Sprintf("n%d:9093", id) }

func swimRecord(id, generation uint64) swim.Record {
	return swim.Record{ID: id, Directory: fmt.Sprintf("directory-%06d", id), Name: fmt.Sprintf("n%d", id), Generation: generation, Address: swimAddress(id)}
}

// start begins a life. Who lived at the address before is gone.
func (w *swimWorld) start(r swim.Record, seeds ...string) *swimMember {
	w.t.Helper()
	m := &swimMember{w: w, index: len(w.members), record: r, wake: -1, seen: make(map[swim.EventKind]int)}
	core, err := swim.New(w.cfg, r, rand.New(rand.NewPCG(w.seed, uint64(m.index)+2)))
	if err != nil {
		w.fatalf("member %d: %v", r.ID, err)
	}
	if before := w.homes[r.Address]; before != nil {
		before.down = true
	}
	m.core, w.homes[r.Address], w.members = core, m, append(w.members, m)
	m.perform(core.Start(m.clock()))
	m.perform(core.Join(m.clock(), seeds))
	return m
}

// startAll begins n lives whose seeds are the first three, and waits until they see each other.
func (w *swimWorld) startAll(n int) {
	w.t.Helper()
	for id := uint64(1); id <= uint64(n); id++ {
		w.start(swimRecord(id, 1), w.seeds()...)
	}
	w.await(30*time.Second, "all members see each other", w.apart)
}

func (w *swimWorld) seeds() []string { return []string{swimAddress(1), swimAddress(2), swimAddress(3)} }

// at returns the member whose life goes on under an id at its own address.
func (w *swimWorld) at(id uint64) *swimMember { return w.homes[swimAddress(id)] }

func (w *swimWorld) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.agenda, swimEntry{at: w.now + max(d, 0), seq: w.seq, do: do})
}

func (w *swimWorld) run(d time.Duration) {
	for end := w.now + d; ; {
		if len(w.agenda) == 0 || w.agenda[0].at > end {
			w.now = end
			return
		}
		e := heap.Pop(&w.agenda).(swimEntry)
		w.now = e.at
		e.do()
	}
}

// await runs until why has nothing to say, and returns how long that took.
func (w *swimWorld) await(limit time.Duration, what string, why func() string) time.Duration {
	w.t.Helper()
	for begin := w.now; ; w.run(50 * time.Millisecond) {
		reason := why()
		if reason == "" {
			return w.now - begin
		}
		if w.now-begin >= limit {
			w.fatalf("not within %v: %s: %s", limit, what, reason)
		}
	}
}

func (w *swimWorld) note(what ...any) {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, w.hash, w.now, what)
	w.hash = h.Sum64()
}

func (m *swimMember) clock() time.Duration { return m.w.now + m.ahead }

// handle does something as the member, later if it stands still.
func (m *swimMember) handle(do func()) {
	switch {
	case m.down:
	case m.paused:
		m.queued = append(m.queued, do)
	default:
		do()
	}
}

func (m *swimMember) pause() { m.paused = true }

func (m *swimMember) resume() {
	m.paused = false
	queued := m.queued
	m.queued = nil
	for _, do := range queued {
		m.handle(do)
	}
}

// jump moves the clock forward, as it does when a machine slept.
func (m *swimMember) jump(d time.Duration) {
	m.ahead += d
	m.arm()
}

func (m *swimMember) arm() {
	wake := m.wake
	if wake < 0 {
		return
	}
	m.w.after(wake-m.clock(), func() {
		m.handle(func() {
			if m.wake == wake && m.clock() >= wake {
				m.wake = -1
				m.perform(m.core.Tick(m.clock()))
			}
		})
	})
}

func (m *swimMember) perform(out swim.Output) {
	w := m.w
	for _, s := range out.Sends {
		m.send(s)
	}
	for _, e := range out.Events {
		w.note(m.index, e.Kind, e.Member.Record.ID, e.Member.Record.Generation)
		m.seen[e.Kind]++
		if w.onEvent != nil {
			w.onEvent(m, e)
		}
	}
	for _, name := range out.Resolve {
		w.after(time.Millisecond, func() {
			m.handle(func() {
				var peers []swim.Peer
				if there := w.homes[name]; there != nil && !there.down && (w.cut == nil || !w.cut(m, there) && !w.cut(there, m)) {
					peers = []swim.Peer{{ID: there.record.ID, Address: name}}
				}
				m.perform(m.core.Resolved(m.clock(), name, peers))
			})
		})
	}
	if out.Wake != m.wake {
		m.wake = out.Wake
		m.arm()
	}
}

// send marshals, and delivers a copy after a latency: datagrams may be lost, streams are late instead and in order.
func (m *swimMember) send(s swim.Send) {
	w := m.w
	wire, err := proto.Marshal(swimactor.Encode(s.Message))
	if err != nil {
		w.fatalf("%T cannot be encoded: %v", s.Message, err)
	}
	w.packets++
	if s.Path == swim.Datagram && len(wire) > w.cfg.PacketBytes-w.cfg.EnvelopeBytes {
		w.fatalf("a datagram of %d bytes: %T", len(wire), s.Message)
	}
	if w.onSend != nil {
		w.onSend(m, s, wire)
	}
	to := w.homes[s.To.Address]
	if to == nil {
		return
	}
	arrives := w.now + 200*time.Microsecond + time.Duration(w.rng.ExpFloat64()*float64(300*time.Microsecond))
	if s.Path == swim.Datagram {
		if w.rng.Float64() < w.loss || w.noUDP != nil && w.noUDP(m, to) {
			return
		}
	} else {
		for again := 25 * time.Millisecond; w.rng.Float64() < w.loss && again < time.Second; again *= 2 {
			arrives += again
		}
		pair := [2]int{m.index, to.index}
		arrives = max(arrives, w.streams[pair])
		w.streams[pair] = arrives
	}
	if w.cut != nil && w.cut(m, to) {
		return
	}
	w.after(arrives-w.now, func() {
		if w.cut == nil || !w.cut(m, to) {
			w.deliver(m.record.ID, m.record.Address, to, wire)
		}
	})
}

// deliver hands a message to a member as though it came over the connection of that peer.
func (w *swimWorld) deliver(id uint64, address string, to *swimMember, wire []byte) {
	to.handle(func() {
		var msg swimactor.Message
		if err := proto.Unmarshal(wire, &msg); err != nil {
			w.fatalf("a message cannot be decoded: %v", err)
		}
		to.perform(to.core.Receive(to.clock(), swim.Peer{ID: id, Address: address}, swimactor.Decode(&msg)))
	})
}

// up lists the lives that go on, by id.
func (w *swimWorld) up() []*swimMember {
	var up []*swimMember
	for _, m := range w.members {
		if !m.down && !m.core.Gone() {
			up = append(up, m)
		}
	}
	slices.SortFunc(up, func(a, b *swimMember) int { return int(a.record.ID) - int(b.record.ID) })
	return up
}

// apart says how the views of those that run differ from who runs; nothing when all see exactly each other, with the same records.
func (w *swimWorld) apart() string {
	up := w.up()
	for _, by := range up {
		at := 0
		for _, row := range by.core.Members() {
			if row.State != swim.Alive && row.State != swim.Suspect {
				continue
			}
			if at == len(up) || up[at].record.ID > row.Record.ID {
				return fmt.Sprintf("%d takes %d for %v, which does not run", by.record.ID, row.Record.ID, row.State)
			}
			if up[at].record.ID < row.Record.ID {
				return fmt.Sprintf("%d does not see %d, which runs", by.record.ID, up[at].record.ID)
			}
			if own := up[at].core.Self().Record; row.State != swim.Alive || own.Directory != row.Record.Directory ||
				own.Generation != row.Record.Generation || own.Incarnation != row.Record.Incarnation {
				return fmt.Sprintf("%d sees %d as %v %d.%d, which is %d.%d", by.record.ID, row.Record.ID, row.State, row.Record.Generation,
					row.Record.Incarnation, own.Generation, own.Incarnation)
			}
			at++
		}
		if at != len(up) {
			return fmt.Sprintf("%d sees %d of %d", by.record.ID, at, len(up))
		}
	}
	return ""
}

// noDeath fails the test where anybody but those is declared dead.
func (w *swimWorld) noDeath(but ...uint64) {
	w.onEvent = func(by *swimMember, e swim.Event) {
		if e.Kind == swim.Failed && !slices.Contains(but, e.Member.Record.ID) {
			w.fatalf("%d, which is well, is declared dead by %d", e.Member.Record.ID, by.record.ID)
		}
	}
}
