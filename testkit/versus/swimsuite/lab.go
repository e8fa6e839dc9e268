package swimsuite

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// latency is one way, between any two nodes.
const latency = 500 * time.Microsecond

// poll is how often a lab looks whether what it waits for has come; what it reports is taken from the events themselves.
const poll = 10 * time.Millisecond

// sight is what one node sees of another.
type sight uint8

const (
	up sight = iota + 1
	updated
	down
)

// member is one node of either system.
type member interface {
	join(seed string)
	update() // changes its metadata
	stop()   // ends it without a word
}

// lab is a cluster of one system in virtual time.
type lab struct {
	seed        uint64
	net         *network
	rng         *rand.Rand
	began       time.Time
	streamPings bool

	mu       sync.Mutex
	weighing bool
	views    [][]bool // by observer and subject
	ups      []int    // by observer
	full     int      // observers that see everybody
	fullAt   time.Duration

	subject        int // watched
	downs, changes int
	downAt         [2]time.Duration // the first and the last so far
	changedAt      time.Duration
	spared         func(subject int) bool // a failure reported of those is a false one
	falsePositives int
}

// systems starts a node of each.
var systems = map[string]func(*lab, *port) (member, error){own: startCore, peerName: startListed}

// newLab begins a cluster whose nodes start within half a second and know the first as their seed.
func newLab(system string, nodes int, seed uint64, streamPings bool) (*lab, error) {
	l := &lab{
		seed: seed, net: newNetwork(nodes, seed), rng: rand.New(rand.NewPCG(seed, 0)), began: time.Now(), streamPings: streamPings,
		ups: make([]int, nodes), subject: -1,
	}
	for range nodes {
		l.views = append(l.views, make([]bool, nodes))
	}
	for _, p := range l.net.ports {
		n, err := systems[system](l, p)
		if err != nil {
			return nil, err
		}
		p.member = n
	}
	for i, p := range l.net.ports[1:] {
		time.Sleep(time.Duration(i+1)*startWithin/time.Duration(nodes) - l.now())
		p.member.join(l.net.ports[0].address)
	}
	return l, nil
}

// startWithin is the time in which all nodes of a cold start come.
const startWithin = 500 * time.Millisecond

func (l *lab) now() time.Duration { return time.Since(l.began) }

// close ends all nodes, as a bubble wants it.
func (l *lab) close() {
	for _, p := range l.net.ports {
		p.unblock()
		if !p.gone() {
			p.kill()
			p.member.stop()
		}
	}
	time.Sleep(time.Minute) // dials and timers that are under way
}

func (l *lab) weighs() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.weighing
}

// saw takes an event of a node.
func (l *lab) saw(observer, subject int, what sight) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch seen := l.views[observer][subject]; {
	case what == up && !seen:
		l.count(observer, +1, now)
	case what == down && seen:
		l.count(observer, -1, now)
		if l.spared != nil && l.spared(subject) {
			l.falsePositives++
		}
	}
	if what != updated {
		l.views[observer][subject] = what == up
	}
	if subject != l.subject {
		return
	}
	switch what {
	case down:
		if l.downs == 0 {
			l.downAt[0] = now
		}
		l.downs++
		l.downAt[1] = now
	case updated:
		l.changes++
		l.changedAt = now
	}
}

// count changes how many others an observer sees.
func (l *lab) count(observer, by int, now time.Duration) {
	everybody := len(l.ups) - 1
	if l.ups[observer] == everybody {
		l.full--
	}
	l.ups[observer] += by
	if l.ups[observer] == everybody {
		l.full++
		l.fullAt = now
	}
}

var errLimit = errors.New("the limit has passed")

// until waits, at most limit.
func (l *lab) until(limit time.Duration, holds func() bool) error {
	for end := l.now() + limit; ; time.Sleep(poll) {
		l.mu.Lock()
		done := holds()
		l.mu.Unlock()
		if done {
			return nil
		}
		if l.now() >= end {
			return errLimit
		}
	}
}

// agreed says whether everybody sees everybody.
func (l *lab) agreed() bool { return l.full == len(l.ups) }

func (l *lab) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// form waits until everybody sees everybody, and says how long that took from the start.
func (l *lab) form(limit time.Duration) (time.Duration, error) {
	if err := l.until(limit, l.agreed); err != nil {
		return limit, fmt.Errorf("cold start of %d nodes: %w", len(l.ups), err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fullAt, nil
}
