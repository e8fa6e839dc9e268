package swimactor

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/swimactor/swim"
)

// WireTypes are the message types that the actor takes from the wire; the remote registers them for the reserved
// name "swim".
func WireTypes() []proto.Message { return []proto.Message{&Message{}} }

// classOf is how a message travels: what may be large keeps out of the way of Control.
func classOf(s *swim.Send) actors.Class {
	if s.Path == swim.Datagram {
		return actors.Datagram
	}
	switch s.Message.(type) {
	case *swim.Gossip, *swim.SyncBuckets, *swim.SyncSummary, *swim.SyncRecords:
		return actors.Default
	}
	return actors.Control
}

// Encode writes a core's message for the wire.
func Encode(msg swim.Message) *Message {
	switch m := msg.(type) {
	case *swim.Ping:
		return &Message{Body: &Message_Ping{&Ping{Seq: m.Seq, Target: m.Target, Generation: m.Generation, Stream: m.Stream, Updates: encodeUpdates(m.Updates)}}}
	case *swim.Ack:
		return &Message{Body: &Message_Ack{&Ack{Seq: m.Seq, Digest: m.Digest, Updates: encodeUpdates(m.Updates)}}}
	case *swim.Mismatch:
		return &Message{Body: &Message_Mismatch{&Mismatch{Seq: m.Seq, Record: encodeRecord(m.Record)}}}
	case *swim.PingReq:
		return &Message{Body: &Message_PingReq{&PingReq{Seq: m.Seq, Target: m.Target, Generation: m.Generation, Updates: encodeUpdates(m.Updates)}}}
	case *swim.Nack:
		return &Message{Body: &Message_Nack{&Nack{Seq: m.Seq}}}
	case *swim.Gossip:
		return &Message{Body: &Message_Gossip{&Gossip{Updates: encodeUpdates(m.Updates)}}}
	case *swim.SyncRequest:
		return &Message{Body: &Message_SyncRequest{&SyncRequest{Cluster: m.Cluster, Digest: m.Digest, Join: m.Join, Self: encodeRecord(m.Self), Certificate: m.Certificate}}}
	case *swim.SyncEqual:
		return &Message{Body: &Message_SyncEqual{&SyncEqual{Digest: m.Digest}}}
	case *swim.SyncBuckets:
		return &Message{Body: &Message_SyncBuckets{&SyncBuckets{Digests: m.Digests}}}
	case *swim.SyncSummary:
		entries := make([]*Summary, len(m.Entries))
		for i, e := range m.Entries {
			entries[i] = &Summary{Id: e.ID, Generation: e.Generation, Incarnation: e.Incarnation, State: uint32(e.State)}
		}
		return &Message{Body: &Message_SyncSummary{&SyncSummary{Buckets: m.Buckets, Entries: entries}}}
	case *swim.SyncRecords:
		return &Message{Body: &Message_SyncRecords{&SyncRecords{Updates: encodeUpdates(m.Updates), Wants: m.Wants, Last: m.Last, Certificates: m.Certificates}}}
	case *swim.LeaveNotice:
		return &Message{Body: &Message_LeaveNotice{&LeaveNotice{Seq: m.Seq, Record: encodeRecord(m.Record)}}}
	case *swim.LeaveAck:
		return &Message{Body: &Message_LeaveAck{&LeaveAck{Seq: m.Seq}}}
	case *swim.ConflictNotice:
		return &Message{Body: &Message_ConflictNotice{&ConflictNotice{Holder: encodeRecord(m.Holder), Refused: encodeRecord(m.Refused)}}}
	}
	return &Message{}
}

// Decode reads a message from the wire; nil for one that holds nothing, or nothing this version knows. What it says
// is for the core to check.
func Decode(msg *Message) swim.Message {
	switch b := msg.GetBody().(type) {
	case *Message_Ping:
		m := b.Ping
		return &swim.Ping{Seq: m.GetSeq(), Target: m.GetTarget(), Generation: m.GetGeneration(), Stream: m.GetStream(), Updates: decodeUpdates(m.GetUpdates())}
	case *Message_Ack:
		m := b.Ack
		return &swim.Ack{Seq: m.GetSeq(), Digest: m.GetDigest(), Updates: decodeUpdates(m.GetUpdates())}
	case *Message_Mismatch:
		return &swim.Mismatch{Seq: b.Mismatch.GetSeq(), Record: decodeRecord(b.Mismatch.GetRecord())}
	case *Message_PingReq:
		m := b.PingReq
		return &swim.PingReq{Seq: m.GetSeq(), Target: m.GetTarget(), Generation: m.GetGeneration(), Updates: decodeUpdates(m.GetUpdates())}
	case *Message_Nack:
		return &swim.Nack{Seq: b.Nack.GetSeq()}
	case *Message_Gossip:
		return &swim.Gossip{Updates: decodeUpdates(b.Gossip.GetUpdates())}
	case *Message_SyncRequest:
		m := b.SyncRequest
		return &swim.SyncRequest{Cluster: m.GetCluster(), Digest: m.GetDigest(), Join: m.GetJoin(), Self: decodeRecord(m.GetSelf()), Certificate: m.GetCertificate()}
	case *Message_SyncEqual:
		return &swim.SyncEqual{Digest: b.SyncEqual.GetDigest()}
	case *Message_SyncBuckets:
		return &swim.SyncBuckets{Digests: b.SyncBuckets.GetDigests()}
	case *Message_SyncSummary:
		entries := make([]swim.Summary, len(b.SyncSummary.GetEntries()))
		for i, e := range b.SyncSummary.GetEntries() {
			entries[i] = swim.Summary{ID: e.GetId(), Generation: e.GetGeneration(), Incarnation: e.GetIncarnation(), State: decodeState(e.GetState())}
		}
		return &swim.SyncSummary{Buckets: b.SyncSummary.GetBuckets(), Entries: entries}
	case *Message_SyncRecords:
		m := b.SyncRecords
		return &swim.SyncRecords{Updates: decodeUpdates(m.GetUpdates()), Wants: m.GetWants(), Last: m.GetLast(), Certificates: m.GetCertificates()}
	case *Message_LeaveNotice:
		return &swim.LeaveNotice{Seq: b.LeaveNotice.GetSeq(), Record: decodeRecord(b.LeaveNotice.GetRecord())}
	case *Message_LeaveAck:
		return &swim.LeaveAck{Seq: b.LeaveAck.GetSeq()}
	case *Message_ConflictNotice:
		m := b.ConflictNotice
		return &swim.ConflictNotice{Holder: decodeRecord(m.GetHolder()), Refused: decodeRecord(m.GetRefused())}
	}
	return nil
}

// decodeState maps what is no state to 0, which the core refuses.
func decodeState(s uint32) swim.State {
	if s > uint32(swim.Left) {
		return 0
	}
	return swim.State(s)
}

func encodeRecord(r *swim.Record) *Record {
	if r == nil {
		return nil
	}
	return &Record{
		Id: r.ID, Directory: []byte(r.Directory), Name: r.Name, Generation: r.Generation, Incarnation: r.Incarnation,
		Address: r.Address, GossipAddress: r.GossipAddress, Tags: encodeTags(r.Tags), Left: r.Left,
		CertificateHash: r.CertificateHash, Signature: r.Signature,
	}
}

func decodeRecord(r *Record) *swim.Record {
	if r == nil {
		return nil
	}
	return &swim.Record{
		ID: r.GetId(), Directory: string(r.GetDirectory()), Name: r.GetName(), Generation: r.GetGeneration(), Incarnation: r.GetIncarnation(),
		Address: r.GetAddress(), GossipAddress: r.GetGossipAddress(), Tags: decodeTags(r.GetTags()), Left: r.GetLeft(),
		CertificateHash: r.GetCertificateHash(), Signature: r.GetSignature(),
	}
}

func encodeTags(tags map[string]string) []*Tag {
	if len(tags) == 0 {
		return nil
	}
	out := make([]*Tag, 0, len(tags))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, &Tag{Key: k, Value: tags[k]})
	}
	return out
}

func decodeTags(tags []*Tag) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		out[t.GetKey()] = t.GetValue()
	}
	return out
}

func encodeUpdates(updates []swim.Update) []*Update {
	if len(updates) == 0 {
		return nil
	}
	out := make([]*Update, len(updates))
	for i := range updates {
		u := &updates[i]
		e := &Update{State: uint32(u.State), Accusers: u.Accusers, Record: encodeRecord(u.Record), Replaces: []byte(u.Replaces)}
		if u.Record == nil {
			e.Id, e.Generation, e.Incarnation = u.ID, u.Generation, u.Incarnation
		}
		out[i] = e
	}
	return out
}

func decodeUpdates(updates []*Update) []swim.Update {
	if len(updates) == 0 {
		return nil
	}
	out := make([]swim.Update, len(updates))
	for i, u := range updates {
		out[i] = swim.Update{
			ID: u.GetId(), Generation: u.GetGeneration(), Incarnation: u.GetIncarnation(), State: decodeState(u.GetState()),
			Accusers: u.GetAccusers(), Record: decodeRecord(u.GetRecord()), Replaces: string(u.GetReplaces()),
		}
		if r := out[i].Record; r != nil {
			out[i].ID, out[i].Generation, out[i].Incarnation = r.ID, r.Generation, r.Incarnation
		}
	}
	return out
}
