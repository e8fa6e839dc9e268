package node

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxTagBytes = 2048
	maxDuration = time.Hour
)

var (
	clusterNamePattern = regexp.MustCompile(`^[a-z0-9._-]{1,63}$`)
	nodeNamePattern    = regexp.MustCompile(`^[A-Za-z0-9._-]{1,253}$`)
)

// Validate checks a Config whose defaults are filled in and reports every fault at once, as a
// *ConfigError. It reads the hosts file, but neither the certificates nor the data directory.
func (c Config) Validate() error {
	faults := c.faults()
	kept := faults[:min(len(faults), maxConfigFaults)]
	out := make([]*ConfigFault, len(kept))
	for i, f := range kept {
		out[i] = &ConfigFault{Key: f.keys[0], Message: f.message}
	}
	return newConfigError(out, len(faults)-len(kept))
}

// Warnings are what a valid Config states differently from what will happen.
func (c Config) Warnings() []string {
	r := c.Raft
	if r.ElectionTimeoutMax == 2*r.ElectionTimeoutMin {
		return nil
	}
	return []string{fmt.Sprintf("raft.election_timeout_max_ms is %d, but Raft draws election timeouts from [%v, %v): set it to %d",
		r.ElectionTimeoutMax.Milliseconds(), r.ElectionTimeoutMin, 2*r.ElectionTimeoutMin, 2*r.ElectionTimeoutMin.Milliseconds())}
}

// CheckTLSFiles says which files of the node's certificate are missing, and which commands make them.
func (c Config) CheckTLSFiles() error {
	var missing []error
	for _, f := range []struct{ key, path string }{{"tls.ca", c.TLS.CA}, {"tls.cert", c.TLS.Cert}, {"tls.key", c.TLS.Key}} {
		if _, err := os.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, fmt.Errorf("%s: %s does not exist", f.key, f.path))
		} else if err != nil {
			missing = append(missing, fmt.Errorf("%s: %w", f.key, err))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%w\nmake them with \"rivven-node tls ca create --name %s\" and \"rivven-node tls cert create --id %d --out %s\", or name other files under tls",
		errors.Join(missing...), c.Name, c.ID, filepath.Dir(c.TLS.Cert))
}

// checkFault is a fault that lies between keys, the first of which is to change.
type checkFault struct {
	keys    []string
	message string
}

type checker struct{ found []checkFault }

// fault adds one; keys are separated by spaces.
func (k *checker) fault(keys, format string, args ...any) {
	k.found = append(k.found, checkFault{strings.Fields(keys), fmt.Sprintf(format, args...)})
}

func (k *checker) err(key string, err error) {
	if err != nil {
		k.fault(key, "%v", err)
	}
}

func (c Config) faults() []checkFault {
	var k checker
	c.checkIdentity(&k)
	c.checkAddresses(&k)
	c.checkRaft(&k)
	c.checkGossip(&k)
	c.checkRest(&k)
	return k.found
}

func (c Config) checkIdentity(k *checker) {
	if c.ID == 0 {
		k.fault("node_id", "is required: give every node a number of its own, from 1")
	}
	if !clusterNamePattern.MatchString(c.Name) {
		k.fault("name", "%s is not 1 to 63 of a-z, 0-9, '.', '_', '-'", shortQuote(c.Name))
	}
	switch {
	case c.NodeName == "":
		k.fault("node_name", "is empty and the host has no name: give one")
	case !nodeNamePattern.MatchString(c.NodeName):
		k.fault("node_name", "%s is not 1 to 253 of letters, digits, '.', '_', '-'", shortQuote(c.NodeName))
	}
	if c.DataDir == "" && c.ID != 0 {
		k.fault("data_dir", "is empty")
	}
	k.err("zone", checkText(c.Zone, 128))
	k.err("rack", checkText(c.Rack, 128))
	size := 0
	for _, key := range slices.Sorted(maps.Keys(c.Tags)) {
		size += len(key) + len(c.Tags[key])
		if key == "" {
			k.fault("tags", "a tag has an empty name")
		}
		k.err("tags", checkText(key, maxTagBytes))
		k.err("tags", checkText(c.Tags[key], maxTagBytes))
	}
	if size > maxTagBytes {
		k.fault("tags", "are %d bytes of names and values, at most %d are told to the members", size, maxTagBytes)
	}
}

func checkText(s string, most int) error {
	switch {
	case len(s) > most:
		return fmt.Errorf("%s is %d bytes long, at most %d are allowed", shortQuote(s), len(s), most)
	case !utf8.ValidString(s):
		return fmt.Errorf("%s is not UTF-8", shortQuote(s))
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%s has characters that can't be printed", shortQuote(s))
	}
	return nil
}

