package cli_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hupe1980/rivven-cluster/node/cli"
)

// The two commands that make a node's certificates.
func ExampleMain() {
	dir, err := os.MkdirTemp("", "rivven-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ca, own := filepath.Join(dir, "ca"), filepath.Join(dir, "node1")
	ctx := context.Background()
	fmt.Println(cli.Main(ctx, []string{"tls", "ca", "create", "--out", ca, "-o", "json"}, io.Discard, os.Stderr))
	fmt.Println(cli.Main(ctx, []string{"tls", "cert", "create", "--id", "1", "--ca", ca, "--out", own}, io.Discard, os.Stderr))
	files, err := filepath.Glob(filepath.Join(own, "*"))
	for _, f := range files {
		fmt.Println(filepath.Base(f))
	}
	fmt.Println(err)
	// Output:
	// 0
	// 0
	// ca.pem
	// node.key
	// node.pem
	// <nil>
}
