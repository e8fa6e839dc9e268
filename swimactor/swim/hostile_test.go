package swim

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var oddNumbers = []uint64{0, 1, 2, 3, 4, 5, 6, incarnationMax - 1, incarnationMax, incarnationMax + 1, math.MaxUint64}

// anyNumber is mostly plausible: what is refused at the door tests little.
func anyNumber(t *rapid.T, what string) uint64 {
	if rapid.IntRange(0, 15).Draw(t, "odd "+what) == 15 {
		return rapid.SampledFrom(oddNumbers).Draw(t, what)
	}
	return rapid.Uint64Range(1, 7).Draw(t, what)
}

// oddAuthority takes whatever comes with its certificate, but for one signature.
type oddAuthority struct{}

func (oddAuthority) Certificate() []byte { return []byte("certificate") }
func (o oddAuthority) Sign([]byte) (certificate, signature []byte, err error) {
	return o.Certificate(), []byte("signature"), nil
}
func (oddAuthority) Verify(_ uint64, _, _, signature []byte) error {
	if string(signature) == "forged" {
		return errors.New("forged")
	}
	return nil
}

func rarely(t *rapid.T, what string) bool { return rapid.IntRange(0, 9).Draw(t, what) == 9 }

func anyRecord(t *rapid.T) *Record {
	if rarely(t, "no record") {
		return nil
	}
	r := record(anyNumber(t, "id"))
	r.Generation, r.Incarnation = anyNumber(t, "generation"), anyNumber(t, "incarnation")
	r.Left = rarely(t, "left")
	r.CertificateHash, r.Signature = CertificateHash(oddAuthority{}.Certificate()), []byte("signature")
	switch rapid.IntRange(0, 15).Draw(t, "signature") {
	case 0:
		r.Signature = []byte("forged")
	case 1:
		r.Signature = nil
	case 2:
		r.CertificateHash = CertificateHash([]byte("unknown"))
	}
	if rarely(t, "other directory") {
		r.Directory = "other"
	}
	if rarely(t, "strange") {
		r.Directory = rapid.SampledFrom([]string{"", string(make([]byte, 100))}).Draw(t, "directory")
		r.Address = rapid.SampledFrom([]string{"", "x", string(make([]byte, 1000))}).Draw(t, "address")
	}
	return &r
}

func anyUpdates(t *rapid.T) []Update {
	var updates []Update
	for range rapid.IntRange(0, 3).Draw(t, "updates") {
		u := Update{
			ID: anyNumber(t, "id"), Generation: anyNumber(t, "generation"), Incarnation: anyNumber(t, "incarnation"),
			State: State(rapid.IntRange(0, 5).Draw(t, "state")), Record: anyRecord(t),
			Replaces: rapid.SampledFrom([]string{"", "other", "directory-0002"}).Draw(t, "replaces"),
		}
		for range rapid.IntRange(0, 10).Draw(t, "accusers") {
			u.Accusers = append(u.Accusers, anyNumber(t, "accuser"))
		}
		if u.Record != nil && !rarely(t, "inconsistent") {
			u.ID, u.Generation, u.Incarnation = u.Record.ID, u.Record.Generation, u.Record.Incarnation
			if u.State == Left || u.Record.Left {
				u.State = Left
				r := *u.Record
				r.Left = true
				u.Record = &r
			}
		}
		updates = append(updates, u)
	}
	return updates
}

func anyCertificate(t *rapid.T) []byte {
	return rapid.SampledFrom([][]byte{nil, []byte("certificate"), []byte("unknown"), make([]byte, certificateBytesMax+1)}).Draw(t, "certificate")
}

