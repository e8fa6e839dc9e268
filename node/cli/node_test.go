package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hupe1980/rivven-cluster/node/cli"
	"github.com/hupe1980/rivven-cluster/node/client"
)

func TestDevShowsItWorks(t *testing.T) {
	stdout, stderr, exit := run(t, "dev", "--nodes", "3", "--ephemeral", "--exit-after", "1s", "--topic", "demo", "--partitions", "6", "-o", "json")
	if exit != 0 {
		t.Fatal(exit, stdout, stderr)
	}
	d := json.NewDecoder(strings.NewReader(stdout))
	d.DisallowUnknownFields()
	var s client.Status
	if err := d.Decode(&s); err != nil || d.More() {
		t.Fatalf("want one status: %v\n%s", err, stdout)
	}
	led, roles := map[uint64]int{}, map[client.Role]int{}
	for _, n := range s.Nodes {
		roles[n.RaftRole]++
		if n.State != client.StateAlive || n.AppliedIndex == 0 || n.Address == n.GossipAddress {
			t.Errorf("%+v", n)
		}
	}
	if s.ClusterID == "" || s.Leader == 0 || s.Term == 0 || len(s.Nodes) != 3 || roles[client.RoleLeader] != 1 || roles[client.RoleFollower] != 2 {
		t.Errorf("%+v", s)
	}
	if len(s.Topics) != 1 || s.Topics[0].Name != "demo" || len(s.Topics[0].Partitions) != 6 {
		t.Fatalf("%+v", s.Topics)
	}
	for _, p := range s.Topics[0].Partitions {
		led[p.Leader]++
		if len(p.Replicas) != 3 || len(p.ISR) != 3 || p.LeaderEpoch == 0 {
			t.Errorf("%+v", p)
		}
	}
	if fmt.Sprint(led) != "map[1:2 2:2 3:2]" {
		t.Errorf("led unevenly: %v", led)
	}
}

func TestDevKeepsItsStateAndShowsATable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	args := []string{"dev", "--nodes", "1", "--data-dir", dir, "--exit-after", "2s", "--topic", "t", "--partitions", "1"}
	cluster := regexp.MustCompile(`cluster ([0-9a-f]{32}), leader 1`)
	var ids []string
	for range 2 {
		stdout, stderr, exit := run(t, args...)
		match := cluster.FindStringSubmatch(stdout)
		if exit != 0 || match == nil || !strings.Contains(stdout, "t      0          1") || !strings.Contains(stdout, "ADMIN") || strings.Contains(stdout, "\x1b") {
			t.Fatalf("exit %d\n%s%s", exit, stdout, stderr)
		}
		ids = append(ids, match[1])
	}
	if ids[0] != ids[1] {
		t.Fatalf("the second run is of another cluster: %v", ids)
	}
	if log, err := os.ReadFile(filepath.Join(dir, "node1", "node.log")); err != nil || len(log) == 0 {
		t.Fatal("no log: ", err)
	}
}

// logLines hands out what is logged, line by line.
type logLines struct{ lines chan string }

func (l *logLines) Write(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		select {
		case l.lines <- string(line):
		default: // nobody reads any more
		}
	}
	return len(b), nil
}

func TestRunUntilInterrupted(t *testing.T) {
	dir := t.TempDir()
	certificates := filepath.Join(dir, "data", "tls")
	for _, args := range [][]string{
		{"tls", "ca", "create", "--out", filepath.Join(dir, "ca")},
		{"tls", "cert", "create", "--id", "1", "--ca", filepath.Join(dir, "ca"), "--out", certificates},
	} {
		if _, stderr, exit := run(t, args...); exit != 0 {
			t.Fatal(stderr)
		}
	}
	file := filepath.Join(dir, "cluster.yaml")
	yaml := fmt.Sprintf("cluster:\n  node_id: 1\n  node_name: one\n  bind_address: \"127.0.0.1:0\"\n  data_dir: %q\n"+
		"  gossip: {bind_port: -1}\n  admin: {bind_address: \"127.0.0.1:0\"}\n", filepath.Join(dir, "data"))
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	log := &logLines{make(chan string, 1024)}
	exit := make(chan int, 1)
	go func() { exit <- cli.Main(ctx, []string{"run", "--config", file}, os.Stdout, log) }()

	admin := regexp.MustCompile(`"admin":"([^"]+)"`)
	for address := ""; address == ""; {
		select {
		case line := <-log.lines:
			if match := admin.FindStringSubmatch(line); match != nil {
				address = match[1]
				if stdout, stderr, code := run(t, "kv", "put", "k", "v", "--server", address); code != 0 {
					t.Fatal(stdout, stderr)
				}
			}
		case code := <-exit:
			t.Fatalf("it ended with %d", code)
		case <-t.Context().Done():
			t.Fatal("no admin address is logged")
		}
	}
	interrupt()
	if code := <-exit; code != 0 {
		t.Fatalf("exit %d after an interrupt", code)
	}
}

func TestRunOnADirectoryInUseFails(t *testing.T) {
	dir := t.TempDir()
	if _, stderr, exit := run(t, "dev", "--nodes", "1", "--data-dir", dir, "--exit-after", "1ms", "-o", "json"); exit != 0 {
		t.Fatal(stderr)
	}
	file := filepath.Join(dir, "other.yaml")
	yaml := fmt.Sprintf("cluster:\n  node_id: 2\n  node_name: two\n  bind_address: \"127.0.0.1:0\"\n  data_dir: %q\n"+
		"  gossip: {bind_port: -1}\n  admin: {bind_address: \"off\"}\n", filepath.Join(dir, "node1"))
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, exit := run(t, "run", "--config", file)
	if exit != cli.ExitFailure || !strings.Contains(stderr, "node 1") {
		t.Fatalf("a node took the directory of another: %d %s", exit, stderr)
	}
}
