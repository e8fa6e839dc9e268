package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
)

// snapshotNode is a node with a snapshot actor, and a wire to the others on which the test can meddle.
type snapshotNode struct {
	*world
	name  string
	files SnapshotFiles
	pid   *actor.PID
	probe *probe
	info  *actors.PeerInfo
}

type snapshotNet struct {
	*clockwork
	nodes map[string]*snapshotNode
	// onWire changes or drops (nil) what travels.
	onWire func(from, to string, msg proto.Message) proto.Message
}

func newSnapshotNet(t *testing.T, cfg SnapshotsConfig, names ...string) *snapshotNet {
	t.Helper()
	net := &snapshotNet{clockwork: newClockwork(), nodes: make(map[string]*snapshotNode)}
	for i, name := range names {
		n := &snapshotNode{world: net.world(), name: name, files: NewSnapshotMemory(), info: &actors.PeerInfo{NodeID: uint64(i + 1), Address: name}}
		n.ProcessRegistry.Address = name
		n.ProcessRegistry.RegisterAddressResolver(func(pid *actor.PID) (actor.Process, bool) { return &snapshotWire{net, n, pid.Address}, true })
		n.pid = n.Root.Spawn(SnapshotsProps(n.files, cfg))
		n.probe = n.world.probe()
		net.nodes[name] = n
	}
	net.run()
	return net
}

type snapshotWire struct {
	net  *snapshotNet
	from *snapshotNode
	to   string
}

func (w *snapshotWire) SendUserMessage(pid *actor.PID, message any) {
	panic(fmt.Sprintf("not in class bulk: %v", message))
}
func (w *snapshotWire) SendSystemMessage(*actor.PID, any) {}
func (w *snapshotWire) Stop(*actor.PID)                   {}

func (w *snapshotWire) SendClass(class actors.Class, pid *actor.PID, envelope *actor.MessageEnvelope) {
	if class != actors.Bulk || pid.Id != actors.NameSnapshots {
		panic(fmt.Sprintf("%s to %s", class, pid))
	}
	msg := envelope.Message.(proto.Message)
	if w.net.onWire != nil {
		if msg = w.net.onWire(w.from.name, w.to, msg); msg == nil {
			return
		}
	}
	data, err := proto.Marshal(msg)
	if err != nil {
		panic(err)
	}
	got := msg.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(data, got); err != nil {
		panic(err)
	}
	to := w.net.nodes[w.to]
	w.net.Schedule(func() { to.deliver(to.pid, &actors.Inbound{Peer: w.from.info, Class: class, Message: got}) })
}

func (n *snapshotNode) save(t *testing.T, index uint64, data []byte) SnapshotRef {
	t.Helper()
	ref := SnapshotRef{Group: "meta", Index: index, Term: 2, ConfState: &raftpb.ConfState{Voters: []uint64{1, 2}}, Peers: []byte("peers")}
	n.send(n.probe, n.pid, &SaveSnapshot{Ref: ref, Data: bytes.NewBuffer(data)})
	n.run()
	got := n.probe.take()
	if len(got) != 1 || got[0].(*SnapshotSaved).Err != nil {
		t.Fatalf("save: %+v", got)
	}
	return got[0].(*SnapshotSaved).Ref
}

func (n *snapshotNode) sendTo(to string, ref SnapshotRef, token uint64) {
	n.send(n.probe, n.pid, &SendSnapshot{Ref: ref, To: actor.NewPID(to, actors.NameSnapshots), Token: token})
}

func (n *snapshotNode) sent(t *testing.T) *SnapshotSent {
	t.Helper()
	got := n.probe.take()
	if len(got) != 1 {
		t.Fatalf("got %v", got)
	}
	return got[0].(*SnapshotSent)
}

func (n *snapshotNode) mustHave(t *testing.T, ref SnapshotRef, data []byte) {
	t.Helper()
	f, err := n.files.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(f)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes instead of %d: %v", len(got), len(data), err)
	}
	refs, err := n.files.List(ref.Group)
	if err != nil || len(refs) == 0 || !proto.Equal(refs[0].ConfState, ref.ConfState) || string(refs[0].Peers) != string(ref.Peers) {
		t.Fatalf("listed %+v: %v", refs, err)
	}
}

func testData(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(i * i >> 3)
	}
	return out
}

