package swimsuite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hupe1980/rivven-cluster/testkit/versus/runner"
)

// answer is the line that a process ends with.
type answer struct {
	Measures measures
	Error    string `json:",omitempty"`
}

// stillAlive is how often a process says that it works on, for a job may take longer than the runner waits for a line.
const stillAlive = 20 * time.Second

// gcPercent keeps the collector from taking half the time of a job that makes garbage; jobs on sockets keep the default.
const gcPercent = 400

// process does a job and doesn't return: testing.Main ends the program.
func process(_ context.Context, args []string) error {
	var j job
	if len(args) != 1 {
		return fmt.Errorf("swim: %d arguments, want the job", len(args))
	}
	if err := json.Unmarshal([]byte(args[0]), &j); err != nil {
		return fmt.Errorf("swim job: %w", err)
	}
	if j.Kind == kindSockets {
		if err := ownNetwork(); err != nil {
			return err
		}
		return reply(sockets(j))
	}
	debug.SetGCPercent(gcPercent)
	go func() {
		for range time.Tick(stillAlive) {
			fmt.Println("working")
		}
	}()
	os.Args = os.Args[:1] // package testing reads flags of its own
	everything := func(string, string) (bool, error) { return true, nil }
	testing.Main(everything, []testing.InternalTest{{Name: "swim", F: func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if err := reply(run(j)); err != nil {
				t.Error(err)
			}
		})
	}}}, nil, nil)
	return nil
}

func reply(m measures, err error) error {
	a := answer{Measures: m}
	if err != nil {
		a.Error = err.Error()
	}
	return json.NewEncoder(os.Stdout).Encode(a)
}

// do runs a job in a process of its own.
func do(ctx context.Context, r runner.Round, j job) (measures, error) {
	arg, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	p, err := runner.Start(ctx, r, string(arg))
	if err != nil {
		return nil, err
	}
	var a answer
	for err == nil && a.Measures == nil && a.Error == "" {
		var line string
		if line, err = p.Line(); strings.HasPrefix(line, "{") {
			err = json.Unmarshal([]byte(line), &a)
		}
	}
	if closed := p.Close(); err == nil {
		err = closed
	}
	if a.Error != "" {
		err = errors.New(a.Error)
	}
	return a.Measures, err
}
