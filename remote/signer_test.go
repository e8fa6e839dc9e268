package remote

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

func signerOf(t *testing.T, ca *CA, certificate *tls.Certificate) *Signer {
	t.Helper()
	return NewSigner(StaticTLS(ca.Pool(), certificate), ca.TrustDomain, time.Now)
}

func TestSignerBelievesNodesOfItsCAAlone(t *testing.T) {
	now := time.Now()
	one := signerOf(t, testCA, issue(t, testCA, 1, now))
	two := signerOf(t, testCA, issue(t, testCA, 2, now))
	strangers, err := NewCA(testCA.TrustDomain, now, 0)
	if err != nil {
		t.Fatal(err)
	}
	stranger := signerOf(t, strangers, issue(t, strangers, 2, now))
	message := []byte("node 2 is alive")
	certificate, signature, err := two.Sign(message)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from memory
		if err := one.Verify(2, certificate, message, signature); err != nil {
			t.Fatal(err)
		}
	}
	foreign, foreignSignature, err := stranger.Sign(message)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what                            string
		node                            uint64
		certificate, message, signature []byte
		want                            string
	}{
		{"as another node", 3, certificate, message, signature, "names node 2, and node 3 was expected"},
		{"another message", 2, certificate, []byte("node 2 is dead"), signature, "signature of node 2"},
		{"another's key", 2, certificate, message, foreignSignature, "signature of node 2"},
		{"another CA", 2, foreign, message, foreignSignature, "certificate"},
		{"no certificate", 2, nil, message, signature, "empty"},
		{"no certificate at all", 2, []byte("x"), message, signature, "reading"},
		{"no signature", 2, certificate, message, nil, "signature of node 2"},
	} {
		if err := one.Verify(c.node, c.certificate, c.message, c.signature); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
}

// What was good under a CA is not any more once the CA is taken away, nor after the certificate's end.
func TestSignerForgetsWithRootsAndTime(t *testing.T) {
	now := time.Now()
	two := signerOf(t, testCA, issue(t, testCA, 2, now))
	message := []byte("m")
	certificate, signature, err := two.Sign(message)
	if err != nil {
		t.Fatal(err)
	}
	roots, clock := testCA.Pool(), now
	one := NewSigner(TLS{
		Roots:       func() (*x509.CertPool, error) { return roots, nil },
		Certificate: func() (*tls.Certificate, error) { return issue(t, testCA, 1, now), nil },
	}, testCA.TrustDomain, func() time.Time { return clock })
	if err := one.Verify(2, certificate, message, signature); err != nil {
		t.Fatal(err)
	}
	clock = now.Add(2 * DefaultNodeValidity)
	if err := one.Verify(2, certificate, message, signature); err == nil {
		t.Error("good after the certificate's end")
	}
	clock, roots = now, x509.NewCertPool()
	if err := one.Verify(2, certificate, message, signature); err == nil {
		t.Error("good without the CA")
	}
}

func TestSignerTakesKeysThatItCanUse(t *testing.T) {
	now := time.Now()
	message := []byte("m")
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := testCA.SignNode(2, ec.Public(), now, 0)
	if err != nil {
		t.Fatal(err)
	}
	two := signerOf(t, testCA, &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: ec})
	certificate, signature, err := two.Sign(message)
	if err != nil {
		t.Fatal(err)
	}
	if err := signerOf(t, testCA, issue(t, testCA, 1, now)).Verify(2, certificate, message, signature); err != nil {
		t.Errorf("ECDSA: %v", err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if der, err = testCA.SignNode(2, rsaKey.Public(), now, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := signerOf(t, testCA, &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: rsaKey}).Sign(message); err == nil || !strings.Contains(err.Error(), "Ed25519") {
		t.Errorf("RSA: %v", err)
	}
}

func TestBoundedForgetsTheOldest(t *testing.T) {
	var b bounded[int]
	key := func(i int) (k [sha256.Size]byte) {
		binary.BigEndian.PutUint64(k[:], uint64(i)) //nolint:gosec // counted from 0
		return k
	}
	for i := range boundedMax + 10 {
		b.put(key(i), i)
		b.put(key(i), i)
	}
	if len(b.entries) != boundedMax || len(b.order) != boundedMax {
		t.Fatalf("%d entries, want %d", len(b.entries), boundedMax)
	}
	if _, ok := b.get(key(9)); ok {
		t.Error("the oldest is still there")
	}
	if v, ok := b.get(key(10)); !ok || v != 10 {
		t.Error("one that is not among the oldest is gone")
	}
}

func BenchmarkSignerVerify(b *testing.B) {
	ca, err := NewCA("bench", time.Now(), 0)
	if err != nil {
		b.Fatal(err)
	}
	certificate, err := ca.IssueNode(1, time.Now(), 0)
	if err != nil {
		b.Fatal(err)
	}
	s := NewSigner(StaticTLS(ca.Pool(), certificate), "bench", time.Now)
	message := make([]byte, 200)
	for _, c := range []struct {
		name  string
		known bool
	}{{"new", false}, {"known", true}} {
		b.Run(c.name, func(b *testing.B) {
			chain, signature, err := s.Sign(message)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if !c.known {
					s.good.clear()
				}
				if err := s.Verify(1, chain, message, signature); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
