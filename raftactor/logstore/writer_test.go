package logstore

import (
	"errors"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
)

// slowStore completes a Submit when the test says so.
type slowStore struct {
	Store
	notify  func(Durable)
	pending []func()
	batches [][]GroupWrite
	fail    error
}

func newSlowStore() *slowStore { return &slowStore{Store: NewMemory(Identity{NodeID: 1})} }

func (s *slowStore) Attach(notify func(Durable)) { s.notify = notify; s.Store.Attach(notify) }

func (s *slowStore) Submit(batch []GroupWrite, seq uint64) {
	notify := s.notify
	if len(batch) > 0 {
		s.batches = append(s.batches, batch)
	}
	s.pending = append(s.pending, func() {
		if s.fail != nil {
			notify(Durable{Seq: seq, Err: s.fail})
			return
		}
		s.Store.Submit(batch, seq)
	})
}

func (s *slowStore) complete() {
	next := s.pending[0]
	s.pending = s.pending[1:]
	next()
}

func testEntries(first, term uint64, data ...string) []*raftpb.Entry {
	var out []*raftpb.Entry
	for i, d := range data {
		out = append(out, &raftpb.Entry{Index: proto.Uint64(first + uint64(i)), Term: proto.Uint64(term), Data: []byte(d)})
	}
	return out
}

func appendTo(group string, token, index uint64) *Write {
	return &Write{GroupWrite: GroupWrite{Group: group, Entries: testEntries(index, 1, "x")}, Token: token}
}

func startWriter(t *testing.T, store Store, cfg WriterConfig) (*world, *actor.PID) {
	w := newWorld(t)
	pid := w.Root.Spawn(Props(store, cfg))
	if pid.Id != actors.NameStore {
		t.Fatalf("spawned as %q", pid.Id)
	}
	w.run()
	return w, pid
}

func tokens(t *testing.T, got []any) (out []uint64) {
	t.Helper()
	for _, msg := range got {
		m, ok := msg.(*Written)
		if !ok || m.Err != nil {
			t.Fatalf("got %T %+v", msg, msg)
		}
		out = append(out, m.Token)
	}
	return out
}

