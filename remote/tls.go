package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// TLS is where a remote reads its certificates. Both are called at each handshake, from many goroutines, so what
// they return may change without a restart; connections are renewed every hour (see [WithConnectionAge]).
type TLS struct {
	// Roots are the CAs that peers' certificates must descend from. System roots are never used.
	Roots func() (*x509.CertPool, error)
	// Certificate is this node's own, with the SPIFFE id spiffe://<trust domain>/node/<id> among its URIs.
	Certificate func() (*tls.Certificate, error)
	// Fault says why the newest are not in use, nil where they are; it may be nil where that can't happen. The remote
	// logs what it says and counts it.
	Fault func() error
}

// TLSFiles reads CA, certificate and key from PEM files, and again when one of them has changed. While the new
// ones can't be read, have expired, or name another node than those before, the last good ones stay in use.
func TLSFiles(ca, certificate, key string) TLS {
	roots := &reloaded[*x509.CertPool]{files: []string{ca}, load: func() (*x509.CertPool, error) {
		b, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("%s has no certificate in PEM", ca)
		}
		return pool, nil
	}}
	var before *tls.Certificate
	pair := &reloaded[*tls.Certificate]{files: []string{certificate, key}, load: func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err == nil && before != nil {
			err = succeeds(before, &pair, time.Now())
		}
		if err != nil {
			return nil, fmt.Errorf("certificate %s with key %s: %w", certificate, key, err)
		}
		before = &pair
		return &pair, nil
	}}
	return TLS{Roots: roots.get, Certificate: pair.get, Fault: func() error {
		return errors.Join(roots.trouble(), pair.trouble())
	}}
}

