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
	pair := func(node uint64, age time.Duration) {
		c := issue(t, testCA, node, time.Now())
		certificate, key, err := EncodeNode(c)
		if err != nil {
			t.Fatal(err)
		}
		write("node.pem", certificate, age)
		write("node.key", key, age)
	}
	pair(1, time.Hour)
	files := TLSFiles(write("ca.pem", testCA.CertificatePEM(), time.Hour), filepath.Join(dir, "node.pem"), filepath.Join(dir, "node.key"))
	serves := func(want uint64) {
		t.Helper()
		c, err := files.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		if _, node, _ := CertifiedNode(c); node != want {
			t.Fatalf("serves node %d, want %d", node, want)
		}
	}
	serves(1)
	pair(2, time.Minute)
	serves(2)
	write("node.pem", []byte("half written"), time.Second)
	serves(2)
	pair(3, 0)
	serves(3)

	// Another pair under the same names, swapped in as a whole: only that the files are others tells it.
	stamp := time.Now().Add(-time.Hour)
	pair(4, 0)
	for _, name := range []string{"node.pem", "node.key"} {
		if err := os.Chtimes(filepath.Join(dir, name), stamp, stamp); err != nil {
			t.Fatal(err)
		}
	}
	serves(4)
	certificate, key, err := EncodeNode(issue(t, testCA, 5, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"node.pem": certificate, "node.key": key} {
		next := write(name+".next", b, 0)
		if err := os.Chtimes(next, stamp, stamp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	serves(5)
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
