package remote

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/actors"
)

// certDir is where one node reads its certificates; files are replaced whole, as tools do that hand out secrets.
type certDir struct {
	t    *testing.T
	path string
}

func (d certDir) put(name string, content []byte) {
	d.t.Helper()
	next := filepath.Join(d.path, name+".next")
	if err := os.WriteFile(next, content, 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(d.path, name)); err != nil {
		d.t.Fatal(err)
	}
}

func (d certDir) trust(cas ...*CA) {
	var bundle [][]byte
	for _, ca := range cas {
		bundle = append(bundle, ca.CertificatePEM())
	}
	d.put("ca.pem", bytes.Join(bundle, nil))
}

func (d certDir) certify(ca *CA, node uint64) {
	d.t.Helper()
	certificate, key, err := EncodeNode(issue(d.t, ca, node, time.Now()))
	if err != nil {
		d.t.Fatal(err)
	}
	d.put("node.pem", certificate)
	d.put("node.key", key)
}

func (d certDir) tls() ConfigOption {
	in := func(name string) string { return filepath.Join(d.path, name) }
	return WithTLS(TLSFiles(in("ca.pem"), in("node.pem"), in("node.key")))
}

// certifiedBy reports whether a node has connections in both directions, and all with peers that a CA certified.
func (n *testNode) certifiedBy(ca *CA) bool {
	var directions [2]bool
	for _, c := range n.connections() {
		leaf := c.conn.ConnectionState().TLS.PeerCertificates[0]
		if leaf.CheckSignatureFrom(ca.Certificate) != nil {
			return false
		}
		if c.dialed {
			directions[0] = true
		} else {
			directions[1] = true
		}
	}
	return directions[0] && directions[1]
}

// A cluster goes from one CA to another while it runs: trust both, certify anew, trust the new one alone. Nothing is
// lost on the way, nobody is reported down, and in the end the old CA opens no door.
func TestCARotationLosesNothing(t *testing.T) {
	newCA, err := NewCA("test", time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	dirs := []certDir{{t, t.TempDir()}, {t, t.TempDir()}}
	for i, d := range dirs {
		d.trust(testCA)
		d.certify(testCA, uint64(i+1))
	}
	age := WithConnectionAge(100 * time.Millisecond)
	a, b := startNode(t, 1, dirs[0].tls(), age), startNode(t, 2, dirs[1].tls(), age)
	there, back := newOrderly(t, a, b, "x"), newOrderly(t, b, a, "y")
	talk := func() {
		for _, o := range []*orderly{there, back} {
			for _, class := range ordered {
				o.send(0, class)
			}
			o.drain()
		}
	}
	talkUntil := func(what string, ok func() bool) {
		t.Helper()
		waitFor(t, what, func() bool { talk(); return ok() })
	}
	events := subscribe(t, a)
	talkUntil("a session under the old CA", func() bool { return a.certifiedBy(testCA) && b.certifiedBy(testCA) })

	for _, d := range dirs {
		d.trust(testCA, newCA)
	}
	for i, d := range dirs {
		d.certify(newCA, uint64(i+1))
	}
	talkUntil("connections under the new CA alone", func() bool { return a.certifiedBy(newCA) && b.certifiedBy(newCA) })

	for _, d := range dirs {
		d.trust(newCA)
	}
	before := a.connections()
	talkUntil("connections that know the new CA alone", func() bool {
		if slices.ContainsFunc(a.connections(), func(c *quicConn) bool { return slices.Contains(before, c) }) {
			return false
		}
		return a.certifiedBy(newCA) && b.certifiedBy(newCA)
	})
	for _, o := range []*orderly{there, back} {
		waitFor(t, "the rest to arrive", func() bool { o.drain(); return o.complete() })
	}
	for len(events) > 0 {
		if down, ok := (<-events).(*actors.PeerDown); ok {
			t.Errorf("a peer was reported down: %s", down.Reason)
		}
	}
	old := startNode(t, 3, WithTLS(StaticTLS(newCA.Pool(), issue(t, testCA, 3, time.Now()))))
	old.Root.Send(a.pid("y"), text("let me in"))
	onceEach(t, "certificate", a, old)
}

// Files that can't be used cost nothing but a line in the log: what was in use goes on, for peers that come later too.
func TestBadFilesCostNothing(t *testing.T) {
	d := certDir{t, t.TempDir()}
	d.trust(testCA)
	d.certify(testCA, 1)
	l := &ledger{values: make(map[string]float64)}
	n := startNodeWith(t, l, "127.0.0.1", 0, 1, d.tls())
	echo := spawnEcho(t, n, "echo")
	d.certify(testCA, 7)
	for node := range uint64(2) {
		ask(t, startNode(t, node+2), echo, text("anybody there?"))
	}
	lines := n.logs.FilterMessageSnippet("new certificates not taken").All()
	if len(lines) != 1 || !strings.Contains(lines[0].ContextMap()["error"].(string), "it names node 7 of \"test\", and this is node 1") {
		t.Errorf("logged %v, want one line", lines)
	}
	if count := l.read("rivven_remote_certificate_faults_total"); count < 2 {
		t.Errorf("%v faults in the metrics", count)
	}
}

// complete reports whether everything that was sent has arrived.
func (o *orderly) complete() bool {
	for target := range o.targets {
		if o.came[target] != o.sent[target] {
			return false
		}
	}
	return true
}
