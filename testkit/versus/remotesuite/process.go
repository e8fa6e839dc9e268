package remotesuite

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hupe1980/rivven-cluster/testkit/versus/runner"
)

// sizes are those of messages, by case.
var sizes = map[string]int{
	"oneway/16B": 16, "oneway/256B": 256, "oneway/1KiB": 1 << 10, "oneway/64KiB": 64 << 10,
	"rtt": 16, "rtt/1024": 16, "cpu/16B": 16, "idle-peer": 16,
	"bulk": bulkChunk, "control-under-bulk": bulkChunk,
}

// bulkChunk leaves room for an envelope in 256 KiB, the remote's limit for a chunk.
const bulkChunk = 255 << 10

// inFlight is how many requests wait at a time in rtt/1024.
const inFlight = 1024

// window is how many messages are acknowledged at once.
func window(size int) int { return min(max(4<<20/size, 16), 20000) }

// endpoint is a system as a client uses it.
type endpoint interface {
	// flood sends messages of a size, two windows ahead of the acknowledgements at most, until stop is closed, and
	// calls acked for each window.
	flood(size int, bulk bool, stop <-chan struct{}, acked func()) error
	// roundTrip sends a message of a size and waits for the same to come back. control asks for the way that bulk
	// doesn't hold up.
	roundTrip(size int, control bool) error
	// pipeline keeps that many requests in flight until stop is closed, and calls answered for each answer.
	pipeline(size, requests int, stop <-chan struct{}, answered func()) error
	// connect makes sure that each of the servers is connected.
	connect() error
	close()
}

func process(ctx context.Context, args []string) error {
	var w work
	if len(args) != 1 {
		return fmt.Errorf("%d arguments for a process of the suite remote: want 1", len(args))
	}
	if err := json.Unmarshal([]byte(args[0]), &w); err != nil {
		return err
	}
	if w.Role == "server" {
		return serve(ctx, w)
	}
	return runClient(w)
}

// serve starts the servers, prints their addresses, and answers questions for its CPU time until it shall end.
func serve(ctx context.Context, w work) error {
	var addresses []string
	for n := range w.Peers {
		address, stop, err := listen(ctx, w, 2+n)
		if err != nil {
			return err
		}
		defer stop()
		addresses = append(addresses, address)
	}
	fmt.Println(strings.Join(addresses, " "))
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(cpuTime().Nanoseconds())
	}
	return nil
}

func listen(ctx context.Context, w work, node int) (address string, stop func(), err error) {
	switch w.System {
	case rawQUIC:
		return listenQUIC(ctx, w, node)
	case rawTLS:
		return listenTLS(w, node)
	}
	return listenActors(w, node)
}

func dial(w work) (endpoint, error) {
	switch w.System {
	case rawQUIC, rawTLS:
		return dialRaw(w)
	}
	return dialActors(w)
}

// runClient measures and prints "begin", "end" and the result.
func runClient(w work) error {
	before := memory()
	e, err := dial(w)
	if err != nil {
		return err
	}
	defer e.close()
	var res result
	size := sizes[w.Case]
	switch {
	case w.Case == "idle-peer":
		res, err = idle(e, w, before)
	case w.Case == "rtt":
		res, err = roundTrips(e, w.For, size, false, 0)
	case w.Case == "rtt/1024":
		res, err = rate(w.For, 1, func(stop <-chan struct{}, done func()) error { return e.pipeline(size, inFlight, stop, done) })
	case w.Case == "control-under-bulk":
		res, err = underBulk(e, w.For)
	default:
		bulk := w.Case == "bulk"
		n := window(size)
		res, err = rate(w.For, int64(n), func(stop <-chan struct{}, done func()) error { return e.flood(size, bulk, stop, done) })
		if bulk {
			res.Value *= float64(size) / 1e6
		}
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(res)
	fmt.Println(string(text))
	return err
}

// warmUp is the part of the measuring time that comes before it.
func warmUp(d time.Duration) time.Duration { return max(d/3, 150*time.Millisecond) }

// rate runs a load that reports each step of so many messages, and returns messages per second between the first
// report after the warm-up and the last one.
func rate(d time.Duration, step int64, load func(stop <-chan struct{}, done func()) error) (result, error) {
	stop := make(chan struct{})
	var mu sync.Mutex
	var counting bool
	var steps int64
	var first, last time.Time
	finished := make(chan error, 1)
	go func() {
		finished <- load(stop, func() {
			now := time.Now()
			mu.Lock()
			defer mu.Unlock()
			if !counting {
				return
			}
			if first.IsZero() {
				first = now
				return
			}
			steps++
			last = now
		})
	}()
	time.Sleep(warmUp(d))
	mu.Lock()
	counting = true
	mu.Unlock()
	cpu := begin()
	time.Sleep(d)
	mu.Lock()
	counting = false
	mu.Unlock()
	cpu = end(cpu)
	close(stop)
	if err := <-finished; err != nil {
		return result{}, err
	}
	if steps == 0 {
		return result{}, fmt.Errorf("fewer than two windows of %d messages within %v", step, d)
	}
	return result{Value: float64(steps*step) / last.Sub(first).Seconds(), Messages: (steps + 1) * step, CPU: cpu}, nil
}

// begin and end tell the other side, and return CPU times.
func begin() time.Duration {
	fmt.Println("begin")
	return cpuTime()
}

func end(since time.Duration) time.Duration {
	used := cpuTime() - since
	fmt.Println("end")
	return used
}

// roundTrips makes one after another, with a pause between them.
func roundTrips(e endpoint, d time.Duration, size int, control bool, pause time.Duration) (result, error) {
	for until := time.Now().Add(warmUp(d)); time.Now().Before(until); {
		if err := e.roundTrip(size, control); err != nil {
			return result{}, err
		}
	}
	cpu := begin()
	var took []time.Duration
	for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(pause) {
		start := time.Now()
		if err := e.roundTrip(size, control); err != nil {
			return result{}, err
		}
		took = append(took, time.Since(start))
	}
	res := result{CPU: end(cpu), Messages: int64(len(took)), P50: runner.Quantile(took, 0.5), P99: runner.Quantile(took, 0.99)}
	res.Value = float64(res.P50.Nanoseconds()) / 1000
	return res, nil
}

// underBulk pings, once a millisecond, while bulk is saturated.
func underBulk(e endpoint, d time.Duration) (result, error) {
	stop := make(chan struct{})
	flooded := make(chan error, 1)
	go func() { flooded <- e.flood(bulkChunk, true, stop, func() {}) }()
	res, err := roundTrips(e, d, 16, true, time.Millisecond)
	close(stop)
	if floodErr := <-flooded; err == nil {
		err = floodErr
	}
	res.Value = float64(res.P99.Nanoseconds()) / 1e6
	return res, err
}

// idle is how much the heap and the stacks grew for each peer that was talked to once.
func idle(e endpoint, w work, before uint64) (result, error) {
	if err := e.connect(); err != nil {
		return result{}, err
	}
	cpu := begin()
	time.Sleep(w.For)
	cpu = end(cpu)
	return result{Value: float64(int64(memory())-int64(before)) / 1000 / float64(w.Peers), CPU: cpu}, nil
}

func memory() uint64 {
	runtime.GC()
	runtime.GC() // the first one moves what pools hold to their victims
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
