package swimsuite

import (
	"fmt"
	"slices"
	"time"
)

// job is one life of one cluster of one system.
type job struct {
	System      string
	Kind        string // life, loss, stall, heal, sockets
	Nodes       int
	Seed        uint64
	Loss        float64       // share of datagrams
	StreamPings bool          // probes may fall back on streams
	Blocked     int           // nodes that are blocked again and again
	Process     bool          // whoever sends there stands still, not the port alone
	Deaths      int           // members that die in a life, one after the other
	Parted      time.Duration // how long the halves are apart
}

// measures are what a job found, by name.
type measures map[string]float64

// run lives through a job in virtual time.
func run(j job) (measures, error) {
	l, err := newLab(j.System, j.Nodes, j.Seed, j.StreamPings)
	if err != nil {
		return nil, err
	}
	defer l.close()
	formed, err := l.form(formLimit)
	if err != nil {
		return nil, err
	}
	m := measures{"cold-start": formed.Seconds()}
	time.Sleep(settle)
	switch j.Kind {
	case "life":
		return m, life(l, m, j.Deaths)
	case "loss":
		return m, loss(l, m, j.Loss)
	case "stall":
		return m, stall(l, m, j.Blocked, j.Process)
	case "heal":
		return m, heal(l, m, j.Parted)
	}
	return nil, fmt.Errorf("no case %q", j.Kind)
}

// kindSockets is the kind of job that runs on sockets.
const kindSockets = "sockets"

const (
	formLimit = 5 * time.Minute
	settle    = 30 * time.Second
	steady    = 60 * time.Second // load is measured
)

// life measures the load at rest, then an update, then a death.
func life(l *lab, m measures, deaths int) error {
	l.set(func() { l.weighing = true })
	before := l.net.sent()
	time.Sleep(steady)
	after := l.net.sent()
	l.set(func() { l.weighing = false })
	perNode := func(n int) float64 { return float64(n) / steady.Seconds() / float64(len(l.ups)) }
	m["packets"] = perNode(after.packets - before.packets)
	m["bytes"] = perNode(after.packetBytes - before.packetBytes)
	m["bytes/streams"] = perNode(after.streamBytes - before.streamBytes)

	who := l.rng.IntN(len(l.ups))
	others := len(l.ups) - 1
	l.set(func() { l.subject = who })
	began := l.now()
	l.net.ports[who].member.update()
	if err := l.until(time.Minute, func() bool { return l.changes >= others }); err != nil {
		return fmt.Errorf("an update reached %d of %d: %w", l.changes, others, err)
	}
	m["update-all"] = (l.changedAt - began).Seconds()

	var first, all []float64
	for _, who := range l.rng.Perm(len(l.ups))[:deaths] {
		time.Sleep(settle + time.Duration(l.rng.Int64N(int64(time.Second))))
		l.set(func() { l.subject, l.downs = who, 0 })
		began = l.now()
		l.net.ports[who].kill()
		l.net.ports[who].member.stop()
		if err := l.until(3*time.Minute, func() bool { return l.downs >= others }); err != nil {
			return fmt.Errorf("a death is known to %d of %d: %w", l.downs, others, err)
		}
		others--
		first = append(first, (l.downAt[0] - began).Seconds())
		all = append(all, (l.downAt[1] - began).Seconds())
	}
	m["detect-first"], m["detect-all"] = median(first), median(all)
	return nil
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// lossy is how long datagrams are lost.
const lossy = 300 * time.Second

// loss counts failures reported of members that are well.
func loss(l *lab, m measures, share float64) error {
	l.set(func() { l.spared = func(int) bool { return true } })
	l.net.set(func() { l.net.loss = share })
	time.Sleep(lossy)
	l.net.set(func() { l.net.loss = 0 })
	time.Sleep(settle)
	l.mu.Lock()
	defer l.mu.Unlock()
	m["false-positives"] = float64(l.falsePositives)
	return nil
}

// As in the Lifeguard paper, section V: blocked for long, let through for a moment, again and again.
const (
	stallBlocked = 16400 * time.Millisecond
	stallOpen    = 64 * time.Millisecond
	stallFor     = 120 * time.Second
)

// stall counts failures reported of members that were never blocked, at whichever member.
func stall(l *lab, m measures, count int, process bool) error {
	blocked := make(map[int]bool)
	for _, i := range l.rng.Perm(len(l.ups))[:count] {
		blocked[i] = true
	}
	l.set(func() { l.spared = func(subject int) bool { return !blocked[subject] } })
	all := func(do func(*port)) {
		for _, p := range l.net.ports {
			if blocked[p.index] {
				do(p)
			}
		}
	}
	for end := l.now() + stallFor; l.now() < end; {
		all(func(p *port) { p.block(process) })
		time.Sleep(min(stallBlocked, end-l.now()))
		all((*port).unblock)
		time.Sleep(stallOpen)
	}
	time.Sleep(2 * settle)
	l.mu.Lock()
	defer l.mu.Unlock()
	m["false-positives"] = float64(l.falsePositives)
	return nil
}

// healLimit is how long a partition is given to heal.
const healLimit = 300 * time.Second

// heal parts the halves and measures how long after the end of that everybody sees everybody.
func heal(l *lab, m measures, parted time.Duration) error {
	l.net.set(func() { l.net.split = len(l.ups) / 2 })
	time.Sleep(parted)
	l.net.set(func() { l.net.split = 0 })
	began := l.now()
	m["heal"] = healLimit.Seconds()
	if l.until(healLimit, l.agreed) == nil {
		m["heal"] = max(l.fullAt-began, 0).Seconds()
	}
	return nil
}
