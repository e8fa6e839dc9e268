package bootstrap

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

// MaxVoters bounds the voters that a cluster starts with; more of them only slow every write down.
const MaxVoters = 9

// maxPeers bounds the configured addresses.
const maxPeers = 64

// formatVersion of a Configuration.
const formatVersion = 1

// maxAddress bounds what a peer may call its address.
const maxAddress = 256

// configurationOf makes the configuration of a complete view, or says why these candidates can't form one.
func configurationOf(clusterName string, candidates []*Candidate) (*Configuration, error) {
	voters := slices.Clone(candidates)
	slices.SortFunc(voters, compareCandidates)
	if len(voters) > MaxVoters {
		return nil, fmt.Errorf("%d nodes can't all start as voters: at most %d; list fewer in raft.peers and let the others join", len(voters), MaxVoters)
	}
	for i := 1; i < len(voters); i++ {
		if a, b := voters[i-1], voters[i]; a.GetNodeId() == b.GetNodeId() {
			return nil, fmt.Errorf("node id %d is claimed by %s and by %s: give each node an id of its own", a.GetNodeId(), a.GetAddress(), b.GetAddress())
		}
	}
	return &Configuration{Format: formatVersion, ClusterName: clusterName, Voters: voters}, nil
}

func compareCandidates(a, b *Candidate) int {
	return cmp.Or(cmp.Compare(a.GetNodeId(), b.GetNodeId()), bytes.Compare(a.GetDirectoryId(), b.GetDirectoryId()))
}

// digest is a hash over the fields themselves, each with its length: it must not change with the encoding's library.
func (c *Configuration) digest() []byte {
	h := sha256.New()
	number := func(n uint64) { _, _ = h.Write(binary.BigEndian.AppendUint64(nil, n)) }
	text := func(b []byte) {
		number(uint64(len(b)))
		_, _ = h.Write(b)
	}
	number(uint64(c.GetFormat()))
	text([]byte(c.GetClusterName()))
	number(uint64(len(c.GetVoters())))
	for _, v := range c.GetVoters() {
		number(v.GetNodeId())
		text(v.GetDirectoryId())
		text([]byte(v.GetAddress()))
	}
	return h.Sum(nil)
}

// clusterID is the first half of the digest, in hexadecimal.
func (c *Configuration) clusterID() string { return hex.EncodeToString(c.digest()[:16]) }

// names reports whether this very disk is one of the initial voters.
func (c *Configuration) names(nodeID uint64, directory actors.ID) bool {
	return slices.ContainsFunc(c.GetVoters(), func(v *Candidate) bool {
		return v.GetNodeId() == nodeID && bytes.Equal(v.GetDirectoryId(), directory[:])
	})
}

// Peers returns the initial voters as Raft peers.
func (c *Configuration) Peers() []*consensus.Peer {
	out := make([]*consensus.Peer, 0, len(c.GetVoters()))
	for _, v := range c.GetVoters() {
		out = append(out, v.peer())
	}
	return out
}

func (c *Candidate) directory() actors.ID {
	id, _ := actors.IDFromBytes(c.GetDirectoryId())
	return id
}

func (c *Candidate) peer() *consensus.Peer {
	return &consensus.Peer{NodeId: c.GetNodeId(), Replica: actors.ReplicaID(c.directory()), Address: c.GetAddress()}
}

func (c *Candidate) check() error {
	switch {
	case c.GetNodeId() == 0:
		return fmt.Errorf("candidate without a node id")
	case len(c.GetDirectoryId()) != len(actors.ID{}) || c.directory().IsZero():
		return fmt.Errorf("candidate %d has a directory id of %d bytes, want %d", c.GetNodeId(), len(c.GetDirectoryId()), len(actors.ID{}))
	case c.GetAddress() == "" || len(c.GetAddress()) > maxAddress:
		return fmt.Errorf("candidate %d has an address of %d bytes, want 1 to %d", c.GetNodeId(), len(c.GetAddress()), maxAddress)
	}
	return nil
}

// check refuses a configuration from the wire or the disk that this version would not have written.
func (c *Configuration) check() error {
	if c.GetFormat() != formatVersion {
		return fmt.Errorf("initial configuration has format %d, this version reads %d", c.GetFormat(), formatVersion)
	}
	if n := len(c.GetVoters()); n == 0 || n > MaxVoters {
		return fmt.Errorf("initial configuration names %d voters, want 1 to %d", n, MaxVoters)
	}
	for _, v := range c.GetVoters() {
		if err := v.check(); err != nil {
			return err
		}
	}
	if !slices.IsSortedFunc(c.GetVoters(), compareCandidates) {
		return fmt.Errorf("initial configuration is not sorted")
	}
	return nil
}

// ParseConfiguration reads what a store keeps as its initial configuration; empty bytes are an empty one.
func ParseConfiguration(b []byte) (*Configuration, error) {
	c := &Configuration{}
	if len(b) == 0 {
		return c, nil
	}
	if err := proto.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("initial configuration: %w", err)
	}
	return c, c.check()
}

// Found is the identity that makes a blank directory the only node of a cluster of its own, as a node that bootstraps alone would.
func Found(id logstore.Identity, clusterName, address string) (logstore.Identity, error) {
	self := &Candidate{NodeId: id.NodeID, DirectoryId: id.DirectoryID[:], Address: address}
	if err := self.check(); err != nil {
		return id, err
	}
	configuration, err := configurationOf(clusterName, []*Candidate{self})
	if err != nil {
		return id, err
	}
	if id.InitialConfig, err = (proto.MarshalOptions{Deterministic: true}).Marshal(configuration); err != nil {
		return id, fmt.Errorf("encode the initial configuration: %w", err)
	}
	id.ClusterID = configuration.clusterID()
	return id, nil
}
