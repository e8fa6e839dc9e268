package testkit

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/hupe1980/rivven-cluster/remote"
)

// certificateValidity is longer than any world lasts.
const certificateValidity = 100 * 365 * 24 * time.Hour

// issuer is a certificate authority without chance: the same node gets the same certificate in every world, so that traces that hold
// them can be compared. Whoever reads this has its key.
type issuer struct {
	domain string
	ca     *x509.Certificate
	key    ed25519.PrivateKey
	pool   *x509.CertPool
	issued map[[2]int]*tls.Certificate // by node id and number
}

var (
	issuersMu sync.Mutex
	issuers   = make(map[string]*issuer)
)

func keyOf(what string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("testkit " + what))
	return ed25519.NewKeyFromSeed(seed[:])
}

// certify returns the roots of a trust domain and a certificate of a node there.
func certify(domain string, node, number int) (*x509.CertPool, *tls.Certificate, error) {
	issuersMu.Lock()
	defer issuersMu.Unlock()
	i := issuers[domain]
	if i == nil {
		var err error
		if i, err = newIssuer(domain); err != nil {
			return nil, nil, fmt.Errorf("testkit: certificate authority: %w", err)
		}
		issuers[domain] = i
	}
	if i.issued[[2]int{node, number}] == nil {
		c, err := i.issue(node, number)
		if err != nil {
			return nil, nil, fmt.Errorf("testkit: certificate of node %d: %w", node, err)
		}
		i.issued[[2]int{node, number}] = c
	}
	return i.pool, i.issued[[2]int{node, number}], nil
}

func newIssuer(domain string) (*issuer, error) {
	i := &issuer{domain: domain, key: keyOf("CA of " + domain), pool: x509.NewCertPool(), issued: make(map[[2]int]*tls.Certificate)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: domain + " CA"}, KeyUsage: x509.KeyUsageCertSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	var err error
	if i.ca, err = i.sign(template, template, i.key.Public()); err != nil {
		return nil, err
	}
	i.pool.AddCert(i.ca)
	return i, nil
}

func (i *issuer) issue(node, number int) (*tls.Certificate, error) {
	key := keyOf(fmt.Sprintf("node %d of %s, number %d", node, i.domain, number))
	leaf, err := i.sign(&x509.Certificate{
		SerialNumber: big.NewInt(int64(2 + node<<16 + number)), Subject: pkix.Name{CommonName: fmt.Sprintf("node %d of %s", node, i.domain)},
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		URIs: []*url.URL{{Scheme: "spiffe", Host: i.domain, Path: "/node/" + strconv.Itoa(node)}},
	}, i.ca, key.Public())
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

func (i *issuer) sign(template, parent *x509.Certificate, public crypto.PublicKey) (*x509.Certificate, error) {
	template.NotBefore, template.NotAfter = epoch.Add(-certificateValidity), epoch.Add(certificateValidity)
	der, err := x509.CreateCertificate(nil, template, parent, public, i.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// certificates is where the node reads its certificates in a trust domain.
func (n *Node) certificates(domain string) remote.TLS {
	if domain == "" {
		domain = remote.DefaultTrustDomain
	}
	return remote.TLS{
		Roots: func() (*x509.CertPool, error) {
			roots, _, err := certify(domain, n.certified, n.certificate)
			return roots, err
		},
		Certificate: func() (*tls.Certificate, error) {
			_, certificate, err := certify(domain, n.certified, n.certificate)
			return certificate, err
		},
	}
}

// RenewCertificate gives the node another certificate with another key, as an operator does who replaces its files.
func (n *Node) RenewCertificate() {
	n.certificate++
	n.world.event(Event{Kind: "certificate", Node: n.id, Detail: strconv.Itoa(n.certificate)})
}
