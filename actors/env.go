package actors

import (
	"encoding/hex"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Env is all that an actor may know of the world outside its messages. One Env belongs to one actor system.
// Implementations are safe for concurrent use; the generators that Rand returns are not.
type Env interface {
	// Now is the wall clock. It may jump; use it for labels and logs, never for a deadline.
	Now() time.Time
	// Boot is the time since the machine started, sleep included. It never goes back, and leases are counted
	// on it, because the ordinary monotonic clock stands still while a machine sleeps.
	Boot() time.Duration
	// After delivers msg to pid once d has passed: as a system message where msg is an actor.SystemMessage,
	// as a user message otherwise. A d of zero or less delivers as soon as possible, never inside the call.
	After(d time.Duration, pid *actor.PID, msg any) Timer
	// Rand returns a generator of its own for the stream of that name. Ask once and keep it: two calls with one
	// name return generators that draw differently.
	Rand(stream string) *rand.Rand
	// NewID returns 128 fresh random bits.
	NewID() ID
}

// Timer is a message on its way. Stop reports whether the delivery was prevented; a message that was already
// queued is not taken back, so receivers match a timer message against the state that it was set for.
type Timer interface{ Stop() bool }

// ID is 128 random bits, in hexadecimal where people see it.
type ID [16]byte

// String returns the id as 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the id was never set.
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads what String wrote.
func ParseID(s string) (ID, error) {
	var id ID
	b, err := hex.DecodeString(s)
	if err != nil {
		return ID{}, &InvalidIDError{Text: s}
	}
	if len(b) != len(id) {
		return ID{}, &InvalidIDError{Text: s}
	}
	copy(id[:], b)
	return id, nil
}

// IDFromBytes reads an id from the wire: exactly 16 bytes.
func IDFromBytes(b []byte) (ID, bool) {
	var id ID
	if len(b) != len(id) {
		return ID{}, false
	}
	copy(id[:], b)
	return id, true
}

// InvalidIDError says that a text is not an id.
type InvalidIDError struct{ Text string }

func (e *InvalidIDError) Error() string {
	return "invalid id " + quoteShort(e.Text) + ": want 32 hexadecimal digits"
}

func quoteShort(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "…"
	}
	return "\"" + s + "\""
}
