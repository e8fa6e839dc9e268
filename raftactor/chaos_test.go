package raftactor

import (
	"fmt"
	"hash/fnv"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

type op struct {
	key, value string
	read       bool
}

// register is one key's value; an operation whose outcome is unknown stays open to the end of the history.
var register = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		var keys []string
		for _, o := range history {
			k := o.Input.(op).key
			if byKey[k] == nil {
				keys = append(keys, k)
			}
			byKey[k] = append(byKey[k], o)
		}
		var out [][]porcupine.Operation
		for _, k := range keys {
			out = append(out, byKey[k])
		}
		return out
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		in := input.(op)
		if in.read {
			return output.(string) == state.(string), state
		}
		return true, in.value
	},
}

// client runs one operation after the other against a random node, for as long as the world says.
type client struct {
	w       *world
	id, n   int
	pause   time.Duration // at most, between two operations
	history *[]porcupine.Operation
	stop    bool
}

func (c *client) next() {
	if c.stop {
		return
	}
	node := c.w.nodes[c.w.rng.IntN(len(c.w.nodes))]
	if node.sys == nil {
		c.w.at(5*time.Millisecond, c.next)
		return
	}
	c.n++
	o := op{key: fmt.Sprintf("k%d", c.w.rng.IntN(3)), value: fmt.Sprintf("c%d-%d", c.id, c.n), read: c.w.rng.IntN(2) == 0}
	var m proto.Message = consensus.NewPropose(text("set %s %s", o.key, o.value))
	if o.read {
		m = consensus.NewQuery(text("%s", o.key))
	}
	c.attempt(node, o, m, c.w.now)
}

func (c *client) attempt(on *node, o op, m proto.Message, call time.Duration) {
	a, gen := on.ask(m), on.gen
	var poll func()
	deadline := c.w.now + 3*time.Second
	poll = func() {
		if a.got == nil && c.w.now < deadline && on.gen == gen {
			c.w.at(300*time.Microsecond, poll)
			return
		}
		c.done(o, call, a.got)
		c.w.at(time.Millisecond+time.Duration(c.w.rng.Int64N(int64(c.pause+1))), c.next)
	}
	poll()
}

func (c *client) done(o op, call time.Duration, got any) {
	h := porcupine.Operation{ClientId: c.id, Input: o, Call: int64(call), Return: int64(c.w.now)}
	value, err := consensus.Result[*wrapperspb.StringValue](got, nil)
	switch {
	case err == nil:
		h.Output = value.GetValue()
	case o.read:
		return
	default:
		if f, ok := got.(*consensus.Failed); ok && f.GetCode() != consensus.Code_CODE_UNKNOWN_OUTCOME {
			return // it had no effect
		}
		h.Return, h.Output = int64(time.Hour), ""
		c.id += 100 // porcupine's clients wait for their answers
	}
	*c.history = append(*c.history, h)
}

// TestSimChaosIsLinearizable mixes partitions, loss, crashes and restarts of processes and of single actors. Everything that was
// acknowledged is there, and reads are linearizable, from any node.
func TestSimChaosIsLinearizable(t *testing.T) {
	seeds := 6
	if s, err := strconv.Atoi(os.Getenv("RAFT_SEEDS")); err == nil {
		seeds = s
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { chaos(t, 1000+seed, 0, small) })
	}
}

// TestSimChaosOfARestingGroup does the same to a group that falls asleep whenever nobody asks anything for a moment.
func TestSimChaosOfARestingGroup(t *testing.T) {
	seeds := 6
	if s, err := strconv.Atoi(os.Getenv("RAFT_SEEDS")); err == nil {
		seeds = s
	}
	rested := 0
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rested += chaos(t, 2000+seed, 2*time.Second, func(c *Config) { small(c); c.RestAfter = 100 * time.Millisecond })
		})
	}
	if rested < seeds {
		t.Fatalf("a leader rested at %d faults only", rested)
	}
}

// chaos returns at how many of its faults a leader rested.
func chaos(t *testing.T, seed uint64, pause time.Duration, config func(*Config)) (rested int) {
	w := cluster(t, seed, 3+2*int(seed%2), config)
	var history []porcupine.Operation
	var clients []*client
	for i := range 4 {
		c := &client{w: w, id: i, history: &history, pause: pause}
		clients = append(clients, c)
		c.next()
	}
	loss := 0
	w.filter = func(int, int, proto.Message) bool { return loss == 0 || w.rng.IntN(100) >= loss }
	for range 25 {
		w.run(time.Duration(w.rng.Int64N(int64(600 * time.Millisecond))))
		n := w.nodes[w.rng.IntN(len(w.nodes))]
		for _, n := range w.nodes {
			if n.sys != nil && n.status().GetResting() && n.status().GetRole() == consensus.Role_ROLE_LEADER {
				rested++
			}
		}
		switch w.rng.IntN(8) {
		case 0:
			w.isolate(n)
		case 1:
			other := w.nodes[w.rng.IntN(len(w.nodes))]
			w.cut[[2]int{n.id, other.id}] = n != other
		case 2, 3:
			w.heal()
		case 4, 5:
			if n.sys != nil {
				n.crash()
			} else {
				n.start(nil, config)
			}
		case 6:
			if n.sys != nil {
				n.deliver(n.group, &poison{})
			}
		case 7:
			loss = w.rng.IntN(10)
		}
	}
	loss = 0
	w.heal()
	for _, n := range w.nodes {
		if n.sys == nil {
			n.start(nil, config)
		}
	}
	w.run(2 * time.Second)
	for _, c := range clients {
		c.stop = true
	}
	w.run(4 * time.Second)
	w.leader().set("end", "1")
	w.agree(w.nodes...)
	for _, n := range w.nodes {
		if n.status().GetHalted() != "" || n.gaveUp != nil {
			t.Fatalf("node %d: %q %v", n.id, n.status().GetHalted(), n.gaveUp)
		}
	}
	if pause == 0 && len(history) < 100 {
		t.Fatalf("only %d operations", len(history))
	}
	if res := porcupine.CheckOperationsTimeout(register, history, 20*time.Second); res == porcupine.Illegal {
		t.Fatalf("seed %d: not linearizable, %d operations", seed, len(history))
	}
	return rested
}

