package remote

import (
	vtany "github.com/planetscale/vtprotobuf/types/known/anypb"
	vtduration "github.com/planetscale/vtprotobuf/types/known/durationpb"
	vtempty "github.com/planetscale/vtprotobuf/types/known/emptypb"
	vttimestamp "github.com/planetscale/vtprotobuf/types/known/timestamppb"
	vtwrappers "github.com/planetscale/vtprotobuf/types/known/wrapperspb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// generated returns what encodes a message without reflection, nil where there is no such thing: its own methods, or for protobuf's
// well-known types those that vtprotobuf keeps for them. The latter carry no unknown fields, which those types never had.
func generated(msg any) vtMethods {
	switch m := msg.(type) {
	case *wrapperspb.BytesValue:
		return (*vtwrappers.BytesValue)(m)
	case *wrapperspb.StringValue:
		return (*vtwrappers.StringValue)(m)
	case *wrapperspb.BoolValue:
		return (*vtwrappers.BoolValue)(m)
	case *wrapperspb.Int32Value:
		return (*vtwrappers.Int32Value)(m)
	case *wrapperspb.Int64Value:
		return (*vtwrappers.Int64Value)(m)
	case *wrapperspb.UInt32Value:
		return (*vtwrappers.UInt32Value)(m)
	case *wrapperspb.UInt64Value:
		return (*vtwrappers.UInt64Value)(m)
	case *wrapperspb.FloatValue:
		return (*vtwrappers.FloatValue)(m)
	case *wrapperspb.DoubleValue:
		return (*vtwrappers.DoubleValue)(m)
	case *emptypb.Empty:
		return (*vtempty.Empty)(m)
	case *timestamppb.Timestamp:
		return (*vttimestamp.Timestamp)(m)
	case *durationpb.Duration:
		return (*vtduration.Duration)(m)
	case *anypb.Any:
		return (*vtany.Any)(m)
	case vtMessage:
		return m
	}
	return nil
}
