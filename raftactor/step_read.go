package raftactor

import (
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// UnmarshalVT reads a Step. It copies b once; the entries' data lies in that copy.
func (x *Step) UnmarshalVT(b []byte) error {
	for rest := slices.Clone(b); len(rest) > 0; {
		f, n := readField(rest)
		switch {
		case n < 0:
			return protowire.ParseError(n)
		case f.number == 1 && f.wire == protowire.VarintType:
			x.Instance = f.value
		case f.number == 2 && f.wire == protowire.VarintType:
			x.ToInstance = f.value
		case f.number == 3 && f.wire == protowire.BytesType:
			m, err := readMessage(f.bytes)
			if err != nil {
				return err
			}
			x.Messages = append(x.Messages, m)
		default:
			return proto.Unmarshal(b, x)
		}
		rest = rest[n:]
	}
	return nil
}

// field is one of a message, of one of the two kinds that are known here.
type field struct {
	number protowire.Number
	wire   protowire.Type
	value  uint64
	bytes  []byte
}

// readField returns the length of the first field, negative for a fault.
func readField(b []byte) (f field, n int) {
	number, wire, tag := protowire.ConsumeTag(b)
	if tag < 0 || number > protowire.MaxValidNumber {
		return f, min(tag, -1)
	}
	f.number, f.wire = number, wire
	switch wire {
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(b[tag:])
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b[tag:])
		f.bytes = f.bytes[:len(f.bytes):len(f.bytes)]
	default:
		n = protowire.ConsumeFieldValue(number, wire, b[tag:])
	}
	if n < 0 {
		return f, n
	}
	return f, tag + n
}

// plain looks at a message's fields: how many entries there are, and whether there is anything that is left to the library.
func plain(b []byte) (entries int, ok bool) {
	for len(b) > 0 {
		f, n := readField(b)
		if n < 0 {
			return 0, false
		}
		switch f.number {
		case 1, 2, 3, 4, 5, 6, 8, 10, 11, 13:
			ok = f.wire == protowire.VarintType
		case 7:
			ok = f.wire == protowire.BytesType && plainEntry(f.bytes)
			entries++
		case 12:
			ok = f.wire == protowire.BytesType
		default:
			ok = false
		}
		if !ok {
			return 0, false
		}
		b = b[n:]
	}
	return entries, true
}

func plainEntry(b []byte) bool {
	for len(b) > 0 {
		f, n := readField(b)
		if n < 0 || f.number > 4 || (f.wire == protowire.BytesType) != (f.number == 4) || f.wire != protowire.BytesType && f.wire != protowire.VarintType {
			return false
		}
		b = b[n:]
	}
	return true
}

// entryTypes are shared: nobody writes through such a pointer.
var entryTypes = [...]*raftpb.EntryType{raftpb.EntryNormal.Enum(), raftpb.EntryConfChange.Enum(), raftpb.EntryConfChangeV2.Enum()}

// messageTypes are shared as well.
var messageTypes = func() (types [32]*raftpb.MessageType) {
	for i := range types {
		types[i] = raftpb.MessageType(i).Enum()
	}
	return types
}()

func messageTypeOf(v uint64) *raftpb.MessageType {
	if v < uint64(len(messageTypes)) {
		return messageTypes[v]
	}
	return raftpb.MessageType(int32(v)).Enum()
}

func typeOf(v uint64) *raftpb.EntryType {
	if v < uint64(len(entryTypes)) {
		return entryTypes[v]
	}
	return raftpb.EntryType(int32(v)).Enum()
}

// messageFields are the numbers of a message's fields, all below it.
const messageFields = 14

// readMessage allocates the places of all numbers at once, its own by field and its entries' behind them.
func readMessage(b []byte) (*raftpb.Message, error) {
	m := &raftpb.Message{}
	count, ok := plain(b)
	if !ok {
		return m, proto.Unmarshal(b, m)
	}
	entries := make([]raftpb.Entry, count)
	values := make([]uint64, messageFields+2*count)
	if count > 0 {
		m.Entries = make([]*raftpb.Entry, 0, count)
	}
	for len(b) > 0 {
		f, n := readField(b)
		b = b[n:]
		switch f.number {
		case 7:
			i := len(m.Entries)
			readEntry(f.bytes, &entries[i], values[messageFields+2*i:][:2])
			m.Entries = append(m.Entries, &entries[i])
		case 12:
			m.Context = append([]byte{}, f.bytes...)
		default:
			values[f.number] = f.value
			setNumber(m, f.number, &values[f.number])
		}
	}
	return m, nil
}

// setNumber sets a field that plain let through.
func setNumber(m *raftpb.Message, number protowire.Number, v *uint64) {
	switch number {
	case 1:
		m.Type = messageTypeOf(*v)
	case 2:
		m.To = v
	case 3:
		m.From = v
	case 4:
		m.Term = v
	case 5:
		m.LogTerm = v
	case 6:
		m.Index = v
	case 8:
		m.Commit = v
	case 10:
		m.Reject = new(protowire.DecodeBool(*v))
	case 11:
		m.RejectHint = v
	case 13:
		m.Vote = v
	}
}

// readEntry takes a plain entry. values are the places of its term and index.
func readEntry(b []byte, e *raftpb.Entry, values []uint64) {
	for len(b) > 0 {
		f, n := readField(b)
		b = b[n:]
		switch f.number {
		case 1:
			e.Type = typeOf(f.value)
		case 2:
			values[0] = f.value
			e.Term = &values[0]
		case 3:
			values[1] = f.value
			e.Index = &values[1]
		case 4:
			e.Data = f.bytes
		}
	}
}
