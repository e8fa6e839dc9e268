package testkit

import (
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

// Outcome is how an operation ended.
type Outcome int

const (
	// OK: it took effect, and this is its result.
	OK Outcome = iota
	// Failed: it had no effect.
	Failed
	// Unknown: it may or may not have taken effect, or may yet.
	Unknown
)

// Client records what it asks and what it is told, for [World.Linearizable]. It stands outside the nodes: a node that
// crashes takes the answer along, and the operation is unknown.
type Client struct {
	world   *World
	id      int
	rand    *rand.Rand
	history []porcupine.Operation
	ended   [3]int
	open    bool
}

// clientTimeout is how long a client waits before it gives an operation up as unknown.
const clientTimeout = 3 * time.Second

// Client returns the client of that number, a new one where it was not asked for before.
func (w *World) Client(id int) *Client {
	c := w.clients[id]
	if c == nil {
		c = &Client{world: w, id: id, rand: w.stream("client/" + strconv.Itoa(id))}
		w.clients[id] = c
		w.clientIDs = append(w.clientIDs, id)
	}
	return c
}

// ID is the client's number.
func (c *Client) ID() int { return c.id }

// Rand is the client's own generator.
func (c *Client) Rand() *rand.Rand { return c.rand }

// Do asks an actor of a node and calls done with the answer, or with an error after the time-out. The input is recorded; what
// record makes of the answer is its output and outcome. One operation at a time.
func (c *Client) Do(n *Node, name string, message, input any, record func(answer any, err error) (output any, o Outcome), done func(Outcome)) {
	w := c.world
	if c.open {
		w.fail("client %d began a second operation before the first had ended", c.id)
		return
	}
	call := w.now
	c.open = true
	end := func(answer any, err error) {
		if !c.open || c.world.now < call {
			return
		}
		c.open = false
		output, outcome := record(answer, err)
		c.ended[outcome]++
		op := porcupine.Operation{ClientId: c.id, Input: input, Call: int64(call), Output: output, Return: int64(w.now)}
		if outcome == Unknown {
			op.Return = math.MaxInt64 // it may take effect at any time from its call on
		}
		if outcome != Failed {
			c.history = append(c.history, op)
		}
		if done != nil {
			done(outcome)
		}
	}
	if !n.up {
		w.after(time.Millisecond, func() { end(nil, actors.ErrDeadLetter) })
		return
	}
	a := &answer{end: end}
	a.timeout = w.after(clientTimeout, func() { a.close(nil, actors.ErrTimeout) })
	process, ok := n.system.ProcessRegistry.GetLocal(name)
	if !ok {
		w.after(time.Millisecond, func() { a.close(nil, actors.ErrDeadLetter) })
		return
	}
	sender := a.register(n.system, "client")
	n.whenAwake(n.life, func() {
		process.SendUserMessage(n.system.NewLocalPID(name), &actor.MessageEnvelope{Message: message, Sender: sender})
	})
}

// answer is a process that takes the first message.
type answer struct {
	end     func(any, error)
	timeout *event
	closed  bool
	leave   func()
}

// register gives the process an id, until it has its answer.
func (a *answer) register(system *actors.System, name string) *actor.PID {
	pid, _ := system.ProcessRegistry.Add(a, name+system.ProcessRegistry.NextId())
	a.leave = func() { system.ProcessRegistry.Remove(pid) }
	return pid
}

func (a *answer) close(message any, err error) {
	if a.closed {
		return
	}
	a.closed = true
	a.timeout.Stop()
	if a.leave != nil {
		a.leave()
	}
	a.end(message, err)
}

func (a *answer) SendUserMessage(_ *actor.PID, message any) {
	_, content, _ := actor.UnwrapEnvelope(message)
	if _, dead := content.(*actor.DeadLetterResponse); dead {
		a.close(nil, actors.ErrDeadLetter)
		return
	}
	a.close(content, nil)
}

func (a *answer) SendSystemMessage(*actor.PID, any) {}
func (a *answer) Stop(*actor.PID)                   {}

// KV is an operation on the cluster's replicated config, the input of [KVModel].
type KV struct {
	Key   string
	Put   bool
	Value string
}

// Put writes a key through a node.
func (c *Client) Put(n *Node, key, value string, done func(Outcome)) {
	command := consensus.NewPropose(&metadata.SetConfig{Key: key, Value: []byte(value)})
	c.Do(n, actors.RaftName(actors.GroupMeta), command, KV{Key: key, Put: true, Value: value}, func(answer any, err error) (any, Outcome) {
		_, err = consensus.Result[*metadata.ConfigChanged](answer, err)
		return "", OutcomeOf(err)
	}, done)
}

// Get reads a key linearizably through a node.
func (c *Client) Get(n *Node, key string, done func(Outcome)) {
	c.Do(n, actors.RaftName(actors.GroupMeta), consensus.NewQuery(&metadata.GetConfig{Key: key}), KV{Key: key}, func(answer any, err error) (any, Outcome) {
		entry, err := consensus.Result[*metadata.ConfigEntry](answer, err)
		if isNotFound(err) {
			return "", OK
		}
		if err != nil {
			return "", Failed // a read that was not answered tells nothing
		}
		return string(entry.GetValue()), OK
	}, done)
}

// KVModel is a map of registers, judged key by key.
var KVModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := make(map[string]int)
		var parts [][]porcupine.Operation
		for _, op := range history {
			key := op.Input.(KV).Key
			i, ok := byKey[key]
			if !ok {
				i = len(parts)
				byKey[key] = i
				parts = append(parts, nil)
			}
			parts[i] = append(parts[i], op)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		if op := input.(KV); op.Put {
			return true, op.Value
		}
		return output.(string) == state.(string), state
	},
	DescribeOperation: func(input, output any) string {
		if op := input.(KV); op.Put {
			return "put " + op.Key + "=" + op.Value
		} else { //nolint:revive // the two belong together
			return "get " + op.Key + " → " + output.(string)
		}
	},
}

// Drive lets clients begin operations of the test's own, one at a time each and so many a second over all, each on a node drawn for it,
// until the load is over at the end of the run. turn must see to it that done is called, as [Client.Do] does.
func (w *World) Drive(clients int, perSecond float64, turn func(c *Client, n *Node, done func(Outcome))) {
	for id := range clients {
		c := w.Client(id)
		pause := func() time.Duration {
			return time.Duration(c.rand.ExpFloat64() * float64(clients) / perSecond * float64(time.Second))
		}
		var next func(Outcome)
		begin := func() {
			if !w.loadOver {
				turn(c, w.nodes[c.rand.IntN(w.scenario.Nodes)], next)
			}
		}
		next = func(Outcome) { w.after(pause(), begin) }
		w.after(pause(), begin)
	}
}

// Load drives clients that put and get keys. Each value is written once.
func (w *World) Load(clients, keys int, perSecond float64) {
	count := make([]int, clients)
	w.Drive(clients, perSecond, func(c *Client, n *Node, done func(Outcome)) {
		count[c.id]++
		key := "k" + strconv.Itoa(c.rand.IntN(keys))
		if c.rand.IntN(3) == 0 {
			c.Get(n, key, done)
		} else {
			c.Put(n, key, strconv.Itoa(c.id)+"."+strconv.Itoa(count[c.id]), done)
		}
	})
}
