package runner

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// Known are the suites that the command line takes; one that is not registered is refused by name.
var Known = []string{"raft", "remote", "swim", "ring", "route"}

// Main is the command line: the name of a suite and flags, in any order. It returns the exit code: 0, 1 where
// something could not be measured, 2 where the command line can't be read. Limits that are not reached change
// nothing: they are printed.
func Main(ctx context.Context, suites []Suite, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == processCommand {
		if err := runProcess(ctx, suites, args[1:]); err != nil {
			_, _ = fmt.Fprintln(stderr, "versus:", err)
			return 1
		}
		return 0
	}
	s, o, format, err := parse(suites, args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "versus:", err)
		return 2
	}
	notes := stdout
	var p printer = tablePrinter{out: stdout}
	if format == "json" {
		notes, p = stderr, jsonPrinter{out: stdout, notes: stderr}
	}
	printHead(notes, s, o)
	began := time.Now()
	err = Run(ctx, s, o, func(c Case, rows []Row) {
		if err := p.rows(s, c, rows); err != nil {
			_, _ = fmt.Fprintln(stderr, "versus:", err)
		}
	})
	printTail(notes, time.Since(began))
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "versus:", err)
		return 1
	}
	return 0
}

func parse(suites []Suite, args []string, stderr io.Writer) (Suite, Options, string, error) {
	var o Options
	var cases, systems string
	flags := flag.NewFlagSet("versus", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = fmt.Fprintln(stderr, "usage: go run . "+strings.Join(Known, "|")+" [flags]")
		flags.PrintDefaults()
	}
	format := flags.String("o", "table", "output: table or json (one object a line)")
	flags.BoolVar(&o.Quick, "quick", false, "end within five minutes")
	flags.IntVar(&o.Rounds, "rounds", roundsMin, "rounds, at least 5")
	flags.DurationVar(&o.For, "for", 0, "how long one measurement takes; 0 means 2s, and 400ms with -quick")
	flags.StringVar(&cases, "case", "", "run only the cases that begin with one of these, separated by commas")
	flags.StringVar(&systems, "system", "", "run only these systems, separated by commas")
	flags.StringVar(&o.Profile, "profile", "", "write CPU profiles of all processes into this folder")
	name := ""
	for rest := args; ; {
		if err := flags.Parse(rest); err != nil {
			return Suite{}, o, "", err
		}
		if flags.NArg() == 0 {
			break
		}
		if name != "" {
			return Suite{}, o, "", fmt.Errorf("one suite at a time: %s and %s were given", name, flags.Arg(0))
		}
		name, rest = flags.Arg(0), flags.Args()[1:]
	}
	if *format != "table" && *format != "json" {
		return Suite{}, o, "", fmt.Errorf("output %q: want table or json", *format)
	}
	if o.Rounds < roundsMin {
		return Suite{}, o, "", fmt.Errorf("%d rounds: a median takes at least %d", o.Rounds, roundsMin)
	}
	if o.For == 0 {
		o.For = 2 * time.Second
		if o.Quick {
			o.For = 400 * time.Millisecond
		}
	}
	o.Cases, o.Systems = list(cases), list(systems)
	s, err := choose(suites, name)
	if err == nil && o.Profile != "" {
		err = os.MkdirAll(o.Profile, 0o755)
	}
	return s, o, *format, err
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func choose(suites []Suite, name string) (Suite, error) {
	var names []string
	for _, s := range suites {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	here := strings.Join(names, ", ")
	switch {
	case name == "":
		return Suite{}, fmt.Errorf("which suite? There are: %s", here)
	case slices.Contains(Known, name):
		return Suite{}, fmt.Errorf("suite %s is not in this program yet; there are: %s", name, here)
	}
	return Suite{}, fmt.Errorf("no suite is called %q; there are: %s", name, here)
}
