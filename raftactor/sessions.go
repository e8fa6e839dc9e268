package raftactor

import (
	"slices"
	"sort"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

// The bounds of the session table. They decide what is applied, so every replica must have the same: a change of one is a change
// of the log's format.
const (
	sessionsMax       = 4096    // a further one takes the place of the one unused longest
	sessionLife       = 1 << 20 // entries of the group's log, since a session was last used
	sessionResults    = 64      // of one session
	sessionResultSize = 16 << 10
)

// sessions makes a retry safe: it remembers what each session's numbers came to. It is part of the replicated state.
type sessions struct {
	byID map[uint64]*session
}

type session struct {
	id    uint64
	used  uint64
	floor uint64 // results of sequence numbers up to it are forgotten
	size  int
	// results by sequence number, ascending; each immutable.
	results []*StoredResult
}

func newSessions() *sessions { return &sessions{byID: make(map[uint64]*session)} }

// open registers a session under the index of its entry, drops those that are expired, and says whether another one had to go before its
// time.
func (t *sessions) open(index uint64) (evicted bool) {
	var oldest *session
	for id, s := range t.byID {
		if s.expired(index) {
			delete(t.byID, id)
			continue
		}
		if oldest == nil || s.used < oldest.used || s.used == oldest.used && id < oldest.id {
			oldest = s
		}
	}
	if len(t.byID) >= sessionsMax {
		delete(t.byID, oldest.id)
		evicted = true
	}
	t.byID[index] = &session{id: index, used: index}
	return evicted
}

func (s *session) expired(index uint64) bool { return s.used+sessionLife < index }

// find returns the session and, where the number was applied before, what it came to. No session, or a result that is
// forgotten: nobody can say whether the number was applied.
func (t *sessions) find(id *consensus.ProposalID, index uint64) (*session, *StoredResult) {
	s := t.byID[id.GetSession()]
	if s == nil || s.expired(index) || id.GetSequence() <= s.floor {
		return nil, nil
	}
	s.used = index
	i := s.position(id.GetSequence())
	if i < len(s.results) && s.results[i].GetSequence() == id.GetSequence() {
		return s, s.results[i]
	}
	return s, nil
}

func (s *session) position(sequence uint64) int {
	return sort.Search(len(s.results), func(i int) bool { return s.results[i].GetSequence() >= sequence })
}

// remember stores what a number came to. Over the bounds the lowest numbers are forgotten, the last one never.
func (s *session) remember(sequence, index uint64, result *anypb.Any, refusal *consensus.Failed) {
	r := &StoredResult{Sequence: sequence, Index: index, Result: result, Refusal: refusal}
	s.results = slices.Insert(s.results, s.position(sequence), r)
	s.size += proto.Size(r)
	for len(s.results) > 1 && (len(s.results) > sessionResults || s.size > sessionResultSize) {
		s.size -= proto.Size(s.results[0])
		s.floor = s.results[0].GetSequence()
		s.results = slices.Delete(slices.Clone(s.results), 0, 1)
	}
}

// encode returns the table as it is now; later changes don't reach it.
func (t *sessions) encode() *SessionTable {
	out := &SessionTable{}
	for _, s := range t.byID {
		out.Sessions = append(out.Sessions, &SessionState{Id: s.id, Used: s.used, Floor: s.floor, Results: slices.Clone(s.results)})
	}
	sort.Slice(out.Sessions, func(i, j int) bool { return out.Sessions[i].GetId() < out.Sessions[j].GetId() })
	return out
}

func decodeSessions(m *SessionTable) *sessions {
	t := newSessions()
	for _, s := range m.GetSessions() {
		in := &session{id: s.GetId(), used: s.GetUsed(), floor: s.GetFloor(), results: s.GetResults()}
		for _, r := range in.results {
			in.size += proto.Size(r)
		}
		t.byID[in.id] = in
	}
	return t
}
