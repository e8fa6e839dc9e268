package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/node/client"
)

// seedYAML is the start text's configuration; only id, bind address and the others' names differ from node to node.
const seedYAML = `cluster:
  node_id: %[1]d
  bind_address: "127.83.0.%[1]d:9093"
  
  raft:
    peers:
      - "node%[2]d:9093"
      - "node%[3]d:9093"
    election_timeout_min_ms: 150
    election_timeout_max_ms: 300
    
  gossip:
    bind_port: 7946
    known_peers:
      - "node%[2]d:7946"
    protocol_period_ms: 1000
    
  partitioning:
    virtual_nodes: 128
    replication_factor: 3
`

// TestSeedYAMLRuns: the seed's YAML, three times, with certificates and data in the default places and names from a hosts file.
func TestSeedYAMLRuns(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs all of 127.0.0.0/8 on the loopback interface, which only Linux has")
	}
	c := newCluster(t, 3)
	hosts := filepath.Join(c.dir, "hosts")
	writeFile(t, hosts, []byte("127.83.0.1 node1\n127.83.0.2 node2\n127.83.0.3 node3\n"))
	for i, m := range c.members {
		certs := filepath.Join(c.dir, "rivven-data", fmt.Sprintf("node%d", m.id), "tls")
		if err := os.MkdirAll(filepath.Dir(certs), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(m.dataDir(), "tls"), certs); err != nil {
			t.Fatal(err)
		}
		writeFile(t, m.config, fmt.Appendf(nil, seedYAML, m.id, (i+1)%3+1, (i+2)%3+1))
		m.environment = []string{"RIVVEN_HOSTS_FILE=" + hosts, fmt.Sprintf("RIVVEN_ADMIN_BIND_ADDRESS=127.0.0.1:%d", m.admin)}
		m.run("run", "--config", m.config)
	}
	c.ready(c.members...)
	c.until("three alive and a leader", 30*time.Second, func(ctx context.Context) error {
		status, err := c.members[2].client().Status(ctx)
		if err != nil {
			return err
		}
		alive := 0
		for _, n := range status.Nodes {
			if n.State == client.StateAlive && n.RaftRole != client.RoleUnknown {
				alive++
			}
		}
		if alive != 3 || status.Leader == 0 {
			return fmt.Errorf("%+v", status)
		}
		return nil
	})
	cl := c.clientOf(c.members...)
	c.until("a write", 20*time.Second, func(ctx context.Context) error {
		_, err := cl.PutConfig(ctx, "seed", []byte("runs"))
		return err
	})
	for _, m := range c.members {
		m.signal(interrupt)
		if code := m.wait(30 * time.Second); code != 0 {
			t.Errorf("node %d exits with %d after SIGTERM", m.id, code)
		}
		if strings.Contains(m.log.String(), `"level":"error"`) {
			t.Errorf("node %d logged an error:\n%s", m.id, strings.Join(m.log.lines(`"level":"error"`), ""))
		}
	}
}
