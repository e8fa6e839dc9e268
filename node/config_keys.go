package node

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setting ties a key of the YAML file to its field. The table drives the file's reader, the environment
// and what is printed, so a key exists in all of them or in none.
type setting struct {
	key    string            // below "cluster", sections joined by dots
	field  func(*Config) any // *nodeNumber, *uint64, *int, *time.Duration (milliseconds), *string, *[]string or *map[string]string
	doc    string
	sample string // printed, commented out, where the default is nothing or depends on the host
}

// nodeNumber is the type of node_id, the only number that may also be "auto".
type nodeNumber uint64

var settings = []setting{
	{"node_id", func(c *Config) any { return (*nodeNumber)(&c.ID) }, "The node's number, unique in the cluster and never 0. \"auto\" takes the ordinal of a\nStatefulSet host name plus one: rivven-0 is node 1. Required.", "1"},
	{"name", func(c *Config) any { return &c.Name }, "The cluster's name, and the trust domain of its certificates.", ""},
	{"node_name", func(c *Config) any { return &c.NodeName }, "What people call this node. Default: the host's name.", "node1"},
	{"bind_address", func(c *Config) any { return &c.Bind }, "Where the node listens for the other nodes (QUIC over UDP).", ""},
	{"advertise_address", func(c *Config) any { return &c.Advertise }, "Where the other nodes reach this one. Default: bind_address where it names a host, else the\nhost's name where it resolves, else the first usable interface.", "\"node1:9093\""},
	{"data_dir", func(c *Config) any { return &c.DataDir }, "What the node must not lose. Default: rivven-data/node<id>.", "rivven-data/node1"},
	{"zone", func(c *Config) any { return &c.Zone }, "The failure domain that replicas are spread over, such as an availability zone.", "eu-central-1a"},
	{"rack", func(c *Config) any { return &c.Rack }, "A smaller failure domain within the zone, told to all members.", "r12"},
	{"tags", func(c *Config) any { return &c.Tags }, "Told to all members; at most 2 KiB.", "{disk: ssd}"},
	{"hosts_file", func(c *Config) any { return &c.HostsFile }, "A file in the format of /etc/hosts that is asked before the system's resolver.", "/etc/rivven/hosts"},

	{"raft.peers", func(c *Config) any { return &c.Peers }, "The nodes that form the cluster at its first start: host:port or id@host:port.", "[\"node2:9093\", \"node3:9093\"]"},
	{"raft.election_timeout_min_ms", func(c *Config) any { return &c.Raft.ElectionTimeoutMin }, "How long a follower waits for its leader before it stands for election: between min and max.", ""},
	{"raft.election_timeout_max_ms", func(c *Config) any { return &c.Raft.ElectionTimeoutMax }, "Twice the minimum, which is the range that Raft draws from.", ""},
	{"raft.heartbeat_interval_ms", func(c *Config) any { return &c.Raft.Heartbeat }, "How often a leader reports; at most half of election_timeout_min_ms.", ""},
	{"raft.snapshot_threshold", func(c *Config) any { return &c.Raft.SnapshotThreshold }, "Applied log entries between two snapshots.", ""},
	{"raft.target_voters", func(c *Config) any { return &c.Raft.TargetVoters }, "How many nodes vote: 3, or 5 where the cluster began with five; -1 leaves it to the operator.", "5"},
	{"raft.dead_voter_grace_ms", func(c *Config) any { return &c.Raft.DeadVoterGrace }, "How long a voter may be silent before a learner takes its place.", ""},

	{"remote.bulk_kib_per_second", func(c *Config) any { return &c.Remote.BulkRate }, "Limit of snapshots and other large state to each peer, in KiB per second. Default: none.", "102400"},

	{"gossip.bind_port", func(c *Config) any { return &c.Gossip.BindPort }, "UDP port of probes and gossip; the port of bind_address shares its socket, -1 is any free one.", ""},
	{"gossip.known_peers", func(c *Config) any { return &c.Gossip.KnownPeers }, "Gossip addresses of any members, asked to join: host:port or id@host:port.", "[\"node2:7946\"]"},
	{"gossip.profile", func(c *Config) any { return &c.Gossip.Profile }, "lan: round trips of a few ms. wan: regions, up to 500 ms and more loss. local: one machine. It sets all\ntimes of the protocol that the keys below do not; all members should have the same.", ""},
	{"gossip.protocol_period_ms", func(c *Config) any { return &c.Gossip.ProtocolPeriod }, "Time between two probes, each of one member: 2/period datagrams a second. A death is first suspected after\nabout 1.6 periods. Shorter finds deaths sooner for more packets. Default: lan 1000, wan 5000, local 500.", ""},
	{"gossip.suspect_timeout_ms", func(c *Config) any { return &c.Gossip.SuspectTimeout }, "How long a suspect may take to refute before it counts as failed. Of N members with C confirmations:\nmax(min, 6·min − 5·min·ln(C+1)/ln(4)), min = this·log10(max(N, 10))/2. Longer where healthy nodes stand\nstill for seconds. Default: lan 5000, wan 30000, local 3000, and at least 5 periods.", ""},

	{"partitioning.virtual_nodes", func(c *Config) any { return &c.Partitioning.VirtualNodes }, "Points of each member on the hash ring.", ""},
	{"partitioning.replication_factor", func(c *Config) any { return &c.Partitioning.ReplicationFactor }, "Replicas of a partition where its topic does not say.", ""},
	{"partitioning.failover_grace_ms", func(c *Config) any { return &c.Partitioning.FailoverGrace }, "How long a failed member may take to come back before its partitions move.", ""},

	{"tls.ca", func(c *Config) any { return &c.TLS.CA }, "The cluster's CA certificate. Default: <data_dir>/tls/ca.pem.", "rivven-data/node1/tls/ca.pem"},
	{"tls.cert", func(c *Config) any { return &c.TLS.Cert }, "The node's certificate. Default: <data_dir>/tls/node.pem.", "rivven-data/node1/tls/node.pem"},
	{"tls.key", func(c *Config) any { return &c.TLS.Key }, "Its private key. Default: <data_dir>/tls/node.key.", "rivven-data/node1/tls/node.key"},

	{"admin.bind_address", func(c *Config) any { return &c.Admin.Bind }, "The HTTP API; \"off\" serves none. On an address other than loopback it wants a token_file.", ""},
	{"admin.health_address", func(c *Config) any { return &c.Admin.HealthBind }, "Serves only /livez, /readyz and /metrics, in the clear.", "\"0.0.0.0:9095\""},
	{"admin.token_file", func(c *Config) any { return &c.Admin.TokenFile }, "The bearer token that requests to the API must show.", "/etc/rivven/token"},

	{"log.level", func(c *Config) any { return &c.Log.Level }, "debug, info, warn or error.", ""},
	{"log.format", func(c *Config) any { return &c.Log.Format }, "json or console.", ""},
}

