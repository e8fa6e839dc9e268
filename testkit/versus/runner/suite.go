package runner

import (
	"context"
	"time"
)

// Suite is one table: cases × systems.
type Suite struct {
	Name    string
	Systems []System
	Cases   []Case
	// Process is what the program does when [Start] runs it again; it gets the arguments of Start. Nil where the
	// suite starts no processes.
	Process func(ctx context.Context, args []string) error
}

// System is one of those that are compared. The first of a suite is this project's own: ratios are its figure over
// the others'.
type System struct {
	Name     string
	Settings string   // what was set, and why that is its best published setting
	Modules  []string // Go modules whose versions are printed
}

// Case is one line of a suite.
type Case struct {
	Name    string
	Unit    string             // of Sample.Value
	Measure map[string]Measure // by system; a system that is not in it can't do the case
	Limits  []Limit
	Slow    bool // left out with Quick, unless it is asked for by name
}

// Limit is what the first system of a suite has to reach in a case.
type Limit struct {
	Against string // the system that its figure is divided by; empty means the figure itself
	AtLeast float64
	AtMost  float64 // one of the two is set
}

// Measure takes one sample. It stops by itself soon after r.For has passed.
type Measure func(ctx context.Context, r Round) (Sample, error)

// Round is what a measurement gets to know.
type Round struct {
	Suite, Case, System string
	Number              int           // from 0
	For                 time.Duration // how long to measure, without start and warm-up
	Quick               bool
	Profile             string // folder for profiles of the processes, empty for none
}

// Sample is the result of one round.
type Sample struct {
	Value    float64
	P50, P99 time.Duration // zero where the case has none
}

// Row is the figure of one system in one case, in the form that -o json prints.
type Row struct {
	Suite  string   `json:"suite"`
	Case   string   `json:"case"`
	System string   `json:"system"`
	Value  float64  `json:"value"`
	Unit   string   `json:"unit"`
	P50    *float64 `json:"p50_ms"` // null where the case has none
	P99    *float64 `json:"p99_ms"`

	Low, High float64 `json:"-"` // of the rounds' values
}
