package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/node/client"
)

// The exit codes.
const (
	ExitOK = iota
	ExitFailure
	ExitUsage
	ExitNotFound
	ExitConflict
	ExitUnavailable
	ExitUnknownOutcome
	ExitUnauthorized
)

// Main runs the command that args name and returns the exit code. SIGINT, SIGTERM or the end of ctx stops the commands run and
// dev in good order; another one a second later ends the process at once.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once, but not the echo of the first that some tools send to the group.
	defer context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })()
	a := &app{out: stdout, err: stderr, color: colored(stdout)}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.ran {
		err = &usageError{err}
	}
	if err != nil {
		a.report(err)
	}
	return exitCode(err)
}

// app is one run of the program.
type app struct {
	out, err io.Writer
	color    bool
	ran      bool // arguments and flags were in order
	output   outputFormat
}

func (a *app) root() *cobra.Command {
	a.output = outputTable
	root := group("rivven-node", "Run nodes of a rivven cluster, and ask running ones",
		a.devCommand(), a.runCommand(), a.configCommand(), a.tlsCommand(),
		a.statusCommand(), a.membersCommand(), a.peersCommand(), a.topicsCommand(), a.kvCommand(), a.raftCommand(), a.backupCommand(), a.recoverCommand())
	root.Long = root.Short + ".\n\n" + exitCodesHelp
	root.SilenceErrors, root.SilenceUsage = true, true
	root.PersistentFlags().VarP(&a.output, "output", "o", "table or json")
	must(root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp)))
	a.noteRuns(root)
	return root
}

// noteRuns makes every command note that it was reached.
func (a *app) noteRuns(c *cobra.Command) {
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		a.ran = true
		return run(c, args)
	}
	for _, child := range c.Commands() {
		a.noteRuns(child)
	}
}

const exitCodesHelp = `Exit codes: 0 success, 1 failure, 2 wrong usage or configuration, 3 not found, 4 conflict (it exists, or the
compare-and-set lost), 5 unavailable (no node, leader or quorum answers), 6 the outcome of a write is unknown,
7 the token is missing or wrong.`

// group is a command that only has others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			message := fmt.Sprintf("unknown command %q for %q", args[0], c.CommandPath())
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				message += fmt.Sprintf("; did you mean %q?", near[0])
			}
			return &usageError{errors.New(message + fmt.Sprintf("\nsee %q", c.CommandPath()+" --help"))}
		},
	}
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(commands...)
	return c
}

func must(err error) {
	if err != nil {
		panic("cli: " + err.Error())
	}
}

// usageError is a mistake of the caller's.
type usageError struct{ cause error }

func (e *usageError) Error() string { return e.cause.Error() }
func (e *usageError) Unwrap() error { return e.cause }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

func (a *app) report(err error) {
	if a.output != outputJSON {
		_, _ = fmt.Fprintf(a.err, "error: %v\n", err) // there is nowhere else to say it
		return
	}
	failure := client.Error{Code: "failed", Message: err.Error()}
	var remote *client.Error
	var wrong *usageError
	var config *node.ConfigError
	switch {
	case errors.As(err, &remote):
		failure = *remote
	case errors.As(err, &wrong), errors.As(err, &config):
		failure.Code = "usage"
	}
	b, err := json.Marshal(failure)
	if err == nil {
		_, _ = fmt.Fprintf(a.err, "%s\n", b)
	}
}

func exitCode(err error) int {
	var usage *usageError
	var config *node.ConfigError
	var failure *client.Error
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &usage), errors.As(err, &config):
		return ExitUsage
	case !errors.As(err, &failure):
		return ExitFailure
	}
	switch failure.Code {
	case client.CodeInvalid, client.CodeTooLarge:
		return ExitUsage
	case client.CodeNotFound:
		return ExitNotFound
	case client.CodeAlreadyExists, client.CodeRevisionMismatch, client.CodeRefused:
		return ExitConflict
	case client.CodeUnknownOutcome:
		return ExitUnknownOutcome
	case client.CodeUnauthorized, client.CodeForbidden:
		return ExitUnauthorized
	case client.CodeUnreachable, client.CodeNotLeader, client.CodeUnavailable, client.CodeBusy, client.CodeShuttingDown,
		client.CodeHalted, client.CodeNotReady, client.CodeNotLive, client.CodeTimeout:
		return ExitUnavailable
	}
	return ExitFailure
}
