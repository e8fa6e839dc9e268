package remote

import (
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// blockedMax bounds a block list.
const blockedMax = 4096

// BlockList is which nodes a remote has nothing to do with. Its methods are protoactor's; a member's id is its node id in decimal, the one
// in its certificate. A blocked node is refused at Hello, from either side, with [CodeBlocked]; connections with it are closed, what is sent
// to it goes to dead letters, watches there end. Blocking is for the life of the process and for this node alone: a cluster whose members
// are to be rid of a node lets it leave, and its certificate expire. Safe for concurrent use.
type BlockList struct {
	mu     sync.RWMutex
	nodes  map[uint64]struct{}
	log    *slog.Logger // may be nil
	onMore func()       // called when there are more; may be nil
}

// NewBlockList makes a list of nobody. A remote has one of its own, see [Remote.BlockList].
func NewBlockList() *BlockList { return &BlockList{nodes: make(map[uint64]struct{})} }

// Block adds nodes. Ids that are no node id, and any beyond 4096, are not added and logged.
func (bl *BlockList) Block(memberIDs ...string) {
	bl.mu.Lock()
	before := len(bl.nodes)
	for _, id := range memberIDs {
		node, ok := blockedNode(id)
		switch {
		case !ok:
			bl.warn(id, "it is no node id: give the number that the node's certificate names")
		case len(bl.nodes) < blockedMax:
			bl.nodes[node] = struct{}{}
		default:
			if _, there := bl.nodes[node]; !there {
				bl.warn(id, "the list has "+strconv.Itoa(blockedMax)+" nodes and takes no more")
			}
		}
	}
	more, tell := len(bl.nodes) > before, bl.onMore
	bl.mu.Unlock()
	if more && tell != nil {
		tell()
	}
}

func (bl *BlockList) warn(id, why string) {
	if bl.log != nil {
		bl.log.Warn("node not blocked", slog.String("member_id", quoteShort(id)), slog.String("reason", why))
	}
}

// whenMore sets what is called when there are more, and calls it where there are some already.
func (bl *BlockList) whenMore(tell func()) {
	bl.mu.Lock()
	bl.onMore = tell
	some := len(bl.nodes) > 0
	bl.mu.Unlock()
	if some && tell != nil {
		tell()
	}
}

// blockedNode reads a node id as it is written everywhere else: the same number has one spelling.
func blockedNode(id string) (uint64, bool) {
	node, err := strconv.ParseUint(id, 10, 64)
	return node, err == nil && node != 0 && strconv.FormatUint(node, 10) == id
}

// IsBlocked reports whether a node was blocked.
func (bl *BlockList) IsBlocked(memberID string) bool {
	node, ok := blockedNode(memberID)
	return ok && bl.has(node)
}

func (bl *BlockList) has(node uint64) bool {
	bl.mu.RLock()
	defer bl.mu.RUnlock()
	_, blocked := bl.nodes[node]
	return blocked
}

// Len returns the number of blocked nodes.
func (bl *BlockList) Len() int {
	bl.mu.RLock()
	defer bl.mu.RUnlock()
	return len(bl.nodes)
}

// BlockedMembers returns the nodes that are blocked now.
func (bl *BlockList) BlockedMembers() MemberSet {
	bl.mu.RLock()
	defer bl.mu.RUnlock()
	ids := make(MemberSet, 0, len(bl.nodes))
	for _, node := range slices.Sorted(maps.Keys(bl.nodes)) {
		ids = append(ids, strconv.FormatUint(node, 10))
	}
	return ids
}

// MemberSet is a set of member ids at one moment, in the order of their numbers.
type MemberSet []string

// Contains reports whether an id is among them.
func (s MemberSet) Contains(memberID string) bool { return slices.Contains(s, memberID) }

// Size returns how many there are.
func (s MemberSet) Size() int { return len(s) }

// IsEmpty reports whether there are none.
func (s MemberSet) IsEmpty() bool { return len(s) == 0 }

// ToSlice returns them as a slice of the caller's own.
func (s MemberSet) ToSlice() []string { return slices.Clone(s) }

func (s MemberSet) String() string { return "{" + strings.Join(s, ", ") + "}" }