func TestSnapshotTravelsDataFirst(t *testing.T) {
	net := newSnapshotNet(t, SnapshotsConfig{ChunkBytes: 4096, WindowChunks: 3}, "a", "b")
	a, b := net.nodes["a"], net.nodes["b"]
	inFlight, most := 0, 0
	net.onWire = func(_, _ string, msg proto.Message) proto.Message {
		switch m := msg.(type) {
		case *Chunk:
			inFlight += len(m.Data)
			most = max(most, inFlight)
		case *Ack:
			inFlight = max(0, inFlight-4096)
		}
		return msg
	}
	data := testData(100_001)
	ref := a.save(t, 10, data)
	a.sendTo("b", ref, 7)
	net.advance(time.Millisecond)
	if got := a.sent(t); got.Err != nil || got.Token != 7 {
		t.Fatalf("got %+v", got)
	}
	b.mustHave(t, ref, data)
	if most > 3*4096 {
		t.Fatalf("%d bytes in flight, the window is %d", most, 3*4096)
	}
	a.sendTo("b", ref, 8)
	net.onWire = func(_, _ string, msg proto.Message) proto.Message {
		if _, ok := msg.(*Chunk); ok {
			t.Error("data sent to a receiver that has it")
		}
		return msg
	}
	net.advance(time.Millisecond)
	if got := a.sent(t); got.Err != nil || got.Token != 8 {
		t.Fatalf("got %+v", got)
	}
}

func TestSnapshotTransferResumesWhereItBroke(t *testing.T) {
	net := newSnapshotNet(t, SnapshotsConfig{ChunkBytes: 4096}, "a", "b")
	a, b := net.nodes["a"], net.nodes["b"]
	data := testData(100_000)
	ref := a.save(t, 10, data)
	var sent uint64
	broken := true
	net.onWire = func(from, _ string, msg proto.Message) proto.Message {
		if c, ok := msg.(*Chunk); ok {
			if broken && c.Offset >= 40_960 {
				return nil
			}
			sent += uint64(len(c.Data))
		}
		return msg
	}
	a.sendTo("b", ref, 1)
	net.advance(time.Second)
	if len(a.probe.got) != 0 {
		t.Fatalf("got %v", a.probe.got)
	}
	broken = false
	net.advance(10 * time.Second)
	if got := a.sent(t); got.Err != nil {
		t.Fatalf("got %+v", got)
	}
	b.mustHave(t, ref, data)
	if sent != uint64(len(data)) {
		t.Fatalf("%d bytes arrived for %d", sent, len(data))
	}
}

func TestSnapshotTransferEndsAtItsDeadline(t *testing.T) {
	net := newSnapshotNet(t, SnapshotsConfig{}, "a", "b")
	a, b := net.nodes["a"], net.nodes["b"]
	ref := a.save(t, 10, testData(1000))
	net.onWire = func(_, to string, msg proto.Message) proto.Message {
		if to == "a" {
			return nil
		}
		if _, ok := msg.(*Chunk); ok {
			t.Error("data sent before it was asked for")
		}
		return msg
	}
	a.sendTo("b", ref, 1)
	a.sendTo("b", ref, 2)
	net.advance(29 * time.Second)
	if len(a.probe.got) != 0 {
		t.Fatalf("got %v", a.probe.got)
	}
	net.advance(5 * time.Second)
	got := a.probe.take()
	if len(got) != 2 || !errors.Is(got[0].(*SnapshotSent).Err, ErrStalled) || got[1].(*SnapshotSent).Token != 2 {
		t.Fatalf("got %v", got)
	}
	net.advance(3 * time.Minute)
	if refs, _ := b.files.List("meta"); len(refs) != 0 {
		t.Fatalf("half a snapshot is listed: %v", refs)
	}
}

