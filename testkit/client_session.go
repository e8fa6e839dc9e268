package testkit

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

// sessionTries is how often one write is tried before its client opens a new session: who lost it would hear the same for ever.
const sessionTries = 20

var meta = actors.RaftName(actors.GroupMeta)

// sessionClient writes one number after the other under a session, and tries each until it knows what became of it.
type sessionClient struct {
	world   *World
	id      int
	rand    *rand.Rand
	pause   float64 // mean, in seconds
	session uint64
	number  uint64
	tries   int
	index   uint64 // of the number's result
	turn    uint64 // tells late answers
}

// Sessions lets so many clients write under sessions of the metadata group, at a rate over all: a write that is not known to be done is
// sent again, under the same number, to another node, and now and then to two at once. That each number is applied once, and has
// one result, is judged all along.
func (w *World) Sessions(clients int, perSecond float64) {
	for id := range clients {
		c := &sessionClient{world: w, id: id, rand: w.stream("session/" + strconv.Itoa(id)), pause: float64(clients) / perSecond}
		c.later(c.open)
	}
}

func (c *sessionClient) later(f func()) {
	w := c.world
	w.after(time.Duration(c.rand.ExpFloat64()*c.pause*float64(time.Second)), func() {
		if !w.loadOver {
			f()
		}
	})
}

func (c *sessionClient) node() *Node { return c.world.nodes[c.rand.IntN(c.world.scenario.Nodes)] }

func (c *sessionClient) open() {
	c.node().Request(meta, &consensus.OpenSession{}, clientTimeout, func(answer any, err error) {
		session, err := consensus.Reply[*consensus.Session](answer, err)
		if err != nil {
			c.later(c.open)
			return
		}
		c.session, c.number = session.GetId(), 0
		c.later(c.next)
	})
}

func (c *sessionClient) next() {
	c.number++
	c.tries, c.index = 0, 0
	c.write()
}

func (c *sessionClient) write() {
	c.tries++
	c.turn++
	if c.tries > sessionTries {
		c.later(c.open)
		return
	}
	sends := 1
	if c.rand.IntN(4) == 0 {
		sends = 2
	}
	turn, number, open := c.turn, c.number, sends
	for range sends {
		command := &metadata.SetConfig{Key: "session" + strconv.Itoa(c.id), Value: []byte(strconv.FormatUint(number, 10))}
		c.node().Request(meta, consensus.NewProposeOnce(c.session, number, command), clientTimeout, func(answer any, err error) {
			open--
			done, err := consensus.Reply[*consensus.Proposed](answer, err)
			if err == nil {
				c.judge(number, done.GetIndex())
			}
			switch {
			case turn != c.turn:
			case err == nil:
				c.turn++ // what else comes is late
				c.later(c.next)
			case open == 0:
				c.later(c.write)
			}
		})
	}
}

// judge: a number has one result, whoever is asked and however often.
func (c *sessionClient) judge(number, index uint64) {
	if number != c.number {
		return
	}
	if c.index != 0 && c.index != index {
		c.world.failed("raft: exactly once", fmt.Sprintf("session client %d is told that its number %d was applied at index %d, and at index %d", c.id, number, c.index, index))
	}
	c.index = index
}
