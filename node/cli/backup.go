package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/node/recovery"
)

func (a *app) backupCommand() *cobra.Command {
	return group("backup", "Save the cluster's state, look into a backup, make a new cluster of one", a.backupSave(), a.backupInspect(), a.backupRestore())
}

func (a *app) backupSave() *cobra.Command {
	var o connection
	var timeout time.Duration
	c := &cobra.Command{
		Use: "save FILE", Short: "Save the state of all Raft groups of a running node, with all that was acknowledged before", Args: cobra.ExactArgs(1),
		Long: "Save the state of all Raft groups of a running node to FILE, which must not exist. What is saved holds every write that was\nacknowledged before. The file appears when it is complete and checked.",
		RunE: o.asking(func(ctx context.Context, c *client.Client, args []string) error {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			summary, err := saveBackup(ctx, c, args[0])
			if err != nil {
				return err
			}
			return a.print(summary, func(b *bytes.Buffer) { a.backupTable(b, summary) })
		}),
	}
	o.flags(c)
	c.Flags().DurationVar(&timeout, "backup-timeout", time.Hour, "how long all of it may take")
	return c
}

// saveBackup writes beside the file, checks what came, and only then gives it its name.
func saveBackup(ctx context.Context, c *client.Client, path string) (*recovery.Summary, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, usage("%s exists already", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, &usageError{err}
	}
	defer func() { _ = os.Remove(f.Name()) }() // renamed, where all went well
	defer func() { _ = f.Close() }()
	if err := c.Backup(ctx, f); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	summary, err := recovery.Inspect(f)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	return summary, os.Rename(f.Name(), path)
}

func (a *app) backupInspect() *cobra.Command {
	return &cobra.Command{
		Use: "inspect FILE", Short: "Check a backup and show what it holds", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return &usageError{err}
			}
			summary, err := recovery.Inspect(f)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
			return a.print(summary, func(b *bytes.Buffer) { a.backupTable(b, summary) })
		},
	}
}

func (a *app) backupTable(b *bytes.Buffer, s *recovery.Summary) {
	fmt.Fprintf(b, "cluster %s (%s), taken on node %d at %s, %d bytes of state\n\n", s.ClusterID, s.ClusterName, s.NodeID, s.Created.Format(time.RFC3339), s.Bytes)
	t := table{header: []string{"GROUP", "INDEX", "TERM", "BYTES", "VOTERS"}}
	for _, g := range s.Groups {
		t.row(g.Group, g.Index, g.Term, g.Size, nodeList(g.Voters))
	}
	t.write(b, a.color)
}

func nodeList(members []recovery.Member) string {
	ids := make([]uint64, len(members))
	for i, m := range members {
		ids[i] = m.NodeID
	}
	return idList(ids)
}

func (a *app) backupRestore() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "restore FILE --config CONFIG", Short: "Make the first node of a new cluster from a backup, offline", Args: cobra.ExactArgs(1),
		Long: "Make the data directory of a node from a backup. The node is the first one of a new cluster, with an id of its own: start it, then\nstart the others with empty data directories, and they join. A data directory that has a node's state is refused.",
		RunE: func(_ *cobra.Command, args []string) error {
			target, err := targetOf(file)
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return &usageError{err}
			}
			founded, err := recovery.Restore(f, target)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
			return a.founded(founded, target)
		},
	}
	configFlag(c, &file)
	return c
}

// configFlag is the configuration of a node that doesn't run.
func configFlag(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "config", "", "the node's YAML file; without it RIVVEN_ variables say everything")
	must(c.MarkFlagFilename("config", "yaml", "yml"))
}

// targetOf is the node that a configuration describes, with a new directory id.
func targetOf(file string) (recovery.Target, error) {
	cfg, err := node.LoadConfig(file)
	if err != nil {
		return recovery.Target{}, &usageError{err}
	}
	env := live.NewSystem().Env()
	return recovery.Target{
		DataDir: cfg.DataDir, ClusterName: cfg.Name, NodeID: cfg.ID, Address: cfg.Advertise, DirectoryID: env.NewID(), Now: env.Now(),
	}, nil
}

func (a *app) founded(f *recovery.Founded, t recovery.Target) error {
	return a.print(f, func(b *bytes.Buffer) {
		fmt.Fprintf(b, "node %d in %s is the first node of the new cluster %s, groups %v\n", f.NodeID, t.DataDir, f.ClusterID, f.Groups)
		if len(f.GivenUp) > 0 {
			fmt.Fprintf(b, "groups %v were given up: they begin anew, what is left of them is in the archive\n", f.GivenUp)
		}
		if f.Archive != "" {
			fmt.Fprintf(b, "the old data is in %s\n", f.Archive)
		}
		b.WriteString("start it, then start the other nodes with empty data directories: they join\n")
	})
}
