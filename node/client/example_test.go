package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/hupe1980/rivven-cluster/node/client"
)

// Count up in a key without losing an increment of somebody else's.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(healthy)) // stands for a node
	defer server.Close()

	c, err := client.New(client.Config{Addresses: []string{server.URL, "node2:9094"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	entry, err := c.GetConfig(ctx, "k")
	if err != nil {
		fmt.Println(err)
		return
	}
	changed, err := c.CompareAndSetConfig(ctx, "k", append(entry.Value, '+'), entry.Revision)
	switch {
	case errors.Is(err, client.CodeRevisionMismatch):
		fmt.Println("somebody was faster: read again")
	case errors.Is(err, client.CodeUnknownOutcome):
		fmt.Println("nobody knows: read before writing again")
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println("revision", entry.Revision, "became", changed.Revision)
	}
	// Output: revision 7 became 8
}
