package remote

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	_ "github.com/hupe1980/rivven-cluster/actors/partition" // its messages
)

// fill sets every field of a message, lists twice, down to a depth.
func fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Message() != nil && depth == 0 || f.IsMap() {
			continue
		}
		if !f.IsList() {
			m.Set(f, filled(m.NewField(f), f, depth))
			continue
		}
		list := m.Mutable(f).List()
		for range 2 {
			list.Append(filled(list.NewElement(), f, depth))
		}
	}
}

func filled(zero protoreflect.Value, f protoreflect.FieldDescriptor, depth int) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.MessageKind:
		fill(zero.Message(), depth-1)
		return zero
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("söme text")
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{0xff, 0, 1})
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(1)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(-7)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(-1 << 40)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(300)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(1 << 63)
	}
	return zero
}

// Generated methods and the library write the same bytes, and read them alike.
func TestOwnMessagesAreEncodedByGeneratedCode(t *testing.T) {
	count := 0
	protoregistry.GlobalTypes.RangeMessages(func(mt protoreflect.MessageType) bool {
		name := string(mt.Descriptor().FullName())
		if !strings.HasPrefix(name, "rivven.") || !mapless(mt.Descriptor(), make(map[protoreflect.MessageDescriptor]bool)) {
			return true
		}
		m := mt.New().Interface()
		fill(m.ProtoReflect(), 3)
		vt, ok := m.(vtMessage)
		if !ok {
			if mt.Descriptor().ParentFile().Path() != "actors/membership/membership.proto" { // of which others have maps
				t.Errorf("%s has no generated methods", name)
			}
			return true
		}
		count++
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := appendMessage([]byte("before"), m, vt.SizeVT(), shapeOf(mt.Descriptor()))
		if err != nil || string(got) != "before"+string(want) {
			t.Errorf("%s: % x, %v; the library writes % x", name, got, err, want)
			return true
		}
		kind := (&codec{}).typeOf(name, "")
		back, err := kind.decode(want)
		if err != nil || !proto.Equal(back.(proto.Message), m) {
			t.Errorf("%s: read back %v, %v; want %v", name, back, err, m)
		}
		return true
	})
	if count < 40 {
		t.Errorf("%d messages were tried", count)
	}
}

func TestStringsThatAreNoTextAreRefused(t *testing.T) {
	bad := &consensus.Status{Group: "ok", Voters: []*consensus.Peer{{Address: "\xff"}}}
	if _, err := appendMessage(nil, bad, bad.SizeVT(), shapeOf(bad.ProtoReflect().Descriptor())); err == nil {
		t.Error("it was encoded")
	}
	b, err := bad.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	kind := (&codec{}).typeOf(string(bad.ProtoReflect().Descriptor().FullName()), "")
	if !kind.form.vt {
		t.Fatal("it isn't read by generated code")
	}
	if _, err := kind.decode(b); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("read with error %v", err)
	}
}

func TestMessagesThatLieTooDeepAreRefused(t *testing.T) {
	d := (&structpb.Value{}).ProtoReflect().Descriptor()
	fields := textsOf(d, make(map[protoreflect.MessageDescriptor]*textFields))
	if !needsCheck(fields, make(map[*textFields]bool)) {
		t.Fatal("a message that can hold itself is not checked")
	}
	for depth, deep := range map[int]bool{nestedMax/2 - 1: false, nestedMax: true} {
		v := structpb.NewStringValue("x")
		for range depth { // each is two messages
			v = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{v}})
		}
		b, err := proto.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := fields.check(b, 0); (err != nil) != deep {
			t.Errorf("%d lists in each other: %v", depth, err)
		}
	}
}

// mapped claims to offer generated methods for a message with a map.
type mapped struct{ *membership.UpdateTags }

var errUsed = errors.New("generated methods were used")

func (mapped) SizeVT() int                                { return 0 }
func (mapped) MarshalToSizedBufferVT([]byte) (int, error) { return 0, errUsed }
func (mapped) UnmarshalVT([]byte) error                   { return errUsed }

func TestGeneratedMethodsThatShuffleMapsAreLeftAlone(t *testing.T) {
	m := mapped{&membership.UpdateTags{Tags: map[string]string{"a": "1", "b": "2"}}}
	want, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m.UpdateTags)
	got, err := appendMessage(nil, m, len(want), shapeOf(m.ProtoReflect().Descriptor()))
	if err != nil || string(got) != string(want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

// Sending takes no memory once queue, buffer and tables are there.
func TestSendingAllocatesNothing(t *testing.T) {
	w, a, b := pair(t)
	a.Root.Send(b.at("x"), text("hello"))
	w.runFor(time.Second)
	o := a.remote.core.peers.find(b.at("x").Address).out[actors.Default]
	d := o.attach(newEncoder(a.Address(), streamFrameMax, true))
	sender := actor.NewPID(a.Address(), "sender")
	for name, message := range map[string]proto.Message{
		"generated": &consensus.ReadIndexed{Index: 300},
		"text":      &consensus.LeaderChanged{Group: "meta"},
		"known":     wrapperspb.Bytes(make([]byte, 256)),
		"library":   actor.NewPID("b:1", "x"),
	} {
		target, envelope := b.at("x"), &actor.MessageEnvelope{Message: message, Sender: sender}
		var buf []byte
		send := func() {
			for range chunkItems {
				a.Root.Send(target, message)
				a.Root.Send(target, envelope)
			}
			for {
				if buf = d.Fill(buf[:0]); len(buf) == 0 {
					break
				}
			}
		}
		send()
		if n := testing.AllocsPerRun(20, send); n > 1 { // the pool of chunks may miss
			t.Errorf("%s: %v allocations for %d messages", name, n, 2*chunkItems)
		}
	}
}
