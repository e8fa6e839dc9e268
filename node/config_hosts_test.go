package node

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestHosts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	const text = "# cluster\n127.0.0.1 node1 Node1.example.  # first\n\n127.0.0.2\tnode2\n::1 node2\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	hosts, err := LoadHosts(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"node1": {"127.0.0.1"}, "node1.EXAMPLE": {"127.0.0.1"}, "node2.": {"127.0.0.2", "::1"}, "10.0.0.9": {"10.0.0.9"},
	} {
		got, err := hosts.Lookup(context.Background(), name)
		if err != nil || !slices.Equal(got, addrs(want...)) {
			t.Errorf("%s: %v %v, want %v", name, got, err, want)
		}
	}
	if got := hosts.Addrs("cluster"); got != nil {
		t.Errorf("a comment became a host: %v", got)
	}
}

func TestHostsFileFaults(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"127.0.0.1 a\nnode1 127.0.0.1\n":               `:2: "node1 127.0.0.1" is not "address name…"`,
		"127.0.0.1\n":                                  `:1: "127.0.0.1" is not "address name…"`,
		strings.Repeat("#", maxConfigFileBytes) + "\n": "larger than 1048576 bytes",
	} {
		path := filepath.Join(dir, "hosts")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadHosts(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := LoadHosts(filepath.Join(dir, "none")); err == nil {
		t.Error("a missing file is no fault")
	}
}
