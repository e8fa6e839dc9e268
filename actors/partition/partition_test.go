package partition_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/partition"
)

func TestReply(t *testing.T) {
	for name, tc := range map[string]struct {
		res  any
		err  error
		want error
	}{
		"answer":       {res: &partition.TopicCreated{}},
		"no leader":    {res: &partition.Refused{Code: partition.Code_CODE_NO_LEADER, Message: "no"}, want: partition.ErrNoLeader},
		"exists":       {res: &partition.Refused{Code: partition.Code_CODE_ALREADY_EXISTS}, want: partition.ErrAlreadyExists},
		"time-out":     {err: actors.ErrTimeout, want: partition.ErrUnknownOutcome},
		"nobody there": {err: actors.ErrDeadLetter, want: partition.ErrUnavailable},
		"foreign":      {res: 1, want: partition.ErrInvalid},
	} {
		if _, err := partition.Reply[*partition.TopicCreated](tc.res, tc.err); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

func ExampleReply() {
	_, err := partition.Reply[*partition.TopicCreated](&partition.Refused{
		Code: partition.Code_CODE_NOT_ENOUGH_NODES, Message: "replication factor 3 needs 3 nodes, 2 are eligible",
	}, nil)
	fmt.Println(err, errors.Is(err, partition.ErrNotEnoughNodes))
	// Output: replication factor 3 needs 3 nodes, 2 are eligible true
}
