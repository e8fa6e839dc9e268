package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// roundsMin is how many rounds make a median here.
const roundsMin = 5

// Options are the settings of a run.
type Options struct {
	Rounds  int // at least 5
	Quick   bool
	For     time.Duration // of one measurement
	Cases   []string      // prefixes of the cases to run, all where empty
	Systems []string      // to run, all where empty
	Profile string
}

// Run measures a suite and calls done with the rows of each case as it ends. A measurement that failed ends neither
// its case nor the run: its system misses a round, or its row where all rounds failed, and the error is returned.
func Run(ctx context.Context, s Suite, o Options, done func(Case, []Row)) error {
	var errs []error
	ran := false
	for _, c := range s.Cases {
		if !selected(o.Cases, c.Name, strings.HasPrefix) || c.Slow && o.Quick && len(o.Cases) == 0 {
			continue
		}
		ran = true
		rows, err := runCase(ctx, s, c, o)
		errs = append(errs, err)
		done(c, rows)
		if ctx.Err() != nil {
			errs = append(errs, ctx.Err())
			break
		}
	}
	if !ran {
		return fmt.Errorf("suite %s has no case that begins with %s", s.Name, strings.Join(o.Cases, " or "))
	}
	return errors.Join(errs...)
}

func selected(chosen []string, name string, match func(name, chosen string) bool) bool {
	return len(chosen) == 0 || slices.ContainsFunc(chosen, func(c string) bool { return match(name, c) })
}

func equal(a, b string) bool { return a == b }

func runCase(ctx context.Context, s Suite, c Case, o Options) ([]Row, error) {
	samples := make(map[string][]Sample)
	var errs []error
	for round := range max(o.Rounds, roundsMin) {
		for _, system := range s.Systems {
			measure := c.Measure[system.Name]
			if measure == nil || !selected(o.Systems, system.Name, equal) || ctx.Err() != nil {
				continue
			}
			sample, err := measure(ctx, Round{Suite: s.Name, Case: c.Name, System: system.Name, Number: round, For: o.For, Quick: o.Quick, Profile: o.Profile})
			if err != nil {
				errs = append(errs, fmt.Errorf("%s %s, %s, round %d: %w", s.Name, c.Name, system.Name, round+1, err))
				continue
			}
			samples[system.Name] = append(samples[system.Name], sample)
		}
	}
	var rows []Row
	for _, system := range s.Systems {
		if taken := samples[system.Name]; len(taken) > 0 {
			rows = append(rows, row(s.Name, c, system.Name, taken))
		}
	}
	return rows, errors.Join(errs...)
}

func row(suite string, c Case, system string, samples []Sample) Row {
	values := column(samples, func(s Sample) float64 { return s.Value })
	r := Row{Suite: suite, Case: c.Name, System: system, Unit: c.Unit, Value: median(values), Low: slices.Min(values), High: slices.Max(values)}
	if p50 := median(column(samples, func(s Sample) float64 { return milliseconds(s.P50) })); p50 > 0 {
		r.P50 = &p50
	}
	if p99 := median(column(samples, func(s Sample) float64 { return milliseconds(s.P99) })); p99 > 0 {
		r.P99 = &p99
	}
	return r
}

func column(samples []Sample, of func(Sample) float64) []float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	return values
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// median of at least one value; of an even number, the mean of the two in the middle.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Quantile returns the value below which the part q of the durations lies, zero where there are none. It sorts them.
func Quantile(durations []time.Duration, q float64) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	slices.Sort(durations)
	return durations[min(int(q*float64(len(durations))), len(durations)-1)]
}
