package swim

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Authority signs this node's records and judges those of others. Its methods are called from the core's inputs, don't block for long,
// and give the same answers to the same questions while no certificate changes.
type Authority interface {
	// Certificate is this node's own at present, as peers need it to check its records; at most 8 KiB. Once it differs
	// from the one that the node's record was signed with, the record is signed anew at the next incarnation.
	Certificate() []byte

	// Sign signs a message with this node's key, and returns the certificate that it is to be checked with.
	Sign(message []byte) (certificate, signature []byte, err error)

	// Verify says why a signature is not that of a node by a certificate; nil if it is.
	Verify(node uint64, certificate, message, signature []byte) error
}

const (
	certificateBytesMax = 8192
	certHashBytes       = 16
	// distrustMax is how many records of one message may fail before the rest of it is not looked at.
	distrustMax = 8
	// wantedMax bounds the members whose certificates are asked for at a time.
	wantedMax = 4096
)

// CertificateHash names a certificate in records: the first 128 bits of its SHA-256.
func CertificateHash(certificate []byte) []byte {
	h := sha256.Sum256(certificate)
	return h[:certHashBytes]
}

// SignedBytes is what a record's signature covers: everything but the signature and the certificate's hash, and the cluster, in one
// encoding.
func (r *Record) SignedBytes(cluster string) []byte {
	b := make([]byte, 0, 256)
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	text("rivven swim record 1")
	text(cluster)
	for _, n := range []uint64{r.ID, r.Generation, r.Incarnation} {
		b = binary.AppendUvarint(b, n)
	}
	for _, s := range []string{r.Directory, r.Name, r.Address, r.GossipAddress} {
		text(s)
	}
	left := byte(0)
	if r.Left {
		left = 1
	}
	b = append(b, left)
	for _, k := range slices.Sorted(maps.Keys(r.Tags)) {
		text(k)
		text(r.Tags[k])
	}
	return b
}

// proof is what a core needs to judge records.
type proof struct {
	enclosed map[string][]byte        // certificates of the message at hand, by hash
	distrust int                      // records of the message at hand that failed
	wanted   map[uint64]time.Duration // when a member's certificate was asked for
	asked    []wish                   // what wanted says, in the order of asking
	wants    []uint64                 // to be asked of whom the message at hand came from
}

// wish is a member whose certificate was asked for.
type wish struct {
	id uint64
	at time.Duration
}

// sign completes a record of this node.
func (c *Core) sign(rec *Record) error {
	a := c.cfg.Authority
	if a == nil {
		return nil
	}
	certificate, signature, err := a.Sign(rec.SignedBytes(c.cfg.ClusterID))
	switch {
	case err != nil:
		return fmt.Errorf("swim: sign the record of node %d: %w", rec.ID, err)
	case len(certificate) == 0 || len(certificate) > certificateBytesMax:
		return fmt.Errorf("swim: the certificate of node %d has %d bytes: 1 to %d are allowed; leave the CA itself out of its chain", rec.ID, len(certificate), certificateBytesMax)
	case len(signature) == 0 || len(signature) > signatureBytesMax:
		return fmt.Errorf("swim: a signature of node %d has %d bytes: 1 to %d are allowed; use a key for Ed25519", rec.ID, len(signature), signatureBytesMax)
	}
	rec.CertificateHash, rec.Signature = CertificateHash(certificate), signature
	c.me.certificate = certificate
	return nil
}

// enclose takes note of the certificates that came with a message.
func (c *Core) enclose(certificates ...[]byte) {
	if c.cfg.Authority == nil {
		return
	}
	for _, certificate := range certificates {
		if len(certificate) == 0 || len(certificate) > certificateBytesMax {
			continue
		}
		if c.proof.enclosed == nil {
			c.proof.enclosed = make(map[string][]byte, len(certificates))
		}
		c.proof.enclosed[string(CertificateHash(certificate))] = certificate
	}
}

// believe judges a record about the member of that row, nil for one that isn't known, and returns the certificate that proves it. A
// record whose certificate is not here is not believed yet: both are asked for.
func (c *Core) believe(now time.Duration, m *member, r *Record) (certificate []byte, ok bool) {
	if c.cfg.Authority == nil {
		return nil, true
	}
	if len(r.Signature) == 0 || len(r.CertificateHash) != certHashBytes || c.proof.distrust >= distrustMax {
		c.stats.Refused.Unverified++
		return nil, false
	}
	certificate = c.proof.enclosed[string(r.CertificateHash)]
	if m != nil && bytes.Equal(m.rec.CertificateHash, r.CertificateHash) {
		certificate = m.certificate
	}
	if certificate == nil {
		c.want(now, r.ID)
		return nil, false
	}
	c.stats.Verifications++
	if c.cfg.Authority.Verify(r.ID, certificate, r.SignedBytes(c.cfg.ClusterID), r.Signature) != nil {
		c.proof.distrust++
		c.stats.Refused.Unverified++
		return nil, false
	}
	delete(c.proof.wanted, r.ID)
	return certificate, true
}

// want puts a member on the list of those whose record and certificate are asked for, unless they were just now.
func (c *Core) want(now time.Duration, id uint64) {
	p := &c.proof
	for len(p.asked) > 0 && now-p.asked[0].at >= c.cfg.ProbeTimeout {
		if w := p.asked[0]; p.wanted[w.id] == w.at {
			delete(p.wanted, w.id)
		}
		p.asked = p.asked[1:]
	}
	if _, asked := p.wanted[id]; asked || len(p.asked) >= wantedMax {
		return
	}
	if p.wanted == nil {
		p.wanted = make(map[uint64]time.Duration)
	}
	p.wanted[id] = now
	p.asked, p.wants = append(p.asked, wish{id, now}), append(p.wants, id)
}

// settle ends the judgement of one message: what was missing is asked of its sender, who had believed it and so has it.
func (c *Core) settle(from Peer) {
	p := &c.proof
	if len(p.wants) > 0 {
		c.send(from, Stream, &SyncRecords{Wants: p.wants, Last: true}, 0)
	}
	p.enclosed, p.distrust, p.wants = nil, 0, nil
}

// renewSignature follows a change of this node's certificate.
func (c *Core) renewSignature(now time.Duration) {
	if c.cfg.Authority == nil || c.leave != nil {
		return
	}
	if certificate := c.cfg.Authority.Certificate(); len(certificate) > 0 && !bytes.Equal(certificate, c.me.certificate) {
		rec := c.me.rec.clone()
		rec.Incarnation++
		_ = c.publish(now, rec) // counted, and tried again
	}
}