func TestSnapshotReceiverChecksWhatArrives(t *testing.T) {
	meddle := func(change func(*Chunk)) func(_, _ string, msg proto.Message) proto.Message {
		return func(_, _ string, msg proto.Message) proto.Message {
			if c, ok := msg.(*Chunk); ok {
				c = proto.Clone(c).(*Chunk)
				change(c)
				return c
			}
			return msg
		}
	}
	offer := func(change func(*Offer)) func(_, _ string, msg proto.Message) proto.Message {
		return func(_, _ string, msg proto.Message) proto.Message {
			if o, ok := msg.(*Offer); ok {
				o = proto.Clone(o).(*Offer)
				change(o)
				return o
			}
			return msg
		}
	}
	for name, c := range map[string]struct {
		onWire func(_, _ string, msg proto.Message) proto.Message
		reason Reason
	}{
		"flipped chunk":     {meddle(func(c *Chunk) { c.Data[3] ^= 1 }), Reason_REASON_CHECKSUM},
		"wrong sum":         {offer(func(o *Offer) { o.Ref.Checksum++ }), Reason_REASON_CHECKSUM},
		"too much":          {offer(func(o *Offer) { o.Ref.Size-- }), Reason_REASON_CHECKSUM},
		"too large":         {offer(func(o *Offer) { o.Ref.Size = 2_000_000 }), Reason_REASON_TOO_LARGE},
		"no size":           {offer(func(o *Offer) { o.Ref.Size = 0 }), Reason_REASON_INVALID},
		"no group":          {offer(func(o *Offer) { o.Ref.Group = "" }), Reason_REASON_INVALID},
		"garbled ConfState": {offer(func(o *Offer) { o.Ref.ConfState = []byte{0xff} }), Reason_REASON_INVALID},
		"no reference":      {offer(func(o *Offer) { o.Ref = nil }), Reason_REASON_INVALID},
		"empty chunk":       {meddle(func(c *Chunk) { c.Data = nil }), Reason_REASON_INVALID},
		"huge chunk":        {meddle(func(c *Chunk) { c.Data = make([]byte, maxChunk+1) }), Reason_REASON_INVALID},
	} {
		t.Run(name, func(t *testing.T) {
			net := newSnapshotNet(t, SnapshotsConfig{MaxBytes: 1_000_000, ChunkBytes: 4096}, "a", "b")
			a, b := net.nodes["a"], net.nodes["b"]
			ref := a.save(t, 10, testData(5000))
			net.onWire = c.onWire
			a.sendTo("b", ref, 1)
			net.advance(40 * time.Second)
			var refused *RefusedError
			if got := a.sent(t); !errors.As(got.Err, &refused) || refused.Reason != c.reason {
				t.Fatalf("got %v", got.Err)
			}
			if refs, _ := b.files.List("meta"); len(refs) != 0 {
				t.Fatalf("kept %v", refs)
			}
		})
	}
}

func TestSnapshotReceiverBoundsTransfersAndWindow(t *testing.T) {
	net := newSnapshotNet(t, SnapshotsConfig{MaxReceives: 1}, "a", "b", "c")
	a, b, c := net.nodes["a"], net.nodes["b"], net.nodes["c"]
	data := testData(5000)
	refA, refB := a.save(t, 10, data), b.save(t, 11, data)
	block := true
	busy := 0
	net.onWire = func(from, _ string, msg proto.Message) proto.Message {
		if r, ok := msg.(*Refuse); ok && r.Reason == Reason_REASON_BUSY {
			busy++
		}
		if _, ok := msg.(*Chunk); ok && block && from == "a" {
			return nil
		}
		return msg
	}
	a.sendTo("c", refA, 1)
	net.advance(time.Millisecond)
	b.sendTo("c", refB, 1)
	net.advance(time.Second)
	if busy != 1 || len(b.probe.got) != 0 {
		t.Fatalf("%d refusals, %v", busy, b.probe.got)
	}
	block = false
	net.advance(20 * time.Second)
	if got := a.sent(t); got.Err != nil {
		t.Fatal(got.Err)
	}
	if got := b.sent(t); got.Err != nil {
		t.Fatal(got.Err)
	}
	c.mustHave(t, refB, data)

	huge := &Ref{Group: "x", Index: 1, Term: 1, Size: 100 << 20, Checksum: 1}
	c.deliver(c.pid, &actors.Inbound{Peer: a.info, Class: actors.Bulk, Message: &Offer{Transfer: 99, Ref: huge}})
	var reasons []Reason
	net.onWire = func(_, _ string, msg proto.Message) proto.Message {
		if r, ok := msg.(*Refuse); ok {
			reasons = append(reasons, r.Reason)
		}
		return msg
	}
	for range 20 {
		c.deliver(c.pid, &actors.Inbound{Peer: a.info, Class: actors.Bulk, Message: &Chunk{Transfer: 99, Data: make([]byte, maxChunk)}})
	}
	net.run()
	if len(reasons) == 0 || reasons[0] != Reason_REASON_INVALID {
		t.Fatalf("a flood was taken: %v", reasons)
	}
}

