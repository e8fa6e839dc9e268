package metadata

import (
	"fmt"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
)

// Reasons of refusals, in consensus.Refusal and consensus.Failed. They are stable.
const (
	ReasonInvalid          = "invalid"           // the command breaks a rule whatever the state
	ReasonLimit            = "limit_exceeded"    // the state would outgrow a limit
	ReasonNotFound         = "not_found"         // no such node, topic, partition or key
	ReasonAlreadyExists    = "already_exists"    // the topic exists
	ReasonStaleEpoch       = "stale_epoch"       // the command was made for an older epoch
	ReasonFutureEpoch      = "future_epoch"      // the command was made for an epoch that never was
	ReasonStaleGeneration  = "stale_generation"  // the command speaks of another process of the node
	ReasonRevisionMismatch = "revision_mismatch" // compare-and-set lost
	ReasonNotInSync        = "not_in_sync"       // the leader would not be in the in-sync set
	ReasonISRTooSmall      = "isr_too_small"     // the in-sync set would fall below min ISR
	ReasonNodeUnavailable  = "node_unavailable"  // the node is not registered, or not alive
	ReasonNodeInUse        = "node_in_use"       // the node still holds replicas
)

func refuse(reason, format string, args ...any) error {
	return &consensus.Refusal{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func halt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", consensus.ErrHalt, fmt.Sprintf(format, args...))
}
