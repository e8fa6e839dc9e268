package remotesuite

import (
	"errors"
	"testing"
	"time"
)

// client starts a server and a client of a system in this process.
func client(t *testing.T, system string, peers int) endpoint {
	t.Helper()
	w := work{System: system, Certificates: t.TempDir(), Peers: peers}
	if err := writeCertificates(w.Certificates, 1+peers); err != nil {
		t.Fatal(err)
	}
	for n := range peers {
		address, stop, err := listen(t.Context(), w, 2+n)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
		w.Addresses = append(w.Addresses, address)
	}
	e, err := dial(w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	return e
}

func TestEverySystemDoesEveryLoad(t *testing.T) {
	for _, system := range Suite().Systems {
		t.Run(system.Name, func(t *testing.T) {
			stop := make(chan struct{})
			windows := 0
			err := client(t, system.Name, 1).flood(bulkChunk, true, stop, func() {
				if windows++; windows == 2 {
					close(stop)
				}
			})
			if err != nil || windows < 2 {
				t.Errorf("flood: %d windows, %v", windows, err)
			}
			stop = make(chan struct{})
			answers := 0
			err = client(t, system.Name, 1).pipeline(16, 8, stop, func() {
				if answers++; answers == 100 {
					close(stop)
				}
			})
			if err != nil || answers < 100 {
				t.Errorf("pipeline: %d answers, %v", answers, err)
			}
			for _, control := range []bool{false, true} {
				if err := client(t, system.Name, 1).roundTrip(16, control); err != nil {
					t.Errorf("round trip, control %v: %v", control, err)
				}
			}
			if err := client(t, system.Name, 3).connect(); err != nil {
				t.Errorf("connecting to three: %v", err)
			}
		})
	}
}

func TestRateCountsWindows(t *testing.T) {
	calls := int64(0)
	res, err := rate(200*time.Millisecond, 10, func(stop <-chan struct{}, done func()) error {
		for {
			select {
			case <-stop:
				return nil
			default:
				calls++
				done()
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if res.Value <= 0 || res.Messages < 20 || res.Messages%10 != 0 || res.Messages > 10*calls {
		t.Errorf("%v a second, %d messages, in %d windows of 10", res.Value, res.Messages, calls)
	}
}

func TestRateNeedsTwoWindows(t *testing.T) {
	_, err := rate(time.Millisecond, 10, func(stop <-chan struct{}, _ func()) error { <-stop; return nil })
	if err == nil {
		t.Error("a rate was made of nothing")
	}
	lost := errors.New("lost")
	if _, err := rate(time.Millisecond, 10, func(<-chan struct{}, func()) error { return lost }); !errors.Is(err, lost) {
		t.Errorf("the load's error became %v", err)
	}
}

func TestCasesAreComplete(t *testing.T) {
	s := Suite()
	for _, c := range s.Cases {
		if sizes[c.Name] == 0 {
			t.Errorf("case %s has no message size", c.Name)
		}
		for _, system := range s.Systems {
			if c.Measure[system.Name] == nil {
				t.Errorf("case %s leaves out %s", c.Name, system.Name)
			}
		}
	}
}
