package swim

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"
)

// testAuthority has certificates that hold a node id and a public key, and nothing to descend from.
type testAuthority struct {
	node uint64
	key  ed25519.PrivateKey
}

func authorityOf(node uint64, keyNumber byte) *testAuthority {
	seed := make([]byte, ed25519.SeedSize)
	binary.BigEndian.PutUint64(seed, node)
	seed[31] = keyNumber
	return &testAuthority{node: node, key: ed25519.NewKeyFromSeed(seed)}
}

func (a *testAuthority) Certificate() []byte {
	return append(binary.BigEndian.AppendUint64(nil, a.node), a.key.Public().(ed25519.PublicKey)...)
}

func (a *testAuthority) Sign(message []byte) (certificate, signature []byte, err error) {
	return a.Certificate(), ed25519.Sign(a.key, message), nil
}

func (a *testAuthority) Verify(node uint64, certificate, message, signature []byte) error {
	if len(certificate) != 8+ed25519.PublicKeySize || binary.BigEndian.Uint64(certificate) != node || !ed25519.Verify(certificate[8:], message, signature) {
		return errors.New("not by its certificate")
	}
	return nil
}

// signed completes an update's record as that authority does.
func (a *testAuthority) signed(u Update) Update {
	certificate, signature, _ := a.Sign(u.Record.SignedBytes(""))
	u.Record.CertificateHash, u.Record.Signature = CertificateHash(certificate), signature
	return u
}

func newSignedSubject(t *testing.T) *subject {
	cfg := DefaultLAN()
	cfg.Authority = authorityOf(1, 0)
	return newSubject(t, cfg)
}

// introduce lets the subject know a member as signed.
func (s *subject) introduce(a *testAuthority) {
	s.t.Helper()
	u := a.signed(aliveUpdate(a.node, 1, 0))
	s.hear(a.node, &SyncRequest{Join: true, Self: u.Record, Certificate: a.Certificate()})
	s.is(a.node, Alive)
}

func TestUnknownCertificateIsFetchedFromWhoSentTheRecord(t *testing.T) {
	s := newSignedSubject(t)
	s.introduce(authorityOf(3, 0))
	two := authorityOf(2, 0)
	u := two.signed(aliveUpdate(2, 1, 0))
	asked, to := find[*SyncRecords](s.gossip(3, u))
	if len(asked) != 1 || to[0] != 3 || !slices.Equal(asked[0].Wants, []uint64{2}) {
		t.Fatalf("asked %v of %v, want node 2 of node 3", asked, to)
	}
	if again, _ := find[*SyncRecords](s.gossip(3, u)); len(again) != 0 {
		t.Error("asked again at once")
	}
	s.now += s.cfg.ProbeTimeout
	if again, _ := find[*SyncRecords](s.gossip(3, u)); len(again) != 1 {
		t.Error("not asked again later")
	}
	if _, known := s.Member(2); known {
		t.Fatal("believed without a certificate")
	}
	s.hear(3, &SyncRecords{Updates: []Update{u}, Certificates: [][]byte{two.Certificate()}, Last: true})
	s.is(2, Alive)
	// Whoever asks this node gets both as well, and no one who has them gets the certificate again.
	records, _ := find[*SyncRecords](s.hear(3, &SyncRecords{Wants: []uint64{2}, Last: true}))
	if len(records) != 1 || len(records[0].Certificates) != 1 || !bytes.Equal(records[0].Certificates[0], two.Certificate()) {
		t.Errorf("the certificate is not passed on: %+v", records)
	}
	s.hear(2, &Gossip{Updates: []Update{two.signed(aliveUpdate(2, 1, 5))}})
	if m, _ := s.Member(2); m.Record.Incarnation != 5 {
		t.Error("a record by a known certificate waits")
	}
	s.check(t)
}

