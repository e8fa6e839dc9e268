package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/node/client"
)

var (
	killCount = flag.Int("e2e.kills", 10, "how many times TestKills kills a process")
	killSeed  = flag.Uint64("e2e.seed", 0, "what TestKills draws its choices from; 0: a new one")
)

const (
	killClients  = 6
	killKeys     = 8  // written again and again within one round, then never more
	killOnce     = 40 // one in so many operations writes a key of its own, once
	killInterval = 4 * time.Millisecond
	// killOperations are at most between the begin of a round and the kill, and between the kill and the restart.
	killOperations = 400
)

// TestKills: kill -9 of a random one of three processes under load, again and again; at times the next dies before the last
// has caught up. Every client asks a random node each time. No acknowledged write is lost, no read is stale: each round has keys
// of its own, so that porcupine's work stays small, and all are judged once more with what every node reads at the end.
func TestKills(t *testing.T) {
	seed := *killSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-e2e.kills=%d -e2e.seed=%d", *killCount, seed)
	c := newCluster(t, 3)
	c.startAll()
	once := newHistory()
	random := rand.New(rand.NewPCG(seed, 0))
	var rounds []*killRound
	waited := true
	for number := 1; number <= *killCount; number++ {
		r := &killRound{c: c, number: number, history: newHistory(), once: once, stop: make(chan struct{}), did: make(chan struct{}, 1)}
		rounds = append(rounds, r)
		r.load(seed)
		victim := c.members[random.IntN(len(c.members))]
		led := waited && c.leader(c.members[victim.id%3]) == victim
		r.operations(random.IntN(killOperations))
		victim.kill()
		r.operations(random.IntN(killOperations))
		victim.start()
		if waited = random.IntN(4) != 0; waited {
			c.ready(c.members...)
		}
		r.end()
		answered, unsure := r.history.counts()
		t.Logf("kill %d: node %d, leader %v, waited for %v: %d operations, %d of unknown outcome", number, victim.id, led, waited, answered, unsure)
		if waited {
			r.readEverywhere()
			r.history.judge(t)
		}
		if t.Failed() {
			return
		}
	}
	c.ready(c.members...)
	for _, r := range rounds {
		r.readEverywhere()
		r.history.judge(t)
	}
	t.Logf("%d keys were written once and acknowledged", len(once.acked))
	c.keeps(once)
	c.noPanics()
}

// killRound is the load around one kill.
type killRound struct {
	c       *cluster
	number  int
	history *history // of the keys that all clients share
	once    *history
	clients sync.WaitGroup
	stop    chan struct{}
	did     chan struct{} // an operation ended
}

func (r *killRound) key(i int) string { return fmt.Sprintf("kill%04d.%d", r.number, i) }

// load starts the clients. Each keeps off a key whose value it doesn't know: what may take effect at any time costs porcupine most.
func (r *killRound) load(seed uint64) {
	for id := range killClients {
		nodes := make([]*client.Client, 0, len(r.c.members))
		for _, m := range r.c.members {
			nodes = append(nodes, m.client())
		}
		random := rand.New(rand.NewPCG(seed, uint64(r.number)<<8|uint64(id)+1))
		r.clients.Go(func() {
			pace := time.NewTicker(killInterval)
			defer pace.Stop()
			ctx := context.Background() // each request has its own limit
			var unsure [killKeys]bool
			for number := 0; ; number++ {
				select {
				case <-r.stop:
					return
				case <-pace.C:
				}
				cl, k, value := nodes[random.IntN(len(nodes))], random.IntN(killKeys), fmt.Sprintf("c%d.%d", id, number)
				switch {
				case random.IntN(killOnce) == 0:
					r.once.put(ctx, id, cl, fmt.Sprintf("once%04d.%s", r.number, value), value)
				case random.IntN(2) == 0 && !unsure[k]:
					unsure[k] = r.history.write(ctx, id, cl, r.key(k), value) == unknown
				default:
					_ = r.history.get(ctx, id, cl, r.key(k)) // none is no read
				}
				select {
				case r.did <- struct{}{}:
				default:
				}
			}
		})
	}
}

// operations waits until clients have ended so many, whatever they came to.
func (r *killRound) operations(count int) {
	for range count {
		<-r.did
	}
}

func (r *killRound) end() {
	close(r.stop)
	r.clients.Wait()
}

// readEverywhere records what each node reads now.
func (r *killRound) readEverywhere() {
	for i, m := range r.c.members {
		cl := m.client()
		for k := range killKeys {
			r.c.until(fmt.Sprintf("node %d reads %s", m.id, r.key(k)), 30*time.Second, func(ctx context.Context) error {
				return r.history.get(ctx, killClients+i, cl, r.key(k))
			})
		}
	}
}
