package remote

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/extensions"
)

// The methods of protoactor's remote.Remote with their parameters. Start returns an error besides; BlockList is left out, see DESIGN.md.
var (
	_ interface {
		ExtensionID() extensions.ExtensionID
		Start() error
		Shutdown(graceful bool)
		SendMessage(pid *actor.PID, header actor.ReadonlyMessageHeader, message any, sender *actor.PID, serializerID int32)
		BlockList() *BlockList
		Logger() *slog.Logger
		Register(kind string, props *actor.Props)
		GetKnownKinds() []string
		ActivatorForAddress(address string) *actor.PID
		SpawnFuture(address, name, kind string, timeout time.Duration) *actor.Future
		Spawn(address, kind string, timeout time.Duration) (*ActorPidResponse, error)
		SpawnNamed(address, name, kind string, timeout time.Duration) (*ActorPidResponse, error)
	} = (*Remote)(nil)
	_ func(*actor.ActorSystem, *Config) *Remote  = NewRemote
	_ func(*actor.ActorSystem) *Remote           = GetRemote
	_ func(string, int, ...ConfigOption) *Config = Configure
	_ func(string, *actor.Props) *ActorKind      = NewKind
	_ func(...*ActorKind) ConfigOption           = WithKinds
	_ func(string) ConfigOption                  = WithAdvertisedHost
	_ interface {
		Block(memberIDs ...string)
		IsBlocked(memberID string) bool
		Len() int
	} = NewBlockList()
	_ interface {
		ToInt32() int32
		AsError() *ResponseError
	} = ResponseStatusCodeMAX
)

// plainSystem is a system that knows nothing of this project but its remote.
type plainSystem struct {
	*actor.ActorSystem
	remote *Remote
}

func startPlain(t *testing.T, options ...ConfigOption) plainSystem {
	t.Helper()
	p := plainSystem{ActorSystem: newPlainSystem(t)}
	p.remote = NewRemote(p.ActorSystem, Configure("127.0.0.1", 0, append(options, WithDevTLS())...))
	if err := p.remote.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.remote.Shutdown(false) })
	return p
}

func newPlainSystem(t *testing.T) *actor.ActorSystem {
	t.Helper()
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	t.Cleanup(system.Shutdown)
	return system
}

func (p plainSystem) at(id string) *actor.PID { return actor.NewPID(p.Address(), id) }

// spawn starts an actor whose messages, with sender and headers, come out of the channel.
func (p plainSystem) spawn(t *testing.T, name string, also ...func(actor.Context)) <-chan any {
	t.Helper()
	got := make(chan any, 1000)
	_, err := p.Root.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
		switch ctx.Message().(type) {
		case *actor.Stopping, *actor.Stopped:
			return
		case *actor.Started:
		default:
			d := delivery{message: ctx.Message(), sender: ctx.Sender()}
			if header := ctx.MessageHeader(); header != nil {
				d.headers = header.ToMap()
			}
			got <- d
		}
		for _, f := range also {
			f(ctx)
		}
	}), name)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

type delivery struct {
	message any
	sender  *actor.PID
	headers map[string]string
}

func wantText(t *testing.T, from <-chan any, want string) delivery {
	t.Helper()
	d := next(t, from).(delivery)
	if got := textOf(d.message); got != want {
		t.Fatalf("got %v, want %q", d.message, want)
	}
	return d
}

func textOf(message any) string {
	if m, ok := message.(interface{ GetValue() string }); ok {
		return m.GetValue()
	}
	return ""
}

func answering(ctx actor.Context) {
	if s := textOf(ctx.Message()); s != "" && ctx.Sender() != nil {
		ctx.Respond(text("re: " + s))
	}
}

