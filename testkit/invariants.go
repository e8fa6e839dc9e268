package testkit

import (
	"time"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/proto"
)

// What holds at every step, whatever the faults. The built-in ones are judged where things happen, so that they cost nothing elsewhere.

func hashBytes(b []byte) uint64 { return xxhash.Sum64(b) }
func hashText(s string) uint64  { return xxhash.Sum64String(s) }

func hashMessage(m proto.Message) uint64 {
	if m == nil {
		return 0
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return 1
	}
	return hashBytes(b)
}

// check is an invariant of the test's own.
type check struct {
	name string
	f    func(View) error
}

// View is what an invariant may look at.
type View struct{ *World }

// Invariant is checked after every step.
func (w *World) Invariant(name string, f func(View) error) {
	w.checks = append(w.checks, check{name, f})
}

func (w *World) check() {
	for _, c := range w.checks {
		if err := c.f(View{w}); err != nil {
			w.failed(c.name, err.Error())
			return
		}
	}
}

// Eventually is judged after the seed's time, when the faults are over: it must hold within d of virtual time.
func (w *World) Eventually(name string, d time.Duration, f func(View) error) {
	w.eventually = append(w.eventually, eventual{name, d, f})
}

type eventual struct {
	name   string
	within time.Duration
	f      func(View) error
}

// Sometimes notes whether something was true at least once over all seeds; what never was fails the run.
func (w *World) Sometimes(name string, ok bool) {
	w.sometimes[name] = w.sometimes[name] || ok
}
