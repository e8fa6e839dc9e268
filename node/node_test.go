package node_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/hupe1980/rivven-cluster/actors/consensus"
	"github.com/hupe1980/rivven-cluster/actors/live"
	"github.com/hupe1980/rivven-cluster/actors/membership"
	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/remote"
	"github.com/hupe1980/rivven-cluster/ringactor/metadata"
)

func writeCertificate(t testing.TB, dir string, ca *remote.CA, certificate *tls.Certificate) {
	t.Helper()
	cert, key, err := remote.EncodeNode(certificate)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "ca.pem"), ca.CertificatePEM())
	writeFile(t, filepath.Join(dir, "node.pem"), cert)
	writeFile(t, filepath.Join(dir, "node.key"), key)
}

func put(n *node.Node, key, value string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := consensus.Result[*metadata.ConfigChanged](live.Ask(ctx, n.System(), n.Group(), consensus.NewPropose(&metadata.SetConfig{Key: key, Value: []byte(value)})))
	return err
}

func get(n *node.Node, key string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	entry, err := consensus.Result[*metadata.ConfigEntry](live.Ask(ctx, n.System(), n.Group(), consensus.NewQuery(&metadata.GetConfig{Key: key})))
	return string(entry.GetValue()), err
}

func seesAlive(n *node.Node, want int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	res, err := live.Ask(ctx, n.System(), n.Swim(), &membership.GetMembers{})
	if err != nil {
		return err
	}
	alive := 0
	for _, m := range res.(*membership.Members).GetMembers() {
		if m.GetState() == membership.State_STATE_ALIVE {
			alive++
		}
	}
	if alive != want {
		return fmt.Errorf("%d alive, want %d", alive, want)
	}
	return nil
}

func TestThreeNodesFormAndAgreeAndRestart(t *testing.T) {
	f := newFleet(t, 3)
	for i := range 3 {
		f.start(i)
	}
	f.ready(f.nodes...)
	until(t, "a write", 10*time.Second, func() error { return put(f.nodes[0], "a", "1") })
	for i, n := range f.nodes {
		if v, err := get(n, "a"); err != nil || v != "1" {
			t.Fatalf("node %d reads %q, %v", i+1, v, err)
		}
		until(t, "three alive", 10*time.Second, func() error { return seesAlive(n, 3) })
	}
	if a, b := f.nodes[0].ClusterID(), f.nodes[2].ClusterID(); a == "" || a != b {
		t.Fatalf("clusters %q and %q", a, b)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := f.nodes[1].Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	until(t, "a write without node 2", 10*time.Second, func() error { return put(f.nodes[0], "b", "2") })
	n := f.start(1)
	f.ready(n)
	until(t, "a read from the restarted node", 10*time.Second, func() error {
		v, err := get(n, "b")
		if err == nil && v != "2" {
			err = fmt.Errorf("%q", v)
		}
		return err
	})
	until(t, "three alive again", 10*time.Second, func() error { return seesAlive(n, 3) })
}

func TestDataDirectoryOfAnotherNodeIsRefused(t *testing.T) {
	f := newFleet(t, 1)
	n := f.start(0)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	f.ready(n)
	if err := n.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	cfg := f.config(0)
	cfg.ID = 7
	_, err := f.tryStart(cfg)
	if err == nil {
		t.Fatal("node 7 started on node 1's directory")
	}
	t.Log(err)
}

func TestSecondProcessOnOneDirectoryIsRefused(t *testing.T) {
	f := newFleet(t, 1)
	f.start(0)
	cfg := f.config(0)
	cfg.Bind = "127.0.0.1:0"
	_, err := f.tryStart(cfg)
	if err == nil {
		t.Fatal("two nodes on one directory")
	}
	t.Log(err)
}

func TestErrIsNilWhileRunningAndAfterShutdown(t *testing.T) {
	f := newFleet(t, 1)
	n := f.start(0)
	if n.Err() != nil {
		t.Fatal(n.Err())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := errors.Join(n.Shutdown(ctx), n.Err()); err != nil {
		t.Fatal(err)
	}
	<-n.Done()
}