func TestPlainMessages(t *testing.T) {
	a, b := startPlain(t), startPlain(t)
	got := b.spawn(t, "x", answering)

	a.Root.Send(b.at("x"), text("send"))
	if d := wantText(t, got, "send"); d.sender != nil {
		t.Errorf("the sender of Send is %v", d.sender)
	}
	answers := a.spawn(t, "asker", func(ctx actor.Context) {
		if _, ok := ctx.Message().(*actor.Started); ok {
			ctx.Request(b.at("x"), text("request"))
		}
	})
	if d := wantText(t, got, "request"); !d.sender.Equal(a.at("asker")) {
		t.Errorf("the sender of Request is %v", d.sender)
	}
	if d := wantText(t, answers, "re: request"); d.sender != nil {
		t.Errorf("the sender of an answer is %v", d.sender)
	}
	a.Root.RequestWithCustomSender(b.at("x"), text("custom"), a.at("asker"))
	wantText(t, got, "custom")
	wantText(t, answers, "re: custom")
	if res, err := a.Root.RequestFuture(b.at("x"), text("future"), patience).Result(); err != nil || textOf(res) != "re: future" {
		t.Errorf("RequestFuture: %v, %v", res, err)
	}
	wantText(t, got, "future")
	a.remote.SendMessage(b.at("x"), headerOf("k", "v"), text("by hand"), a.at("asker"), 0)
	if d := wantText(t, got, "by hand"); d.headers["k"] != "v" || !d.sender.Equal(a.at("asker")) {
		t.Errorf("SendMessage: %+v", d)
	}
	wantText(t, answers, "re: by hand")
}

func headerOf(pairs ...string) actor.ReadonlyMessageHeader {
	envelope := &actor.MessageEnvelope{}
	for i := 0; i < len(pairs); i += 2 {
		envelope.SetHeader(pairs[i], pairs[i+1])
	}
	return envelope.Header
}

// An actor in the middle passes a request on, and the answer goes to who asked, on a third system.
func TestPlainForward(t *testing.T) {
	a, b, c := startPlain(t), startPlain(t), startPlain(t)
	c.spawn(t, "last", answering)
	b.spawn(t, "middle", func(ctx actor.Context) {
		if textOf(ctx.Message()) != "" {
			ctx.Forward(c.at("last"))
		}
	})
	if res, err := a.Root.RequestFuture(b.at("middle"), text("pass on"), patience).Result(); err != nil || textOf(res) != "re: pass on" {
		t.Errorf("%v, %v", res, err)
	}
}

func TestPlainRequestsThatFailAtOnce(t *testing.T) {
	a, b := startPlain(t, WithSerializer("own", upper{})), startPlain(t)
	b.spawn(t, "x")
	b.spawn(t, "silent")
	began := time.Now()
	for name, f := range map[string]*actor.Future{
		"missing target":    a.Root.RequestFuture(b.at("nobody"), text("?"), time.Hour),
		"unknown type":      a.Root.RequestFuture(b.at("x"), &notProto{"?"}, time.Hour),
		"no serializer":     a.Root.RequestFuture(b.at("x"), struct{}{}, time.Hour),
		"nobody's address":  a.Root.RequestFuture(actor.NewPID("127.0.0.1:1", "x"), text("?"), time.Hour),
		"no address at all": a.Root.RequestFuture(actor.NewPID("nonsense", "x"), text("?"), time.Hour),
	} {
		if _, err := f.Result(); !errors.Is(err, actor.ErrDeadLetter) {
			t.Errorf("%s: %v", name, err)
		}
	}
	inFlight := a.Root.RequestFuture(b.at("silent"), text("?"), time.Hour)
	b.remote.Shutdown(false)
	if _, err := inFlight.Result(); !errors.Is(err, actor.ErrDeadLetter) {
		t.Errorf("in flight when the peer went: %v", err)
	}
	if _, err := a.Root.RequestFuture(b.at("x"), text("?"), time.Hour).Result(); !errors.Is(err, actor.ErrDeadLetter) {
		t.Errorf("a peer that is down: %v", err)
	}
	t.Logf("all failed within %s", time.Since(began).Round(time.Millisecond))
}

