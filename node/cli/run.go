package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/node"
)

const startTimeout = 30 * time.Second // to listen, not to find the others

func (a *app) runCommand() *cobra.Command {
	var file string
	var drain time.Duration
	c := &cobra.Command{
		Use: "run --config FILE", Short: "Run one node until SIGTERM or SIGINT, which drains it", Args: cobra.NoArgs,
		Long: "Run one node. SIGTERM and SIGINT drain it: it hands over what it leads, leaves and exits with 0. Another one a second\nlater ends it at once. It exits with 1 where the node stopped for a reason, which is the last line of its log. It logs to the standard\nerror.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := node.LoadConfig(file)
			if err != nil {
				return &usageError{err}
			}
			if err := cfg.CheckTLSFiles(); err != nil {
				return &usageError{err}
			}
			log, err := newLogger(cfg.Log, a.err)
			if err != nil {
				return &usageError{err}
			}
			for _, w := range cfg.Warnings() {
				log.Warn(w)
			}
			n, err := startNode(cmd.Context(), cfg, log)
			if err != nil {
				return err
			}
			return runUntil(cmd.Context(), n, drain)
		},
	}
	c.Flags().StringVar(&file, "config", "", "YAML file; without it RIVVEN_ variables say everything")
	c.Flags().DurationVar(&drain, "drain-timeout", 30*time.Second, "how long draining may take")
	must(c.MarkFlagFilename("config", "yaml", "yml"))
	return c
}

// startNode runs a node on a system of its own, with the metrics of Go and of the process beside its own.
func startNode(ctx context.Context, cfg node.Config, log *zap.Logger) (*node.Node, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return node.Start(ctx, live.NewSystem().ActorSystem, cfg, node.WithLogger(log), node.WithMetrics(registry, registry))
}

// runUntil returns when the node stopped: by itself, with its reason, or when ctx ended and it was drained.
func runUntil(ctx context.Context, n *node.Node, drain time.Duration) error {
	select {
	case <-n.Done():
		if err := n.Err(); err != nil {
			return err
		}
		return errors.New("the node stopped")
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	return n.Shutdown(ctx)
}

// newLogger logs one event per line, without stacks: what goes wrong here goes wrong for reasons outside.
func newLogger(cfg node.LogSettings, w io.Writer) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(cfg.Level)
	if err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.ISO8601TimeEncoder
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(encoding)
	if cfg.Format == "console" {
		encoder = zapcore.NewConsoleEncoder(encoding)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level)), nil
}
