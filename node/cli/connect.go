package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hupe1980/rivven-cluster/node/client"
)

const defaultServer = "127.0.0.1:9094"

// connection is the flags of a command that asks a cluster.
type connection struct {
	servers   []string
	tokenFile string
	ca        string
	timeout   time.Duration
}

func (o *connection) flags(c *cobra.Command) {
	f := c.PersistentFlags()
	f.StringSliceVar(&o.servers, "server", []string{defaultServer}, "admin address of a node, host:port or URL; more of them are asked in turn")
	f.StringVar(&o.tokenFile, "token-file", "", "file that holds the bearer token")
	f.StringVar(&o.ca, "ca", "", "CA certificate of the cluster, for servers on https")
	f.DurationVar(&o.timeout, "timeout", 15*time.Second, "how long one node may take to answer")
}

func (o *connection) open() (*client.Client, error) {
	cfg := client.Config{Addresses: o.servers, Timeout: o.timeout}
	if o.tokenFile != "" {
		b, err := os.ReadFile(o.tokenFile) //nolint:gosec // a path of the caller's own
		if err != nil {
			return nil, usage("read the token: %w", err)
		}
		cfg.Token = strings.TrimSpace(string(b))
	}
	if o.ca != "" {
		b, err := os.ReadFile(o.ca) //nolint:gosec // a path of the caller's own
		if err != nil {
			return nil, usage("read the CA certificate: %w", err)
		}
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: x509.NewCertPool()}
		if !cfg.TLS.RootCAs.AppendCertsFromPEM(b) {
			return nil, usage("%s has no certificate in PEM", o.ca)
		}
	}
	c, err := client.New(cfg)
	if err != nil {
		return nil, &usageError{err}
	}
	return c, nil
}

// asking makes a command's body from one that has a client.
func (o *connection) asking(run func(ctx context.Context, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := o.open()
		if err != nil {
			return err
		}
		defer c.Close()
		return run(cmd.Context(), c, args)
	}
}

// completeTopics offers the names of topics to the shell.
func (o *connection) completeTopics(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c, err := o.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	topics, err := c.Topics(ctx, client.ListOptions{Prefix: prefix, Stale: true})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, t := range topics.Topics {
		names = append(names, fmt.Sprintf("%s\t%d partitions", t.Name, len(t.Partitions)))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
