package raftactor

import (
	"fmt"
	"sort"

	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

// book is the group's address book: the replicas that configuration changes named. It is part of the replicated
// state, so its addresses are those of the time of the change; [routes] knows the current ones.
type book map[uint64]*consensus.Peer

func newBook() book { return book{} }

func (b book) put(p *consensus.Peer) { b[p.GetReplica()] = p }

func (b book) sorted() []*consensus.Peer {
	out := make([]*consensus.Peer, 0, len(b))
	for _, p := range b {
		out = append(out, p)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].GetReplica() < out[j].GetReplica() })
	return out
}

func (b book) encode() []byte {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(&AddressBook{Peers: b.sorted()})
	if err != nil {
		panic(fmt.Sprintf("raftactor: can't marshal the address book: %v", err))
	}
	return data
}

func decodeBook(data []byte) (book, error) {
	m := &AddressBook{}
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("address book: %w", err)
	}
	b := newBook()
	for _, p := range m.GetPeers() {
		if !validReplica(p.GetReplica()) {
			return nil, fmt.Errorf("address book: replica id %d is reserved", p.GetReplica())
		}
		b.put(p)
	}
	return b, nil
}
