package raftactor

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

// Every replica reads every entry of its log. It is a [LogEntry], written and read here without reflection: byte for byte what
// protobuf writes.

// logEntry is one that was read. What it names lies in the entry's own data.
type logEntry struct {
	format         uint32
	origin, number uint64
	id             *consensus.ProposalID
	opens          bool // a session
	commands       bool // the machine
	command        packedCommand
}

// packedCommand is a google.protobuf.Any as it lies in the log.
type packedCommand struct{ url, value []byte }

// command of nil opens a session.
func sizeLogEntry(origin, number uint64, id *consensus.ProposalID, command *anypb.Any) int {
	size := 1 + protowire.SizeVarint(entryFormat) + sizeNonZero(origin) + sizeNonZero(number)
	if id != nil {
		size += 1 + protowire.SizeBytes(sizeNonZero(id.GetSession())+sizeNonZero(id.GetSequence()))
	}
	return size + 1 + protowire.SizeBytes(sizeAny(command))
}

func sizeNonZero(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

// sizeAny is the encoded size of a packed command, 0 for none.
func sizeAny(a *anypb.Any) int {
	size := 0
	if n := len(a.GetTypeUrl()); n > 0 {
		size += 1 + protowire.SizeBytes(n)
	}
	if n := len(a.GetValue()); n > 0 {
		size += 1 + protowire.SizeBytes(n)
	}
	return size
}

func appendNonZero(b []byte, number protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return appendNumber(b, number, v)
}

func appendLogEntry(b []byte, origin, number uint64, id *consensus.ProposalID, command *anypb.Any) []byte {
	b = appendNonZero(appendNonZero(appendNumber(b, 1, entryFormat), 2, origin), 3, number)
	if id != nil {
		b = protowire.AppendTag(b, 4, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(sizeNonZero(id.GetSession())+sizeNonZero(id.GetSequence())))
		b = appendNonZero(appendNonZero(b, 1, id.GetSession()), 2, id.GetSequence())
	}
	if command == nil {
		return append(protowire.AppendTag(b, 6, protowire.BytesType), 0)
	}
	b = protowire.AppendTag(b, 5, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(sizeAny(command)))
	if url := command.GetTypeUrl(); url != "" {
		b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), url)
	}
	if value := command.GetValue(); len(value) > 0 {
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), value)
	}
	return b
}

var errDamagedEntry = errors.New("damaged entry")

// eachField calls f for the fields that are numbers or bytes; others belong to a later version, and are skipped.
func eachField(b []byte, f func(field) error) error {
	for len(b) > 0 {
		one, n := readField(b)
		if n < 0 {
			return errDamagedEntry
		}
		if err := f(one); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func readLogEntry(b []byte) (e logEntry, err error) {
	err = eachField(b, func(f field) error {
		switch number := f.number; {
		case f.wire == protowire.VarintType && number == 1:
			e.format = uint32(f.value)
		case f.wire == protowire.VarintType && number == 2:
			e.origin = f.value
		case f.wire == protowire.VarintType && number == 3:
			e.number = f.value
		case f.wire == protowire.BytesType && number == 4:
			e.id = &consensus.ProposalID{}
			return eachField(f.bytes, func(f field) error {
				switch {
				case f.wire == protowire.VarintType && f.number == 1:
					e.id.Session = f.value
				case f.wire == protowire.VarintType && f.number == 2:
					e.id.Sequence = f.value
				}
				return nil
			})
		case f.wire == protowire.BytesType && number == 5:
			e.opens, e.commands, e.command = false, true, packedCommand{}
			return eachField(f.bytes, e.command.field)
		case f.wire == protowire.BytesType && number == 6:
			e.opens, e.commands = true, false
		}
		return nil
	})
	return e, err
}

func (c *packedCommand) field(f field) error {
	switch {
	case f.wire == protowire.BytesType && f.number == 1:
		c.url = f.bytes
	case f.wire == protowire.BytesType && f.number == 2:
		c.value = f.bytes
	}
	return nil
}