func anyMessage(t *rapid.T) Message {
	seq := rapid.Uint64Range(0, 8).Draw(t, "seq")
	switch rapid.IntRange(0, 14).Draw(t, "message") {
	case 0:
		return &Ping{Seq: seq, Target: anyNumber(t, "target"), Generation: anyNumber(t, "generation"), Stream: true, Updates: anyUpdates(t)}
	case 1:
		return &Ack{Seq: seq, Digest: anyNumber(t, "digest"), Updates: anyUpdates(t)}
	case 2:
		return &Mismatch{Seq: seq, Record: anyRecord(t)}
	case 3:
		return &PingReq{Seq: seq, Target: anyNumber(t, "target"), Generation: seq, Updates: anyUpdates(t)}
	case 4:
		return &Nack{Seq: seq}
	case 5, 6:
		return &Gossip{Updates: anyUpdates(t)}
	case 7:
		return &SyncRequest{Digest: seq, Join: rapid.Bool().Draw(t, "join"), Self: anyRecord(t), Certificate: anyCertificate(t)}
	case 8:
		return &SyncEqual{Digest: seq}
	case 9:
		return &SyncBuckets{Digests: make([]uint64, rapid.SampledFrom([]int{0, 1, 64, 65}).Draw(t, "buckets"))}
	case 10:
		m := &SyncSummary{Buckets: rapid.SliceOfN(rapid.Uint32Range(0, 70), 0, 70).Draw(t, "buckets")}
		for range rapid.IntRange(0, 20).Draw(t, "entries") {
			m.Entries = append(m.Entries, Summary{ID: anyNumber(t, "id"), Generation: anyNumber(t, "generation"), Incarnation: seq, State: State(rapid.IntRange(0, 5).Draw(t, "state"))})
		}
		return m
	case 11:
		return &SyncRecords{Updates: anyUpdates(t), Wants: []uint64{anyNumber(t, "want"), 1, 1}, Last: true, Certificates: [][]byte{anyCertificate(t), anyCertificate(t)}}
	case 12:
		return &LeaveNotice{Seq: seq, Record: anyRecord(t)}
	case 13:
		return &LeaveAck{Seq: seq}
	}
	return &ConflictNotice{Holder: anyRecord(t), Refused: anyRecord(t)}
}

// Whatever peers send, and whenever ticks come, nothing panics, the invariants
// hold, events are in order and datagrams stay within their budget.
func TestHostileMessages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := DefaultLAN()
		cfg.MembersMax = 5
		cfg.LeftRetention, cfg.DeadRetention = time.Second, 5*time.Second
		if rapid.Bool().Draw(t, "signed") {
			cfg.Authority = oddAuthority{}
		}
		c, err := New(cfg, record(1), rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "rng"), 0)))
		if err != nil {
			t.Fatal(err)
		}
		c.seq = 0 // so that guessed answers hit
		now, view := time.Duration(0), follower{1: Alive}
		look := func(out Output) {
			for _, e := range out.Events {
				if err := view.follow(e); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range out.Sends {
				switch m := s.Message.(type) {
				case *Ping:
					atMost(t, cfg, m.Updates)
				case *Ack:
					atMost(t, cfg, m.Updates)
				case *Gossip:
					if s.Path == Datagram {
						atMost(t, cfg, m.Updates)
					}
				}
			}
			if err := c.fault(); err != nil {
				t.Fatal(err)
			}
		}
		look(c.Start(now))
		look(c.Join(now, []string{"a"}))
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			if rapid.IntRange(0, 2).Draw(t, "tick") == 0 {
				now += time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond
				look(c.Tick(now))
				continue
			}
			from := Peer{ID: anyNumber(t, "from"), Address: "peer:1"}
			if rapid.IntRange(0, 30).Draw(t, "resolved") == 30 {
				look(c.Resolved(now, "a", []Peer{from}))
			}
			if rapid.IntRange(0, 80).Draw(t, "leave") == 80 {
				look(c.Leave(now))
			}
			msg := anyMessage(t)
			if !rarely(t, "not one's own") {
				own(msg, from.ID)
			}
			look(c.Receive(now, from, msg))
		}
		if c.Gone() {
			return
		}
		if err := view.agrees(c); err != nil {
			t.Fatal(err)
		}
	})
}

// own makes a message speak of its sender where it has to.
func own(msg Message, id uint64) {
	var r **Record
	switch m := msg.(type) {
	case *SyncRequest:
		r = &m.Self
	case *LeaveNotice:
		r = &m.Record
	case *Mismatch:
		r = &m.Record
	default:
		return
	}
	if *r != nil {
		c := **r
		c.ID = id
		*r = &c
	}
}

func atMost(t *rapid.T, cfg Config, updates []Update) {
	if n := DatagramBytes(updates); n > cfg.PacketBytes-cfg.EnvelopeBytes {
		t.Fatalf("a datagram of %d bytes", n)
	}
}
