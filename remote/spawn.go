package remote

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
)

// nameActivator is the actor that spawns kinds for peers; protoactor's own remote calls it the same.
const nameActivator = "activator"

// ResponseStatusCode says how a remote spawn ended; the values are protoactor's.
type ResponseStatusCode int32

// The outcomes of a remote spawn.
const (
	ResponseStatusCodeOK                      ResponseStatusCode = 0
	ResponseStatusCodeUNAVAILABLE             ResponseStatusCode = 1
	ResponseStatusCodeTIMEOUT                 ResponseStatusCode = 2
	ResponseStatusCodePROCESSNAMEALREADYEXIST ResponseStatusCode = 3
	ResponseStatusCodeERROR                   ResponseStatusCode = 4
	ResponseStatusCodeDeadLetter              ResponseStatusCode = 5
	ResponseStatusCodeMAX                     ResponseStatusCode = 6 // above all
)

// ToInt32 returns the code as it travels.
func (c ResponseStatusCode) ToInt32() int32 { return int32(c) }

func (c ResponseStatusCode) String() string {
	switch c {
	case ResponseStatusCodeOK:
		return "ok"
	case ResponseStatusCodeUNAVAILABLE:
		return "unavailable"
	case ResponseStatusCodeTIMEOUT:
		return "timeout"
	case ResponseStatusCodePROCESSNAMEALREADYEXIST:
		return "name already exists"
	case ResponseStatusCodeERROR:
		return "error"
	case ResponseStatusCodeDeadLetter:
		return "dead letter"
	}
	return "status " + strconv.Itoa(int(c))
}

// ErrUnknownKind is the error of a spawn whose kind the peer doesn't know.
var ErrUnknownKind = errors.New("unknown kind")

// ActorKind is a kind of actor that peers may spawn. Make it with [NewKind].
type ActorKind struct {
	Kind  string
	Props *actor.Props
}

// NewKind names props for [WithKinds].
func NewKind(kind string, props *actor.Props) *ActorKind { return &ActorKind{kind, props} }

type kindRegistry struct {
	mu    sync.RWMutex
	props map[string]*actor.Props
}

func newKindRegistry(initial map[string]*actor.Props) *kindRegistry {
	k := &kindRegistry{props: make(map[string]*actor.Props, len(initial))}
	for kind, props := range initial {
		k.props[kind] = props
	}
	return k
}

func (k *kindRegistry) get(kind string) (*actor.Props, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	props, ok := k.props[kind]
	return props, ok
}

// Register lets peers spawn actors of props under the name kind.
func (r *Remote) Register(kind string, props *actor.Props) {
	r.kinds.mu.Lock()
	defer r.kinds.mu.Unlock()
	r.kinds.props[kind] = props
}

// GetKnownKinds returns what was registered, sorted.
func (r *Remote) GetKnownKinds() []string {
	r.kinds.mu.RLock()
	defer r.kinds.mu.RUnlock()
	names := make([]string, 0, len(r.kinds.props))
	for kind := range r.kinds.props {
		names = append(names, kind)
	}
	slices.Sort(names)
	return names
}

// ActivatorForAddress returns the actor that spawns kinds at an address.
func (r *Remote) ActivatorForAddress(address string) *actor.PID {
	return actor.NewPID(address, nameActivator)
}

// SpawnFuture asks for an actor and returns a future of *ActorPidResponse.
func (r *Remote) SpawnFuture(address, name, kind string, timeout time.Duration) *actor.Future {
	return r.system.Root.RequestFuture(r.ActivatorForAddress(address), &ActorPidRequest{Name: name, Kind: kind}, timeout)
}

// Spawn starts an actor of a kind at an address, under a name that is made there.
func (r *Remote) Spawn(address, kind string, timeout time.Duration) (*ActorPidResponse, error) {
	return r.SpawnNamed(address, "", kind, timeout)
}

// SpawnNamed starts an actor of a kind at an address. A kind that isn't known there is ErrUnknownKind. A name that is
// taken is no error: the response carries the PID that has it, and ResponseStatusCodePROCESSNAMEALREADYEXIST.
func (r *Remote) SpawnNamed(address, name, kind string, timeout time.Duration) (*ActorPidResponse, error) {
	res, err := r.SpawnFuture(address, name, kind, timeout).Result()
	if err != nil {
		return nil, fmt.Errorf("spawning kind %q at %s: %w", kind, address, err)
	}
	response, ok := res.(*ActorPidResponse)
	if !ok {
		return nil, fmt.Errorf("spawning kind %q at %s: unexpected answer %T", kind, address, res)
	}
	switch code := ResponseStatusCode(response.StatusCode); code {
	case ResponseStatusCodeOK, ResponseStatusCodePROCESSNAMEALREADYEXIST:
		return response, nil
	case ResponseStatusCodeUNAVAILABLE:
		return response, fmt.Errorf("spawning kind %q at %s: %w there: register it with Remote.Register", kind, address, ErrUnknownKind)
	default:
		return response, fmt.Errorf("spawning kind %q at %s: %s", kind, address, code)
	}
}

// activator spawns kinds. From the wire its requests come as *actors.Inbound, since its name is reserved.
type activator struct {
	kinds *kindRegistry
	log   *zap.Logger
}

func activatorProps(kinds *kindRegistry, log *zap.Logger) *actor.Props {
	return actor.PropsFromProducer(func() actor.Actor { return &activator{kinds, log} },
		actors.Named(nameActivator), actor.WithSupervisor(actors.Supervise(actors.Supervision{})))
}

func (a *activator) Receive(ctx actor.Context) {
	msg := ctx.Message()
	if inbound, ok := msg.(*actors.Inbound); ok {
		msg = inbound.Message
	}
	switch request := msg.(type) {
	case *ActorPidRequest:
		ctx.Respond(a.spawn(ctx, request))
	case *Ping:
		ctx.Respond(&Pong{})
	}
}

func (a *activator) spawn(ctx actor.Context, request *ActorPidRequest) *ActorPidResponse {
	props, ok := a.kinds.get(request.Kind)
	if !ok {
		return &ActorPidResponse{StatusCode: ResponseStatusCodeUNAVAILABLE.ToInt32()}
	}
	name := request.Name
	if name == "" {
		name = ctx.ActorSystem().ProcessRegistry.NextId()
	}
	pid, err := ctx.SpawnNamed(props, "Remote$"+name)
	switch {
	case err == nil:
		return &ActorPidResponse{Pid: pid}
	case errors.Is(err, actor.ErrNameExists):
		return &ActorPidResponse{Pid: pid, StatusCode: ResponseStatusCodePROCESSNAMEALREADYEXIST.ToInt32()}
	}
	var refused *ActivatorError
	isRefused := errors.As(err, &refused)
	if !isRefused || !refused.DoNotPanic {
		a.log.Warn("kind not spawned", zap.String("kind", quoteShort(request.Kind)), zap.String("name", quoteShort(name)), zap.Error(err))
	}
	if isRefused {
		return &ActorPidResponse{StatusCode: refused.Code}
	}
	return &ActorPidResponse{StatusCode: ResponseStatusCodeERROR.ToInt32()}
}
