package swim

import (
	"errors"
	"fmt"
	"maps"
)

// State is what a node believes about a member. The order is the precedence
// among statements of the same generation and incarnation.
type State uint8

const (
	Alive   State = iota + 1 // says so itself
	Suspect                  // missed a probe; may refute
	Dead                     // suspicion ran out
	Left                     // says so itself
)

func (s State) String() string {
	switch s {
	case Alive:
		return "alive"
	case Suspect:
		return "suspect"
	case Dead:
		return "dead"
	case Left:
		return "left"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// live says whether a member in this state is probed and gossiped to.
func (s State) live() bool { return s == Alive || s == Suspect }

// Limits of what a record and a message may hold; anything above is refused.
const (
	TagsBytesMax      = 2048
	tagsMax           = 64
	nameBytesMax      = 128
	addressBytesMax   = 261 // longest DNS name, colon, port, and slack
	directoryBytesMax = 64
	signatureBytesMax = 128
	certHashBytesMax  = 32
	clusterIDBytesMax = 128
	accusersMax       = 8
	incarnationMax    = 1 << 62
)

// Record is what a member says about itself. It is immutable once published:
// every change is a new record with a higher incarnation (or generation).
type Record struct {
	ID            uint64 // node id, never 0
	Directory     string // id of the data directory behind the node id
	Name          string
	Generation    uint64 // boot epoch; a restarted process has a higher one
	Incarnation   uint64 // within a generation; raised by its owner only
	Address       string // main address, host:port; what peers send to
	GossipAddress string // where the gossip endpoint listens, if elsewhere
	Tags          map[string]string
	Left          bool // the owner's farewell

	CertificateHash []byte // names the certificate the signature checks with
	Signature       []byte // covers all fields above, see SignedBytes
}

// Peer returns where the record's owner is reached.
func (r *Record) Peer() Peer { return Peer{ID: r.ID, Address: r.Address} }

// clone copies r so that the owner can change it.
func (r *Record) clone() *Record {
	c := *r
	c.Tags = maps.Clone(r.Tags)
	return &c
}

// Validate checks form and limits; it says everything that is wrong.
func (r *Record) Validate() error {
	var errs []error
	if r.ID == 0 {
		errs = append(errs, errors.New("node id is 0: ids start at 1"))
	}
	if r.Address == "" {
		errs = append(errs, errors.New("address is empty: set host:port"))
	}
	if r.Incarnation > incarnationMax {
		errs = append(errs, fmt.Errorf("incarnation is %d, above %d", r.Incarnation, uint64(incarnationMax)))
	}
	for _, f := range []struct {
		name     string
		got, max int
	}{
		{"name", len(r.Name), nameBytesMax},
		{"address", len(r.Address), addressBytesMax},
		{"gossip address", len(r.GossipAddress), addressBytesMax},
		{"directory id", len(r.Directory), directoryBytesMax},
		{"signature", len(r.Signature), signatureBytesMax},
		{"certificate hash", len(r.CertificateHash), certHashBytesMax},
	} {
		if f.got > f.max {
			errs = append(errs, fmt.Errorf("%s has %d bytes: at most %d are allowed", f.name, f.got, f.max))
		}
	}
	if err := ValidateTags(r.Tags); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// ValidateTags checks tags against the limits: 64 tags, 2048 bytes of keys and
// values together, no empty key.
func ValidateTags(tags map[string]string) error {
	if len(tags) > tagsMax {
		return fmt.Errorf("%d tags: at most %d are allowed", len(tags), tagsMax)
	}
	bytes := 0
	for k, v := range tags {
		if k == "" {
			return errors.New("a tag has an empty key: name it")
		}
		bytes += len(k) + len(v)
	}
	if bytes > TagsBytesMax {
		return fmt.Errorf("tags have %d bytes: at most %d are allowed", bytes, TagsBytesMax)
	}
	return nil
}

// compareEpoch orders statements about one member by generation, then
// incarnation: negative if a is older than b.
func compareEpoch(aGeneration, aIncarnation, bGeneration, bIncarnation uint64) int {
	switch {
	case aGeneration < bGeneration:
		return -1
	case aGeneration > bGeneration:
		return 1
	case aIncarnation < bIncarnation:
		return -1
	case aIncarnation > bIncarnation:
		return 1
	}
	return 0
}

// sameContent says whether two records of one member differ in more than
// incarnation and signature.
func sameContent(a, b *Record) bool {
	return a.Generation == b.Generation && a.Directory == b.Directory && a.Name == b.Name &&
		a.Address == b.Address && a.GossipAddress == b.GossipAddress && maps.Equal(a.Tags, b.Tags)
}

// Update is one statement about a member, as it travels. Alive and Left carry
// the owner's record, always; Suspect and Dead carry it only in a
// synchronisation, and count only where the record of that generation and
// incarnation is known.
type Update struct {
	ID          uint64
	Generation  uint64
	Incarnation uint64
	State       State
	Accusers    []uint64 // who suspects, or who declared dead; at most 8
	Record      *Record
	Replaces    string // directory id that Record's was found to have replaced
}

// wellFormed says whether an update makes sense in itself.
func (u *Update) wellFormed() bool {
	if u.ID == 0 || u.State < Alive || u.State > Left || len(u.Accusers) > accusersMax ||
		u.Incarnation > incarnationMax || len(u.Replaces) > directoryBytesMax {
		return false
	}
	if u.Record == nil {
		return u.State == Suspect || u.State == Dead
	}
	return u.Record.ID == u.ID && u.Record.Generation == u.Generation &&
		u.Record.Incarnation == u.Incarnation && u.Record.Left == (u.State == Left) &&
		u.Record.Validate() == nil
}
