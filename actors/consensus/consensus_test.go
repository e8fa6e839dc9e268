package consensus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

func TestEveryCodeHasItsSentinel(t *testing.T) {
	for number := range consensus.Code_name {
		code := consensus.Code(number)
		if code == consensus.Code_CODE_UNSPECIFIED {
			continue
		}
		f := consensus.NewFailed(code, "", nil)
		matches := 0
		for _, sentinel := range []error{consensus.ErrNotLeader, consensus.ErrDropped, consensus.ErrTooLarge, consensus.ErrUnknownOutcome,
			consensus.ErrRefused, consensus.ErrShuttingDown, consensus.ErrBusy, consensus.ErrHalted, consensus.ErrInvalid, consensus.ErrReadTimeout} {
			if errors.Is(f.AsError(), sentinel) {
				matches++
			}
		}
		if matches != 1 || f.GetMessage() == "" {
			t.Errorf("%v is %d sentinels, message %q", code, matches, f.GetMessage())
		}
	}
	if errors.Is((&consensus.Failed{Code: 99, Message: "?"}).AsError(), nil) {
		t.Error("an unknown code is no error")
	}
}

func TestResult(t *testing.T) {
	packed := consensus.Pack(wrapperspb.String("v"))
	for name, tc := range map[string]struct {
		res  any
		err  error
		want error
	}{
		"proposed":         {res: &consensus.Proposed{Result: packed}},
		"answer":           {res: &consensus.Answer{Result: packed}},
		"failed":           {res: consensus.NewFailed(consensus.Code_CODE_DROPPED, "", nil), want: consensus.ErrDropped},
		"time-out":         {err: actors.ErrTimeout, want: consensus.ErrUnknownOutcome},
		"context ended":    {err: context.DeadlineExceeded, want: consensus.ErrUnknownOutcome},
		"nobody there":     {err: actors.ErrDeadLetter, want: consensus.ErrDropped},
		"foreign answer":   {res: "what", want: consensus.ErrInvalid},
		"other type":       {res: &consensus.Answer{Result: consensus.Pack(wrapperspb.Int64(1))}, want: consensus.ErrInvalid},
		"damaged":          {res: &consensus.Answer{Result: &anypb.Any{TypeUrl: packed.TypeUrl, Value: []byte{0xff}}}, want: consensus.ErrInvalid},
		"machine's own no": {res: consensus.FailedFrom(&consensus.Refusal{Reason: "taken", Message: "name is taken"}), want: consensus.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := consensus.Result[*wrapperspb.StringValue](tc.res, tc.err)
			if !errors.Is(err, tc.want) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if tc.want == nil && v.GetValue() != "v" {
				t.Fatalf("value %v", v)
			}
		})
	}
}

func TestReplyAndHint(t *testing.T) {
	s, err := consensus.Reply[*consensus.Session](&consensus.Session{Id: 7}, nil)
	if err != nil || s.GetId() != 7 {
		t.Fatal(s, err)
	}
	_, err = consensus.Reply[*consensus.Session](consensus.NewFailed(consensus.Code_CODE_NOT_LEADER, "", &consensus.Peer{NodeId: 2, Address: "b:1"}), nil)
	var typed *consensus.Error
	if !errors.As(err, &typed) || typed.Leader.GetNodeId() != 2 || err.Error() != "not the leader (leader is node 2 at b:1)" {
		t.Fatal(err)
	}
}

func TestUnpackRefusesUnknownTypes(t *testing.T) {
	for _, bad := range []*anypb.Any{nil, {}, {TypeUrl: "type.googleapis.com/no.such.Type"}} {
		if _, err := consensus.Unpack(bad); !errors.Is(err, consensus.ErrInvalid) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func ExampleResult() {
	// What a group answered to a proposal, unwrapped into the machine's own result.
	answer := &consensus.Proposed{Index: 12, Result: consensus.Pack(wrapperspb.String("stored"))}
	done, err := consensus.Result[*wrapperspb.StringValue](answer, nil)
	fmt.Println(done.GetValue(), err)

	_, err = consensus.Result[*wrapperspb.StringValue](nil, actors.ErrTimeout)
	fmt.Println(errors.Is(err, consensus.ErrUnknownOutcome))
	// Output:
	// stored <nil>
	// true
}