// An actor that sent a request to nobody is told, too.
func TestPlainDeadLetterResponse(t *testing.T) {
	a, b := startPlain(t), startPlain(t)
	told := a.spawn(t, "asker", func(ctx actor.Context) {
		if _, ok := ctx.Message().(*actor.Started); ok {
			ctx.Request(b.at("nobody"), text("?"))
			ctx.Request(actor.NewPID("nonsense", "x"), text("?"))
		}
	})
	for range 2 {
		if d := next(t, told).(delivery); !isDeadLetter(d.message) {
			t.Errorf("got %v", d.message)
		}
	}
}

func isDeadLetter(m any) bool { _, ok := m.(*actor.DeadLetterResponse); return ok }

func TestPlainWatchStopPoison(t *testing.T) {
	a, b := startPlain(t), startPlain(t)
	for _, c := range []struct {
		target string
		end    func(*actor.PID)
		why    actor.TerminatedReason
	}{
		{"stopped", a.Root.Stop, actor.TerminatedReason_Stopped},
		{"poisoned", func(pid *actor.PID) { a.Root.Send(pid, text("last")); a.Root.Poison(pid) }, actor.TerminatedReason_Stopped},
		{"stopping itself", func(*actor.PID) { b.Root.Stop(b.NewLocalPID("stopping itself")) }, actor.TerminatedReason_Stopped},
		{"missing", func(*actor.PID) {}, actor.TerminatedReason_NotFound},
		{"down", func(*actor.PID) { b.remote.Shutdown(true) }, actor.TerminatedReason_AddressTerminated},
		{"down already", func(*actor.PID) {}, actor.TerminatedReason_AddressTerminated},
	} {
		var got <-chan any
		if c.why != actor.TerminatedReason_NotFound {
			got = b.spawn(t, c.target, answering)
		}
		told := a.spawn(t, "watcher of "+c.target, func(ctx actor.Context) {
			if _, ok := ctx.Message().(*actor.Started); ok {
				ctx.Watch(b.at(c.target))
				ctx.Request(b.at(c.target), text("behind the watch"))
			}
		})
		if d := next(t, told).(delivery); textOf(d.message) == "re: behind the watch" {
			c.end(b.at(c.target)) // the watch is there by now
			if c.target == "poisoned" {
				wantText(t, got, "behind the watch")
				wantText(t, got, "last")
			}
		} else if !slices.Contains([]string{"missing", "down already"}, c.target) {
			t.Fatalf("%s: %v", c.target, d.message)
		} else if end, ok := d.message.(*actor.Terminated); ok {
			wantEnd(t, c.target, end, b.at(c.target), c.why)
			continue
		}
		end, ok := next(t, told).(delivery).message.(*actor.Terminated)
		if !ok {
			t.Fatalf("%s: no Terminated", c.target)
		}
		wantEnd(t, c.target, end, b.at(c.target), c.why)
	}
}

func wantEnd(t *testing.T, what string, end *actor.Terminated, who *actor.PID, why actor.TerminatedReason) {
	t.Helper()
	if !end.Who.Equal(who) || end.Why != why {
		t.Errorf("%s: %v is told with %v, want %v", what, end.Who, end.Why, why)
	}
}

func TestPlainStopAndPoisonFutures(t *testing.T) {
	a, b := startPlain(t), startPlain(t)
	for name, end := range map[string]func(*actor.PID) *actor.Future{"stop": a.Root.StopFuture, "poison": a.Root.PoisonFuture} {
		b.spawn(t, name)
		if err := end(b.at(name)).Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, found := b.ProcessRegistry.GetLocal(name); found {
			t.Errorf("%s: the actor lives", name)
		}
	}
}

