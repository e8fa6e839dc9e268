package remote

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/hupe1980/rivven-cluster/actors"
)

// devTLS makes a certificate from a CA whose key follows from the trust domain, so that processes on one machine trust
// each other without sharing a file. Everybody can make that key: it proves nothing, hence loopback only.
func devTLS(env actors.Env, domain string, cfg *Config) (TLS, error) {
	if !isLoopback(cfg.Host) || cfg.gossip != nil && !isLoopback(cfg.gossip.host) {
		return TLS{}, fmt.Errorf("development certificates work on loopback only, and %s is not: use WithTLS", cfg.Address())
	}
	seed := sha256.Sum256([]byte("rivven development CA of " + domain))
	ca, err := newCA(domain, ed25519.NewKeyFromSeed(seed[:]), env.Now(), 0)
	if err != nil {
		return TLS{}, err
	}
	id := env.NewID()
	node := max(binary.BigEndian.Uint64(id[:])>>12, 1) // 52 bits are exact in every JSON reader
	if cfg.identity != nil {
		node = cfg.identity.NodeID
	}
	certificate, err := ca.IssueNode(node, env.Now(), 0, "localhost", "127.0.0.1", "::1")
	if err != nil {
		return TLS{}, err
	}
	return StaticTLS(ca.Pool(), certificate), nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
