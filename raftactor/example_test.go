package raftactor_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// counter is a state machine: a command is a number to add, the answer is the sum.
type counter struct{ sum int64 }

func (c *counter) Apply(e consensus.Entry) (proto.Message, error) {
	add := e.Command.(*wrapperspb.Int64Value).GetValue()
	if add < 0 {
		return nil, &consensus.Refusal{Reason: "negative", Message: "only counts up"}
	}
	c.sum += add
	return wrapperspb.Int64(c.sum), nil
}

func (c *counter) Query(proto.Message) (proto.Message, error) { return wrapperspb.Int64(c.sum), nil }

func (c *counter) Snapshot() (io.WriterTo, error) { return written(strconv.FormatInt(c.sum, 10)), nil }

func (c *counter) Restore(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	c.sum, err = strconv.ParseInt(string(data), 10, 64)
	return err
}

type written string

func (s written) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(s))
	return int64(n), err
}

// One replica on a log store in memory. A node brings store, snapshots and ticks along; an app sets Group, Machine, Store
// and Peers.
func Example() {
	loop := &loop{}
	system := actors.NewSystem(loop, actors.WithDispatcher(loop))
	loop.system = system

	directory := actors.ID{1}
	store, files := logstore.NewMemory(logstore.Identity{DirectoryID: directory, NodeID: 1}), logstore.NewSnapshotMemory()
	handle := logstore.Handle{
		Writer: system.Root.Spawn(logstore.Props(store, logstore.WriterConfig{})), Reader: store,
		Snapshots: system.Root.Spawn(logstore.SnapshotsProps(files, logstore.SnapshotsConfig{})), Files: files,
	}
	system.Root.Spawn(raftactor.TicksProps())

	props, err := raftactor.Props(raftactor.Config{
		Group: "counter", Machine: func() consensus.Machine { return &counter{} }, Store: handle,
		Peers: []raftactor.Peer{{NodeID: 1, Replica: actors.ReplicaID(directory), Address: "localhost:9093"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	group := system.Root.Spawn(props)

	system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*actor.Started); !ok {
			return
		}
		show := func(res any, err error) {
			sum, err := consensus.Result[*wrapperspb.Int64Value](res, err)
			fmt.Println(sum.GetValue(), err)
		}
		actors.Ask(ctx, group, consensus.NewPropose(wrapperspb.Int64(40)), time.Second, func(res any, err error) {
			show(res, err)
			actors.Ask(ctx, group, consensus.NewPropose(wrapperspb.Int64(-1)), time.Second, func(res any, err error) {
				show(res, err)
				actors.Ask(ctx, group, consensus.NewQuery(wrapperspb.String("sum")), time.Second, show)
			})
		})
	}))
	loop.run(50 * time.Millisecond)
	// Output:
	// 40 <nil>
	// 0 only counts up
	// 40 <nil>
}

// loop runs all actors on the caller's goroutine, in virtual time; live.NewSystem gives a real one.
type loop struct {
	system *actors.System
	queue  []func()
	timers []*timer
	now    time.Duration
}

type timer struct {
	at      time.Duration
	pid     *actor.PID
	message any
	done    bool
}

func (t *timer) Stop() bool { was := !t.done; t.done = true; return was }

func (l *loop) Schedule(fn func())     { l.queue = append(l.queue, fn) }
func (l *loop) Throughput() int        { return 1 }
func (l *loop) Now() time.Time         { return time.Unix(0, 0).Add(l.now) }
func (l *loop) Boot() time.Duration    { return l.now }
func (l *loop) Rand(string) *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }
func (l *loop) NewID() actors.ID       { return actors.ID{2} }

func (l *loop) After(d time.Duration, pid *actor.PID, message any) actors.Timer {
	t := &timer{at: l.now + d, pid: pid, message: message}
	l.timers = append(l.timers, t)
	return t
}

func (l *loop) run(d time.Duration) {
	for end := l.now + d; ; {
		for len(l.queue) > 0 {
			fn := l.queue[0]
			l.queue = l.queue[1:]
			fn()
		}
		var next *timer
		for _, t := range l.timers {
			if !t.done && (next == nil || t.at < next.at) {
				next = t
			}
		}
		if next == nil || next.at > end {
			return
		}
		l.now, next.done = next.at, true
		l.system.Root.Send(next.pid, next.message)
	}
}
