package bootstrap

import (
	"bytes"
	"slices"
	"time"

	"github.com/hupe1980/rivven-cluster/actors"
)

// freshFor is how long an observation or report counts. A peer that went silent must be seen again.
const freshFor = 5 * time.Second

// view is what a blank node sees: who answers at which address, and what each of them reported.
type view struct {
	self       *Candidate
	configured []string                 // sorted, without this node's own address
	behind     map[string][]string      // by configured name: its addresses, where it has several
	lookedUp   map[string]time.Duration // by configured name: when it was last looked up
	seen       map[string]*sighting     // by address: configured ones, and those that others told of
	reports    map[actors.ID]*reported  // by directory
}

type sighting struct {
	peer *actors.PeerInfo // nil: nobody answered
	why  string
	at   time.Duration
}

type reported struct {
	digest   []byte
	complete bool
	at       time.Duration
}

func newView(nodeID uint64, directory actors.ID, address string, peers []string) *view {
	v := &view{
		self:   &Candidate{NodeId: nodeID, DirectoryId: slices.Clone(directory[:]), Address: address},
		behind: make(map[string][]string), lookedUp: make(map[string]time.Duration),
		seen:    make(map[string]*sighting),
		reports: make(map[actors.ID]*reported),
	}
	v.configured = slices.DeleteFunc(slices.Clone(peers), func(p string) bool { return p == address })
	slices.Sort(v.configured)
	v.configured = slices.Compact(v.configured)
	return v
}

// targets are the addresses to ask, sorted: configured, and learned ones that answered lately.
func (v *view) targets() []string {
	out := v.wanted()
	for address := range v.seen {
		if !slices.Contains(out, address) {
			out = append(out, address)
		}
	}
	slices.Sort(out)
	return out
}

// learn adds an address that a candidate told of, within the bound.
func (v *view) learn(address string, now time.Duration) {
	if _, known := v.seen[address]; known || address == v.self.GetAddress() || len(v.seen) >= 2*maxPeers {
		return
	}
	if slices.Contains(v.wanted(), address) {
		return
	}
	v.seen[address] = &sighting{why: "told of by a peer", at: now}
}

func (v *view) saw(address string, peer *actors.PeerInfo, why string, now time.Duration) {
	if peer == nil && !slices.Contains(v.wanted(), address) {
		delete(v.seen, address) // learned, and gone again
		return
	}
	v.seen[address] = &sighting{peer: peer, why: why, at: now}
}

func (v *view) heard(peer *actors.PeerInfo, r *Report, now time.Duration) {
	if len(v.reports) >= 2*maxPeers {
		clear(v.reports) // only a peer that changes its disk all the time gets here
	}
	v.reports[peer.DirectoryID] = &reported{digest: r.GetDigest(), complete: r.GetComplete(), at: now}
}

// others are the peers in sight, one a directory, sorted by node id.
func (v *view) others(now time.Duration) []*actors.PeerInfo {
	latest := make(map[actors.ID]*sighting)
	for _, address := range v.targets() {
		s := v.seen[address]
		if s == nil || s.peer == nil || now-s.at >= freshFor || v.isSelf(s.peer) {
			continue
		}
		if other := latest[s.peer.DirectoryID]; other == nil || s.at > other.at {
			latest[s.peer.DirectoryID] = s
		}
	}
	out := make([]*actors.PeerInfo, 0, len(latest))
	for _, s := range latest {
		out = append(out, s.peer)
	}
	slices.SortFunc(out, func(a, b *actors.PeerInfo) int { return compareCandidates(candidateOf(a), candidateOf(b)) })
	return out
}

func (v *view) isSelf(p *actors.PeerInfo) bool {
	return bytes.Equal(p.DirectoryID[:], v.self.GetDirectoryId())
}

func candidateOf(p *actors.PeerInfo) *Candidate {
	return &Candidate{NodeId: p.NodeID, DirectoryId: slices.Clone(p.DirectoryID[:]), Address: p.Address}
}

// candidates are this node and the others in sight, sorted.
func (v *view) candidates(now time.Duration) []*Candidate {
	out := []*Candidate{v.self}
	for _, p := range v.others(now) {
		out = append(out, candidateOf(p))
	}
	slices.SortFunc(out, compareCandidates)
	return out
}

// missing names each configured address that nobody answers at.
func (v *view) missing(now time.Duration) []string {
	var out []string
	for _, name := range v.configured {
		if v.behind[name] == nil {
			out = append(out, v.silent([]string{name}, now)...)
			continue
		}
		out = append(out, v.missingBehind(name, now)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// silent says of each address at which nobody answers why that is.
func (v *view) silent(addresses []string, now time.Duration) []string {
	var out []string
	for _, address := range addresses {
		s := v.seen[address]
		switch {
		case s == nil:
			out = append(out, address+": not asked yet")
		case s.peer == nil:
			out = append(out, address+": "+s.why)
		case now-s.at >= freshFor:
			out = append(out, address+": no longer answers")
		}
	}
	return out
}

// disagreeing names each peer that did not report this digest, complete and lately.
func (v *view) disagreeing(digest []byte, now time.Duration) []string {
	var out []string
	for _, p := range v.others(now) {
		r := v.reports[p.DirectoryID]
		switch {
		case r == nil || now-r.at >= freshFor:
			out = append(out, p.Address+": has not reported yet")
		case !r.complete:
			out = append(out, p.Address+": does not see all its peers yet")
		case !bytes.Equal(r.digest, digest):
			out = append(out, p.Address+": sees other nodes")
		}
	}
	return out
}

// initialised returns the peer of the lowest node id that belongs to a cluster.
func (v *view) initialised(now time.Duration) *actors.PeerInfo {
	for _, p := range v.others(now) {
		if p.ClusterID != "" {
			return p
		}
	}
	return nil
}
