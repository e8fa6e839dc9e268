//go:build unix

package node_test

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"os"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/raftactor"
)

// addGroups spawns the same groups on each node, with the machine of the examples, up to a number, and adds their actors to pids.
func (f *fleet) addGroups(pids [][]*actor.PID, count int) {
	f.t.Helper()
	for i, n := range f.nodes {
		for k := len(pids[i]); k < count; k++ {
			props, err := raftactor.Props(raftactor.Config{
				Group: fmt.Sprintf("g%d", k), Machine: func() consensus.Machine { return &counter{} },
				Store: n.Store(), Peers: n.Peers(), Membership: n.Swim(),
			})
			if err != nil {
				f.t.Fatal(err)
			}
			pid, err := n.System().Root.SpawnNamed(props, "g"+strconv.Itoa(k))
			if err != nil {
				f.t.Fatal(err)
			}
			pids[i] = append(pids[i], pid)
		}
	}
}

// atRest waits until all groups rest on all nodes.
func (f *fleet) atRest(pids [][]*actor.PID) {
	f.t.Helper()
	until(f.t, "all groups rest", 3*time.Minute, func() error {
		for i, n := range f.nodes {
			for k, pid := range pids[i] {
				if st, err := statusOf(n, pid); err != nil || !st.GetResting() {
					return fmt.Errorf("group g%d on node %d: %v, %w", k, i+1, st.GetRole(), err)
				}
			}
		}
		return nil
	})
}

// BenchmarkThousandGroups is three nodes in one process, over loopback with mutual TLS and their logs in files, with a thousand groups
// each. It measures how long it takes until all rest that start at once, what they cost idle, and how long a proposal to a resting one takes, through any node.
func BenchmarkThousandGroups(b *testing.B) {
	const groups, idleFor = 1000, 10 * time.Second
	f := newFleet(b, 3)
	for i := range f.nodes {
		f.start(i)
	}
	f.ready(f.nodes...)
	pids := make([][]*actor.PID, len(f.nodes))
	started := time.Now()
	f.addGroups(pids, groups)
	f.atRest(pids)
	rest := time.Since(started)
	debug.FreeOSMemory()

	before := cpu(b)
	<-time.After(idleFor) // what is measured
	idle := cpu(b) - before
	memory := resident(b)

	var took []time.Duration
	k := 0
	for b.Loop() {
		n := f.nodes[k%len(f.nodes)]
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		began := time.Now()
		_, err := consensus.Result[*wrapperspb.Int64Value](live.Ask(ctx, n.System(), pids[k%len(f.nodes)][k%groups], consensus.NewPropose(wrapperspb.Int64(1))))
		took = append(took, time.Since(began))
		cancel()
		if err != nil {
			b.Fatal(err)
		}
		k++
	}
	slices.Sort(took)
	b.ReportMetric(rest.Seconds(), "s-to-rest")
	b.ReportMetric(100*idle.Seconds()/idleFor.Seconds(), "%core-idle")
	b.ReportMetric(memory, "MB-resident")
	b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
	b.ReportMetric(took[len(took)/2].Seconds()*1000, "ms-p50")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "ms-p99")
	b.ReportMetric(took[len(took)-1].Seconds()*1000, "ms-max")
}

// cpu is what this process used so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is the memory of this process in MB: what the kernel says, or where it doesn't say what the runtime holds.
func resident(b *testing.B) float64 {
	if text, err := os.ReadFile("/proc/self/status"); err == nil {
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
				if err != nil {
					b.Fatal(err)
				}
				return kb / 1024
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.Sys-m.HeapReleased) / (1 << 20)
}
