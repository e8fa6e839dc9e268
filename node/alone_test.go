package node_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/node"
)

// The seed's RaftNode: one group over three nodes, without membership and partitions.
func TestStartRaftAlone(t *testing.T) {
	f := newFleet(t, 3)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var nodes []*node.Node
	for i := range 3 {
		cfg := f.config(i)
		cfg.Admin.Bind = node.AdminOff
		n, err := node.StartRaft(ctx, node.RaftConfig{Node: cfg, Group: "counter", Machine: func() consensus.Machine { return &counter{} }}, node.WithLogger(f.log))
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	f.ready(nodes...)
	until(t, "a commit", 20*time.Second, func() error {
		_, err := consensus.Result[*wrapperspb.Int64Value](live.Ask(ctx, nodes[1].System(), nodes[1].Group(), consensus.NewPropose(wrapperspb.Int64(7))))
		return err
	})
	for i, n := range nodes {
		sum, err := consensus.Result[*wrapperspb.Int64Value](live.Ask(ctx, n.System(), n.Group(), consensus.NewQuery(&wrapperspb.Int64Value{})))
		if err != nil || sum.GetValue()%7 != 0 || sum.GetValue() == 0 {
			t.Fatalf("node %d reads %v, %v", i+1, sum, err)
		}
	}
	for _, n := range nodes {
		if err := n.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// The seed's SwimNode: membership alone.
func TestStartSwimAlone(t *testing.T) {
	f := newFleet(t, 2)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var nodes []*node.Node
	registry := prometheus.NewRegistry()
	for i := range 2 {
		cfg := f.config(i)
		cfg.Admin.Bind = node.AdminOff
		opts := []node.Option{node.WithLogger(f.log)}
		if i == 0 {
			opts = append(opts, node.WithMetrics(registry, registry))
		}
		n, err := node.StartSwim(ctx, cfg, opts...)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		until(t, "two alive", 20*time.Second, func() error { return seesAlive(n, 2) })
	}
	until(t, "the other's signature is checked and counted", 20*time.Second, func() error {
		families, err := registry.Gather()
		for _, family := range families {
			if family.GetName() == "rivven_swim_verifications_total" && family.GetMetric()[0].GetCounter().GetValue() > 0 {
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("none of %d families says so", len(families)))
	})
	for _, n := range nodes {
		if err := n.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStartRaftNeedsAGroupAndAMachine(t *testing.T) {
	if _, err := node.StartRaft(context.Background(), node.RaftConfig{}); err == nil {
		t.Fatal("started without a group")
	}
}

// A storage failure that no restart mends stops the node: Done closes and Err says why.
func TestFatalStorageErrorStopsTheNode(t *testing.T) {
	f := newFleet(t, 1)
	broken := errors.New("the platter fell off")
	n := f.start(0, node.WithStorage(brokenAfterStart(broken)))
	select {
	case <-n.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the node goes on with a broken disk")
	}
	if err := n.Err(); !errors.Is(err, broken) {
		t.Fatalf("Err is %v", err)
	}
}

func TestConfigFaultsComeAtOnce(t *testing.T) {
	_, err := node.Start(context.Background(), live.NewSystem().ActorSystem, node.Config{Bind: "nowhere", Name: "No Such Name"})
	var faults *node.ConfigError
	if !errors.As(err, &faults) || len(faults.Faults) < 3 {
		t.Fatal(err)
	}
}
