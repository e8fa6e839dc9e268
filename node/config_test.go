package node

import (
	"bytes"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/hupe1980/rivven-cluster/swimactor/swim"
)

var update = flag.Bool("config.update", false, "rewrite testdata/config/defaults.yaml")

// fakeHost answers for the machine.
type fakeHost struct {
	name   string
	lookup []netip.Addr
	ifaces []netip.Addr
}

func (h fakeHost) Name() (string, error) {
	if h.name == "" {
		return "", errors.New("no host name")
	}
	return h.name, nil
}
func (h fakeHost) Lookup(string) []netip.Addr   { return h.lookup }
func (h fakeHost) InterfaceAddrs() []netip.Addr { return h.ifaces }

func addrs(s ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

var lanHost = fakeHost{name: "host1", lookup: addrs("10.0.0.1"), ifaces: addrs("10.0.0.1")}

func TestSeedConfigLoadsUnchanged(t *testing.T) {
	b, err := os.ReadFile("testdata/config/seed.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseConfig("seed.yaml", b, nil, lanHost)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		ID: 1, Name: "rivven", NodeName: "host1", Bind: "0.0.0.0:9093", Advertise: "host1:9093",
		DataDir: "rivven-data/node1", Peers: []string{"node2:9093", "node3:9093"},
		Raft: RaftSettings{ElectionTimeoutMin: 150 * time.Millisecond, ElectionTimeoutMax: 300 * time.Millisecond,
			Heartbeat: 50 * time.Millisecond, SnapshotThreshold: 10_000, DeadVoterGrace: time.Minute},
		Gossip: GossipSettings{BindPort: 7946, Profile: "lan", KnownPeers: []string{"node2:7946"},
			ProtocolPeriod: time.Second, SuspectTimeout: 5 * time.Second},
		Partitioning: PartitioningSettings{VirtualNodes: 128, ReplicationFactor: 3, FailoverGrace: 15 * time.Second},
		TLS: TLSFiles("rivven-data/node1/tls/ca.pem", "rivven-data/node1/tls/node.pem",
			"rivven-data/node1/tls/node.key"),
		Admin: AdminSettings{Bind: "127.0.0.1:9094"},
		Log:   LogSettings{Level: "info", Format: "json"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if w := got.Warnings(); len(w) != 0 {
		t.Errorf("warnings %q", w)
	}
}

// TestConfigText runs testdata/config/*.txt: "parse" reads a file and prints the configuration that
// came of it, or all its faults. Arguments: env=(NAME=value …), host=name.
func TestConfigText(t *testing.T) {
	datadriven.Walk(t, "testdata/config/text", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "parse" {
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			h := lanHost
			var environ []string
			for _, arg := range d.CmdArgs {
				switch arg.Key {
				case "env":
					environ = arg.Vals
				case "host":
					h.name = arg.Vals[0]
				}
			}
			c, err := parseConfig("cluster.yaml", []byte(d.Input), environ, h)
			if err != nil {
				return err.Error()
			}
			var b bytes.Buffer
			if err := PrintConfig(&b, c); err != nil {
				d.Fatalf(t, "%v", err)
			}
			return b.String()
		})
	})
}

func TestConfigPrintedLoadsAsItself(t *testing.T) {
	c := Config{ID: 7, Name: "orders", NodeName: "a", Bind: "[::]:1", Advertise: "[2001:db8::1]:1", DataDir: "d\" \\ ü",
		Zone: "z: #1", Tags: map[string]string{"rack": "r1", "a: b": "{x}"}, Peers: []string{"2@b:1"}}
	c.EnsureDefaults()
	var b bytes.Buffer
	if err := PrintConfig(&b, c); err != nil {
		t.Fatal(err)
	}
	got, err := parseConfig("printed.yaml", b.Bytes(), nil, fakeHost{})
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if !reflect.DeepEqual(got, c) {
		t.Errorf("got  %+v\nwant %+v\n%s", got, c, b.String())
	}
}

func TestPrintDefaults(t *testing.T) {
	var b bytes.Buffer
	if err := PrintDefaults(&b); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/config/defaults.yaml"
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("defaults changed (-config.update rewrites them):\n%s", b.String())
	}
	got, err := parseConfig(golden, b.Bytes(), []string{"RIVVEN_NODE_ID=3"}, lanHost)
	if err != nil {
		t.Fatal(err)
	}
	plain := Config{ID: 3}
	plain.ensureDefaults(lanHost)
	if !reflect.DeepEqual(got, plain) {
		t.Errorf("got  %+v\nwant %+v", got, plain)
	}
}