func TestPlainSpawn(t *testing.T) {
	props := actor.PropsFromFunc(answering)
	fails := func(err error) *actor.Props {
		return actor.PropsFromFunc(answering, actor.WithSpawnFunc(func(*actor.ActorSystem, string, *actor.Props, actor.SpawnerContext) (*actor.PID, error) {
			return nil, err
		}))
	}
	a, b := startPlain(t), startPlain(t, WithKinds(NewKind("echo", props), NewKind("full", fails(ErrActivatorUnavailable)), NewKind("broken", fails(errors.New("broken")))))
	b.remote.Register("late", props)
	if kinds := b.remote.GetKnownKinds(); !slices.Equal(kinds, []string{"broken", "echo", "full", "late"}) {
		t.Errorf("kinds: %v", kinds)
	}
	for _, kind := range []string{"echo", "late"} {
		res, err := a.remote.Spawn(b.Address(), kind, patience)
		if err != nil || ResponseStatusCode(res.StatusCode) != ResponseStatusCodeOK || res.Pid.Address != b.Address() {
			t.Fatalf("spawning %s: %v, %v", kind, res, err)
		}
		if answer, err := a.Root.RequestFuture(res.Pid, text(kind), patience).Result(); err != nil || textOf(answer) != "re: "+kind {
			t.Errorf("%s: %v, %v", kind, answer, err)
		}
	}
	one, err := a.remote.SpawnNamed(b.Address(), "one", "echo", patience)
	two, err2 := a.remote.SpawnNamed(b.Address(), "one", "echo", patience)
	if err != nil || err2 != nil || !one.Pid.Equal(two.Pid) || ResponseStatusCode(two.StatusCode).AsError() != ErrProcessNameAlreadyExist {
		t.Errorf("a name that is taken: %v, %v; %v, %v", one, err, two, err2)
	}
	if _, err := a.remote.Spawn(b.Address(), "nothing", patience); !errors.Is(err, ErrUnknownKind) {
		t.Errorf("an unknown kind: %v", err)
	}
	for kind, want := range map[string]*ResponseError{"nothing": ErrUnAvailable, "full": ErrUnAvailable, "broken": ErrUnknownError} {
		res, err := a.remote.SpawnFuture(b.Address(), "", kind, patience).Result()
		if got, ok := res.(*ActorPidResponse); err != nil || !ok || ResponseStatusCode(got.StatusCode).AsError() != want {
			t.Errorf("%s: %v, %v, want %v", kind, res, err, want)
		}
	}
	if res, err := a.Root.RequestFuture(a.remote.ActivatorForAddress(a.Address()), &Ping{}, patience).Result(); err != nil {
		t.Errorf("the activator does not answer: %v, %v", res, err)
	}
	b.remote.Shutdown(true)
	if _, err := a.remote.Spawn(b.Address(), "echo", time.Hour); !errors.Is(err, actor.ErrDeadLetter) {
		t.Errorf("spawning at a peer that is down: %v", err)
	}
}

func TestPlainEndpointEvents(t *testing.T) {
	a, b := startPlain(t), startPlain(t)
	events := make(chan any, 10)
	a.EventStream.Subscribe(func(e any) {
		switch e.(type) {
		case *EndpointConnectedEvent, *EndpointTerminatedEvent:
			events <- e
		}
	})
	a.Root.Send(b.at("nobody"), text("hello"))
	if e, ok := next(t, events).(*EndpointConnectedEvent); !ok || e.Address != b.Address() {
		t.Fatalf("got %v", e)
	}
	b.remote.Shutdown(false)
	if e, ok := next(t, events).(*EndpointTerminatedEvent); !ok || e.Address != b.Address() {
		t.Fatalf("got %v", e)
	}
}

func TestStatusCodesAreProtoactors(t *testing.T) {
	for code := range ResponseStatusCodeMAX {
		err := code.AsError()
		if (err == nil) != (code == ResponseStatusCodeOK) || err != nil && err.Code != code {
			t.Errorf("%d: %v", code, err)
		}
	}
	if err := ResponseStatusCode(77).AsError(); err.Code != 77 || err.Error() == "" {
		t.Errorf("an unknown code: %v", err)
	}
}
