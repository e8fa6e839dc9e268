package runner

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"time"
)

// processCommand is the first argument of a program that was run again.
const processCommand = "process"

// profileEnv names the file of a process's CPU profile.
const profileEnv = "VERSUS_PROFILE"

// lineDeadline is how long a process may keep silent.
const lineDeadline = 2 * time.Minute

// Process is a run of this program on its own. It speaks in lines: what it prints on standard output, and what it is
// sent on standard input; it ends when that is closed. Not safe for concurrent use.
type Process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	err   atomic.Pointer[string]
}

var started atomic.Int64

// Start runs the program again as a process of the round's suite, with these arguments.
func Start(ctx context.Context, r Round, args ...string) (*Process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the own program: %w", err)
	}
	p := &Process{cmd: exec.CommandContext(ctx, program, append([]string{processCommand, r.Suite}, args...)...), lines: make(chan string, 16)}
	p.cmd.Env = os.Environ()
	if r.Profile != "" {
		name := strings.ReplaceAll(fmt.Sprintf("%s-%s-%s-%d-%d.pprof", r.Suite, r.Case, r.System, r.Number, started.Add(1)), "/", "_")
		p.cmd.Env = append(p.cmd.Env, profileEnv+"="+filepath.Join(r.Profile, name))
	}
	p.cmd.Stderr = os.Stderr
	p.cmd.WaitDelay = 5 * time.Second
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("running this program again: %w", err)
	}
	go func() {
		defer close(p.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
	}()
	return p, nil
}

// Line returns the next line that the process prints.
func (p *Process) Line() (string, error) {
	select {
	case line, ok := <-p.lines:
		if !ok {
			return "", errors.New("the process ended early; its reason is on standard error")
		}
		return line, nil
	case <-time.After(lineDeadline):
		return "", fmt.Errorf("the process said nothing for %v", lineDeadline)
	}
}

// Ask sends a line and returns the next one that the process prints.
func (p *Process) Ask(line string) (string, error) {
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		return "", fmt.Errorf("asking the process: %w", err)
	}
	return p.Line()
}

// Close lets the process end and waits for it.
func (p *Process) Close() error {
	_ = p.in.Close()
	for range p.lines { //nolint:revive // what it still says is of no interest, but its pipe must not fill up
	}
	return p.cmd.Wait()
}

// runProcess is the main function of a process.
func runProcess(ctx context.Context, suites []Suite, args []string) error {
	if file := os.Getenv(profileEnv); file != "" {
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer func() {
			pprof.StopCPUProfile()
			_ = f.Close()
		}()
	}
	for _, s := range suites {
		if len(args) > 0 && s.Name == args[0] && s.Process != nil {
			return s.Process(ctx, args[1:])
		}
	}
	return fmt.Errorf("no suite has a process for %s", strings.Join(args, " "))
}