// succeeds says why a certificate may not take the place of one in use: with it this node would lose its peers one
// after the other as connections are renewed.
func succeeds(before, next *tls.Certificate, now time.Time) error {
	domain, node, err := CertifiedNode(before)
	if err != nil {
		return nil //nolint:nilerr // what is in use is no node's, so the next need not be that node's
	}
	nextDomain, nextNode, err := CertifiedNode(next)
	switch {
	case err != nil:
		return err
	case nextDomain != domain || nextNode != node:
		return fmt.Errorf("it names node %d of %q, and this is node %d of %q", nextNode, nextDomain, node, domain)
	case next.Leaf != nil && now.After(next.Leaf.NotAfter):
		return fmt.Errorf("it expired at %s", next.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// StaticTLS serves one CA pool and one certificate for good.
func StaticTLS(roots *x509.CertPool, certificate *tls.Certificate) TLS {
	return TLS{
		Roots:       func() (*x509.CertPool, error) { return roots, nil },
		Certificate: func() (*tls.Certificate, error) { return certificate, nil },
	}
}

type reloaded[T any] struct {
	files []string
	load  func() (T, error)

	mu     sync.Mutex
	stamps []fileStamp
	good   T
	loaded bool
	fault  error // why what the files hold now is not in use
}

func (r *reloaded[T]) trouble() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fault
}

// fileStamp tells a file from the one that was read before: another file under the name counts, however like the old
// one it is, as where a directory of secrets is swapped.
type fileStamp struct{ os.FileInfo }

func (s fileStamp) same(o fileStamp) bool {
	if s.FileInfo == nil || o.FileInfo == nil {
		return s.FileInfo == nil && o.FileInfo == nil
	}
	return os.SameFile(s, o) && s.ModTime().Equal(o.ModTime()) && s.Size() == o.Size()
}

func (r *reloaded[T]) get() (T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	stamps := make([]fileStamp, len(r.files))
	changed := !r.loaded
	for i, file := range r.files {
		if info, err := os.Stat(file); err == nil {
			stamps[i] = fileStamp{info}
		}
		changed = changed || !stamps[i].same(r.stamps[i])
	}
	if !changed {
		r.fault = nil
		return r.good, nil
	}
	value, err := r.load()
	r.fault = err
	if err != nil {
		if r.loaded {
			return r.good, nil
		}
		return value, err
	}
	r.good, r.stamps, r.loaded = value, stamps, true
	return value, nil
}

// CertificateError says why a peer's certificate was not accepted.
type CertificateError struct {
	Subject string // as the certificate claims
	Reason  string
}

func (e *CertificateError) Error() string {
	return fmt.Sprintf("certificate of %s refused: %s", e.Subject, e.Reason)
}

// verifyPeer checks a chain against roots and trust domain, and the node against expect unless that is zero.
func verifyPeer(chain []*x509.Certificate, roots *x509.CertPool, trustDomain string, expect uint64, now time.Time) (uint64, error) {
	if len(chain) == 0 {
		return 0, &CertificateError{Subject: "an unknown peer", Reason: "none was presented"}
	}
	leaf := chain[0]
	subject := describe(leaf)
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return 0, &CertificateError{Subject: subject, Reason: err.Error()}
	}
	if leaf.IsCA {
		return 0, &CertificateError{Subject: subject, Reason: "it is a CA's and not a node's"}
	}
	domain, node, err := nodeOf(leaf)
	switch {
	case err != nil:
		return 0, &CertificateError{Subject: subject, Reason: err.Error()}
	case domain != trustDomain:
		return 0, &CertificateError{Subject: subject, Reason: fmt.Sprintf("its trust domain is %q, not %q", domain, trustDomain)}
	case expect != 0 && node != expect:
		return 0, &CertificateError{Subject: subject, Reason: fmt.Sprintf("it names node %d, and node %d was expected", node, expect)}
	}
	return node, nil
}

func describe(c *x509.Certificate) string {
	for _, uri := range c.URIs {
		if uri.Scheme == "spiffe" {
			return quoteShort(uri.String())
		}
	}
	return quoteShort(c.Subject.CommonName)
}

func quoteShort(s string) string {
	const most = 128
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.Quote(s)
}

func spiffeID(trustDomain string, node uint64) *url.URL {
	return &url.URL{Scheme: "spiffe", Host: trustDomain, Path: "/node/" + strconv.FormatUint(node, 10)}
}

// CertifiedNode returns trust domain and node id of a node's certificate.
func CertifiedNode(c *tls.Certificate) (trustDomain string, node uint64, err error) {
	leaf := c.Leaf
	if leaf == nil {
		if len(c.Certificate) == 0 {
			return "", 0, errors.New("the certificate is empty")
		}
		if leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return "", 0, err
		}
	}
	return nodeOf(leaf)
}

func nodeOf(c *x509.Certificate) (trustDomain string, node uint64, err error) {
	if len(c.URIs) != 1 || c.URIs[0].Scheme != "spiffe" {
		return "", 0, errors.New("it has no SPIFFE id (want exactly one URI spiffe://<cluster>/node/<id>)")
	}
	uri := c.URIs[0]
	id, ok := strings.CutPrefix(uri.Path, "/node/")
	if !ok {
		return "", 0, fmt.Errorf("its SPIFFE id %s names no node", quoteShort(uri.String()))
	}
	node, err = strconv.ParseUint(id, 10, 64)
	if err != nil || node == 0 || strconv.FormatUint(node, 10) != id {
		return "", 0, fmt.Errorf("its SPIFFE id %s has no node number", quoteShort(uri.String()))
	}
	if uri.String() != spiffeID(uri.Host, node).String() {
		return "", 0, fmt.Errorf("its SPIFFE id %s says more than spiffe://<cluster>/node/<id>", quoteShort(uri.String()))
	}
	return uri.Host, node, nil
}

func caTrustDomain(c *x509.Certificate) (string, bool) {
	domain, ok := strings.CutSuffix(c.Subject.CommonName, " CA")
	return domain, ok && checkTrustDomain(domain) == nil
}

// checkTrustDomain takes what SPIFFE allows: lower-case letters, digits, dots, dashes and underscores.
func checkTrustDomain(name string) error {
	bad := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	}
	if name == "" || len(name) > 255 || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("trust domain %s: want 1 to 255 of a-z, 0-9, dot, dash and underscore", quoteShort(name))
	}
	return nil
}
