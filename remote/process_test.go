//go:build unix

package remote

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hupe1980/rivven-cluster/actors"
	"github.com/hupe1980/rivven-cluster/actors/live"
)

// The test binary runs itself again as a peer of its own process. The variable says where it listens and whom it greets.
const childVariable = "RIVVEN_REMOTE_TEST_CHILD"

func init() {
	if where, ok := os.LookupEnv(childVariable); ok {
		if err := child(where); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// child answers until its standard input ends.
func child(where string) error {
	var port int
	var greet string
	if _, err := fmt.Sscan(where, &port, &greet); err != nil {
		return err
	}
	system := live.NewSystem().ActorSystem
	identity := testIdentity(2)
	identity.ClusterID, identity.Generation = DefaultTrustDomain, uint64(time.Now().UnixMilli()) //nolint:gosec // after 1970
	r := NewRemote(system, Configure("127.0.0.1", port, WithDevTLS(), WithIdentity(identity), WithStatelessResetKey([32]byte{2})))
	if err := r.Start(); err != nil {
		return err
	}
	if _, err := system.Root.SpawnNamed(actor.PropsFromFunc(answering), "echo"); err != nil {
		return err
	}
	fmt.Println("listening on", r.Self().Address)
	system.Root.Send(actor.NewPID(greet, "greeted"), text("up"))
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

type childProcess struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	address string
	up      time.Time // when it said that it listens
}

func startChild(t *testing.T, port int, greet string) *childProcess {
	t.Helper()
	c := &childProcess{cmd: exec.Command(os.Args[0])} //nolint:gosec // this very binary
	c.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", childVariable, port, greet))
	c.cmd.Stderr = os.Stderr
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			c.address, c.up = address, time.Now()
			return c
		}
	}
	t.Fatalf("the child did not start: %v", lines.Err())
	return nil
}

func (c *childProcess) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

func (c *childProcess) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// nextWithin is for what takes as long as a connection may be silent.
func nextWithin(t *testing.T, from <-chan any, d time.Duration) any {
	t.Helper()
	select {
	case e := <-from:
		return e
	case <-time.After(d):
		t.Fatal("nothing came")
		return nil
	}
}

// A process that is stopped is noticed and comes back when it goes on. One that is killed and started again is noticed by its reset, and
// talked to again because it says Hello.
func TestProcessThatStopsAndOneThatRestarts(t *testing.T) {
	if testing.Short() {
		t.Skip("waits until a silent connection ends")
	}
	identity := testIdentity(1)
	identity.ClusterID = DefaultTrustDomain
	system := live.NewSystem().ActorSystem
	n := &testNode{ActorSystem: system, remote: NewRemote(system, Configure("127.0.0.1", 0, WithDevTLS(), WithIdentity(identity), WithStatelessResetKey([32]byte{1})))}
	if err := n.remote.Start(); err != nil {
		t.Fatal(err)
	}
	defer system.Shutdown()
	defer n.remote.Shutdown(true)
	greeted, events := n.inboxOf(t, "greeted"), subscribe(t, n)
	const silence = 2 * (mainIdle + keepAlive + dialDeadline)

	c := startChild(t, 0, n.address())
	next(t, greeted)
	up := next(t, events).(*actors.PeerUp)
	echo := actor.NewPID(c.address, "echo")
	ask(t, n, echo, text("hello"))

	stopped := time.Now()
	c.signal(t, syscall.SIGSTOP)
	var state syscall.WaitStatus
	if _, err := syscall.Wait4(c.cmd.Process.Pid, &state, syscall.WUNTRACED, nil); err != nil || !state.Stopped() {
		t.Fatalf("the child is not stopped: %v, %v", state, err)
	}
	waiting := n.Root.RequestFuture(echo, text("?"), time.Hour)
	if e, ok := nextWithin(t, events, silence).(*actors.PeerDown); !ok {
		t.Fatalf("got %v, want the peer down", e)
	}
	t.Logf("a stopped process was noticed after %s", time.Since(stopped).Round(time.Millisecond))
	if _, err := waiting.Result(); err == nil {
		t.Error("a stopped process answered")
	}
	c.signal(t, syscall.SIGCONT)
	if back, ok := nextWithin(t, events, silence).(*actors.PeerUp); !ok || back.Peer.Generation != up.Peer.Generation {
		t.Fatalf("got %v, want the same process up again", back)
	}
	// Its own connection is over here, and no answer is lost with that.
	ask(t, n, echo, text("again"))

	c.kill()
	c = startChild(t, portOf(t, c.address), n.address())
	for {
		if e, ok := nextWithin(t, events, silence).(*actors.PeerUp); ok && e.Peer.Generation != up.Peer.Generation {
			break
		}
	}
	t.Logf("a restarted process was talked to %s after it was up", time.Since(c.up).Round(time.Millisecond))
	ask(t, n, echo, text("anew"))
}
