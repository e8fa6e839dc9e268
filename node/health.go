package node

import (
	"context"
	"fmt"
	"time"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/actors/partition"
	"github.com/hupe1980/rivven-cluster/node/client"
	"github.com/hupe1980/rivven-cluster/raftactor/logstore"
)

const healthTimeout = 2 * time.Second

// live asks each actor that has a loop of its own whether it still turns. Losing the quorum does not fail it: a restart would not
// bring it back.
func (n *Node) live() error {
	select {
	case <-n.done:
		return fmt.Errorf("the node has stopped: %w", n.Err())
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	for _, loop := range n.loops() {
		if _, err := live.Ask(ctx, n.system.ActorSystem, n.system.NewLocalPID(loop.name), loop.question); err != nil {
			return fmt.Errorf("actor %s does not answer: %w", loop.name, err)
		}
	}
	return nil
}

type loop struct {
	name     string
	question any
}

func (n *Node) loops() []loop {
	loops := []loop{{actors.NameStore, &logstore.Open{Group: n.opts.group}}}
	select {
	case <-n.ready:
	default:
		return loops
	}
	if n.opts.parts.raft {
		loops = append(loops, loop{actors.RaftName(n.opts.group), &consensus.GetStatus{}})
	}
	if n.opts.parts.swim {
		loops = append(loops, loop{actors.NameSwim, &membership.GetMembers{}})
	}
	if n.opts.parts.ring {
		loops = append(loops, loop{actors.NameRing, &partition.ListTopics{}})
	}
	return loops
}

// conditions are what a node must be before traffic should come to it.
func (n *Node) conditions() []client.Condition {
	f := n.facts.Load()
	conditions := []client.Condition{
		{Name: "draining", OK: !f.draining, Detail: detail(f.draining, "the node is about to stop")},
		{Name: "joined", OK: f.clusterID != "", Detail: detail(f.clusterID == "", "waits to form or join a cluster")},
	}
	if f.clusterID == "" || !n.opts.parts.raft {
		return conditions
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	status, err := consensus.Reply[*consensus.Status](live.Ask(ctx, n.system.ActorSystem, n.Group(), &consensus.GetStatus{}))
	if err != nil {
		return append(conditions, client.Condition{Name: "metadata", Detail: err.Error()})
	}
	behind := status.GetApplied() < status.GetCommit()
	return append(conditions,
		client.Condition{Name: "leader", OK: status.GetLeader() != nil, Detail: detail(status.GetLeader() == nil, "no leader is known")},
		client.Condition{Name: "caught_up", OK: !behind, Detail: detail(behind, fmt.Sprintf("applied %d of %d", status.GetApplied(), status.GetCommit()))},
		client.Condition{Name: "healthy", OK: status.GetHalted() == "", Detail: status.GetHalted()})
}

func detail(shown bool, text string) string {
	if !shown {
		return ""
	}
	return text
}
