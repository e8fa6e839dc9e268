package swimsuite

import (
	"testing"
	"testing/synctest"
	"time"
)

// What the suite measures happens, to both systems: members form a cluster, an update and deaths reach everybody, load is weighed.
func TestLife(t *testing.T) {
	for system := range systems {
		t.Run(system, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, err := run(job{System: system, Kind: "life", Nodes: 8, Seed: 1, StreamPings: true, Deaths: 2})
				if err != nil {
					t.Fatal(err)
				}
				for _, figure := range []string{"cold-start", "update-all", "detect-first", "detect-all", "packets", "bytes", "bytes/streams"} {
					if m[figure] <= 0 {
						t.Errorf("%s is %v", figure, m[figure])
					}
				}
				if m["detect-first"] > m["detect-all"] {
					t.Errorf("all know after %v s, the first after %v s", m["detect-all"], m["detect-first"])
				}
			})
		})
	}
}

// A cut passes nothing and ends; a blocked port holds all and hands it over in order; lost is what the share says.
func TestNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(3, 1)
		a, b, c := n.ports[0], n.ports[1], n.ports[2]
		var got []string
		say := func(from, to *port, what string) { n.travel(from, to, func() { got = append(got, what) }) }
		n.set(func() { n.split = 2 })
		say(a, c, "cut")
		say(a, b, "near")
		time.Sleep(2 * latency)
		n.set(func() { n.split = 0 })
		b.block(false)
		say(a, b, "in")
		time.Sleep(2 * latency)
		say(b, a, "out")
		time.Sleep(time.Second)
		if len(got) != 1 || got[0] != "near" {
			t.Fatalf("passed: %v", got)
		}
		b.unblock()
		time.Sleep(2 * latency)
		if len(got) != 3 || got[1] != "in" || got[2] != "out" {
			t.Fatalf("after the end of the block: %v", got)
		}
		n.loss = 0.25
		arrived := 0
		for range 1000 {
			n.datagram(a, b, 1, func() { arrived++ })
			time.Sleep(2 * latency)
		}
		if arrived < 650 || arrived > 850 || n.sent().packets != 1000 {
			t.Errorf("%d of %d arrived at 25 %% loss", arrived, n.sent().packets)
		}
	})
}

// Where the process is blocked, whoever sends stands still until the end of it, of both systems, and goes on then; elsewhere nobody does.
func TestBlockedProcessStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := newLab(own, 3, 1, true)
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		if _, err := l.form(formLimit); err != nil {
			t.Fatal(err)
		}
		p := l.net.ports[1]
		probes := func() uint64 {
			c := p.member.(*core)
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.core.Stats().Probes
		}
		sent := make(chan time.Duration, 1)
		for _, process := range []bool{false, true} {
			before, began := probes(), l.now()
			p.block(process)
			go func() {
				p.send()
				sent <- l.now() - began
			}()
			time.Sleep(4 * time.Second)
			during := probes() - before
			p.unblock()
			time.Sleep(20 * time.Second) // its awareness makes its periods longer
			waited := <-sent
			if process && (during > 1 || waited < 4*time.Second) {
				t.Errorf("a process that stands still began %d probes, and sent after %v", during, waited)
			}
			if !process && (during < 2 || waited > 0) {
				t.Errorf("beside a blocked port %d probes were begun, and a send waited for %v", during, waited)
			}
			if probes()-before <= during {
				t.Error("it does not go on")
			}
		}
	})
}

// Partitions and blocks meet both systems: memberlist's members condemn each other while a partition lasts, and so do ours.
func TestPartitionIsNoticed(t *testing.T) {
	for system := range systems {
		t.Run(system, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, err := newLab(system, 6, 1, true)
				if err != nil {
					t.Fatal(err)
				}
				defer l.close()
				if _, err := l.form(formLimit); err != nil {
					t.Fatal(err)
				}
				l.net.set(func() { l.net.split = 3 })
				if err := l.until(2*time.Minute, func() bool {
					for i, ups := range l.ups {
						if ups != 2 {
							return i < 0
						}
					}
					return true
				}); err != nil {
					t.Fatalf("members see %v others: %v", l.ups, err)
				}
			})
		})
	}
}

// Every case finds its figure: the names of cases and figures fit, and quick rounds are told apart.
func TestCasesHaveFigures(t *testing.T) {
	names := make(map[string]bool)
	for _, c := range Suite().Cases {
		if names[c.Name] {
			t.Errorf("two cases are called %s", c.Name)
		}
		names[c.Name] = true
		if c.Measure[own] == nil {
			t.Errorf("%s does not measure this project", c.Name)
		}
	}
	for _, want := range []string{"detect-first/N=32", "cold-start/N=5000", "false-positives/loss=10", "false-positives/stall=32/ports", "false-positives/stall=32/process", "heal", "cpu/N=50", "packets/sockets/N=100"} {
		if !names[want] {
			t.Errorf("no case %s", want)
		}
	}
}
