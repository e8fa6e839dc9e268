package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hupe1980/rivven-cluster/node/cli"
	"github.com/hupe1980/rivven-cluster/node/recovery"
)

// program is the directory of one node that is run again and again.
type program struct {
	t   *testing.T
	dir string
}

// config writes a configuration for a data directory, with certificates.
func (p *program) config(name string) (file, data string) {
	p.t.Helper()
	file, data = filepath.Join(p.dir, name+".yaml"), filepath.Join(p.dir, name)
	p.must("tls", "cert", "create", "--id", "1", "--ca", filepath.Join(p.dir, "ca"), "--out", filepath.Join(data, "tls"))
	yaml := fmt.Sprintf("cluster:\n  node_id: 1\n  node_name: one\n  bind_address: \"127.0.0.1:0\"\n  data_dir: %q\n"+
		"  gossip: {bind_port: -1}\n  admin: {bind_address: \"127.0.0.1:0\"}\n", data)
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return file, data
}

func (p *program) must(args ...string) string {
	p.t.Helper()
	stdout, stderr, exit := run(p.t, args...)
	if exit != 0 {
		p.t.Fatalf("%v: exit %d\n%s%s", args, exit, stdout, stderr)
	}
	return stdout
}

// while runs the node and calls do with its admin address.
func (p *program) while(config string, do func(address string)) {
	p.t.Helper()
	ctx, interrupt := context.WithCancel(p.t.Context())
	defer interrupt()
	log := &logLines{make(chan string, 1024)}
	exit := make(chan int, 1)
	go func() { exit <- cli.Main(ctx, []string{"run", "--config", config}, os.Stdout, log) }()
	admin := regexp.MustCompile(`"admin":"([^"]+)"`)
	for done := false; !done; {
		select {
		case line := <-log.lines:
			if match := admin.FindStringSubmatch(line); match != nil {
				do(match[1])
				done = true
			}
		case code := <-exit:
			p.t.Fatalf("it ended with %d", code)
		}
	}
	interrupt()
	if code := <-exit; code != 0 {
		p.t.Fatalf("exit %d", code)
	}
}

func TestBackupAndRecoveryByCommand(t *testing.T) {
	p := &program{t, t.TempDir()}
	p.must("tls", "ca", "create", "--out", filepath.Join(p.dir, "ca"))
	first, _ := p.config("first")
	second, _ := p.config("second")
	file := filepath.Join(p.dir, "backup")
	p.while(first, func(address string) {
		p.must("kv", "put", "k", "v", "--server", address)
		if out := p.must("backup", "save", file, "--server", address); !strings.Contains(out, "meta") {
			t.Fatal(out)
		}
		if _, stderr, exit := run(t, "backup", "save", file, "--server", address); exit != cli.ExitUsage || !strings.Contains(stderr, "exists") {
			t.Fatal(exit, stderr)
		}
	})

	var summary recovery.Summary
	if err := json.Unmarshal([]byte(p.must("backup", "inspect", file, "-o", "json")), &summary); err != nil || len(summary.Groups) != 1 || summary.Groups[0].Size == 0 {
		t.Fatalf("%+v, %v", summary, err)
	}
	if out := p.must("backup", "restore", file, "--config", second); !strings.Contains(out, "first node of the new cluster") {
		t.Fatal(out)
	}
	if _, stderr, exit := run(t, "backup", "restore", file, "--config", second); exit != cli.ExitFailure || !strings.Contains(stderr, "not empty") {
		t.Fatal(exit, stderr)
	}
	p.while(second, func(address string) {
		if out := p.must("kv", "get", "k", "--server", address); out != "v\n" {
			t.Fatal(out)
		}
		p.must("kv", "put", "k", "later", "--server", address)
		if _, _, exit := run(t, "recover", "plan", "--config", second); exit != cli.ExitFailure {
			t.Fatal("a plan was made of a node that runs")
		}
	})

	plan := filepath.Join(p.dir, "plan.json")
	p.must("recover", "plan", "--config", second, "--out", plan)
	ahead := filepath.Join(p.dir, "ahead.json")
	b, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	b = regexp.MustCompile(`"last_term": \d+`).ReplaceAll(b, []byte(`"last_term": 99`))
	if err := os.WriteFile(ahead, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, exit := run(t, "recover", "apply", "--config", second, "--plan", plan, "--compare", ahead); exit != cli.ExitFailure || !strings.Contains(stderr, "has more") {
		t.Fatal(exit, stderr)
	}
	if _, stderr, exit := run(t, "recover", "apply", "--config", second, "--plan", plan, "--give-up", "meta"); exit != cli.ExitFailure || !strings.Contains(stderr, "names no problem") {
		t.Fatal(exit, stderr)
	}
	if out := p.must("recover", "apply", "--config", second, "--plan", plan, "--compare", ahead, "--accept-loss"); !strings.Contains(out, "the old data is in") {
		t.Fatal(out)
	}
	p.while(second, func(address string) {
		if out := p.must("kv", "get", "k", "--server", address); out != "later\n" {
			t.Fatal(out)
		}
	})
}
