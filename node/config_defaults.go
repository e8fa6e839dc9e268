package node

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/hupe1980/rivven-cluster/swimactor/swim"
)

const (
	defaultClusterName        = "rivven"
	defaultBind               = "0.0.0.0:9093"
	defaultGossipPort         = 7946
	defaultElectionTimeoutMin = 150 * time.Millisecond
	defaultHeartbeatMax       = 50 * time.Millisecond
	defaultSnapshotThreshold  = 10_000
	defaultDeadVoterGrace     = time.Minute
	defaultProfile            = "lan"
	defaultVirtualNodes       = 128
	defaultReplicationFactor  = 3
	defaultFailoverGrace      = 15 * time.Second
	defaultAdminBind          = "127.0.0.1:9094"
	defaultLogLevel           = "info"
	defaultLogFormat          = "json"
)

// EnsureDefaults fills every field that is still zero with its default. Those of NodeName and Advertise
// are asked of the host: its name, a lookup of that name (bounded to two seconds) and its interfaces.
// What the host can't answer stays empty, and Validate says so.
func (c *Config) EnsureDefaults() { c.ensureDefaults(systemHost{}) }

func (c *Config) ensureDefaults(h host) {
	c.Name = cmp.Or(c.Name, defaultClusterName)
	c.Bind = cmp.Or(c.Bind, defaultBind)
	if c.NodeName == "" {
		c.NodeName, _ = h.Name() // Validate reports the empty name
	}
	if c.DataDir == "" && c.ID != 0 {
		c.DataDir = filepath.Join("rivven-data", fmt.Sprintf("node%d", c.ID))
	}
	if c.Advertise == "" {
		c.Advertise = defaultAdvertise(c.Bind, c.HostsFile, h)
	}

	r := &c.Raft
	switch {
	case r.ElectionTimeoutMin == 0 && r.ElectionTimeoutMax == 0:
		r.ElectionTimeoutMin = defaultElectionTimeoutMin
		r.ElectionTimeoutMax = 2 * defaultElectionTimeoutMin
	case r.ElectionTimeoutMin == 0:
		r.ElectionTimeoutMin = r.ElectionTimeoutMax / 2
	case r.ElectionTimeoutMax == 0:
		r.ElectionTimeoutMax = 2 * r.ElectionTimeoutMin
	}
	r.Heartbeat = cmp.Or(r.Heartbeat, min(defaultHeartbeatMax, r.ElectionTimeoutMin/3))
	r.SnapshotThreshold = cmp.Or(r.SnapshotThreshold, defaultSnapshotThreshold)

	r.DeadVoterGrace = cmp.Or(r.DeadVoterGrace, defaultDeadVoterGrace)

	g := &c.Gossip
	g.BindPort = cmp.Or(g.BindPort, defaultGossipPort)
	g.Profile = cmp.Or(g.Profile, defaultProfile)
	protocol := g.protocol()
	g.ProtocolPeriod = cmp.Or(g.ProtocolPeriod, protocol.ProtocolPeriod)
	g.SuspectTimeout = cmp.Or(g.SuspectTimeout, max(protocol.SuspectTimeout, 5*g.ProtocolPeriod))

	p := &c.Partitioning
	p.VirtualNodes = cmp.Or(p.VirtualNodes, defaultVirtualNodes)
	p.ReplicationFactor = cmp.Or(p.ReplicationFactor, defaultReplicationFactor)
	p.FailoverGrace = cmp.Or(p.FailoverGrace, defaultFailoverGrace)

	if c.DataDir != "" {
		c.TLS.CA = cmp.Or(c.TLS.CA, filepath.Join(c.DataDir, "tls", "ca.pem"))
		c.TLS.Cert = cmp.Or(c.TLS.Cert, filepath.Join(c.DataDir, "tls", "node.pem"))
		c.TLS.Key = cmp.Or(c.TLS.Key, filepath.Join(c.DataDir, "tls", "node.key"))
	}
	c.Admin.Bind = cmp.Or(c.Admin.Bind, defaultAdminBind)
	c.Log.Level = cmp.Or(c.Log.Level, defaultLogLevel)
	c.Log.Format = cmp.Or(c.Log.Format, defaultLogFormat)
}

// profiles are the membership's times by name.
var profiles = map[string]func() swim.Config{"lan": swim.DefaultLAN, "wan": swim.DefaultWAN, "local": swim.DefaultLocal}

// protocol is the profile with what single keys change. Of a profile that is not there Validate says so.
func (g GossipSettings) protocol() swim.Config {
	profile, known := profiles[g.Profile]
	if !known {
		profile = swim.DefaultLAN
	}
	c := profile()
	if g.ProtocolPeriod > 0 {
		c = c.WithProtocolPeriod(g.ProtocolPeriod)
	}
	if g.SuspectTimeout > 0 {
		c.SuspectTimeout = g.SuspectTimeout
	}
	return c
}

// defaultAdvertise is empty where bind is malformed or the host has no address for others.
func defaultAdvertise(bind, hostsFile string, h host) string {
	bindHost, port, err := net.SplitHostPort(bind)
	if err != nil {
		return ""
	}
	if !unspecifiedHost(bindHost) {
		return bind
	}
	if name, err := h.Name(); err == nil && name != "" {
		if hosts, err := LoadHosts(hostsFile); err == nil && len(hosts.Addrs(name)) > 0 {
			return net.JoinHostPort(name, port)
		}
		for _, a := range h.Lookup(name) {
			if !a.IsLoopback() && !a.IsUnspecified() {
				return net.JoinHostPort(name, port)
			}
		}
	}
	if a, ok := firstUsable(h.InterfaceAddrs()); ok {
		return net.JoinHostPort(a.String(), port)
	}
	return ""
}

// firstUsable prefers IPv4, and takes no address that other hosts can't dial as it stands.
func firstUsable(addrs []netip.Addr) (netip.Addr, bool) {
	var v6 netip.Addr
	for _, a := range addrs {
		a = a.Unmap()
		switch {
		case a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast() || a.IsMulticast():
		case a.Is4():
			return a, true
		case !v6.IsValid():
			v6 = a
		}
	}
	return v6, v6.IsValid()
}
