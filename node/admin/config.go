package admin

import (
	"cmp"
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// Config wires a Server to its node.
type Config struct {
	System *actor.ActorSystem  // to ask the actors on; required
	PIDs   PIDs                // required
	Self   Self                // required
	Health Health              // required
	Gather prometheus.Gatherer // what /metrics shows; required
	Store  logstore.Handle     // of the node's Raft groups; Writer, Reader and Files are required

	// Token, where set, is the bearer token that every request to Handler must show. Without one, requests must come by an
	// IP address, "localhost" or one of Hosts, so that no web site can lead a browser here under a name of its own.
	Token string
	Hosts []string
	// RequestTimeout bounds how long the node looks for an answer. Default 10 s.
	RequestTimeout time.Duration
	// MaxRequests bounds requests at once; over it they are answered with the code busy. Default 256.
	MaxRequests int
	// Log is the server's logger. Default none.
	Log *zap.Logger
}

// PIDs are the actors that answer.
type PIDs struct {
	Meta   *actor.PID // the Raft group of the metadata; members are asked for theirs under the same id
	Swim   *actor.PID // membership
	Ring   *actor.PID // partition manager
	Remote *actor.PID // connections to the peers
}

// Self says who the node is.
type Self struct {
	ID            uint64
	Name          string
	ClusterName   string
	Address       string // main
	GossipAddress string
	ClusterID     func() string // empty until the node belongs to a cluster
}

// Health says how the node is. Both functions are called by each request, concurrently, and must not block for long.
type Health struct {
	Live  func() error
	Ready func() []client.Condition
}

// How the server bounds what it does for one request.
const (
	defaultRequestTimeout = 10 * time.Second
	defaultMaxRequests    = 256
	maxHealthRequests     = 32
	statusTimeout         = time.Second // for the members' own Raft status, all together
	statusWorkers         = 64
)

func (c *Config) validate() error {
	var faults []error
	for _, f := range []struct {
		missing bool
		what    string
	}{
		{c.System == nil, "System"}, {c.PIDs.Meta == nil, "PIDs.Meta"}, {c.PIDs.Swim == nil, "PIDs.Swim"}, {c.PIDs.Ring == nil, "PIDs.Ring"},
		{c.PIDs.Remote == nil, "PIDs.Remote"},
		{c.Self.ID == 0, "Self.ID"}, {c.Self.ClusterID == nil, "Self.ClusterID"},
		{c.Health.Live == nil, "Health.Live"}, {c.Health.Ready == nil, "Health.Ready"}, {c.Gather == nil, "Gather"},
		{c.Store.Writer == nil, "Store.Writer"}, {c.Store.Reader == nil, "Store.Reader"}, {c.Store.Files == nil, "Store.Files"},
	} {
		if f.missing {
			faults = append(faults, errors.New("admin: "+f.what+" is required"))
		}
	}
	return errors.Join(faults...)
}

func (c *Config) ensureDefaults() {
	c.RequestTimeout = cmp.Or(c.RequestTimeout, defaultRequestTimeout)
	c.MaxRequests = cmp.Or(c.MaxRequests, defaultMaxRequests)
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
}