func TestEverySettingHasAVariable(t *testing.T) {
	seen := map[string]string{}
	for _, s := range settings {
		name := envName(s.key)
		if other, ok := seen[name]; ok {
			t.Errorf("%s and %s share %s", s.key, other, name)
		}
		seen[name] = s.key
		value := map[bool]string{true: "77", false: "a=b"}[numeric(s)]
		p := configParser{failed: map[string]bool{}, fromEnv: map[string]string{}, host: lanHost}
		p.environment([]string{name + "=" + value})
		if len(p.faults) > 0 {
			t.Errorf("%s: %v", name, p.faults[0])
		}
		if fieldText(s.field(&p.cfg)) == "" {
			t.Errorf("%s=%s changes nothing", name, value)
		}
	}
}

func numeric(s setting) bool {
	switch s.field(new(Config)).(type) {
	case *string, *[]string, *map[string]string:
		return false
	}
	return true
}

func TestConfigDefaultsFollowOneAnother(t *testing.T) {
	ms := time.Millisecond
	for _, tc := range []struct {
		name string
		in   Config
		ok   func(Config) bool
	}{
		{"max from min", Config{Raft: RaftSettings{ElectionTimeoutMin: 60 * ms}},
			func(c Config) bool { return c.Raft.ElectionTimeoutMax == 120*ms && c.Raft.Heartbeat == 20*ms }},
		{"min from max", Config{Raft: RaftSettings{ElectionTimeoutMax: 2000 * ms}},
			func(c Config) bool { return c.Raft.ElectionTimeoutMin == 1000*ms && c.Raft.Heartbeat == 50*ms }},
		{"suspect from period", Config{Gossip: GossipSettings{ProtocolPeriod: 2 * time.Second}},
			func(c Config) bool { return c.Gossip.SuspectTimeout == 10*time.Second }},
		{"lan", Config{},
			func(c Config) bool {
				return c.Gossip.Profile == "lan" && reflect.DeepEqual(c.Gossip.protocol(), swim.DefaultLAN())
			}},
		{"wan", Config{Gossip: GossipSettings{Profile: "wan"}},
			func(c Config) bool { return reflect.DeepEqual(c.Gossip.protocol(), swim.DefaultWAN()) }},
		{"local", Config{Gossip: GossipSettings{Profile: "local"}},
			func(c Config) bool { return reflect.DeepEqual(c.Gossip.protocol(), swim.DefaultLocal()) }},
		{"keys override a profile", Config{Gossip: GossipSettings{Profile: "wan", ProtocolPeriod: 2 * time.Second, SuspectTimeout: 9 * time.Second}},
			func(c Config) bool {
				p := c.Gossip.protocol()
				return p.ProtocolPeriod == 2*time.Second && p.ProbeTimeout == 1200*ms && p.SuspectTimeout == 9*time.Second && p.SyncInterval == time.Minute
			}},
		{"a period takes suspicion with it", Config{Gossip: GossipSettings{Profile: "wan", ProtocolPeriod: 10 * time.Second}},
			func(c Config) bool { return c.Gossip.SuspectTimeout == 50*time.Second }},
		{"tls below the data directory", Config{DataDir: "d"},
			func(c Config) bool { return c.TLS == TLSFiles("d/tls/ca.pem", "d/tls/node.pem", "d/tls/node.key") }},
		{"what is set stays", Config{Bind: "a:1", TLS: TLSSettings{CA: "x"}, Admin: AdminSettings{Bind: AdminOff}},
			func(c Config) bool { return c.Bind == "a:1" && c.TLS.CA == "x" && c.Admin.Bind == AdminOff }},
	} {
		c := tc.in
		c.ID = 1
		c.ensureDefaults(lanHost)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if !tc.ok(c) {
			t.Errorf("%s: %+v", tc.name, c)
		}
	}
}