func (c Config) checkAddresses(k *checker) {
	bindErr := checkAddress(c.Bind, listenable)
	k.err("bind_address", bindErr)
	switch {
	case c.Advertise == "" && bindErr == nil:
		k.fault("advertise_address", "bind_address %q names no host and this one has neither a name that others could resolve nor a usable interface: give the host:port at which the other nodes reach this one", c.Bind)
	case c.Advertise != "":
		k.err("advertise_address", checkAdvertise(c.Advertise, c.Bind))
	}
	checkPeers(k, "raft.peers", c.Peers)
	checkPeers(k, "gossip.known_peers", c.Gossip.KnownPeers)
	if _, err := LoadHosts(c.HostsFile); err != nil {
		k.fault("hosts_file", "%v", err)
	}

	if c.Admin.Bind != AdminOff {
		err := checkAddress(c.Admin.Bind, listenable)
		if err != nil {
			err = fmt.Errorf("%w, or %q", err, AdminOff)
		} else if !loopbackAddress(c.Admin.Bind) && c.Admin.TokenFile == "" {
			k.fault("admin.token_file admin.bind_address", "is required because admin.bind_address %q is not loopback: name the file that holds the token", c.Admin.Bind)
		}
		k.err("admin.bind_address", err)
	}
	if c.Admin.HealthBind != "" {
		err := checkAddress(c.Admin.HealthBind, listenable)
		k.err("admin.health_address", err)
		if err == nil && c.Admin.HealthBind == c.Admin.Bind && portOf(c.Admin.Bind) != 0 {
			k.fault("admin.health_address admin.bind_address", "%q is admin.bind_address as well: give it a port of its own", c.Admin.HealthBind)
		}
	}
}

// checkDuration reports whether d can be compared with others.
func checkDuration(k *checker, key string, d, least time.Duration) bool {
	if d < least || d > maxDuration {
		k.fault(key, "is %v, not between %v and %v", d, least, maxDuration)
		return false
	}
	return true
}

func (c Config) checkRaft(k *checker) {
	const lo, hi, beat = "raft.election_timeout_min_ms", "raft.election_timeout_max_ms", "raft.heartbeat_interval_ms"
	r := c.Raft
	loOK := checkDuration(k, lo, r.ElectionTimeoutMin, 10*time.Millisecond)
	hiOK := checkDuration(k, hi, r.ElectionTimeoutMax, 10*time.Millisecond)
	beatOK := checkDuration(k, beat, r.Heartbeat, time.Millisecond)
	if loOK && hiOK && r.ElectionTimeoutMax <= r.ElectionTimeoutMin {
		k.fault(hi+" "+lo, "is %v, not above the minimum of %v: set it to %d", r.ElectionTimeoutMax, r.ElectionTimeoutMin, 2*r.ElectionTimeoutMin.Milliseconds())
	}
	if loOK && beatOK && r.Heartbeat > r.ElectionTimeoutMin/2 {
		k.fault(beat+" "+lo, "is %v, more than half of the minimum election timeout of %v: followers would stand for election between two heartbeats", r.Heartbeat, r.ElectionTimeoutMin)
	}
	if r.SnapshotThreshold == 0 {
		k.fault("raft.snapshot_threshold", "is 0: give the number of log entries between two snapshots")
	}
	if n := r.TargetVoters; n != 0 && n != AutopilotOff && (n < 1 || n > 7 || n%2 == 0) {
		k.fault("raft.target_voters", "is %d, not 1, 3, 5 or 7, nor -1 for voters that only the operator changes", n)
	}
	checkDuration(k, "raft.dead_voter_grace_ms", r.DeadVoterGrace, 2*time.Second)
}

// minBulkRate lets a chunk through within seconds.
const minBulkRate = 64

func (c Config) checkGossip(k *checker) {
	if r := c.Remote.BulkRate; r != 0 && r < minBulkRate {
		k.fault("remote.bulk_kib_per_second", "is %d, below %d: leave the key out for no limit", r, minBulkRate)
	}
	const period, suspect = "gossip.protocol_period_ms", "gossip.suspect_timeout_ms"
	g := c.Gossip
	if g.BindPort != AnyPort && (g.BindPort < 1 || g.BindPort > 65535) {
		k.fault("gossip.bind_port", "is %d, not a port from 1 to 65535, or -1 for any free one", g.BindPort)
	}
	oneOf(k, "gossip.profile", g.Profile, slices.Sorted(maps.Keys(profiles))...)
	periodOK := checkDuration(k, period, g.ProtocolPeriod, 10*time.Millisecond)
	if checkDuration(k, suspect, g.SuspectTimeout, 10*time.Millisecond) && periodOK && g.SuspectTimeout < g.ProtocolPeriod {
		k.fault(suspect+" "+period, "is %v, shorter than the protocol period of %v: a suspect would have no time to refute", g.SuspectTimeout, g.ProtocolPeriod)
	}
}

func (c Config) checkRest(k *checker) {
	p := c.Partitioning
	if p.VirtualNodes < 1 || p.VirtualNodes > 4096 {
		k.fault("partitioning.virtual_nodes", "is %d, not between 1 and 4096", p.VirtualNodes)
	}
	if p.ReplicationFactor < 1 || p.ReplicationFactor > 15 {
		k.fault("partitioning.replication_factor", "is %d, not between 1 and 15", p.ReplicationFactor)
	}
	checkDuration(k, "partitioning.failover_grace_ms", p.FailoverGrace, time.Millisecond)
	oneOf(k, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(k, "log.format", c.Log.Format, "json", "console")
}

func oneOf(k *checker, key, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	hint := ""
	if near := closest(value, allowed); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	k.fault(key, "%s is not one of %s%s", shortQuote(value), strings.Join(allowed, ", "), hint)
}