func TestSnapshotSendersTrustOnlyTheirReceiver(t *testing.T) {
	net := newSnapshotNet(t, SnapshotsConfig{}, "a", "b", "c")
	a, c := net.nodes["a"], net.nodes["c"]
	ref := a.save(t, 10, testData(5000))
	hold := true
	var transfer uint64
	net.onWire = func(_, _ string, msg proto.Message) proto.Message {
		if chunk, ok := msg.(*Chunk); ok {
			transfer = chunk.Transfer
			if hold {
				return nil
			}
		}
		return msg
	}
	a.sendTo("b", ref, 1)
	net.advance(time.Millisecond)
	a.deliver(a.pid, &actors.Inbound{Peer: c.info, Class: actors.Bulk, Message: &Complete{Transfer: transfer}})
	a.deliver(a.pid, &actors.Inbound{Peer: c.info, Class: actors.Bulk, Message: &Complete{Transfer: transfer + 1}})
	net.run()
	if len(a.probe.got) != 0 {
		t.Fatal("a third node ended the transfer")
	}
	hold = false
	net.advance(10 * time.Second)
	if got := a.sent(t); got.Err != nil {
		t.Fatal(got.Err)
	}
}

func TestPruneKeepsThreeAndWhatIsBeingSent(t *testing.T) {
	net := newSnapshotNet(t, SnapshotsConfig{}, "a", "b")
	a := net.nodes["a"]
	var refs []SnapshotRef
	for i := range uint64(6) {
		refs = append(refs, a.save(t, 10+i, testData(100)))
	}
	net.onWire = func(_, to string, msg proto.Message) proto.Message { return nil }
	a.sendTo("b", refs[0], 1)
	net.run()
	a.send(a.probe, a.pid, &PruneSnapshots{Ref: refs[4]})
	net.run()
	indexes := func() (out []uint64) {
		left, _ := a.files.List("meta")
		for _, r := range left {
			out = append(out, r.Index)
		}
		return out
	}
	if got := indexes(); !equal(got, []uint64{15, 14, 13, 12, 10}) {
		t.Fatalf("left %v", got)
	}
	net.advance(time.Minute)
	if got := indexes(); !equal(got, []uint64{15, 14, 13, 12}) {
		t.Fatalf("left after the transfer %v", got)
	}
}

type failingData struct{ panics bool }

func (f failingData) WriteTo(w io.Writer) (int64, error) {
	if f.panics {
		panic("machine is broken")
	}
	return 0, errors.New("machine is broken")
}

func TestSaveReportsFailuresAndGoesOn(t *testing.T) {
	net := newSnapshotNet(t, SnapshotsConfig{MaxSaves: 1}, "a")
	a := net.nodes["a"]
	for _, panics := range []bool{false, true} {
		a.send(a.probe, a.pid, &SaveSnapshot{Ref: SnapshotRef{Group: "meta", Index: 1}, Data: failingData{panics}})
		net.run()
		if got := a.probe.take(); len(got) != 1 || got[0].(*SnapshotSaved).Err == nil {
			t.Fatalf("panics %v: %v", panics, got)
		}
	}
	ref := a.save(t, 5, testData(10))
	a.mustHave(t, ref, testData(10))
	if empty := a.save(t, 6, nil); empty.Size != 0 {
		t.Fatalf("empty snapshot has %d bytes", empty.Size)
	}
	a.sendTo("nowhere", SnapshotRef{Group: "meta", Index: 6}, 3)
	net.run()
	if got := a.sent(t); got.Err != nil {
		t.Fatalf("a snapshot without a file was not sent: %v", got.Err)
	}
}

func TestSnapshotActorRestartTellsWhoWaits(t *testing.T) {
	net := newSnapshotNet(t, SnapshotsConfig{MaxSends: 1}, "a", "b")
	a := net.nodes["a"]
	first, second := a.save(t, 1, testData(100)), a.save(t, 2, testData(100))
	drop := true
	net.onWire = func(_, _ string, msg proto.Message) proto.Message {
		if drop {
			return nil
		}
		return msg
	}
	a.sendTo("b", first, 1)
	a.sendTo("b", second, 2)
	net.run()
	a.deliver(a.pid, &actor.Restart{})
	net.run()
	got := a.probe.take()
	if len(got) != 2 || !errors.Is(got[0].(*SnapshotSent).Err, ErrInterrupted) || !errors.Is(got[1].(*SnapshotSent).Err, ErrInterrupted) {
		t.Fatalf("got %v", got)
	}
	drop = false
	a.sendTo("b", second, 3)
	net.advance(time.Second)
	if got := a.sent(t); got.Err != nil || got.Token != 3 {
		t.Fatalf("got %+v", got)
	}
}
