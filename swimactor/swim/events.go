package swim

import (
	"fmt"
	"time"
)

// Member is one member as this node sees it now.
type Member struct {
	Record *Record // immutable
	State  State
	Since  time.Duration // clock reading of the last change of State
	RTT    time.Duration // smoothed round trip of probes; 0 if never measured
}

// EventKind says what happened.
type EventKind uint8

const (
	// Joined: a member that was not known, or had left, is alive.
	Joined EventKind = iota + 1
	// Updated: a member's tags, addresses, name or generation changed.
	Updated
	// Suspected: a member missed a probe.
	Suspected
	// Failed: a suspicion ran out.
	Failed
	// Departed: a member left.
	Departed
	// Recovered: a suspected or failed member is alive.
	Recovered
	// Conflict: two directories use one node id; Member holds it, Other was
	// refused.
	Conflict
	// Isolated: this node hears nobody.
	Isolated
	// Reconnected: this node hears somebody again.
	Reconnected
	// LeaveDone: this node's leave is over.
	LeaveDone
)

var eventNames = [...]string{"", "joined", "updated", "suspected", "failed", "departed",
	"recovered", "conflict", "isolated", "reconnected", "leave-done"}

func (k EventKind) String() string {
	if int(k) < len(eventNames) && k > 0 {
		return eventNames[k]
	}
	return fmt.Sprintf("event(%d)", uint8(k))
}

// Event is an effect: something an application may want to know. The order of
// the events of successive Outputs is the order in which things became known.
type Event struct {
	Kind      EventKind
	Member    Member
	Other     *Record // Conflict: the refused record
	Confirmed int     // LeaveDone: members that confirmed
}

// Output is what an input led to. The caller owns it.
type Output struct {
	Sends  []Send
	Events []Event

	// Resolve names seeds whose addresses are wanted; answer with Resolved.
	Resolve []string

	// Wake is the clock reading at which Tick is due, and replaces any earlier
	// one; negative when nothing is due, ever.
	Wake time.Duration
}