func settingOf(key string) (setting, bool) {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
	if i < 0 {
		return setting{}, false
	}
	return settings[i], true
}

// childKeys are the names that may stand in a section ("" is cluster itself), without their path.
func childKeys(section string) []string {
	var out []string
	for _, s := range settings {
		rest := s.key
		if section != "" {
			var ok bool
			if rest, ok = strings.CutPrefix(s.key, section+"."); !ok {
				continue
			}
		}
		name, _, _ := strings.Cut(rest, ".")
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func isSection(key string) bool {
	return slices.ContainsFunc(settings, func(s setting) bool { return strings.HasPrefix(s.key, key+".") })
}

// closest returns the candidate that word is probably a misspelling of, or "".
func closest(word string, candidates []string) string {
	best, bestDistance := "", max(2, min(len(word), 64)/4)+1
	for _, c := range candidates {
		if d := editDistance(word, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// editDistance is Levenshtein's; of hostile words only the first 64 bytes count.
func editDistance(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

var (
	decimal          = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)
	ordinalOfSetName = regexp.MustCompile(`-(0|[1-9][0-9]*)$`)
)

// setScalar parses text into field. Ranges that a Config built in Go can break as well are Validate's.
func setScalar(field any, text string, h host) error {
	if s, ok := field.(*string); ok {
		*s = text
		return nil
	}
	if n, ok := field.(*nodeNumber); ok && text == "auto" {
		id, err := ordinalID(h)
		*n = nodeNumber(id)
		return err
	}
	what := "a whole number"
	if _, ok := field.(*time.Duration); ok {
		what = "a whole number of milliseconds"
	}
	if !decimal.MatchString(text) {
		return fmt.Errorf("%s is not %s in decimal", shortQuote(text), what)
	}
	if _, ok := field.(*nodeNumber); ok && text == "0" {
		return errors.New("0 is no node id: number the nodes from 1")
	}
	if text == "0" {
		return errors.New("0 is not allowed; leave the key out for the default")
	}
	if err := setNumber(field, text); err != nil {
		return fmt.Errorf("%s is out of range for %s", shortQuote(text), what)
	}
	return nil
}

func setNumber(field any, text string) error {
	switch f := field.(type) {
	case *nodeNumber:
		v, err := strconv.ParseUint(text, 10, 64)
		*f = nodeNumber(v)
		return err
	case *uint64:
		v, err := strconv.ParseUint(text, 10, 64)
		*f = v
		return err
	case *int:
		v, err := strconv.ParseInt(text, 10, 32)
		*f = int(v)
		return err
	case *time.Duration:
		v, err := strconv.ParseInt(text, 10, 32)
		*f = time.Duration(v) * time.Millisecond
		return err
	}
	panic(fmt.Sprintf("config: no parser for a field of type %T", field))
}

// ordinalID numbers the pods of a StatefulSet from 1: Kubernetes counts from 0, which is no node id.
func ordinalID(h host) (uint64, error) {
	name, err := h.Name()
	if err != nil {
		return 0, fmt.Errorf("auto needs the host's name: %w; give a number", err)
	}
	label, _, _ := strings.Cut(name, ".")
	m := ordinalOfSetName.FindStringSubmatch(label)
	if m == nil {
		return 0, fmt.Errorf("auto finds no ordinal at the end of the host name %s, as in \"rivven-0\"; give a number", shortQuote(name))
	}
	n, err := strconv.ParseUint(m[1], 10, 32)
	if err != nil {
		return 0, fmt.Errorf("auto finds an ordinal out of range in the host name %s; give a number", shortQuote(name))
	}
	return n + 1, nil
}

// text is the value of a field as the file would have it, "" where it is unset.
func fieldText(field any) string {
	switch f := field.(type) {
	case *nodeNumber:
		return numberText(uint64(*f))
	case *uint64:
		return numberText(*f)
	case *int:
		return numberText(*f)
	case *time.Duration:
		return numberText(f.Milliseconds())
	case *string:
		if *f == "" {
			return ""
		}
		return strconv.Quote(*f)
	case *[]string:
		return flow("[", "]", *f, strconv.Quote)
	case *map[string]string:
		keys := slices.Sorted(maps.Keys(*f))
		return flow("{", "}", keys, func(k string) string { return strconv.Quote(k) + ": " + strconv.Quote((*f)[k]) })
	}
	panic(fmt.Sprintf("config: no text for a field of type %T", field))
}

func numberText[N int | int64 | uint64](n N) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func flow(open, closing string, items []string, text func(string) string) string {
	if len(items) == 0 {
		return ""
	}
	out := make([]string, len(items))
	for i, s := range items {
		out[i] = text(s)
	}
	return open + strings.Join(out, ", ") + closing
}

// shortQuote quotes a value from outside for a message of one line.
func shortQuote(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.Quote(strings.ToValidUTF8(s[:most], "")) + "…"
	}
	return strconv.Quote(s)
}
