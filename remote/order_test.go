package remote

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

// orderly sends from one node to some actors of another in every class that keeps order, and holds what arrives to it:
// each pair and class ascends, so nothing overtakes, comes twice, or comes out of a connection after its successor began.
type orderly struct {
	t        *testing.T
	from, to *testNode
	targets  []string
	inboxes  []<-chan any
	sent     [][actors.Classes]uint64 // by target
	came     [][actors.Classes]uint64
	arrived  int
}

var ordered = []actors.Class{actors.Default, actors.Control, actors.Append, actors.Bulk}

func newOrderly(t *testing.T, from, to *testNode, targets ...string) *orderly {
	o := &orderly{t: t, from: from, to: to, targets: targets}
	for _, name := range targets {
		o.inboxes = append(o.inboxes, to.inboxOf(t, name))
	}
	o.sent, o.came = make([][actors.Classes]uint64, len(targets)), make([][actors.Classes]uint64, len(targets))
	return o
}

// send gives the next message to a target; every fortieth of Bulk goes in chunks.
func (o *orderly) send(target int, class actors.Class) {
	o.sent[target][class]++
	n := o.sent[target][class]
	size := 24
	if class == actors.Bulk && n%40 == 0 {
		size = bulkFrameMax + 1000
	}
	b := make([]byte, size)
	binary.BigEndian.PutUint64(b, n)
	binary.BigEndian.PutUint64(b[size-8:], n)
	b[8] = byte(class)
	actors.Send(class, o.from.Root, o.to.pid(o.targets[target]), wrapperspb.Bytes(b))
}

func (o *orderly) take(target int, msg any) {
	o.t.Helper()
	b := msg.(*wrapperspb.BytesValue).Value
	n, tail := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[len(b)-8:])
	class := actors.Class(b[8])
	last := &o.came[target][class]
	if n != tail || n <= *last || n > o.sent[target][class] {
		o.t.Fatalf("%s in class %s: message %d (%d at its end) after %d", o.targets[target], class, n, tail, *last)
	}
	*last = n
	o.arrived++
}

// drain takes what has arrived.
func (o *orderly) drain() {
	o.t.Helper()
	for target, inbox := range o.inboxes {
		for len(inbox) > 0 {
			o.take(target, <-inbox)
		}
	}
}

// flows goes on sending until a new message of every pair and class arrives.
func (o *orderly) flows() {
	o.t.Helper()
	o.drain()
	before := slices.Clone(o.came)
	deadline := time.Now().Add(2 * patience)
	for {
		missing := false
		for target := range o.targets {
			for _, class := range ordered {
				if o.came[target][class] <= before[target][class] {
					o.send(target, class)
					missing = true
				}
			}
		}
		if !missing {
			return
		}
		if time.Now().After(deadline) {
			o.t.Fatalf("nothing gets through any more: %v sent, %v came", o.sent, o.came)
		}
		<-time.After(10 * time.Millisecond)
		o.drain()
	}
}

// through sends in rounds, and breaks something in the middle of each.
func (o *orderly) through(rounds int, breaks func(round int)) {
	o.t.Helper()
	o.flows()
	for round := range rounds {
		for i := range 200 {
			for target := range o.targets {
				for _, class := range ordered {
					o.send(target, class)
				}
			}
			if i == 100 {
				breaks(round)
			}
		}
		o.flows()
	}
	total := uint64(0)
	for target := range o.targets {
		for _, class := range ordered {
			total += o.sent[target][class]
		}
	}
	if o.arrived < int(total)/10 {
		o.t.Fatalf("%d of %d arrived: the test has lost its hold", o.arrived, total)
	}
}

// cutConnections ends those of a node that match, without a word to its own session core.
func (n *testNode) cutConnections(kind Kind, dialed bool) (cut int) {
	for _, c := range n.connections() {
		if c.kind == kind && c.dialed == dialed {
			c.Close(CodeDone, "cut by the test")
			cut++
		}
	}
	return cut
}

// Order and at most once hold over real sockets while connections of either side break under what is on its way.
func TestOrderThroughReconnects(t *testing.T) {
	for name, opts := range map[string][]ConfigOption{
		"lost":             nil,
		"lost and renewed": {WithConnectionAge(50 * time.Millisecond)},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := startNode(t, 1, opts...), startNode(t, 2, opts...)
			random := rand.New(rand.NewPCG(1, 2))
			cuts := 0
			newOrderly(t, a, b, "x", "y", "z").through(40, func(int) {
				kind := Kind(random.IntN(2)) // main or bulk
				if random.IntN(2) == 0 {
					cuts += a.cutConnections(kind, true)
				} else {
					cuts += b.cutConnections(kind, false)
				}
			})
			if n := reconnects(t, a); cuts < 10 || n < 10 {
				t.Errorf("%d connections were cut, and %d sessions came after the first", cuts, n)
			}
		})
	}
}

// The same where a connection ends without a word: the path is cut until both sides have given it up, or shorter.
func TestOrderThroughOutages(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a, b := l.start(t, "10.0.0.1", 1, 1), l.start(t, "10.0.0.2", 2, 1)
		newOrderly(t, a, b, "x", "y").through(8, func(round int) {
			l.cut(b.address(), true)
			pass(time.Duration(round) * 3 * time.Second)
			l.cut(b.address(), false)
		})
		if reconnects(t, a) < 2 {
			t.Error("the outages ended no session")
		}
	})
}

// reconnects is how many sessions a node had with its only peer after the first.
func reconnects(t *testing.T, n *testNode) uint64 {
	t.Helper()
	status, err := n.remote.Status(t.Context())
	if err != nil || len(status.Peers) != 1 {
		t.Fatalf("got %v, %v", status, err)
	}
	return status.Peers[0].Reconnects
}
