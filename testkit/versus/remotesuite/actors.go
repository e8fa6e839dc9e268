package remotesuite

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	protoremote "github.com/asynkron/protoactor-go/remote"
	gogrpc "google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/remote"
)

const (
	sinkName = "sink"
	echoName = "echo"

	patience      = 30 * time.Second
	batchBytesMax = 64 << 20
)

// listenActors starts a system with the actors sink and echo.
func listenActors(w work, node int) (string, func(), error) {
	system, stop, err := startRemote(w, node)
	if err != nil {
		return "", nil, err
	}
	if _, err := system.Root.SpawnNamed(actor.PropsFromProducer(func() actor.Actor { return &sink{} }), sinkName); err != nil {
		return "", nil, err
	}
	if _, err := system.Root.SpawnNamed(actor.PropsFromFunc(echo), echoName); err != nil {
		return "", nil, err
	}
	return system.Address(), stop, nil
}

func echo(ctx actor.Context) {
	if m, ok := ctx.Message().(proto.Message); ok && ctx.Sender() != nil {
		ctx.Respond(m)
	}
}

// sink counts, and tells whoever asked for it of each window. The question is the size of the window.
type sink struct {
	window, count uint64
	client        *actor.PID
}

func (s *sink) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *wrapperspb.UInt64Value:
		s.window, s.client = m.Value, ctx.Sender()
		ctx.Respond(wrapperspb.UInt64(0))
	case *wrapperspb.BytesValue:
		if s.count++; s.count%s.window == 0 {
			ctx.Send(s.client, wrapperspb.UInt64(s.count))
		}
	}
}

func startRemote(w work, node int) (*actor.ActorSystem, func(), error) {
	silent := actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) })
	system := actor.NewActorSystem(silent)
	if w.System == rivven {
		r := remote.NewRemote(system, remote.Configure("127.0.0.1", 0,
			remote.WithTLS(remote.TLSFiles(caFile(w.Certificates), certFile(w.Certificates, node), certKeyFile(w.Certificates, node)))))
		r.DeliverAs(actors.Control, &wrapperspb.Int64Value{})
		return system, func() { r.Shutdown(false) }, r.Start()
	}
	options := []protoremote.ConfigOption{protoremote.WithServerOptions(gogrpc.MaxRecvMsgSize(batchBytesMax))}
	if w.System == grpcTLS {
		server, client, err := mutualTLS(w.Certificates, node)
		if err != nil {
			return nil, nil, err
		}
		options = []protoremote.ConfigOption{
			protoremote.WithServerOptions(gogrpc.MaxRecvMsgSize(batchBytesMax), gogrpc.Creds(credentials.NewTLS(server))),
			protoremote.WithDialOptions(gogrpc.WithTransportCredentials(credentials.NewTLS(client))),
		}
	}
	r := protoremote.NewRemote(system, protoremote.Configure("127.0.0.1", 0, options...))
	r.Start()
	return system, func() { r.Shutdown(false) }, nil
}

// actorClient is an endpoint over actors.
type actorClient struct {
	system    *actor.ActorSystem
	stop      func()
	addresses []string
}

func dialActors(w work) (endpoint, error) {
	system, stop, err := startRemote(w, 1)
	if err != nil {
		return nil, err
	}
	c := &actorClient{system: system, stop: stop, addresses: w.Addresses}
	if err := c.roundTrip(16, false); err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", strings.Join(w.Addresses, " "), err)
	}
	return c, nil
}

func (c *actorClient) close() { c.stop() }

func (c *actorClient) pid(name string) *actor.PID { return actor.NewPID(c.addresses[0], name) }

func (c *actorClient) flood(size int, bulk bool, stop <-chan struct{}, acked func()) error {
	acks := make(chan struct{}, 4)
	to := c.pid(sinkName)
	ready := make(chan struct{})
	receiver := c.system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			ctx.Request(to, wrapperspb.UInt64(uint64(window(size))))
		case *wrapperspb.UInt64Value:
			if m.Value == 0 {
				close(ready)
				return
			}
			acked()
			acks <- struct{}{}
		}
	}))
	defer c.system.Root.Stop(receiver)
	if err := await(ready); err != nil {
		return err
	}
	msg := wrapperspb.Bytes(make([]byte, size))
	class := actors.Default
	if bulk {
		class = actors.Bulk
	}
	for sent := 0; ; sent++ {
		if sent%window(size) == 0 && sent > window(size) {
			if err := await(acks); err != nil {
				return err
			}
			select {
			case <-stop:
				return nil
			default:
			}
		}
		if bulk {
			actors.Send(class, c.system.Root, to, msg)
		} else {
			c.system.Root.Send(to, msg)
		}
	}
}

func await(c <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no acknowledgement for %v: messages were lost", patience)
	}
}

func (c *actorClient) roundTrip(size int, control bool) error {
	var msg proto.Message = wrapperspb.Bytes(make([]byte, size))
	if control {
		msg = wrapperspb.Int64(1 << 60) // a type that Control is chosen for
	}
	_, err := c.system.Root.RequestFuture(c.pid(echoName), msg, patience).Result()
	return err
}

func (c *actorClient) pipeline(size, requests int, stop <-chan struct{}, answered func()) error {
	to := c.pid(echoName)
	msg := wrapperspb.Bytes(make([]byte, size))
	requester := c.system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch ctx.Message().(type) {
		case *actor.Started:
			for range requests {
				ctx.Request(to, msg)
			}
		case *wrapperspb.BytesValue:
			answered()
			ctx.Request(to, msg)
		}
	}))
	<-stop
	return c.system.Root.StopFuture(requester).Wait()
}

func (c *actorClient) connect() error {
	for _, address := range c.addresses {
		if _, err := c.system.Root.RequestFuture(actor.NewPID(address, echoName), wrapperspb.Bytes(make([]byte, 16)), patience).Result(); err != nil {
			return fmt.Errorf("connecting to %s: %w", address, err)
		}
	}
	return nil
}
