package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/hupe1980/rivven-cluster/node/client"
)

const maxStdin = 1 << 20 // more than a value may have: the node says how much that is

func (a *app) kvCommand() *cobra.Command {
	var o connection
	c := group("kv", "Read and write the cluster's replicated configuration",
		a.kvGet(&o), a.kvPut(&o), a.kvCas(&o), a.kvDelete(&o), a.kvList(&o))
	o.flags(c)
	return c
}

func (a *app) kvGet(o *connection) *cobra.Command {
	var stale bool
	c := &cobra.Command{
		Use: "get KEY", Short: "Print the value of a key", Args: cobra.ExactArgs(1),
		RunE: o.asking(func(ctx context.Context, c *client.Client, args []string) error {
			read := c.GetConfig
			if stale {
				read = c.GetConfigStale
			}
			entry, err := read(ctx, args[0])
			if err != nil {
				return err
			}
			return a.print(entry, func(b *bytes.Buffer) {
				b.Write(entry.Value)
				if utf8.Valid(entry.Value) && !bytes.HasSuffix(entry.Value, []byte("\n")) {
					b.WriteByte('\n')
				}
			})
		}),
	}
	c.Flags().BoolVar(&stale, "stale", false, "what the node that answers has applied, without asking the leader")
	return c
}

func (a *app) kvPut(o *connection) *cobra.Command {
	return &cobra.Command{
		Use: "put KEY VALUE", Short: `Set a key; VALUE "-" reads the standard input`, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			value, err := valueOf(cmd, args[1])
			if err != nil {
				return err
			}
			return o.asking(func(ctx context.Context, c *client.Client, args []string) error {
				changed, err := c.PutConfig(ctx, args[0], value)
				return a.changed(changed, err)
			})(cmd, args)
		},
	}
}

func (a *app) kvCas(o *connection) *cobra.Command {
	var revision uint64
	c := &cobra.Command{
		Use: "cas KEY VALUE --revision N", Short: "Set a key if its revision is N; 0: if it does not exist", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			value, err := valueOf(cmd, args[1])
			if err != nil {
				return err
			}
			return o.asking(func(ctx context.Context, c *client.Client, args []string) error {
				changed, err := c.CompareAndSetConfig(ctx, args[0], value, revision)
				return a.changed(changed, err)
			})(cmd, args)
		},
	}
	c.Flags().Uint64Var(&revision, "revision", 0, "the revision that the key must have")
	must(c.MarkFlagRequired("revision"))
	return c
}

func (a *app) kvDelete(o *connection) *cobra.Command {
	var revision string
	c := &cobra.Command{
		Use: "delete KEY", Short: "Delete a key; one that does not exist is no error", Args: cobra.ExactArgs(1),
		RunE: o.asking(func(ctx context.Context, c *client.Client, args []string) error {
			if revision == "" {
				changed, err := c.DeleteConfig(ctx, args[0])
				return a.changed(changed, err)
			}
			n, err := strconv.ParseUint(revision, 10, 64)
			if err != nil {
				return usage("--revision is %q, want a number", revision)
			}
			changed, err := c.CompareAndDeleteConfig(ctx, args[0], n)
			return a.changed(changed, err)
		}),
	}
	c.Flags().StringVar(&revision, "revision", "", "delete it only if that is its revision")
	return c
}

func (a *app) kvList(o *connection) *cobra.Command {
	var stale bool
	c := &cobra.Command{
		Use: "list [PREFIX]", Short: "List keys", Args: cobra.MaximumNArgs(1),
		RunE: o.asking(func(ctx context.Context, c *client.Client, args []string) error {
			all := client.ConfigList{Entries: []client.ConfigEntry{}}
			for options := (client.ListOptions{Prefix: first(args), Stale: stale}); ; {
				page, err := c.ListConfig(ctx, options)
				if err != nil {
					return err
				}
				all.Entries = append(all.Entries, page.Entries...)
				if !page.More || len(page.Entries) == 0 {
					break
				}
				options.After = page.Entries[len(page.Entries)-1].Key
			}
			return a.print(all, func(b *bytes.Buffer) {
				t := table{header: []string{"KEY", "REVISION", "VALUE"}}
				for _, e := range all.Entries {
					t.row(e.Key, e.Revision, preview(e.Value))
				}
				t.write(b, a.color)
			})
		}),
	}
	c.Flags().BoolVar(&stale, "stale", false, "what the node that answers has applied, without asking the leader")
	return c
}

func (a *app) changed(changed *client.ConfigChanged, err error) error {
	if err != nil {
		return err
	}
	return a.print(changed, func(b *bytes.Buffer) {
		if changed.Revision == 0 {
			fmt.Fprintf(b, "%s did not exist\n", changed.Key)
			return
		}
		fmt.Fprintf(b, "%s changed at revision %d\n", changed.Key, changed.Revision)
	})
}

func valueOf(cmd *cobra.Command, arg string) ([]byte, error) {
	if arg != "-" {
		return []byte(arg), nil
	}
	value, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxStdin))
	if err != nil {
		return nil, fmt.Errorf("read the value: %w", err)
	}
	return value, nil
}

// preview shows a value on one line.
func preview(value []byte) string {
	const most = 60
	if !utf8.Valid(value) {
		return fmt.Sprintf("(%d bytes)", len(value))
	}
	runes := []rune(string(value))
	if len(runes) > most {
		return strconv.Quote(string(runes[:most])) + "…"
	}
	return strconv.Quote(string(value))
}
