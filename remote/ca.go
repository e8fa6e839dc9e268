package remote

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// How long certificates are valid where the caller doesn't say.
const (
	DefaultCAValidity   = 10 * 365 * 24 * time.Hour
	DefaultNodeValidity = 365 * 24 * time.Hour
)

// Certificates begin this long before they are made, so that a peer whose clock is behind takes them.
const clockSkew = time.Hour

// CA is a private certificate authority of one cluster. Its keys, and those of its nodes, are Ed25519.
type CA struct {
	TrustDomain string
	Certificate *x509.Certificate
	key         crypto.Signer
}

// NewCA makes a certificate authority for a trust domain, valid from now on for validity (0 means
// [DefaultCAValidity]).
func NewCA(trustDomain string, now time.Time, validity time.Duration) (*CA, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a CA key: %w", err)
	}
	return newCA(trustDomain, key, now, validity)
}

func newCA(trustDomain string, key crypto.Signer, now time.Time, validity time.Duration) (*CA, error) {
	if err := checkTrustDomain(trustDomain); err != nil {
		return nil, err
	}
	if validity == 0 {
		validity = DefaultCAValidity
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: trustDomain + " CA"},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(validity),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing the CA certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading back the CA certificate: %w", err)
	}
	return &CA{TrustDomain: trustDomain, Certificate: certificate, key: key}, nil
}

// IssueNode makes key and certificate of a node. Hosts are names and addresses for tools that look at them; peers
// check the SPIFFE id alone. A validity of 0 means [DefaultNodeValidity].
func (ca *CA) IssueNode(nodeID uint64, now time.Time, validity time.Duration, hosts ...string) (*tls.Certificate, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key for node %d: %w", nodeID, err)
	}
	der, err := ca.SignNode(nodeID, public, now, validity, hosts...)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading back the certificate of node %d: %w", nodeID, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// SignNode certifies a key that a node made itself, and returns the certificate in DER.
func (ca *CA) SignNode(nodeID uint64, public crypto.PublicKey, now time.Time, validity time.Duration, hosts ...string) ([]byte, error) {
	if nodeID == 0 {
		return nil, errors.New("node id 0: ids start at 1")
	}
	if validity == 0 {
		validity = DefaultNodeValidity
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	end := now.Add(validity)
	if end.After(ca.Certificate.NotAfter) {
		end = ca.Certificate.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: fmt.Sprintf("node %d of %s", nodeID, ca.TrustDomain)},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	template.URIs = append(template.URIs, spiffeID(ca.TrustDomain, nodeID))
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Certificate, public, ca.key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of node %d: %w", nodeID, err)
	}
	return der, nil
}

// Pool returns a pool of this CA alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Certificate)
	return pool
}

// CertificatePEM returns the CA's certificate, which every node needs.
func (ca *CA) CertificatePEM() []byte { return pemBlock("CERTIFICATE", ca.Certificate.Raw) }

// KeyPEM returns the CA's private key in PKCS #8. Nodes don't need it; whoever has it can be any node.
func (ca *CA) KeyPEM() ([]byte, error) { return keyPEM(ca.key) }

// ParseCA reads a CA from its certificate and key in PEM.
func ParseCA(certificate, key []byte) (*CA, error) {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("reading the CA: %w", err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("reading the CA certificate: %w", err)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !leaf.IsCA {
		return nil, fmt.Errorf("certificate %q is no CA", leaf.Subject.CommonName)
	}
	domain, ok := caTrustDomain(leaf)
	if !ok {
		return nil, fmt.Errorf("CA %q was not made by this program: its name has no trust domain", leaf.Subject.CommonName)
	}
	return &CA{TrustDomain: domain, Certificate: leaf, key: signer}, nil
}

// LoadCA reads a CA from files.
func LoadCA(certificateFile, keyFile string) (*CA, error) {
	certificate, err := os.ReadFile(certificateFile)
	if err != nil {
		return nil, fmt.Errorf("reading the CA certificate: %w", err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the CA key: %w", err)
	}
	ca, err := ParseCA(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", certificateFile, keyFile, err)
	}
	return ca, nil
}

// EncodeNode returns a node's certificate chain and its key in PKCS #8, both in PEM.
func EncodeNode(c *tls.Certificate) (certificate, key []byte, err error) {
	for _, der := range c.Certificate {
		certificate = append(certificate, pemBlock("CERTIFICATE", der)...)
	}
	key, err = keyPEM(c.PrivateKey)
	return certificate, key, err
}

func keyPEM(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a private key: %w", err)
	}
	return pemBlock("PRIVATE KEY", der), nil
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	return serial, nil
}
