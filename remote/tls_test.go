package remote

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCARoundTrip(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	ca, err := NewCA("prod", now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ca.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	caFile, keyFile := file("ca.pem", ca.CertificatePEM()), file("ca.key", key)
	loaded, err := LoadCA(caFile, keyFile)
	if err != nil || loaded.TrustDomain != "prod" {
		t.Fatalf("loaded %+v, %v", loaded, err)
	}
	node, err := loaded.IssueNode(7, now, 0, "node7", "10.0.0.7")
	if err != nil {
		t.Fatal(err)
	}
	if node.Leaf.NotAfter.After(ca.Certificate.NotAfter) {
		t.Error("a node's certificate outlives its CA")
	}
	certificate, nodeKey, err := EncodeNode(node)
	if err != nil {
		t.Fatal(err)
	}
	files := TLSFiles(caFile, file("node.pem", certificate), file("node.key", nodeKey))
	read, err := files.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	domain, id, err := CertifiedNode(read)
	if err != nil || domain != "prod" || id != 7 {
		t.Fatalf("it certifies %d of %q, %v", id, domain, err)
	}
	roots, err := files.Roots()
	if err != nil {
		t.Fatal(err)
	}
	if id, err := verifyPeer([]*x509.Certificate{node.Leaf}, roots, "prod", 7, now); err != nil || id != 7 {
		t.Fatalf("verified as %d, %v", id, err)
	}
}

func TestFilesReload(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte, age time.Duration) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		stamp := time.Now().Add(-age)
		if err := os.Chtimes(path, stamp, stamp); err != nil {
			t.Fatal(err)
		}
		return path
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	put := func(c *tls.Certificate, age time.Duration) {
		certificate, key, err := EncodeNode(c)
		if err != nil {
			t.Fatal(err)
		}
		write("node.pem", certificate, age)
		write("node.key", key, age)
	}
	node := func() *tls.Certificate { return issue(t, testCA, 1, time.Now()) }
	one, two, three, four, five := node(), node(), node(), node(), node()
	put(one, time.Hour)
	files := TLSFiles(write("ca.pem", testCA.CertificatePEM(), time.Hour), in("node.pem"), in("node.key"))
	serves := func(want *tls.Certificate, fault string) {
		t.Helper()
		c, err := files.Certificate()
		if err != nil || c.Leaf.SerialNumber.Cmp(want.Leaf.SerialNumber) != 0 {
			t.Fatalf("serves %v, %v; want %v", c.Leaf.SerialNumber, err, want.Leaf.SerialNumber)
		}
		if _, err := files.Roots(); err != nil {
			t.Fatal(err)
		}
		if err := files.Fault(); (err == nil) != (fault == "") || err != nil && !strings.Contains(err.Error(), fault) {
			t.Fatalf("fault %v, want %q", err, fault)
		}
	}
	serves(one, "")
	put(two, time.Minute)
	serves(two, "")
	write("node.pem", []byte("half written"), time.Second)
	serves(two, "node.pem")
	put(issue(t, testCA, 2, time.Now()), 50*time.Second)
	serves(two, "it names node 2")
	put(issue(t, testCA, 1, time.Now().Add(-2*DefaultNodeValidity)), 40*time.Second)
	serves(two, "it expired at")
	put(three, 0)
	serves(three, "")
	write("ca.pem", []byte("nothing"), 0)
	serves(three, "ca.pem")
	write("ca.pem", testCA.CertificatePEM(), time.Minute)
	serves(three, "")

	// Another pair under the same names, swapped in as a whole: only that the files are others tells it.
	put(four, 30*time.Minute)
	stamp := time.Now().Add(-30 * time.Minute)
	same := func(names ...string) {
		for _, name := range names {
			if err := os.Chtimes(in(name), stamp, stamp); err != nil {
				t.Fatal(err)
			}
		}
	}
	same("node.pem", "node.key")
	serves(four, "")
	certificate, key, err := EncodeNode(five)
	if err != nil {
		t.Fatal(err)
	}
	write("next.pem", certificate, 0)
	write("next.key", key, 0)
	same("next.pem", "next.key")
	for _, kind := range []string{".pem", ".key"} {
		if err := os.Rename(in("next"+kind), in("node"+kind)); err != nil {
			t.Fatal(err)
		}
	}
	serves(five, "")
}

func TestVerifyPeerNamesTheReason(t *testing.T) {
	now := time.Now()
	other, err := NewCA("test", now, 0)
	if err != nil {
		t.Fatal(err)
	}
	good := issue(t, testCA, 3, now)
	elsewhere := *testCA
	elsewhere.TrustDomain = "elsewhere"
	for name, c := range map[string]struct {
		certificate *tls.Certificate
		expect      uint64
		at          time.Time
		want        string
	}{
		"another CA":     {issue(t, other, 3, now), 0, now, "unknown authority"},
		"expired":        {good, 0, now.Add(2 * DefaultNodeValidity), "expired"},
		"not yet":        {good, 0, now.Add(-2 * clockSkew), "not yet valid"},
		"another domain": {issue(t, &elsewhere, 3, now), 0, now, `"elsewhere", not "test"`},
		"another node":   {good, 4, now, "names node 3, and node 4 was expected"},
	} {
		_, err := verifyPeer([]*x509.Certificate{c.certificate.Leaf}, testCA.Pool(), "test", c.expect, c.at)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "spiffe://") {
			t.Errorf("%s: got %v, want %q and who it is", name, err, c.want)
		}
	}
	if _, err := verifyPeer(nil, testCA.Pool(), "test", 0, now); err == nil {
		t.Error("no certificate was taken for one")
	}
}

func TestSPIFFEIds(t *testing.T) {
	for _, id := range []string{"", "https://test/node/1", "spiffe://test", "spiffe://test/node/", "spiffe://test/node/0", "spiffe://test/node/01", "spiffe://test/node/-1", "spiffe://test/node/1/x", "spiffe://test/service/1",
		"spiffe://u@test/node/1", "spiffe://test/node/1?x", "spiffe://test/node/1#x", "spiffe://test/node/%31"} {
		c := &x509.Certificate{}
		if id != "" {
			uri, err := url.Parse(id)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = append(c.URIs, uri)
		}
		if domain, node, err := nodeOf(c); err == nil {
			t.Errorf("%q names node %d of %q", id, node, domain)
		}
	}
	for _, name := range []string{"", "UPPER", "a b", "a/b", strings.Repeat("a", 256)} {
		if _, err := NewCA(name, time.Now(), 0); err == nil {
			t.Errorf("trust domain %q was taken", name)
		}
	}
	if _, err := testCA.IssueNode(0, time.Now(), 0); err == nil {
		t.Error("a certificate for node 0")
	}
}
