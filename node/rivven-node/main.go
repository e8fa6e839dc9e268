// Command rivven-node runs a node of a rivven cluster, and asks running ones; package cli documents it.
package main

import (
	"context"
	"os"

	"github.com/hupe1980/rivven-cluster/node/cli"
)

func main() { os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }
