package raftactor

import (
	"bytes"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// steps are of every shape that replicas send, and some that they don't.
func steps() []*Step {
	entry := &raftpb.Entry{Type: raftpb.EntryNormal.Enum(), Term: u(3), Index: u(300), Data: []byte("data")}
	unknown := &raftpb.Message{To: u(1)}
	unknown.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 7))
	later := &Step{Instance: 1}
	later.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 9, protowire.BytesType), []byte("later")))
	return []*Step{
		{}, later, {Rest: &Rest{Term: 4, Index: 5}, Instance: 3}, {Wake: true, Messages: []*raftpb.Message{{To: u(2), Entries: []*raftpb.Entry{entry}}}},
		{Instance: 1, ToInstance: 1<<64 - 1},
		{Messages: []*raftpb.Message{{}, {Type: raftpb.MsgHeartbeat.Enum(), From: u(1), To: u(2), Term: u(0), Commit: u(1 << 40), Context: []byte("12345678")}}},
		{Instance: 7, Messages: []*raftpb.Message{{Type: raftpb.MsgApp.Enum(), From: u(1), To: u(2), Term: u(9), LogTerm: u(8), Index: u(299), Commit: u(1),
			Entries: []*raftpb.Entry{entry, {}, {Data: []byte{}}, {Type: raftpb.EntryConfChangeV2.Enum()}, {Type: raftpb.EntryType(-1).Enum()}}}}},
		{Messages: []*raftpb.Message{{Type: raftpb.MsgAppResp.Enum(), Reject: new(true), RejectHint: u(5), Vote: u(6), Context: []byte{}}, {Reject: new(false), Type: raftpb.MessageType(-5).Enum()}}},
		{Messages: []*raftpb.Message{{Type: raftpb.MsgSnap.Enum(), Snapshot: &raftpb.Snapshot{Data: []byte("d"), Metadata: &raftpb.SnapshotMetadata{Index: u(1)}}}, unknown,
			{Responses: []*raftpb.Message{{To: u(4)}}, Entries: []*raftpb.Entry{entry}}}},
	}
}

func TestStepIsWrittenAndReadAsTheLibraryDoes(t *testing.T) {
	for i, s := range steps() {
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, s.SizeVT()+3)
		n, err := s.MarshalToSizedBufferVT(got)
		if err != nil || !bytes.Equal(got[3:], want) || n != len(want) {
			t.Errorf("%d: % x, %v; want % x", i, got[3:], err, want)
		}
		if _, err := s.MarshalToSizedBufferVT(make([]byte, max(len(want)-1, 0))); err == nil && len(want) > 0 {
			t.Errorf("%d: written into too little room", i)
		}
		back := &Step{}
		if err := back.UnmarshalVT(want); err != nil || !proto.Equal(back, s) {
			t.Errorf("%d: %v, %v; want %v", i, back, err, s)
		}
		clear(want) // what was read must not lie in what was given
		if !proto.Equal(back, s) {
			t.Errorf("%d: changed with the buffer", i)
		}
	}
}

// A field that is new to one of these is new to step.go too.
func TestStepKnowsAllFields(t *testing.T) {
	for m, known := range map[proto.Message]int{&Step{}: 5, &raftpb.Message{}: 14, &raftpb.Entry{}: 4, &LogEntry{}: 6} {
		if d := m.ProtoReflect().Descriptor(); d.Fields().Len() != known {
			t.Errorf("%s has %d fields, %d are written by hand", d.FullName(), d.Fields().Len(), known)
		}
	}
}

// FuzzStep: whatever the bytes, the methods here and the library read the same, or both refuse, and write it back alike.
func FuzzStep(f *testing.F) {
	for _, s := range steps() {
		b, err := proto.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		own, library := &Step{}, &Step{}
		mine, theirs := own.UnmarshalVT(b), proto.Unmarshal(b, library)
		if (mine == nil) != (theirs == nil) {
			t.Fatalf("read with %v, the library with %v", mine, theirs)
		}
		if mine != nil {
			return
		}
		if !proto.Equal(own, library) {
			t.Fatalf("read %v, the library %v", own, library)
		}
		out := make([]byte, own.SizeVT())
		if _, err := own.MarshalToSizedBufferVT(out); err != nil {
			t.Fatal(err)
		}
		again := &Step{}
		if err := proto.Unmarshal(out, again); err != nil {
			t.Fatalf("what was written is not readable: %v", err)
		}
	})
}
