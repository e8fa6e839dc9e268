package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/hupe1980/rivven-cluster/remote"
)

// Names of certificate files, where a node looks for its own by default.
const (
	caFile    = "ca.pem"
	caKeyFile = "ca.key"
	certFile  = "node.pem"
	keyFile   = "node.key"
)

const (
	defaultDataDir     = "rivven-data"
	defaultClusterName = "rivven"
)

var defaultCADir = filepath.Join(defaultDataDir, "tls")

func (a *app) tlsCommand() *cobra.Command {
	return group("tls", "Make the certificates of a cluster",
		group("ca", "The cluster's certificate authority", a.tlsCACreate()),
		group("cert", "Certificates of nodes", a.tlsCertCreate()))
}

func (a *app) tlsCACreate() *cobra.Command {
	var name, out string
	var validity time.Duration
	c := &cobra.Command{
		Use: "create", Short: "Make a certificate authority: " + caFile + " and " + caKeyFile, Args: cobra.NoArgs,
		Long: "Make the certificate authority of a cluster. Every node needs " + caFile + ". " + caKeyFile + " signs certificates:\nwhoever has it can be any node, and no node needs it.",
		RunE: func(*cobra.Command, []string) error {
			ca, err := remote.NewCA(name, time.Now(), validity)
			if err != nil {
				return &usageError{err}
			}
			files, err := caFiles(ca, out)
			if err != nil {
				return err
			}
			return a.written(files)
		},
	}
	f := c.Flags()
	f.StringVar(&name, "name", defaultClusterName, "name of the cluster, as in its nodes' configuration")
	f.StringVar(&out, "out", defaultCADir, "directory to write to")
	f.DurationVar(&validity, "validity", remote.DefaultCAValidity, "how long it is valid")
	return c
}

func (a *app) tlsCertCreate() *cobra.Command {
	var id uint64
	var name, caDir, out string
	var hosts []string
	var validity time.Duration
	c := &cobra.Command{
		Use: "create --id N", Short: "Make the certificate of a node: " + caFile + ", " + certFile + " and " + keyFile, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if id == 0 {
				return usage("--id is 0: node ids start at 1")
			}
			ca, err := remote.LoadCA(filepath.Join(caDir, caFile), filepath.Join(caDir, caKeyFile))
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%w\nmake it with \"rivven-node tls ca create\", or name its directory with --ca", err)
			}
			if err != nil {
				return err
			}
			if name != "" && name != ca.TrustDomain {
				return usage("the CA in %s is of cluster %q, not of %q", caDir, ca.TrustDomain, name)
			}
			if out == "" {
				out = filepath.Join(defaultDataDir, fmt.Sprintf("node%d", id), "tls")
			}
			files, err := nodeFiles(ca, id, out, validity, hosts)
			if err != nil {
				return err
			}
			return a.written(files)
		},
	}
	f := c.Flags()
	f.Uint64Var(&id, "id", 0, "the node's id")
	f.StringVar(&name, "name", "", "name of the cluster; refused if the CA has another")
	f.StringVar(&caDir, "ca", defaultCADir, "directory of "+caFile+" and "+caKeyFile)
	f.StringVar(&out, "out", "", "directory to write to (default rivven-data/node<id>/tls, where the node looks)")
	f.StringSliceVar(&hosts, "host", nil, "names and addresses of the node, for clients of its admin API over https")
	f.DurationVar(&validity, "validity", remote.DefaultNodeValidity, "how long it is valid, at most as long as the CA")
	must(c.MarkFlagRequired("id"))
	return c
}

// written says what was made.
func (a *app) written(files []string) error {
	return a.print(map[string][]string{"written": files}, func(b *bytes.Buffer) {
		for _, f := range files {
			fmt.Fprintf(b, "wrote %s\n", f)
		}
	})
}

func caFiles(ca *remote.CA, dir string) ([]string, error) {
	key, err := ca.KeyPEM()
	if err != nil {
		return nil, err
	}
	return writeNew(dir, newFile{caFile, ca.CertificatePEM(), 0o644}, newFile{caKeyFile, key, 0o600})
}

func nodeFiles(ca *remote.CA, id uint64, dir string, validity time.Duration, hosts []string) ([]string, error) {
	pair, err := ca.IssueNode(id, time.Now(), validity, hosts...)
	if err != nil {
		return nil, err
	}
	certificate, key, err := remote.EncodeNode(pair)
	if err != nil {
		return nil, err
	}
	return writeNew(dir, newFile{caFile, ca.CertificatePEM(), 0o644}, newFile{certFile, certificate, 0o644}, newFile{keyFile, key, 0o600})
}

type newFile struct {
	name string
	data []byte
	mode fs.FileMode
}

// writeNew writes files that must not exist yet: a key that is overwritten is gone. A copy of the CA's certificate may stand
// there already.
func writeNew(dir string, files ...newFile) ([]string, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the directory: %w", err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		present, err := os.ReadFile(path) //nolint:gosec // a path of the caller's own
		if err == nil && !bytes.Equal(present, f.data) {
			return nil, fmt.Errorf("%s exists and is kept: remove it, or choose another directory with --out", path)
		}
	}
	var written []string
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := os.WriteFile(path, f.data, f.mode); err != nil { //nolint:gosec // certificates are for everybody to read
			return written, fmt.Errorf("write certificates: %w", err)
		}
		written = append(written, path)
	}
	return written, nil
}