func equal(a, b []uint64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestWriterCoalescesWhatAllGroupsHaveWaiting(t *testing.T) {
	store := newSlowStore()
	w, pid := startWriter(t, store, WriterConfig{})
	store.complete()
	w.run()
	a, b := w.probe(), w.probe()
	w.send(a, pid, appendTo("a", 1, 1))
	w.send(b, pid, appendTo("b", 1, 1))
	w.run()
	if len(store.batches) != 1 || len(store.batches[0]) != 2 {
		t.Fatalf("first batch is not both groups': %v", store.batches)
	}
	for i := uint64(2); i <= 5; i++ {
		w.send(a, pid, appendTo("a", i, i))
		w.send(b, pid, appendTo("b", i, i))
	}
	w.run()
	if len(store.batches) != 1 || len(a.got) != 0 {
		t.Fatalf("%d batches handed over, %d answers while the first is in flight", len(store.batches), len(a.got))
	}
	store.complete()
	w.run()
	if !equal(tokens(t, a.take()), []uint64{1}) || len(store.batches) != 2 || len(store.batches[1]) != 8 {
		t.Fatalf("second batch: %v", store.batches)
	}
	store.complete()
	w.run()
	if got := tokens(t, a.take()); !equal(got, []uint64{2, 3, 4, 5}) {
		t.Fatalf("answers out of order: %v", got)
	}
}

func TestWriterAnswersOpenBehindEarlierWrites(t *testing.T) {
	store := newSlowStore()
	w, pid := startWriter(t, store, WriterConfig{})
	p := w.probe()
	w.send(p, pid, &Open{Group: "a"})
	w.run()
	if len(p.got) != 0 {
		t.Fatal("answered before an earlier incarnation's writes could be durable")
	}
	store.complete()
	w.run()
	store.complete()
	w.run()
	if got := p.take(); len(got) != 1 || got[0].(*Opened).State.LastIndex != 0 {
		t.Fatalf("got %v", got)
	}
	w.send(p, pid, appendTo("a", 1, 1))
	w.run()
	w.send(p, pid, appendTo("a", 2, 2))
	w.send(p, pid, &Open{Group: "a"})
	w.send(p, pid, &Open{Group: "other"})
	w.run()
	if got := p.take(); len(got) != 1 || got[0].(*Opened).Group != "other" {
		t.Fatalf("got %v", got)
	}
	store.complete()
	w.run()
	store.complete()
	w.run()
	got := p.take()
	if len(got) != 3 || got[2].(*Opened).State.LastIndex != 2 {
		t.Fatalf("got %v", got)
	}
}

func TestWriterHoldsAGroupBackAfterNoSpace(t *testing.T) {
	for _, again := range []string{"same token", "open"} {
		t.Run(again, func(t *testing.T) {
			store := newSlowStore()
			w, pid := startWriter(t, store, WriterConfig{})
			store.complete()
			p := w.probe()
			w.send(p, pid, appendTo("a", 1, 1))
			w.run()
			w.send(p, pid, appendTo("a", 2, 2))
			store.fail = ErrNoSpace
			store.complete()
			w.run()
			store.fail = nil
			w.send(p, pid, &Write{GroupWrite: GroupWrite{Group: "a", HardState: &raftpb.HardState{Term: proto.Uint64(1)}}, Token: 3})
			w.run()
			got := p.take()
			if len(got) != 3 {
				t.Fatalf("got %v", got)
			}
			for i, msg := range got {
				if m := msg.(*Written); !errors.Is(m.Err, ErrNoSpace) || m.Token != uint64(i+1) {
					t.Fatalf("answer %d: %+v", i, m)
				}
			}
			first := uint64(1)
			if again == "open" {
				w.send(p, pid, &Open{Group: "a"})
				w.run()
				if o := p.take()[0].(*Opened); o.Err != nil || o.State.LastIndex != 0 {
					t.Fatalf("opened %+v", o)
				}
				first = 7
			}
			w.send(p, pid, appendTo("a", first, 1))
			w.send(p, pid, appendTo("a", first+1, 2))
			w.run()
			store.complete()
			w.run()
			if got := tokens(t, p.take()); !equal(got, []uint64{first, first + 1}) {
				t.Fatalf("got %v", got)
			}
			if s := store.State("a"); s.LastIndex != 2 || s.HardState != nil {
				t.Fatalf("state %+v", s)
			}
		})
	}
}

func TestWriterRefusesOneGroupsInvalidWriteAlone(t *testing.T) {
	store := newSlowStore()
	w, pid := startWriter(t, store, WriterConfig{})
	store.complete()
	w.run()
	a, b := w.probe(), w.probe()
	w.send(a, pid, appendTo("a", 1, 5))
	w.send(b, pid, appendTo("b", 1, 1))
	w.run()
	w.send(a, pid, appendTo("a", 2, 1))
	w.send(b, pid, appendTo("b", 2, 2))
	w.run()
	store.complete()
	w.run()
	store.complete()
	w.run()
	var invalid *InvalidWriteError
	got := a.take()
	if len(got) != 2 || !errors.As(got[0].(*Written).Err, &invalid) || !errors.As(got[1].(*Written).Err, &invalid) {
		t.Fatalf("got %v", got)
	}
	if !equal(tokens(t, b.take()), []uint64{1, 2}) {
		t.Fatal("the other group was held up")
	}
}

func TestWriterRefusesOverItsBound(t *testing.T) {
	store := newSlowStore()
	w, pid := startWriter(t, store, WriterConfig{MaxQueueBytes: 200})
	p := w.probe()
	for i := uint64(1); i <= 4; i++ {
		w.send(p, pid, appendTo("a", i, i))
	}
	w.run()
	got := p.take()
	if len(got) != 2 || !errors.Is(got[0].(*Written).Err, ErrBusy) || got[0].(*Written).Token != 3 {
		t.Fatalf("got %v", got)
	}
	store.complete()
	w.run()
	store.complete()
	w.run()
	w.send(p, pid, appendTo("a", 3, 3))
	w.run()
	store.complete()
	w.run()
	if got := tokens(t, p.take()); !equal(got, []uint64{1, 2, 3}) {
		t.Fatalf("got %v", got)
	}
}

func TestWriterFailsFatallyAfterTellingEveryone(t *testing.T) {
	store := newSlowStore()
	w := newWorld(t)
	broken := errors.New("fdatasync: input/output error")
	var reasons []any
	parent := w.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*actor.Started); ok {
			ctx.Spawn(Props(store, WriterConfig{}))
		}
	}, actor.WithSupervisor(actors.Supervise(actors.Supervision{GiveUp: func(_ actor.Supervisor, _ *actor.PID, reason, _ any) {
		reasons = append(reasons, reason)
	}}))))
	w.run()
	store.complete()
	w.run()
	_ = parent
	pid, p := w.NewLocalPID(actors.NameStore), w.probe()
	w.send(p, pid, appendTo("a", 1, 1))
	w.run()
	w.send(p, pid, appendTo("a", 2, 2))
	w.send(p, pid, &Open{Group: "a"})
	w.run()
	store.fail = broken
	store.complete()
	w.run()
	got := p.take()
	if len(got) != 3 || !errors.Is(got[0].(*Written).Err, broken) || !errors.Is(got[1].(*Written).Err, broken) || !errors.Is(got[2].(*Opened).Err, broken) {
		t.Fatalf("got %v", got)
	}
	if len(reasons) != 1 {
		t.Fatalf("escalated %d times", len(reasons))
	}
	if err, ok := reasons[0].(error); !ok || !errors.Is(err, actors.ErrFatal) || !errors.Is(err, broken) {
		t.Fatalf("reason %v", reasons[0])
	}
}

func TestWriterRestartGoesOnBehindWhatWasInFlight(t *testing.T) {
	store := newSlowStore()
	w, pid := startWriter(t, store, WriterConfig{})
	store.complete()
	w.run()
	p := w.probe()
	w.send(p, pid, appendTo("a", 1, 1))
	w.run()
	w.deliver(pid, &actor.Restart{})
	w.run()
	if got := p.take(); len(got) != 1 || !errors.Is(got[0].(*Written).Err, ErrInterrupted) {
		t.Fatalf("got %v", got)
	}
	w.send(p, pid, &Open{Group: "a"})
	w.run()
	store.complete() // what was in flight
	w.run()
	if len(p.got) != 0 {
		t.Fatalf("got %v before the store is known to be idle", p.got)
	}
	store.complete() // the new incarnation's empty batch
	w.run()
	store.complete() // the batch of the Open
	w.run()
	if got := p.take(); len(got) != 1 || got[0].(*Opened).State.LastIndex != 1 {
		t.Fatalf("got %v", got)
	}
}