func TestForgedRecordsAreRefused(t *testing.T) {
	two, three := authorityOf(2, 0), authorityOf(3, 0)
	forgeries := map[string]func() Update{
		"no signature": func() Update { return aliveUpdate(2, 1, 9) },
		"changed after it was signed": func() Update {
			u := two.signed(aliveUpdate(2, 1, 0))
			r := *u.Record
			r.Incarnation, u.Incarnation = 9, 9
			u.Record = &r
			return u
		},
		"by another's key": func() Update { return three.signed(aliveUpdate(2, 1, 9)) },
		"by another's key under the own certificate's name": func() Update {
			u := three.signed(aliveUpdate(2, 1, 9))
			u.Record.CertificateHash = CertificateHash(two.Certificate())
			return u
		},
		"a farewell": func() Update { return three.signed(leftUpdate(2, 1, 9)) },
		"of another cluster": func() Update {
			u := aliveUpdate(2, 1, 9)
			certificate, signature, _ := two.Sign(u.Record.SignedBytes("another"))
			u.Record.CertificateHash, u.Record.Signature = CertificateHash(certificate), signature
			return u
		},
		"tags": func() Update {
			u := two.signed(aliveUpdate(2, 1, 9))
			r := *u.Record
			r.Tags = map[string]string{"zone": "mine"}
			u.Record = &r
			return u
		},
	}
	for name, forge := range forgeries {
		t.Run(name, func(t *testing.T) {
			s := newSignedSubject(t)
			s.introduce(two)
			s.introduce(three)
			before := s.Stats().Refused.Unverified
			s.hear(3, &SyncRecords{Updates: []Update{forge()}, Certificates: [][]byte{two.Certificate(), three.Certificate()}, Last: true})
			s.is(2, Alive)
			if m, _ := s.Member(2); m.Record.Incarnation != 0 || len(m.Record.Tags) != 0 {
				t.Errorf("believed: %+v", m.Record)
			}
			if s.Stats().Refused.Unverified == before {
				t.Error("not counted")
			}
			s.check(t)
		})
	}
}

// No member can declare another dead at an incarnation that the other did not sign: neither kill it nor make it jump.
func TestDeathAboveTheLastSignedRecordNeedsTheRecord(t *testing.T) {
	s := newSignedSubject(t)
	two, three := authorityOf(2, 0), authorityOf(3, 0)
	s.introduce(two)
	s.introduce(three)
	for _, state := range []State{Suspect, Dead} {
		s.gossip(3, accusation(2, state, 1, 1000, 3))
		s.is(2, Alive)
		forged := three.signed(aliveUpdate(2, 1, 1000))
		forged.State = state
		s.hear(3, &SyncRecords{Updates: []Update{forged}, Certificates: [][]byte{three.Certificate()}, Last: true})
		s.is(2, Alive)
	}
	u := two.signed(aliveUpdate(2, 1, 7))
	u.State = Dead
	s.gossip(3, u)
	s.is(2, Dead)
	// Nor about this node: it answers only for what it has said.
	s.gossip(3, accusation(1, Dead, 1, 1000, 3))
	if r := s.Self().Record; r.Incarnation != 0 {
		t.Errorf("refuted a made-up incarnation with %d", r.Incarnation)
	}
	s.gossip(3, accusation(1, Suspect, 1, 0, 3))
	r := s.Self().Record
	if r.Incarnation != 1 || s.cfg.Authority.Verify(1, authorityOf(1, 0).Certificate(), r.SignedBytes(""), r.Signature) != nil {
		t.Errorf("the refutation is not signed: %+v", r)
	}
}

