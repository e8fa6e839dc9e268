package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets Start run this test binary as a process of the suite.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == processCommand {
		os.Exit(Main(context.Background(), []Suite{{Name: "echo", Process: echoProcess}}, os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func echoProcess(_ context.Context, args []string) error {
	fmt.Println("started with", strings.Join(args, " "))
	for {
		var word string
		if _, err := fmt.Scanln(&word); err != nil {
			return nil
		}
		fmt.Println("heard", word)
	}
}

// scripted returns a measure that yields one value a round and notes who was measured.
func scripted(order *[]string, values ...float64) Measure {
	return func(_ context.Context, r Round) (Sample, error) {
		*order = append(*order, fmt.Sprintf("%s%d", r.System, r.Number))
		v := values[r.Number]
		if v < 0 {
			return Sample{}, errors.New("out of order")
		}
		return Sample{Value: v, P50: time.Duration(v) * time.Millisecond}, nil
	}
}

func twoSystems(cases ...Case) Suite {
	return Suite{Name: "ring", Systems: []System{{Name: "ours"}, {Name: "theirs"}}, Cases: cases}
}

func TestSystemsTakeTurns(t *testing.T) {
	var order []string
	s := twoSystems(Case{Name: "x", Unit: "ns", Measure: map[string]Measure{
		"ours": scripted(&order, 9, 1, 5, 3, 7), "theirs": scripted(&order, 2, 2, 40, 2, 2),
	}})
	var got []Row
	if err := Run(t.Context(), s, Options{}, func(_ Case, rows []Row) { got = rows }); err != nil {
		t.Fatal(err)
	}
	want := "ours0 theirs0 ours1 theirs1 ours2 theirs2 ours3 theirs3 ours4 theirs4"
	if strings.Join(order, " ") != want {
		t.Errorf("measured in the order %v, want %s", order, want)
	}
	if len(got) != 2 || got[0].Value != 5 || got[0].Low != 1 || got[0].High != 9 || got[1].Value != 2 {
		t.Errorf("rows %+v: want the medians 5, of 1 to 9, and 2", got)
	}
	if got[0].P50 == nil || *got[0].P50 != 5 || got[0].P99 != nil {
		t.Errorf("p50 %v, p99 %v: want 5 ms and none", got[0].P50, got[0].P99)
	}
}

func TestFailedRoundsAreLeftOutAndReported(t *testing.T) {
	var order []string
	s := twoSystems(
		Case{Name: "x", Measure: map[string]Measure{"ours": scripted(&order, 4, -1, 2, 8, 6), "theirs": scripted(&order, -1, -1, -1, -1, -1)}},
		Case{Name: "y", Measure: map[string]Measure{"theirs": scripted(&order, 1, 1, 1, 1, 1)}},
	)
	var got []Row
	err := Run(t.Context(), s, Options{}, func(_ Case, rows []Row) { got = append(got, rows...) })
	if err == nil || !strings.Contains(err.Error(), "ring x, ours, round 2: out of order") {
		t.Errorf("error %v doesn't name the round that failed", err)
	}
	if len(got) != 2 || got[0].System != "ours" || got[0].Value != 5 || got[1].Case != "y" {
		t.Errorf("rows %+v: want x of ours with the mean of 4 and 6, and y of theirs", got)
	}
}

func TestSelection(t *testing.T) {
	var order []string
	one := map[string]Measure{"ours": scripted(&order, 1, 1, 1, 1, 1), "theirs": scripted(&order, 1, 1, 1, 1, 1)}
	s := twoSystems(Case{Name: "oneway/16B", Measure: one}, Case{Name: "rtt", Measure: one})
	var names []string
	err := Run(t.Context(), s, Options{Cases: []string{"oneway"}, Systems: []string{"theirs"}}, func(c Case, rows []Row) {
		names = append(names, c.Name, rows[0].System)
	})
	if err != nil || !slices.Equal(names, []string{"oneway/16B", "theirs"}) || len(order) != 5 {
		t.Errorf("ran %v, %v, error %v", names, order, err)
	}
	s.Cases[0].Slow = true
	for _, c := range []struct {
		options Options
		want    []string
	}{{Options{Quick: true}, []string{"rtt"}}, {Options{}, []string{"oneway/16B", "rtt"}}, {Options{Quick: true, Cases: []string{"oneway"}}, []string{"oneway/16B"}}} {
		names = nil
		err := Run(t.Context(), s, c.options, func(c Case, _ []Row) { names = append(names, c.Name) })
		if err != nil || !slices.Equal(names, c.want) {
			t.Errorf("%+v ran %v, want %v, error %v", c.options, names, c.want, err)
		}
	}
	if err := Run(t.Context(), s, Options{Cases: []string{"bulk"}}, nil); err == nil {
		t.Error("a case that isn't there was taken")
	}
}

func TestMedianAndQuantile(t *testing.T) {
	for want, values := range map[float64][]float64{1: {1}, 2: {3, 1, 2}, 2.5: {4, 1, 2, 3}} {
		if got := median(values); got != want {
			t.Errorf("median of %v is %v, want %v", values, got, want)
		}
	}
	var durations []time.Duration
	for i := range 100 {
		durations = append(durations, time.Duration(99-i))
	}
	if p50, p99 := Quantile(durations, 0.5), Quantile(durations, 0.99); p50 != 50 || p99 != 99 {
		t.Errorf("p50 %d, p99 %d of 0 to 99", p50, p99)
	}
	if Quantile(nil, 0.5) != 0 {
		t.Error("a quantile of nothing is not zero")
	}
}

func TestJSONHasTheAgreedKeys(t *testing.T) {
	var out, notes bytes.Buffer
	p50 := 0.25
	c := Case{Name: "rtt", Unit: "µs", Limits: []Limit{{Against: "theirs", AtMost: 1.3}}}
	rows := []Row{{Suite: "remote", Case: "rtt", System: "ours", Value: 65, Unit: "µs", P50: &p50}, {Suite: "remote", Case: "rtt", System: "theirs", Value: 50, Unit: "µs"}}
	if err := (jsonPrinter{&out, &notes}).rows(twoSystems(), c, rows); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || lines[0] != `{"suite":"remote","case":"rtt","system":"ours","value":65,"unit":"µs","p50_ms":0.25,"p99_ms":null}` {
		t.Errorf("printed %s", out.String())
	}
	var back map[string]any
	if err := json.Unmarshal([]byte(lines[1]), &back); err != nil || len(back) != 7 {
		t.Errorf("%s: %v", lines[1], err)
	}
	if want := "rtt: ours ÷ theirs: 1.3, wanted ≤ 1.3: holds\n"; notes.String() != want {
		t.Errorf("noted %q, want %q", notes.String(), want)
	}
}

func TestTableShowsRatiosAndLimits(t *testing.T) {
	var out bytes.Buffer
	c := Case{Name: "oneway", Unit: "per second", Limits: []Limit{{Against: "theirs", AtLeast: 2}, {AtMost: 512}, {Against: "absent", AtLeast: 1}}}
	rows := []Row{{System: "ours", Value: 1500000}, {System: "theirs", Value: 1000000}}
	if err := (tablePrinter{&out}).rows(twoSystems(), c, rows); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 500 000", "ours ÷ it", "ours ÷ theirs: 1.5, wanted ≥ 2: falls short", "ours: 1 500 000 per second, wanted ≤ 512 per second: falls short"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "absent") {
		t.Error("a limit against a system that was not measured is judged")
	}
}

func TestCommandLine(t *testing.T) {
	s := twoSystems()
	for line, want := range map[string]string{
		"raft":                 "suite raft is not in this program yet; there are: ring",
		"rift":                 `no suite is called "rift"; there are: ring`,
		"":                     "which suite? There are: ring",
		"ring swim":            "one suite at a time: ring and swim were given",
		"ring -o xml":          `output "xml": want table or json`,
		"ring -rounds 3":       "3 rounds: a median takes at least 5",
		"--quick ring -o json": "",
	} {
		_, o, format, err := parse([]Suite{s}, strings.Fields(line), &bytes.Buffer{})
		if want == "" {
			if err != nil || !o.Quick || format != "json" || o.For != 400*time.Millisecond || o.Rounds != 5 {
				t.Errorf("%q: %+v, %s, %v", line, o, format, err)
			}
			continue
		}
		if err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", line, err, want)
		}
	}
}

func TestMainPrintsWhatItRanOn(t *testing.T) {
	var order []string
	s := twoSystems(Case{Name: "x", Unit: "ns", Measure: map[string]Measure{"ours": scripted(&order, 1, 1, 1, 1, 1)}})
	s.Systems[0].Settings = "three replicas"
	var out, errs bytes.Buffer
	if code := Main(t.Context(), []Suite{s}, []string{"ring"}, &out, &errs); code != 0 {
		t.Fatalf("code %d: %s", code, errs.String())
	}
	for _, want := range []string{"suite ring", "machine: ", "CPUs", "go1.", "load before: ", "three replicas", "5 rounds of 2s", "load after: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out.String())
		}
	}
	if code := Main(t.Context(), []Suite{s}, []string{"swim"}, &out, &errs); code != 2 {
		t.Errorf("code %d for a suite that isn't there", code)
	}
}

func TestProcess(t *testing.T) {
	p, err := Start(t.Context(), Round{Suite: "echo"}, "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	if line, err := p.Line(); err != nil || line != "started with a b" {
		t.Errorf("it said %q, %v", line, err)
	}
	if line, err := p.Ask("word"); err != nil || line != "heard word" {
		t.Errorf("it said %q, %v", line, err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("it didn't end well: %v", err)
	}
	if _, err := p.Line(); err == nil {
		t.Error("a process that has ended still talks")
	}
}

func TestProcessThatFails(t *testing.T) {
	p, err := Start(t.Context(), Round{Suite: "nothing"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Line(); err == nil {
		t.Error("a process of no suite talked")
	}
	if err := p.Close(); err == nil {
		t.Error("a process of no suite ended well")
	}
}

func TestParseStat(t *testing.T) {
	line := "12 (a (b) c) S 1 1 1 0 -1 4194560 100 0 0 0 7 5 0 0 20 0 1 0 1"
	if got, ok := parseStat([]byte(line)); !ok || got.name != "a (b) c" || got.ticks != 12 {
		t.Errorf("%+v, %v", got, ok)
	}
	if _, ok := parseStat([]byte("12 (x) S 1")); ok {
		t.Error("a line that ends early was read")
	}
}
