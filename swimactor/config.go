package swimactor

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/swimactor/swim"
)

// knownPeersMax is what the core takes.
const knownPeersMax = 64

// Config says who this node is and whom it looks for. One Config, and the Props made of it, belong to one node.
type Config struct {
	// NodeID, DirectoryID and Generation identify the process; the peers' Hellos prove them. None may be zero.
	NodeID      uint64
	DirectoryID actors.ID
	Generation  uint64

	// Name is for people.
	Name string

	// ClusterID keeps clusters apart: nodes with another one are refused. Empty meets only empty.
	ClusterID string

	// Address is the main address, host:port, that peers send to.
	Address string

	// BindAddr is where the gossip endpoint listens, host:port; the remote opens it. Empty: it shares the main one.
	BindAddr string

	// GossipAddress is what peers dial for gossip; empty: the main address's host with BindAddr's port.
	GossipAddress string

	// KnownPeers are the seeds, host:port or id@host:port, any address of the peer; at most 64. This node's own
	// may be among them. They are tried until whoever lives there is a member.
	KnownPeers []string

	// Tags describe the node to others; membership.TagZone and its like name those that subsystems read. At most 2 KiB.
	Tags map[string]string

	// Protocol holds the parameters; its ClusterID and Authority are overwritten. The zero value means swim.DefaultLAN().
	Protocol swim.Config

	// Authority signs this node's record with the key of its certificate and judges the records of others. All nodes of
	// a cluster have one, or none has: nil leaves records unsigned and believes what any authenticated peer says of others.
	Authority swim.Authority

	// EventsPerSecondMax is how many events one subscriber gets within a second before it gets a Snapshot at the
	// end of that second in place of the rest. Zero means 1000.
	EventsPerSecondMax int
}

// peerAddress splits id@host:port; the id is 0 where none is given.
func peerAddress(peer string) (id uint64, address string, err error) {
	if before, after, found := strings.Cut(peer, "@"); found {
		if id, err = strconv.ParseUint(before, 10, 64); err != nil || id == 0 {
			return 0, "", fmt.Errorf("swim: known peer %q: %q is not a node id: write id@host:port with an id from 1", peer, before)
		}
		peer = after
	}
	return id, peer, checkAddress("known peer", peer)
}

func checkAddress(what, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("swim: %s %q is not host:port: %w", what, address, err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("swim: %s %q has no port from 1 to 65535", what, address)
	}
	if host == "" && what != "bind address" {
		return fmt.Errorf("swim: %s %q has no host: peers have to know it", what, address)
	}
	return nil
}

// complete fills in defaults and checks everything; the error names every fault.
func (c Config) complete() (Config, error) {
	var errs []error
	if c.NodeID == 0 {
		errs = append(errs, errors.New("swim: node id is 0: ids start at 1"))
	}
	if c.DirectoryID.IsZero() {
		errs = append(errs, errors.New("swim: directory id is not set: it comes with the data directory"))
	}
	if c.Generation == 0 {
		errs = append(errs, errors.New("swim: generation is 0: it counts the starts of the process, from 1"))
	}
	errs = append(errs, checkAddress("address", c.Address))
	if c.BindAddr != "" {
		errs = append(errs, checkAddress("bind address", c.BindAddr))
	}
	if c.GossipAddress != "" {
		errs = append(errs, checkAddress("gossip address", c.GossipAddress))
	} else if host, _, err := net.SplitHostPort(c.Address); err == nil && c.BindAddr != "" {
		if _, port, err := net.SplitHostPort(c.BindAddr); err == nil {
			c.GossipAddress = net.JoinHostPort(host, port)
		}
	}
	if len(c.KnownPeers) > knownPeersMax {
		errs = append(errs, fmt.Errorf("swim: %d known peers: at most %d are allowed; a few are enough", len(c.KnownPeers), knownPeersMax))
	}
	for _, peer := range c.KnownPeers {
		_, _, err := peerAddress(peer)
		errs = append(errs, err)
	}
	if c.Protocol.ProtocolPeriod == 0 && c.Protocol.SuspectTimeout == 0 {
		c.Protocol = swim.DefaultLAN()
	}
	c.Protocol.ClusterID, c.Protocol.Authority = c.ClusterID, c.Authority
	if c.EventsPerSecondMax == 0 {
		c.EventsPerSecondMax = 1000
	}
	if c.EventsPerSecondMax < 0 {
		errs = append(errs, fmt.Errorf("swim: EventsPerSecondMax is %d: allow at least 1", c.EventsPerSecondMax))
	}
	c.KnownPeers, c.Tags = slices.Clone(c.KnownPeers), maps.Clone(c.Tags)
	if c.Authority != nil {
		if _, _, err := c.Authority.Sign([]byte("trial")); err != nil {
			errs = append(errs, fmt.Errorf("swim: this node's record can't be signed: %w", err))
		}
	}
	errs = append(errs, c.Protocol.Validate())
	if rec := c.record(); c.NodeID != 0 && c.Address != "" {
		if err := rec.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("swim: this node's record: %w", err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return c, err
	}
	return c, nil
}

// record is what the node says about itself at its start.
func (c Config) record() swim.Record {
	return swim.Record{
		ID: c.NodeID, Directory: string(c.DirectoryID[:]), Name: c.Name, Generation: c.Generation,
		Address: c.Address, GossipAddress: c.GossipAddress, Tags: c.Tags,
	}
}
