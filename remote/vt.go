package remote

import (
	"fmt"
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// vtMessage is what protoc-gen-go-vtproto generates; it takes a third of the time. What it leaves out is made up for
// here: it writes maps in random order, takes strings that are no UTF-8, and follows nested messages to any depth.
type vtMessage interface {
	proto.Message
	vtMethods
}

type vtMethods interface {
	SizeVT() int
	MarshalToSizedBufferVT(dst []byte) (int, error)
	UnmarshalVT(b []byte) error
}

// complete reports whether a message says of its methods that they leave nothing out: those that are written by hand.
func complete(m vtMethods) bool {
	_, ok := m.(interface{ CompleteVT() })
	return ok
}

// nestedMax is how deep messages may lie in each other where generated methods read them.
const nestedMax = 100

// shape is what matters of a message type to its encoding.
type shape struct {
	vt         bool        // generated methods may be used: proto3, no map anywhere
	textFields *textFields // nil where there is nothing to check
}

var shapes sync.Map // protoreflect.MessageDescriptor to *shape; there are as many as types

func shapeOf(d protoreflect.MessageDescriptor) *shape {
	if s, ok := shapes.Load(d); ok {
		return s.(*shape)
	}
	s := &shape{vt: mapless(d, make(map[protoreflect.MessageDescriptor]bool))}
	if s.vt {
		seen := make(map[protoreflect.MessageDescriptor]*textFields)
		if t := textsOf(d, seen); needsCheck(t, make(map[*textFields]bool)) {
			s.textFields = t
		}
	}
	stored, _ := shapes.LoadOrStore(d, s)
	return stored.(*shape)
}

// mapless reports whether a message and all in it is proto3 without maps.
func mapless(d protoreflect.MessageDescriptor, seen map[protoreflect.MessageDescriptor]bool) bool {
	if seen[d] {
		return true
	}
	seen[d] = true
	if d.ParentFile().Syntax() != protoreflect.Proto3 {
		return false
	}
	fields := d.Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.IsMap() || f.Message() != nil && !mapless(f.Message(), seen) {
			return false
		}
	}
	return true
}

// textFields says where the strings of a message are.
type textFields struct {
	fields []textField
}

// textField is a string, or a message that may have some.
type textField struct {
	number protowire.Number
	inner  *textFields // nil for a string
}

func textsOf(d protoreflect.MessageDescriptor, seen map[protoreflect.MessageDescriptor]*textFields) *textFields {
	if t := seen[d]; t != nil {
		return t
	}
	t := &textFields{}
	seen[d] = t
	fields := d.Fields()
	for i := range fields.Len() {
		switch f := fields.Get(i); {
		case f.Message() != nil:
			t.fields = append(t.fields, textField{f.Number(), textsOf(f.Message(), seen)})
		case f.Kind() == protoreflect.StringKind:
			t.fields = append(t.fields, textField{number: f.Number()})
		}
	}
	return t
}

// needsCheck reports whether there is a string in it, or a message in itself.
func needsCheck(t *textFields, above map[*textFields]bool) bool {
	if above[t] {
		return true
	}
	above[t] = true
	defer delete(above, t)
	for _, f := range t.fields {
		if f.inner == nil || needsCheck(f.inner, above) {
			return true
		}
	}
	return false
}

// check finds strings that are no UTF-8, as proto.Unmarshal does, and messages that lie too deep.
func (t *textFields) check(b []byte, depth int) error {
	if depth > nestedMax {
		return fmt.Errorf("messages lie more than %d deep in each other", nestedMax)
	}
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if wire != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, wire, b); n < 0 {
				return protowire.ParseError(n)
			}
			b = b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := t.checkField(number, v, depth); err != nil {
			return err
		}
	}
	return nil
}

func (t *textFields) checkField(number protowire.Number, v []byte, depth int) error {
	for i := range t.fields {
		f := &t.fields[i]
		switch {
		case f.number != number:
		case f.inner != nil:
			return f.inner.check(v, depth+1)
		case !utf8.Valid(v):
			return fmt.Errorf("string field %d contains invalid UTF-8", number)
		default:
			return nil
		}
	}
	return nil
}
