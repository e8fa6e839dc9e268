package remote

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// protobuf's own types are written without reflection as the library writes them, and read back.
func TestWellKnownTypes(t *testing.T) {
	for _, m := range []proto.Message{
		wrapperspb.Bytes([]byte{1, 0, 255}), wrapperspb.Bytes(nil), wrapperspb.String("söme text"), wrapperspb.String(""), wrapperspb.Bool(true),
		wrapperspb.Int32(-7), wrapperspb.Int64(-1 << 40), wrapperspb.UInt32(300), wrapperspb.UInt64(1 << 63), wrapperspb.Float(1.5),
		wrapperspb.Double(-2.25), &emptypb.Empty{}, timestamppb.New(time.Unix(-5, 7)), durationpb.New(-time.Minute - 3),
		&anypb.Any{TypeUrl: "type.googleapis.com/x", Value: []byte{1}},
	} {
		name := m.ProtoReflect().Descriptor().FullName()
		g := generated(m)
		if g == nil {
			t.Errorf("%s goes through the library", name)
			continue
		}
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := appendMessage([]byte("before"), m, g.SizeVT(), shapeOf(m.ProtoReflect().Descriptor()))
		if err != nil || string(got) != "before"+string(want) {
			t.Errorf("%s: % x, %v; the library writes % x", name, got, err, want)
		}
		kind := (&codec{}).typeOf(string(name), "")
		if back, err := kind.decode(want); err != nil || !proto.Equal(back.(proto.Message), m) {
			t.Errorf("%s: read back %v, %v; want %v", name, back, err, m)
		}
	}
	bad := wrapperspb.String("\xff")
	if _, err := appendMessage(nil, bad, generated(bad).SizeVT(), shapeOf(bad.ProtoReflect().Descriptor())); err == nil {
		t.Error("a text that is none was encoded")
	}
	kind := (&codec{}).typeOf("google.protobuf.StringValue", "")
	if _, err := kind.decode([]byte{0x0a, 1, 0xff}); err == nil {
		t.Error("a text that is none was read")
	}
}
