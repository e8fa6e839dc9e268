// Package consensus is the vocabulary of Raft groups: the messages that anybody may send to a group's actor, the events it
// publishes, the state machine that it runs, and the errors that its refusals become.
//
// Messages are protobuf, used by pointer, and immutable once sent. A refusal travels as [Failed] with a [Code] and
// becomes an error at the asker, through [Result] or [AsError]:
//
//	actors.Ask(ctx, kv, consensus.NewPropose(&pb.Put{Key: "a"}), time.Second, func(res any, err error) {
//	    done, err := consensus.Result[*pb.PutDone](res, err)
//	    …
//	})
//
// A proposal that ends in [ErrUnknownOutcome] or in a time-out may or may not take effect. With a session ([OpenSession])
// the same [ProposalID] can be sent again and is applied once.
package consensus
