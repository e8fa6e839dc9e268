package raftactor

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

func TestLogEntryIsWrittenAndReadAsTheLibraryDoes(t *testing.T) {
	id := &consensus.ProposalID{Session: 3, Sequence: 1 << 50}
	for _, c := range []struct {
		origin, number uint64
		id             *consensus.ProposalID
		command        *anypb.Any
	}{
		{1<<64 - 1, 1, nil, consensus.Pack(text("set a 1"))},
		{5, 300, id, consensus.Pack(text("set a %0200d", 1))},
		{5, 300, id, &anypb.Any{}},
		{0, 0, nil, nil},
		{5, 6, nil, nil},
	} {
		message := &LogEntry{Format: entryFormat, Origin: c.origin, Number: c.number, Id: c.id}
		if message.Body = (&LogEntry_OpenSession_{OpenSession: &LogEntry_OpenSession{}}); c.command != nil {
			message.Body = &LogEntry_Command{Command: c.command}
		}
		want, err := proto.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		got := appendLogEntry(nil, c.origin, c.number, c.id, c.command)
		if !bytes.Equal(got, want) || sizeLogEntry(c.origin, c.number, c.id, c.command) != len(want) {
			t.Errorf("%v: % x of %d, want % x", message, got, sizeLogEntry(c.origin, c.number, c.id, c.command), want)
		}
		if sizeAny(c.command) != proto.Size(c.command) {
			t.Errorf("%v: command of %d bytes, want %d", message, sizeAny(c.command), proto.Size(c.command))
		}
		back, err := readLogEntry(want)
		if err != nil || back.format != entryFormat || back.origin != c.origin || back.number != c.number || !proto.Equal(back.id, c.id) || back.opens != (c.command == nil) {
			t.Errorf("%v: read %+v, %v", message, back, err)
		}
		if c.command != nil && (string(back.command.url) != c.command.GetTypeUrl() || !bytes.Equal(back.command.value, c.command.GetValue())) {
			t.Errorf("%v: read command %+v", message, back.command)
		}
	}
}

// FuzzLogEntry: what the library reads, is read alike here; what it refuses as garbled, is refused or names no type.
func FuzzLogEntry(f *testing.F) {
	f.Add(appendLogEntry(nil, 1, 2, &consensus.ProposalID{Session: 1, Sequence: 2}, consensus.Pack(text("set a 1"))))
	f.Add(appendLogEntry(nil, 1, 2, nil, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		message := &LogEntry{}
		got, err := readLogEntry(b)
		if proto.Unmarshal(b, message) != nil {
			return
		}
		if err != nil || got.format != message.GetFormat() || got.origin != message.GetOrigin() || got.number != message.GetNumber() || got.opens != (message.GetOpenSession() != nil) {
			t.Fatalf("read %+v, %v; the library %v", got, err, message)
		}
	})
}
