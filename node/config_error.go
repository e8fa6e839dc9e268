package node

import (
	"fmt"
	"strings"
	"unicode"
)

const maxConfigFaults = 100

// ConfigError is every fault of a configuration at once. errors.As reaches each as a *ConfigFault.
type ConfigError struct {
	Faults  []*ConfigFault // at most 100, in the order of the file, then of the environment
	Dropped int            // faults beyond those
}

// ConfigFault is one fault of a configuration.
type ConfigFault struct {
	Key     string // of the file, such as "raft.peers[1]"; empty for a fault of the file as a whole
	Message string // what is wrong, with the value, and what to do
	Source  string // "file:line:col", the name of an environment variable, or empty for a Config built in Go
	Excerpt string // the line of the file with a caret below the fault, or empty

	at position
}

func (e *ConfigError) Error() string {
	var b strings.Builder
	for i, f := range e.Faults {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(f.Error())
	}
	if e.Dropped > 0 {
		fmt.Fprintf(&b, "\nand %d more faults", e.Dropped)
	}
	return b.String()
}

// Unwrap returns the single faults.
func (e *ConfigError) Unwrap() []error {
	out := make([]error, len(e.Faults))
	for i, f := range e.Faults {
		out[i] = f
	}
	return out
}

func (f *ConfigFault) Error() string {
	var b strings.Builder
	if f.Source != "" {
		b.WriteString(f.Source + ": ")
	}
	if f.Key != "" && !strings.HasPrefix(f.Source, envPrefix) {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Message)
	if f.Excerpt != "" {
		b.WriteByte('\n')
		b.WriteString(f.Excerpt)
	}
	return b.String()
}

// newConfigError is nil where there are no faults.
func newConfigError(faults []*ConfigFault, dropped int) error {
	if len(faults) == 0 {
		return nil
	}
	return &ConfigError{Faults: faults, Dropped: dropped}
}

// excerpt shows a line with a caret under column, counted in characters from 1. Of a long line it shows
// the part around the caret.
func excerpt(line string, number, column int) string {
	const before, width = 60, 100
	runes := []rune(strings.TrimRight(line, "\r"))
	column = min(max(column, 1), len(runes)+1)
	start := 0
	if column > width {
		start = column - before
	}
	end := min(len(runes), start+width)
	shown := make([]rune, 0, end-start)
	for _, r := range runes[start:end] {
		if !unicode.IsPrint(r) {
			r = ' '
		}
		shown = append(shown, r)
	}
	text := strings.TrimRight(string(shown), " ")
	gutter := fmt.Sprintf("%5d", number)
	blank := strings.Repeat(" ", len(gutter))
	return fmt.Sprintf("%s | %s\n%s | %s^", gutter, text, blank, strings.Repeat(" ", column-1-start))
}