func TestAnotherCertificateSignsAnew(t *testing.T) {
	s := newSignedSubject(t)
	s.introduce(authorityOf(2, 0))
	s.pass(2 * s.cfg.SyncInterval)
	if got := s.Self().Record.Incarnation; got != 0 {
		t.Fatalf("incarnation %d though nothing changed", got)
	}
	own := s.cfg.Authority.(*testAuthority)
	own.key = authorityOf(1, 1).key
	s.pass(2 * s.cfg.SyncInterval)
	r := s.Self().Record
	if r.Incarnation != 1 || !bytes.Equal(r.CertificateHash, CertificateHash(own.Certificate())) || own.Verify(1, own.Certificate(), r.SignedBytes(""), r.Signature) != nil {
		t.Errorf("not signed anew: %+v", r)
	}
	requests, _ := find[*SyncRequest](s.pass(2 * s.cfg.SyncInterval))
	if len(requests) == 0 || !bytes.Equal(requests[0].Certificate, own.Certificate()) {
		t.Error("synchronisations don't carry the new certificate")
	}
}

func TestFloodOfForgeriesIsNotVerified(t *testing.T) {
	s := newSignedSubject(t)
	two, three := authorityOf(2, 0), authorityOf(3, 0)
	s.introduce(two)
	s.introduce(three)
	before := s.Stats().Verifications
	var updates []Update
	for i := range uint64(1000) {
		u := three.signed(aliveUpdate(2, 1, 1+i))
		u.Record.CertificateHash = CertificateHash(two.Certificate())
		updates = append(updates, u)
	}
	s.gossip(3, updates...)
	if got := s.Stats().Verifications - before; got != distrustMax {
		t.Errorf("%d signatures of one message were checked, want %d", got, distrustMax)
	}
	var strangers []Update
	for id := uint64(10); id < 10+2*wantedMax; id++ {
		strangers = append(strangers, authorityOf(id, 0).signed(aliveUpdate(id, 1, 0)))
	}
	asked, _ := find[*SyncRecords](s.gossip(3, strangers...))
	if len(asked) != 1 || len(asked[0].Wants) != wantedMax {
		t.Errorf("asked for %d, want %d", len(asked[0].Wants), wantedMax)
	}
}

// What cannot be signed is not published, and a node without a key does not start.
func TestWithoutASignature(t *testing.T) {
	cfg := DefaultLAN()
	cfg.Authority = failing{authorityOf(1, 0)}
	if _, err := New(cfg, record(1), newNetwork(t, 1).rng); err == nil {
		t.Error("a core starts without a key")
	}
	s := newSignedSubject(t)
	s.cfg.Authority = cfg.Authority
	if _, err := s.UpdateTags(0, map[string]string{"a": "b"}); err == nil || len(s.Self().Record.Tags) != 0 || s.Stats().SignFailures != 1 {
		t.Errorf("published unsigned: %v, %+v", err, s.Self().Record)
	}
}

type failing struct{ *testAuthority }

func (failing) Sign([]byte) (certificate, signature []byte, err error) {
	return nil, nil, errors.New("the key is gone")
}

// Signed members find each other through one seed, live through a rotation, a restart and a leave; nobody is refused.
func TestSignedCluster(t *testing.T) {
	n := newNetwork(t, 1)
	n.checked = true
	authorities := make(map[uint64]*testAuthority)
	start := func(id, generation uint64) {
		cfg := DefaultLAN()
		authorities[id] = authorityOf(id, byte(generation))
		cfg.Authority = authorities[id]
		r := record(id)
		r.Generation = generation
		n.add(cfg, r, "seed")
	}
	for id := uint64(1); id <= 20; id++ {
		start(id, 1)
	}
	n.until(5*time.Second, "all see all", n.agree)
	authorities[7].key = authorityOf(7, 9).key
	n.until(2*time.Minute, "everybody has the record by the new key", func() bool {
		for _, nd := range n.nodes {
			if m, _ := nd.core.Member(7); m.Record.Incarnation != 1 || !bytes.Equal(m.Record.CertificateHash, CertificateHash(authorities[7].Certificate())) {
				return false
			}
		}
		return true
	})
	start(9, 2)
	n.until(5*time.Second, "all see the new process", n.agree)
	for id, nd := range n.nodes {
		if got := nd.core.Stats().Refused.Unverified; got != 0 {
			t.Errorf("node %d refused %d honest records", id, got)
		}
	}
}
