package remote

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Signer signs as the node that a certificate names, and judges what other nodes signed, by the rules by which peers are let in: a
// chain to one of the roots, and the node's SPIFFE id in the trust domain. A change of the certificate or of the roots counts from
// the next call on. Keys are Ed25519, as this package makes them, or ECDSA.
//
// A Signer remembers the latest 4096 signatures that it found good and 4096 certificates. It is not safe for concurrent use.
type Signer struct {
	source TLS
	domain string
	now    func() time.Time

	roots  *x509.CertPool
	chains bounded[provenChain]
	good   bounded[struct{}]

	pair  *tls.Certificate
	chain []byte
}

// NewSigner makes a Signer of the certificates of source; now is the clock by which certificates are valid.
func NewSigner(source TLS, trustDomain string, now func() time.Time) *Signer {
	return &Signer{source: source, domain: trustDomain, now: now}
}

// provenChain is a certificate that was found to be a node's.
type provenChain struct {
	leaf  *x509.Certificate
	node  uint64
	until time.Time // the first of its chain ends
}

// own is the present certificate, and its chain as one string of DER.
func (s *Signer) own() (*tls.Certificate, []byte, error) {
	pair, err := s.source.Certificate()
	if err != nil {
		return nil, nil, fmt.Errorf("reading this node's certificate: %w", err)
	}
	if pair != s.pair {
		s.pair, s.chain = pair, bytes.Join(pair.Certificate, nil)
	}
	return s.pair, s.chain, nil
}

// Certificate returns this node's certificate and what it has of its chain, in DER, one behind the other; nil where it can't be read.
func (s *Signer) Certificate() []byte {
	_, chain, err := s.own()
	if err != nil {
		return nil
	}
	return chain
}

// Sign signs a message, and returns the certificate that it is to be checked with.
func (s *Signer) Sign(message []byte) (certificate, signature []byte, err error) {
	pair, chain, err := s.own()
	if err != nil {
		return nil, nil, err
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("this node's key, %T, can't sign", pair.PrivateKey)
	}
	switch signer.Public().(type) {
	case ed25519.PublicKey:
		signature, err = signer.Sign(nil, message, crypto.Hash(0))
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(message)
		signature, err = signer.Sign(nil, digest[:], crypto.SHA256) // RFC 6979
	default:
		return nil, nil, fmt.Errorf("this node's key, %T, is not for Ed25519 or ECDSA: have its certificate issued for such a key", pair.PrivateKey)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("signing with this node's key: %w", err)
	}
	return chain, signature, nil
}

// Verify says why a signature of message is not that of a node by a certificate, a chain as [Signer.Certificate] returns it; nil if it is.
func (s *Signer) Verify(node uint64, certificate, message, signature []byte) error {
	roots, err := s.source.Roots()
	if err != nil {
		return fmt.Errorf("reading the CA: %w", err)
	}
	if roots != s.roots {
		s.roots = roots
		s.chains.clear()
		s.good.clear()
	}
	chain, err := s.prove(certificate)
	if err != nil {
		return err
	}
	if chain.node != node {
		return &CertificateError{Subject: describe(chain.leaf), Reason: fmt.Sprintf("it names node %d, and node %d was expected", chain.node, node)}
	}
	key := digestOf(certificate, message, signature)
	if _, known := s.good.get(key); known {
		return nil
	}
	algorithm := x509.PureEd25519
	if _, ok := chain.leaf.PublicKey.(*ecdsa.PublicKey); ok {
		algorithm = x509.ECDSAWithSHA256
	}
	if err := chain.leaf.CheckSignature(algorithm, message, signature); err != nil {
		return fmt.Errorf("signature of node %d: %w", node, err)
	}
	s.good.put(key, struct{}{})
	return nil
}

// prove checks a chain, or remembers it.
func (s *Signer) prove(certificate []byte) (provenChain, error) {
	now, key := s.now(), sha256.Sum256(certificate)
	if chain, known := s.chains.get(key); known && !now.After(chain.until) {
		return chain, nil
	}
	certificates, err := x509.ParseCertificates(certificate)
	if err != nil {
		return provenChain{}, fmt.Errorf("reading a node's certificate: %w", err)
	}
	if len(certificates) == 0 {
		return provenChain{}, errors.New("a node's certificate is empty")
	}
	node, err := verifyPeer(certificates, s.roots, s.domain, 0, now)
	if err != nil {
		return provenChain{}, err
	}
	chain := provenChain{leaf: certificates[0], node: node, until: certificates[0].NotAfter}
	for _, c := range certificates[1:] {
		if c.NotAfter.Before(chain.until) {
			chain.until = c.NotAfter
		}
	}
	s.chains.put(key, chain)
	return chain, nil
}

// digestOf is a digest of parts whose borders count.
func digestOf(parts ...[]byte) [sha256.Size]byte {
	h := sha256.New()
	for _, p := range parts {
		sum := sha256.Sum256(p)
		h.Write(sum[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// boundedMax is what a bounded holds at most.
const boundedMax = 4096

// bounded is a map that forgets the oldest entry when it is full.
type bounded[V any] struct {
	entries map[[sha256.Size]byte]V
	order   [][sha256.Size]byte // a ring once full
	next    int
}

func (b *bounded[V]) get(key [sha256.Size]byte) (V, bool) {
	v, ok := b.entries[key]
	return v, ok
}

func (b *bounded[V]) put(key [sha256.Size]byte, v V) {
	if b.entries == nil {
		b.entries = make(map[[sha256.Size]byte]V)
	}
	_, known := b.entries[key]
	b.entries[key] = v
	switch {
	case known:
	case len(b.order) < boundedMax:
		b.order = append(b.order, key)
	default:
		delete(b.entries, b.order[b.next])
		b.order[b.next] = key
		b.next = (b.next + 1) % boundedMax
	}
}

func (b *bounded[V]) clear() { *b = bounded[V]{} }