// TestSimMembershipChaos changes the members at random while processes come and go. No replica halts or panics, none diverges,
// and once all is well again the group goes on under a plain configuration.
func TestSimMembershipChaos(t *testing.T) {
	seeds := 6
	if s, err := strconv.Atoi(os.Getenv("RAFT_SEEDS")); err == nil {
		seeds = s
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { membershipChaos(t, 3000+seed) })
	}
}

func membershipChaos(t *testing.T, seed uint64) {
	w := cluster(t, seed, 3, small)
	for range 2 {
		w.newNode().start(nil, small)
	}
	for range 60 {
		w.run(time.Duration(w.rng.Int64N(int64(300 * time.Millisecond))))
		n := w.nodes[w.rng.IntN(len(w.nodes))]
		switch w.rng.IntN(6) {
		case 0:
			w.isolate(n)
		case 1, 2:
			w.heal()
		case 3:
			if n.sys != nil {
				n.crash()
			}
			n.start(nil, small)
		default:
			if n.sys != nil {
				n.ask(&consensus.ChangeMembership{Changes: w.randomChange(n)})
				n.ask(consensus.NewPropose(text("add n")))
			}
		}
	}
	w.heal()
	w.run(2 * time.Second)
	w.leader().set("end", "1")
	w.until("a plain configuration", 10*time.Second, func() bool {
		leader := w.leader()
		members := len(leader.status().GetProgress())
		return members == len(leader.status().GetVoters())+len(leader.status().GetLearners())
	})
	leader := w.leader()
	var members []*node
	for _, n := range w.nodes {
		if h := n.status().GetHalted(); h != "" || n.gaveUp != nil || n.metrics.of("rivven_actor_failures_total") > 0 {
			t.Fatalf("node %d: halted %q, gave up %v, %d panics", n.id, h, n.gaveUp, n.metrics.of("rivven_actor_failures_total"))
		}
		for _, p := range leader.status().GetProgress() {
			if p.GetPeer().GetReplica() == n.replica() {
				members = append(members, n)
			}
		}
	}
	w.agree(members...)
}

// randomChange is one to three changes that would suit the members as a node knows them.
func (w *world) randomChange(on *node) []*consensus.Change {
	st := on.status()
	var out []*consensus.Change
	for range 1 + w.rng.IntN(3) {
		n := w.nodes[w.rng.IntN(len(w.nodes))]
		kind := consensus.ChangeKind_CHANGE_KIND_ADD_LEARNER
		for _, p := range st.GetLearners() {
			if p.GetReplica() == n.replica() {
				kind = consensus.ChangeKind_CHANGE_KIND_PROMOTE
			}
		}
		for _, p := range st.GetVoters() {
			if p.GetReplica() == n.replica() {
				kind = consensus.ChangeKind_CHANGE_KIND_DEMOTE + consensus.ChangeKind(w.rng.IntN(2))
				if len(st.GetVoters()) <= 2 {
					kind = consensus.ChangeKind_CHANGE_KIND_ADD_LEARNER // refused
				}
			}
		}
		out = append(out, &consensus.Change{Kind: kind, Peer: n.peer().wire()})
	}
	return out
}

// The same seed gives the same run, message by message.
func TestSimSameSeedSameRun(t *testing.T) {
	trace := func() (uint64, int) {
		sum, n := fnv.New64a(), 0
		t.Run("run", func(t *testing.T) {
			w := cluster(t, 77, 3, small)
			w.filter = func(from, to int, m proto.Message) bool {
				data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				n++
				fmt.Fprintf(sum, "%d %d %d %T %x\n", w.now, from, to, m, data)
				_, step := m.(*Step)
				return !step || w.rng.IntN(50) > 0
			}
			for round := range 10 {
				w.leader().set("a", fmt.Sprint(round))
				w.followers()[0].set("b", fmt.Sprint(round))
				n := w.nodes[w.rng.IntN(3)]
				n.crash()
				w.run(300 * time.Millisecond)
				n.start(nil, small)
			}
		})
		return sum.Sum64(), n
	}
	first, n := trace()
	second, m := trace()
	if first != second || n != m || n < 100 {
		t.Fatalf("%d messages with hash %x, then %d with %x", n, first, m, second)
	}
}
