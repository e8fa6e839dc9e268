package raftactor

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Most of what a busy group sends is entries. These methods write and read a Step as protobuf does, byte for byte, and
// allocate once for all entries of a message and not five times for each; the remote takes them. What is rare, snapshots and
// fields that nobody here knows, is left to the library.

// CompleteVT says that the methods below need no help: a Step has neither maps nor strings, nor depth that its reader follows.
func (*Step) CompleteVT() {}

// plain reports whether a Step has nothing but instances and messages. Others are the library's.
func (x *Step) plain() bool {
	return x.GetRest() == nil && !x.GetWake() && len(x.ProtoReflect().GetUnknown()) == 0
}

// SizeVT is the length of the encoded Step.
func (x *Step) SizeVT() int {
	if !x.plain() {
		return proto.Size(x)
	}
	size := sizeNonZero(x.GetInstance()) + sizeNonZero(x.GetToInstance())
	for _, m := range x.GetMessages() {
		size += 1 + protowire.SizeBytes(sizeMessage(m))
	}
	return size
}

// MarshalToSizedBufferVT writes the Step to the end of dst and returns its length.
func (x *Step) MarshalToSizedBufferVT(dst []byte) (n int, err error) {
	size := x.SizeVT()
	if size > len(dst) {
		return 0, fmt.Errorf("a step of %d bytes does not fit %d", size, len(dst))
	}
	b := dst[len(dst)-size : len(dst)-size]
	if x.plain() {
		b, err = x.append(b)
	} else {
		b, err = proto.MarshalOptions{Deterministic: true}.MarshalAppend(b, x)
	}
	if err == nil && len(b) != size {
		err = fmt.Errorf("a step of %d bytes took %d", size, len(b))
	}
	return size, err
}

func (x *Step) append(b []byte) (_ []byte, err error) {
	b = appendNonZero(appendNonZero(b, 1, x.GetInstance()), 2, x.GetToInstance())
	for _, m := range x.GetMessages() {
		b = protowire.AppendTag(b, 3, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(sizeMessage(m)))
		if b, err = appendMessage(b, m); err != nil {
			return b, err
		}
	}
	return b, nil
}

// rare messages are the library's.
func rare(m *raftpb.Message) bool {
	return m.Snapshot != nil || len(m.Responses) > 0 || len(m.ProtoReflect().GetUnknown()) > 0
}

func sizeMessage(m *raftpb.Message) int {
	if rare(m) {
		return proto.Size(m)
	}
	size := sizeOptional(m.To) + sizeOptional(m.From) + sizeOptional(m.Term) + sizeOptional(m.LogTerm) + sizeOptional(m.Index) +
		sizeOptional(m.Commit) + sizeOptional(m.RejectHint) + sizeOptional(m.Vote)
	if m.Type != nil {
		size += 1 + protowire.SizeVarint(uint64(*m.Type))
	}
	for _, e := range m.Entries {
		size += 1 + protowire.SizeBytes(sizeEntry(e))
	}
	if m.Reject != nil {
		size += 2
	}
	if m.Context != nil {
		size += 1 + protowire.SizeBytes(len(m.Context))
	}
	return size
}

func sizeOptional(v *uint64) int {
	if v == nil {
		return 0
	}
	return 1 + protowire.SizeVarint(*v)
}

func sizeEntry(e *raftpb.Entry) int {
	size := sizeOptional(e.Term) + sizeOptional(e.Index)
	if e.Type != nil {
		size += 1 + protowire.SizeVarint(uint64(*e.Type))
	}
	if e.Data != nil {
		size += 1 + protowire.SizeBytes(len(e.Data))
	}
	return size
}

func appendNumber(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendOptional(b []byte, field protowire.Number, v *uint64) []byte {
	if v == nil {
		return b
	}
	return appendNumber(b, field, *v)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	if v == nil {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendMessage(b []byte, m *raftpb.Message) ([]byte, error) {
	if rare(m) {
		return proto.MarshalOptions{Deterministic: true}.MarshalAppend(b, m)
	}
	if m.Type != nil {
		b = appendNumber(b, 1, uint64(*m.Type))
	}
	for i, v := range [...]*uint64{m.To, m.From, m.Term, m.LogTerm, m.Index} {
		b = appendOptional(b, protowire.Number(i+2), v)
	}
	for _, e := range m.Entries {
		b = protowire.AppendTag(b, 7, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(sizeEntry(e)))
		if e.Type != nil {
			b = appendNumber(b, 1, uint64(*e.Type))
		}
		b = appendBytes(appendOptional(appendOptional(b, 2, e.Term), 3, e.Index), 4, e.Data)
	}
	b = appendOptional(b, 8, m.Commit)
	if m.Reject != nil {
		b = appendNumber(b, 10, protowire.EncodeBool(*m.Reject))
	}
	b = appendBytes(appendOptional(b, 11, m.RejectHint), 12, m.Context)
	return appendOptional(b, 13, m.Vote), nil
}