func TestDefaultAdvertise(t *testing.T) {
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 Alone\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, bind, hosts string
		host              fakeHost
		want              string
	}{
		{"bind names a host", "10.1.1.1:9093", "", lanHost, "10.1.1.1:9093"},
		{"name that resolves", "0.0.0.0:9093", "", lanHost, "host1:9093"},
		{"no host in bind", ":9093", "", lanHost, "host1:9093"},
		{"IPv6", "[::]:9093", "", lanHost, "host1:9093"},
		{"name that is loopback only", "0.0.0.0:9093", "", fakeHost{name: "h", lookup: addrs("127.0.1.1"), ifaces: addrs("169.254.1.1", "2001:db8::1", "10.0.0.7")}, "10.0.0.7:9093"},
		{"only IPv6 outside", "0.0.0.0:9093", "", fakeHost{name: "h", ifaces: addrs("fe80::1", "2001:db8::1")}, "[2001:db8::1]:9093"},
		{"hosts file decides", "0.0.0.0:9093", hosts, fakeHost{name: "alone"}, "alone:9093"},
		{"none", "0.0.0.0:9093", "", fakeHost{name: "alone"}, ""},
		{"malformed bind", "9093", "", lanHost, ""},
	} {
		if got := defaultAdvertise(tc.bind, tc.hosts, tc.host); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestValidateReportsAllFaultsOfAGoConfig(t *testing.T) {
	c := Config{Bind: "0.0.0.0:9093", Advertise: "0.0.0.0:9093", Peers: []string{"node2"},
		Raft:   RaftSettings{ElectionTimeoutMin: 300 * time.Millisecond, ElectionTimeoutMax: 200 * time.Millisecond},
		Remote: RemoteSettings{BulkRate: 63}, Gossip: GossipSettings{BindPort: 70000, Profile: "lam"}, Admin: AdminSettings{Bind: "0.0.0.0:9094"}, HostsFile: "testdata/none"}
	c.ensureDefaults(lanHost)
	err := c.Validate()
	var all *ConfigError
	if !errors.As(err, &all) {
		t.Fatalf("%T %v", err, err)
	}
	got := []string{}
	for _, f := range all.Faults {
		got = append(got, f.Key)
	}
	want := []string{"node_id", "advertise_address", "raft.peers[0]", "hosts_file", "admin.token_file",
		"raft.election_timeout_max_ms", "remote.bulk_kib_per_second", "gossip.bind_port", "gossip.profile"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("faults of %q, want %q\n%v", got, want, err)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	c := Config{Peers: []string{"a:1"}, Tags: map[string]string{"k": "v"}, Gossip: GossipSettings{KnownPeers: []string{"b:1"}}}
	d := c.Clone()
	d.Peers[0], d.Tags["k"], d.Gossip.KnownPeers[0] = "x", "x", "x"
	if c.Peers[0] != "a:1" || c.Tags["k"] != "v" || c.Gossip.KnownPeers[0] != "b:1" {
		t.Errorf("the original changed: %+v", c)
	}
}

func TestElectionRangeWarning(t *testing.T) {
	c := Config{ID: 1, Raft: RaftSettings{ElectionTimeoutMin: 150 * time.Millisecond, ElectionTimeoutMax: 400 * time.Millisecond}}
	c.ensureDefaults(lanHost)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if w := c.Warnings(); len(w) != 1 || !strings.Contains(w[0], "[150ms, 300ms)") {
		t.Errorf("warnings %q", w)
	}
}

func TestCheckTLSFilesNamesTheCommands(t *testing.T) {
	dir := t.TempDir()
	c := Config{ID: 4, DataDir: dir}
	c.ensureDefaults(lanHost)
	err := c.CheckTLSFiles()
	for _, want := range []string{c.TLS.CA, c.TLS.Cert, c.TLS.Key, "rivven-node tls ca create", "rivven-node tls cert create --id 4 --out " + filepath.Join(dir, "tls")} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{c.TLS.CA, c.TLS.Cert, c.TLS.Key} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.CheckTLSFiles(); err != nil {
		t.Error(err)
	}
}

func TestHostileFilesAreBounded(t *testing.T) {
	for name, text := range map[string]string{
		"too large":    strings.Repeat("#", maxConfigFileBytes+1),
		"faults":       "cluster: {" + strings.Repeat("a: 1,", 200_000) + "}",
		"unknown keys": "cluster:\n" + strings.Repeat("  ? [x]\n", 100_000),
		"nesting":      "cluster: " + strings.Repeat("[", maxConfigFileBytes-100),
		"aliases":      "cluster: {tags: {a: &a x}, raft: {peers: [" + strings.Repeat("*a,", 300_000) + "]}}",
	} {
		_, err := parseConfig(name, []byte(text), nil, lanHost)
		var all *ConfigError
		if !errors.As(err, &all) {
			t.Errorf("%s: %T", name, err)
			continue
		}
		if n := len(err.Error()); n > maxConfigFaults*600 {
			t.Errorf("%s: an error of %d bytes", name, n)
		}
	}
}

func TestLoadConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(path, []byte("cluster:\n  node_id: 1\n  bind_address: \"127.0.0.1:0\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RIVVEN_RAFT_PEERS", "2@node2:9093, node3:9093")
	t.Setenv("RIVVEN_TAGS", "rack=r1,disk=ssd")
	c, err := LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"2@node2:9093", "node3:9093"}; !reflect.DeepEqual(c.Peers, want) {
		t.Errorf("peers %q, want %q", c.Peers, want)
	}
	if want := map[string]string{"rack": "r1", "disk": "ssd"}; !reflect.DeepEqual(c.Tags, want) {
		t.Errorf("tags %q, want %q", c.Tags, want)
	}
	if c.Advertise != c.Bind {
		t.Errorf("advertises %q, binds %q", c.Advertise, c.Bind)
	}

	t.Setenv("RIVVEN_NODE_ID", "5")
	t.Setenv("RIVVEN_BIND_ADDRESS", "127.0.0.1:9093")
	if c, err = LoadConfig(""); err != nil || c.ID != 5 {
		t.Errorf("from the environment alone: node %d, %v", c.ID, err)
	}
	t.Setenv("RIVVEN_RAFT_PEERS", "node2")
	if _, err = LoadConfig(""); err == nil || err.Error() != `RIVVEN_RAFT_PEERS: "node2" is not host:port (IPv6 as [address]:port)` {
		t.Errorf("a faulty peer: %v", err)
	}
	if _, err = LoadConfig(path + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestConfigWithoutUsableAddress(t *testing.T) {
	_, err := parseConfig("c.yaml", []byte("cluster:\n  node_id: 1\n"), nil, fakeHost{name: "alone"})
	if err == nil || !strings.HasPrefix(err.Error(), `c.yaml:1:1: advertise_address: bind_address "0.0.0.0:9093" names no host`) {
		t.Error(err)
	}
	_, err = parseConfig("c.yaml", []byte("cluster:\n  node_id: 1\n  bind_address: a:1\n"), nil, fakeHost{})
	if err == nil || !strings.HasPrefix(err.Error(), `c.yaml:1:1: node_name: is empty and the host has no name`) {
		t.Error(err)
	}
}
