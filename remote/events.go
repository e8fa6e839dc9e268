package remote

import (
	"errors"
	"net"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
)

// Messages between a transport, the actor "remote" and its children. All are local.
type (
	listening struct{}
	// needed asks for a connection to a peer.
	needed struct {
		peer *peer
		kind Kind
	}
	accepted struct{ conn Conn }
	dialed   struct {
		dial uint64
		conn Conn
	}
	dialFailed struct {
		dial uint64
		err  error
	}
	found struct {
		find      uint64
		addresses []string
		err       error
	}
	greeted struct {
		conn  Conn
		frame []byte
	}
	drained struct{ conn Conn }
	closed  struct {
		conn Conn
		err  error
	}
	// helloTimeout ends an accepted connection that said no Hello.
	helloTimeout struct{ conn uint64 }

	// cameIn hands an accepted connection with a valid Hello to its session.
	cameIn struct {
		conn   Conn
		info   *actors.PeerInfo
		limits *FrameLimits
	}
	// resolve is a question for who lives at a session's address.
	resolve struct {
		spelled string
		expect  uint64
		asker   *actor.PID
	}
	verdict struct {
		node  uint64
		alive bool
	}
	// rehello makes sessions come back with the node's new Hello.
	rehello    struct{}
	sayGoodbye struct{}

	// Messages of a session to the manager.
	dialing struct {
		dial uint64
		peer *peer
	}
	wentUp struct {
		peer *peer
		info *actors.PeerInfo
	}
	wentDown struct {
		peer   *peer
		info   *actors.PeerInfo
		reason string
	}
	forgotten    struct{ peer *peer }
	sessionDrain struct {
		peer         *peer
		acknowledged bool
	}
	drainTimeout struct{}
	publishTick  struct{}
)

// events turns what a transport says into messages for the actor "remote".
type events struct{ core *core }

func (e *events) post(msg any)                      { e.core.system.Root.Send(e.core.manager, msg) }
func (e *events) Accepted(c Conn)                   { e.post(&accepted{c}) }
func (e *events) Dialed(dial uint64, c Conn)        { e.post(&dialed{dial, c}) }
func (e *events) DialFailed(dial uint64, err error) { e.post(&dialFailed{dial, err}) }
func (e *events) Found(find uint64, addresses []string, err error) {
	e.post(&found{find, addresses, err})
}
func (e *events) Greeting(c Conn, frame []byte) { e.post(&greeted{c, frame}) }
func (e *events) Drained(c Conn)                { e.post(&drained{c}) }
func (e *events) Closed(c Conn, err error)      { e.post(&closed{c, err}) }

func (e *events) Refused(remote string, err error) {
	host, _, splitErr := net.SplitHostPort(remote)
	if splitErr != nil {
		host = remote
	}
	var refusal *CloseError
	if !errors.As(err, &refusal) {
		refusal = &CloseError{Code: CodeCertificate, Reason: err.Error()}
	}
	e.core.logRefusal(0, host, refusal)
}

// announce publishes on the system's event stream; a subscriber that panics harms nothing here.
func (c *core) announce(event any) {
	defer c.recovered("eventstream")
	c.system.EventStream.Publish(event)
}

// need asks for a connection, from any goroutine.
func (c *core) need(p *peer, kind Kind) { c.system.Root.Send(c.manager, &needed{p, kind}) }

func refusalFields(node uint64, remote string, err *CloseError) []zap.Field {
	fields := []zap.Field{zap.String("code", err.Code.String()), zap.String("reason", err.Reason), zap.Bool("by_peer", err.Remote)}
	if node != 0 {
		fields = append(fields, zap.Uint64("node_id", node))
	}
	return append(fields, zap.String("remote_address", remote))
}

func refusalOf(err error) (*CloseError, bool) {
	var c *CloseError
	if errors.As(err, &c) && c.Code.refusal() {
		return c, true
	}
	return nil, false
}
